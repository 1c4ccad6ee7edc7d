"""The curve of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def plot_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draws loss and validation PSNR over the steps.

    Args:
        history: A row per epoch, with "step", "loss" and keys that begin with "psnr".
        path: PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    steps = [row["step"] for row in history]
    above.plot(steps, [row["loss"] for row in history], marker=".")
    above.set(yscale="log", ylabel="training loss")
    for key in history[0]:
        if key.startswith("psnr"):
            label = key.removeprefix("psnr").strip("_") or "mean"
            below.plot(steps, [row[key] for row in history], marker=".", label=label)
    below.set(xlabel="step", ylabel="validation PSNR (dB)")
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, format="png")
