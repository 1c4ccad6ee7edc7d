"""Draws the figures of a report as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cinesr.experiment.history import Training
from cinesr.experiment.scoring import FREQUENCIES, REFERENCES, TRUTH, Box
from cinesr.imaging.files import staged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panels = Mapping[str, NDArray[Any]]
COLUMNS = 4
PANEL_INCHES = 2.6
DOTS_PER_INCH = 110
LOWEST_SHARE = 1e-3
"""Of the truth's smallest power: what lies below is nothing that one could see."""
BOX_COLOURS = ("#ffb000", "#40b0ff")
"""Of the magnified parts; told apart by people who do not tell red from green."""
REFERENCE_STYLES = ("#000000", "#8a8a8a", "#b8860b")
"""Of `REFERENCES`."""


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with staged(path, overwrite=True) as part:
        figure.savefig(part, dpi=DOTS_PER_INCH, format="png")


def draw_panels(
    path: Path,
    panels: Panels,
    *,
    limits: tuple[float, float],
    colours: str = "gray",
    boxes: Sequence[Box] = (),
    inches: float = PANEL_INCHES,
) -> None:
    """Draws pictures side by side on one scale, each pixel as a square.

    Args:
        path: PNG file to write.
        panels: Title to (row, column).
        limits: Values of the first and the last colour.
        colours: Name of a matplotlib colour map. A scale is drawn beside all but grey ones.
        boxes: Parts to mark.
        inches: Side of a picture.
    """
    from matplotlib.patches import Rectangle

    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(columns * inches, rows * (inches + 0.3))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (title, image) in zip(grid.flat, panels.items(), strict=False):
        shown = axes.imshow(
            image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest"
        )
        axes.set_title(title, fontsize=9)
        for number, (down, across) in enumerate(boxes):
            corner = (across.start - 0.5, down.start - 0.5)
            size = (across.stop - across.start, down.stop - down.start)
            colour = BOX_COLOURS[number % len(BOX_COLOURS)]
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.5))
    if colours != "gray":
        figure.colorbar(shown, ax=list(grid.flat), shrink=0.7, label="of the intensity scale")
    _save(figure, path)


def _colours(names: Sequence[str]) -> dict[str, Any]:
    from matplotlib import colormaps

    palette = colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: palette(number % palette.N) for number, name in enumerate(names)}


def draw_spectra(path: Path, spectra: Mapping[str, Sequence[float]], *, scale: int) -> None:
    """Draws mean spectra, with the frequencies of a checkerboard marked.

    Args:
        path: PNG file to write.
        spectra: Method to its power at `FREQUENCIES`.
        scale: Of the networks.
    """
    figure = _figure(8.5, 4.6)
    axes = figure.subplots()
    colours = _colours([name for name in spectra if name not in REFERENCES])
    colours |= dict(zip(REFERENCES, REFERENCE_STYLES, strict=True))
    for name, power in spectra.items():
        axes.plot(
            FREQUENCIES,
            power,
            label=name,
            color=colours[name],
            linewidth=2.0 if name == TRUTH else 1.2,
            linestyle="-" if name == TRUTH or name not in REFERENCES else "--",
        )
    for cycles in checkerboard_frequencies(scale):
        axes.axvline(float(cycles), color="#c03030", linewidth=0.8, linestyle=":")
    axes.set(
        yscale="log",
        xlim=(0, 0.505),
        xlabel="spatial frequency (cycles per pixel)",
        ylabel="mean power, of pictures of unit mean square",
        ylim=(min(spectra[TRUTH]) * LOWEST_SHARE, None),
    )
    _finish(axes, legend="lower left")
    _save(figure, path)


def checkerboard_frequencies(scale: int) -> list[float]:
    """Multiples of 1 / scale cycles per pixel, up to the highest that there is.

    Args:
        scale: Of the networks.
    """
    return [step / scale for step in range(1, scale // 2 + 1)]


def draw_training(path: Path, trainings: Mapping[str, Training]) -> None:
    """Draws the validation PSNR of every network over its steps.

    Args:
        path: PNG file to write.
        trainings: By the network's name.
    """
    figure = _figure(8.5, 4.2)
    axes = figure.subplots()
    for name, colour in _colours(list(trainings)).items():
        training = trainings[name]
        axes.plot(training.steps, training.psnr, label=name, color=colour, marker=".", markersize=4)
    axes.set(xlabel="step", ylabel="validation PSNR (dB)")
    _finish(axes, legend="lower right")
    _save(figure, path)


def draw_gains(path: Path, lines: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draws gains over the size of the truth's pixels, whole frame and body side by side.

    Args:
        path: PNG file to write.
        lines: By name: sizes in mm as "truth_mm", gains in dB as "whole" and "body".
    """
    figure = _figure(9.5, 4.2)
    for axes, region in zip(figure.subplots(1, 2, sharey=True), ("whole", "body"), strict=True):
        for name, colour in _colours(list(lines)).items():
            line = lines[name]
            axes.plot(line["truth_mm"], line[region], label=name, color=colour, marker=".")
        axes.axhline(0.0, color="#000000", linewidth=0.8)
        axes.set(xlabel="the truth's pixels (mm)", title=region)
        axes.set_ylabel("PSNR over bicubic (dB)" if region == "whole" else "")
        _finish(axes, legend="lower right")
    _save(figure, path)


def _finish(axes: Axes, *, legend: Literal["lower left", "lower right"]) -> None:
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc=legend)


def round_up(value: float) -> float:
    """The next number of one digit that is not smaller, so that a caption can name a scale.

    Args:
        value: Above zero.
    """
    power = 10.0 ** np.floor(np.log10(value))
    return float(f"{np.ceil(value / power - 1e-9) * power:.6g}")
