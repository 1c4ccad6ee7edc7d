"""The commands. stdout carries data, stderr carries talk; each command imports what it needs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cinesr import __version__
from cinesr.errors import CinesrError, OutputError
from cinesr.shell import (
    INTERRUPTED,
    EndedBySignalError,
    heeding_signals,
    open_standard_streams,
    say,
    told_in_words,
)

if TYPE_CHECKING:
    from cinesr.imaging.cine import Cine
    from cinesr.upscaling.engine import Precision
    from cinesr.upscaling.labels import LabelMaps

SOME_FAILED = 1
UNFIT_INPUT = 3
STOPPED = "Stopped. Nothing is left half written."


class Commands(click.Group):
    """Commands in the order in which a newcomer needs them, with errors told in words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of definition."""
        return list(self.commands)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the program; what it prints without a command, as its help, may fail as well."""
        open_standard_streams()
        try:
            with told_in_words():
                return super().main(*args, **extra)
        except CinesrError as error:
            tell_error(error)
            sys.exit(error.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; an error of ours becomes a message and an exit code."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            with heeding_signals(), told_in_words():
                return super().invoke(ctx)
        except CinesrError as error:
            tell_error(error)
            ctx.exit(error.exit_code)
        except EndedBySignalError:
            say(STOPPED)
            raise
        except (KeyboardInterrupt, click.Abort):
            say(STOPPED)
            ctx.exit(INTERRUPTED)


def tell_error(error: CinesrError) -> None:
    """Says on stderr what went wrong and what to do."""
    say(click.style("Error: ", fg="red", bold=True, reset=True) + error.message)
    if error.hint:
        say(f"  {error.hint}")


def _pair(words: str) -> Callable[..., tuple[float, float] | None]:
    """What reads two numbers, (row, column), from an option, or one for both.

    Args:
        words: What the option expects, with an example, for the message.
    """

    def read(
        ctx: click.Context, param: click.Parameter, value: str | None
    ) -> tuple[float, float] | None:
        if value is None:
            return None
        try:
            numbers = [float(part) for part in value.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or not all(0 < number < 100 for number in numbers):
            raise click.BadParameter(f"{value!r} is not ROW,COLUMN {words}", ctx, param)
        return numbers[0], numbers[-1]

    return read


def _axes(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Letters for the axes of an array, checked before anything is read."""
    from cinesr.imaging.axes import parsed_axes

    try:
        return None if value is None else parsed_axes(value)
    except CinesrError as error:
        raise click.BadParameter(error.message, ctx, param) from error


path_type = click.Path(path_type=Path)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
spacing_option = click.option(
    "--spacing",
    metavar="ROW,COLUMN",
    callback=_pair("in millimetres, such as 1.4,1.3"),
    help="Pixel spacing in mm, for files that do not say.",
)
axes_option = click.option(
    "--axes",
    metavar="LETTERS",
    callback=_axes,
    help="Axes of files that do not say, in their order: t time, z slice, y row, x column.",
)
series_option = click.option("--series", help="Which one, by number or name, if there are several.")


@contextmanager
def progress_bar(words: str, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """A bar on stderr with the time left.

    Gives what is called with steps done, steps in all and, where they change, other words.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total, words=None: bar.update(
            task, completed=done, total=total, description=words
        )


def _talk(quiet: bool) -> Callable[[str], None]:
    return (lambda text: None) if quiet else say


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version")
def main() -> None:
    """Super-resolution of cardiac cine MR images, from DICOM to DICOM.

    Research use only. Detail in the result is predicted, not measured.
    """


@main.command()
@click.option("-o", "--output", type=path_type, default=Path("demo"), show_default=True)
@overwrite_option
@quiet_option
def demo(output: Path, overwrite: bool, quiet: bool) -> None:
    """Show the whole job on a synthetic heart."""
    from cinesr.demo import run_demo

    talk = _talk(quiet)
    with progress_bar("Upscaling", quiet=quiet) as progress:
        found = run_demo(output, overwrite=overwrite, progress=progress)
    for name, scores in found["scores"].items():
        words = ", ".join(f"{key} {value:.3g}" for key, value in scores.items())
        talk(f"{name:>10}: {words}")
    talk("The phantom is drawn, so these figures say that it works, not how well on people.")
    talk(f"Look at it: {_own_name()} view {shlex.quote(str(output))}")
    for path in found["pictures"]:
        click.echo(path)


def _own_name() -> str:
    """How this program is called from where the user is, so that a command works as printed."""
    started = Path(sys.argv[0])
    if shutil.which("cinesr") or not started.is_file() or not os.access(started, os.X_OK):
        return "cinesr"
    return shlex.quote(str(started))


@main.command()
@click.argument("inputs", nargs=-1, required=True, type=path_type, metavar="INPUT...")
@click.option("-o", "--output", type=path_type, help="File or folder. [default: INPUT_xSCALE]")
@click.option("--model", help="A name from `cinesr models`, or an .onnx file.")
@click.option(
    "--scale",
    type=click.IntRange(2, 8),
    help="Take a model of this scale. [default: 2 for pixels up to 2.2 mm, 4 for coarser ones]",
)
@click.option(
    "--spacing-out",
    type=click.FloatRange(0.01, 100),
    metavar="MM",
    help="In-plane pixel size of the result, resampled from what the network makes.",
)
@click.option(
    "--acquired",
    metavar="PART=VALUE,...",
    help="What is known of the acquisition, any part of keep=0.8,0.65,window=cosine:0.4,noise=0.01;"
    " the rest is read from the scan.",
)
@click.option(
    "--denoise",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the noise that the network is told; at 0 the grain stays.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Processor threads. [default: all]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of the network; bfloat16 is twice as fast where the processor has it, less exact.",
)
@click.option(
    "--label-maps",
    type=click.Choice(["leave", "repeat", "network"]),
    default="leave",
    show_default=True,
    help="Leave them aside, repeat their pixels, or take them for pictures.",
)
@spacing_option
@axes_option
@overwrite_option
@json_option
@quiet_option
def upscale(
    inputs: tuple[Path, ...],
    output: Path | None,
    model: str | None,
    scale: int | None,
    spacing_out: float | None,
    acquired: str | None,
    denoise: float,
    threads: int | None,
    precision: Precision,
    label_maps: LabelMaps,
    spacing: tuple[float, float] | None,
    axes: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Upscale scans: DICOM to DICOM, NIfTI to NIfTI, pictures to pictures.

    INPUT is a DICOM folder, archive (zip, tar) or file, NIfTI, PNG, TIFF or NPY. Beside the result
    stand run.json, with times and checks, and a preview.
    """
    from cinesr.imaging.files import require_sensible_output, suffix_of
    from cinesr.upscaling.telling import Telling, parse_acquired
    from cinesr.upscaling.upscale import Upscaler, output_paths, scale_for, upscale_path

    if output is not None and len(inputs) > 1 and suffix_of(output):
        raise click.UsageError(f"{output} can take one result; name a folder for {len(inputs)}.")
    upscaler = Upscaler(
        model,
        scale=scale,
        threads=threads,
        precision=precision,
        telling=Telling(parse_acquired(acquired) if acquired else {}, denoise),
        spacing_out_mm=spacing_out,
        label_maps=label_maps,
    )
    runs: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    talk = _talk(quiet)
    scale_of = partial(scale_for, upscaler=upscaler, spacing_mm=spacing, axes=axes)
    targets = output_paths(inputs, output, scale_of)
    for source, target in zip(inputs, targets, strict=True):
        try:
            for other in inputs:
                require_sensible_output(other, target)
            with progress_bar(f"Upscaling {source.name}", quiet=quiet) as progress:
                run = upscale_path(
                    source,
                    target,
                    upscaler,
                    overwrite=overwrite,
                    spacing_mm=spacing,
                    axes=axes,
                    progress=progress,
                )
        except CinesrError as error:
            if source.name not in error.message and not isinstance(error, OutputError):
                error.message = f"{source}: {error.message}"
            tell_error(error)
            failed.append({"input": str(source), "error": error.message, "hint": error.hint})
            continue
        runs.append(run)
        _tell_run(run, talk)
        if not as_json:
            click.echo(run["output"])
    if as_json:
        click.echo(json.dumps({"runs": runs, "failed": failed}, indent=1))
    if failed:
        sys.exit(SOME_FAILED if runs else UNFIT_INPUT)


def _tell_run(run: dict[str, Any], talk: Callable[[str], None]) -> None:
    for series in run["series"]:
        talk(f"{series['name']}: {_size(series['shape'])} -> {_size(series['result_shape'])}")
        if told := series["told"]:
            talk(f"  told  {_told_words(told)}")
        for check in series["checks"]:
            mark = "look" if check["warning"] else "ok"
            talk(f"  {mark:>4}  {check['name']}: {check['finding']}")
        for note in series["notes"]:
            talk(f"  note  {note}")
    seconds = run["seconds"]
    stages = ", ".join(f"{key} {value:.1f}" for key, value in seconds.items() if key != "total")
    talk(f"{run['frames']} frames in {seconds['total']:.1f} s (overlapping: {stages})")
    talk("Detail is predicted. Research use only.")


def _told_words(told: dict[str, Any]) -> str:
    if told["method"] != "scanner":
        return f"degraded by {told['method']} ({told['source']})"
    down, across = told["keep"]
    return (
        f"{down:.0%} x {across:.0%} of k-space, window {told['window']}, noise "
        f"{100 * told['noise']:.2g} % ({told['source']})"
    )


def _size(shape: list[int]) -> str:
    times, slices, rows, columns = shape
    return f"{times} phases x {slices} slices of {columns} x {rows}"


@main.command()
@click.argument("source", type=path_type, metavar="INPUT")
@click.option("-o", "--output", type=path_type, required=True)
@click.option(
    "--method",
    type=click.Choice(["thesis", "johnson", "bicubic", "kspace", "scanner"]),
    default="thesis",
    show_default=True,
)
@click.option("--scale", type=click.IntRange(2, 8), default=4, show_default=True)
@click.option("--noise", type=click.FloatRange(0, 1), default=0.0, help="Share of the range.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the noise.")
@click.option(
    "--keep",
    metavar="ROWS,COLUMNS",
    default="1",
    callback=_pair("as shares of k-space, such as 0.8,0.65"),
    help="Of the method scanner: shares of k-space that are measured, 0.5 to 1.",
)
@click.option(
    "--shape",
    type=click.Choice(["rectangular", "elliptical"]),
    default="rectangular",
    show_default=True,
    help="Of the measured k-space.",
)
@click.option(
    "--window",
    default="none",
    show_default=True,
    help="Taper of the measured k-space: none, cosine:WIDTH, fermi:WIDTH or hamming.",
)
@series_option
@spacing_option
@axes_option
@overwrite_option
@quiet_option
def degrade(
    source: Path,
    output: Path,
    method: str,
    scale: int,
    noise: float,
    seed: int,
    keep: tuple[float, float],
    shape: str,
    window: str,
    series: str | None,
    spacing: tuple[float, float] | None,
    axes: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Make a low-resolution twin, with the geometry right."""
    import cinesr
    from cinesr.imaging.files import require_sensible_output
    from cinesr.imaging.replacing import refuse_foreign
    from cinesr.imaging.staging import staged

    require_sensible_output(source, output)
    how: dict[str, Any] = {"noise": noise, "seed": seed}
    how |= {"keep": keep, "shape": shape, "window": window}
    with staged(output, overwrite=overwrite, approve=refuse_foreign) as part:
        cine = cinesr.load(source, series=series, spacing_mm=spacing, axes=axes)
        low = cinesr.degrade(cine, method=method, scale=scale, **how)
        cinesr.save(low, part)
    _talk(quiet)(f"{_size(list(cine.shape))} -> {_size(list(low.shape))}")
    click.echo(output)


@main.command()
@click.argument("reference", type=path_type)
@click.argument("candidate", type=path_type)
@click.option("--mask", type=path_type, help="Where the heart is: an image that is 0 elsewhere.")
@click.option("--lpips/--no-lpips", default=True, help="LPIPS takes most of the time.")
@series_option
@spacing_option
@axes_option
@json_option
@quiet_option
def evaluate(
    reference: Path,
    candidate: Path,
    mask: Path | None,
    lpips: bool,
    series: str | None,
    spacing: tuple[float, float] | None,
    axes: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a CANDIDATE against its REFERENCE.

    PSNR, SSIM, NRMSE, LPIPS, checkerboard index and sub-pixel shift, over the whole frame and the
    body. Real values are compared, slope and intercept applied, where both lie in the patient;
    nothing is resampled.
    """
    import cinesr

    heart = None if mask is None else cinesr.load(mask, spacing_mm=spacing, axes=axes)
    cines = [_one_cine(path, series, spacing, axes) for path in (reference, candidate)]
    with progress_bar("Scoring", quiet=quiet) as progress:
        found = cinesr.evaluate(*cines, heart_mask=heart, with_lpips=lpips, progress=progress)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
        return
    for note in found.notes:
        _talk(quiet)(f"note  {note}")
    click.echo(_score_table(found.to_dict()))


def _one_cine(
    path: Path, series: str | None, spacing: tuple[float, float] | None, axes: str | None
) -> Cine:
    """The chosen series; a result made from one series of several holds that one alone."""
    from cinesr.imaging.files import load, open_cines

    cines = open_cines(path, spacing_mm=spacing, axes=axes)
    if len(cines) == 1:
        return cines[0].in_memory()
    return load(path, series=series, spacing_mm=spacing, axes=axes)


def _score_table(found: dict[str, Any]) -> str:
    mean = found["mean"]

    def cell(value: float | None, digits: int) -> str:
        return f"{'-':>9}" if value is None else f"{value:9.{digits}f}"

    lines = [f"{len(found['frames'])} frames; range 0 to {found['data_range']:g}"]
    lines.append(f"{'':6}{'PSNR dB':>9}{'SSIM':>9}{'NRMSE':>9}")
    for region in ("whole", "body", "heart"):
        if (part := mean[region]) is not None:
            figures = cell(part["psnr"], 2) + cell(part["ssim"], 4) + cell(part["nrmse"], 4)
            lines.append(f"{region:6}{figures}")
    lines.append(f"LPIPS {cell(mean['lpips'], 4).strip()}")
    lines.append(f"checkerboard index {cell(mean['checkerboard'], 3).strip()} %")
    if mean["shift_px"] is not None:
        row, column = mean["shift_px"]
        lines.append(f"shift {row:+.3f} rows, {column:+.3f} columns")
    return "\n".join(lines)


@main.command()
@click.argument("source", type=path_type, metavar="INPUT")
@spacing_option
@axes_option
@json_option
def info(
    source: Path, spacing: tuple[float, float] | None, axes: str | None, as_json: bool
) -> None:
    """Show what is in there, without running anything."""
    from cinesr.imaging.files import open_cines

    found = [_described(cine) for cine in open_cines(source, spacing_mm=spacing, axes=axes)]
    if as_json:
        click.echo(json.dumps({"input": str(source), "series": found}, indent=1))
        return
    for number, series in enumerate(found):
        click.echo(f"{number}: {series['name']}")
        click.echo(f"   {_size(series['shape'])}, {series['dtype']}")
        if series["spacing_mm"]:
            row, column, step = (series["spacing_mm"][key] for key in ("row", "column", "slice"))
            click.echo(f"   {row:.4g} x {column:.4g} mm (row x column), slices {step:.4g} mm apart")
        else:
            click.echo("   pixel spacing not known; name it with --spacing")
        if series["frame_time_ms"] is not None:
            click.echo(f"   {series['frame_time_ms']:.1f} ms between phases")
        for line in _acquired_words(series["acquired"], series["spacing_mm"]):
            click.echo(f"   {line}")
        for note in (*series["notes"], *series["acquired"]["notes"]):
            click.echo(f"   note: {note}")


def _acquired_words(acquired: dict[str, Any], shown_mm: dict[str, float] | None) -> list[str]:
    """How a series was acquired, for people."""
    source = acquired["source"]
    if source == "nothing":
        return []
    if acquired["method"] != "scanner":
        return [f"looks like low resolution made by {acquired['method']} (from the pixels)"]
    origin = "from the pixels" if source == "pixels" else "header"
    if shown_mm is None:
        down, across = acquired["keep"]
        lines = [f"acquired {down:.2f} x {across:.2f} of k-space, rows x columns ({origin})"]
    else:
        true, shown = (
            f"{each['row']:.3g} x {each['column']:.3g} mm"
            for each in (acquired["spacing_mm"], shown_mm)
        )
        lines = [f"acquired about {true}, shown as {shown} ({origin})"]
    if source != "header":
        shape = "" if acquired["shape"] == "rectangular" else f"{acquired['shape']} k-space, "
        noise = f"noise {100 * acquired['noise']:.1f} % of the range"
        lines.append(f"{shape}window {acquired['window']}, {noise} (from the pixels)")
    return lines


def _acquired(cine: Cine) -> dict[str, Any]:
    from cinesr.imaging.spectrum import read_acquisition

    found = read_acquisition(cine)
    column, row, _ = cine.geometry.spacing_mm
    down, across = found.acquisition.keep
    return {
        "source": found.source,
        "method": found.method,
        **found.acquisition.to_dict(),
        "spacing_mm": {"row": row / down, "column": column / across}
        if cine.geometry.is_known
        else None,
        "notes": list(found.notes),
    }


def _described(cine: Cine) -> dict[str, Any]:
    import numpy as np

    column, row, step = cine.geometry.spacing_mm
    steps = np.diff(cine.times_ms)
    timed = bool(steps.size and np.isfinite(steps).all() and steps.max() > 0)
    return {
        "name": cine.name,
        "shape": list(cine.shape),
        "dtype": str(cine.dtype),
        "spacing_mm": {"row": row, "column": column, "slice": step}
        if cine.geometry.is_known
        else None,
        "evenly_spaced": cine.geometry.is_evenly_spaced,
        "affine_lps": cine.geometry.affine().tolist(),
        "frame_time_ms": float(steps.mean()) if timed else None,
        "acquired": _acquired(cine),
        "notes": [*cine.notes, *_label_note(cine)],
    }


def _label_note(cine: Cine) -> list[str]:
    from cinesr.imaging.label_maps import labels_of

    try:
        labels = labels_of(cine)
    except CinesrError:  # Its frames cannot be read, which whoever needs them will tell.
        return []
    return [f"looks like a label map of {len(labels)} values, not a picture"] if labels else []


@main.command()
@json_option
@quiet_option
def models(as_json: bool, quiet: bool) -> None:
    """List the models at hand: what each is for, and how good it was."""
    from cinesr.upscaling.catalogue import models, user_models

    found = models()
    if as_json:
        click.echo(json.dumps([model.to_dict() for model in found], indent=1))
        return
    for model in found:
        star = "*" if model.is_default else " "
        click.echo(f"{star} {model.name:24} x{model.scale}")
        for label, text in model.summary().items():
            click.echo(f"    {label:12} {text}")
        click.echo(f"    {'sha256':12} {model.sha256}")
    place = user_models() or "the folder that CINESR_MODELS names"
    _talk(quiet)(f"* is the default. Your own .onnx files are found in {place}.")


@main.command()
@click.argument("inputs", nargs=-1, type=path_type, metavar="[INPUT]...")
@click.option("--port", type=click.IntRange(1, 65535), help="[default: any that is free]")
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@spacing_option
@axes_option
@quiet_option
def view(
    inputs: tuple[Path, ...],
    port: int | None,
    no_browser: bool,
    spacing: tuple[float, float] | None,
    axes: str | None,
    quiet: bool,
) -> None:
    """Look at scans and upscale them, on a page that only this computer can open.

    INPUT is what `cinesr upscale` takes; more can be dropped onto the page. Ctrl-C ends it.
    """
    from cinesr.viewer.serve import serve

    def tell_address(address: str) -> None:
        click.echo(address)
        _talk(quiet)("Nothing leaves this computer. Ctrl-C ends the page.")

    serve(
        list(inputs),
        port=port or 0,
        open_browser=not no_browser,
        spacing_mm=spacing,
        axes=axes,
        tell_address=tell_address,
        tell_error=tell_error,
    )


@main.command()
@click.argument("config", type=path_type)
@click.option("--resume", is_flag=True, help="Continue a run that was stopped.")
@quiet_option
def train(config: Path, resume: bool, quiet: bool) -> None:
    """Train a network on a folder of scans, as CONFIG.toml says."""
    from cinesr.learning import require_training_packages

    require_training_packages()
    from cinesr.learning.config import read_config
    from cinesr.learning.pace import Pace
    from cinesr.learning.training import train

    settings = read_config(config)
    talk = _talk(quiet)
    speed = ""

    def watch(pace: Pace) -> None:
        nonlocal speed
        speed = f", {pace.steps_per_second:.1f} steps/s, device {pace.device_busy:.0%} busy"
        if pace.advice:
            talk(pace.advice)

    with progress_bar(f"Training {settings.name}", quiet=quiet) as progress:
        folder = train(
            settings,
            resume=resume,
            progress=lambda what, done, total: progress(
                done, total, f"{what.capitalize()} {settings.name}{speed}"
            ),
            watch=watch,
        )
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    scores = card["validation"]
    talk(f"Validation: PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}")
    talk(f"Next: {_own_name()} export {shlex.quote(str(folder))} -o {settings.name}.onnx")
    click.echo(folder)


@main.command()
@click.argument("checkpoint", type=path_type)
@click.option("-o", "--output", type=path_type, required=True, metavar="MODEL.onnx")
@overwrite_option
@quiet_option
def export(checkpoint: Path, output: Path, overwrite: bool, quiet: bool) -> None:
    """Write a trained network as one deployable file, checked against Keras."""
    from cinesr.learning import require_training_packages

    require_training_packages()
    from cinesr.learning.export import export
    from cinesr.upscaling.catalogue import read_model

    if overwrite and output.is_file():
        read_model(output)  # Only a model may be replaced.
    card = export(checkpoint, output, overwrite=overwrite)
    _talk(quiet)(f"{card['name']}: largest difference to Keras {card['parity']:.1e} of the range")
    click.echo(output)


@main.command()
@click.argument("config", type=path_type, metavar="CONFIG.toml")
@click.option("-o", "--output", type=path_type, required=True, metavar="DIR")
@click.option("--resume", is_flag=True, help="Go on where an earlier run stopped.")
@click.option("--only", metavar="NAME", help="Train this one network and stop.")
@click.option("--as-is", is_flag=True, help="Score the networks as they stand; train nothing.")
@quiet_option
def experiment(
    config: Path, output: Path, resume: bool, only: str | None, as_is: bool, quiet: bool
) -> None:
    """Train a grid of networks, score them, and write the report.

    Each network lies in its own folder in DIR, so that several can be trained side by side with
    --only; a run with --resume finds them done.
    """
    from cinesr.learning import require_training_packages

    if only and as_is:
        raise click.UsageError("--only trains and --as-is does not; choose one of them.")
    require_training_packages()
    from cinesr.experiment.config import read_experiment
    from cinesr.experiment.run import run_experiment, train_one

    settings = read_experiment(config, output=output)
    with _stage_bars(quiet=quiet) as progress:
        if only:
            found = train_one(settings, output, only, resume=resume, progress=progress)
        else:
            found = run_experiment(settings, output, resume=resume, as_is=as_is, progress=progress)
    click.echo(found)


@main.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--data", type=path_type, required=True, help="slices/, masks/, dicom/, splits.json.")
@click.option("-o", "--output", type=path_type, required=True, metavar="DIR")
@click.option("--parts", help="Which ones, with commas between. [default: all]")
@click.option(
    "--split",
    default="test",
    show_default=True,
    type=click.Choice(["train", "validation", "test"]),
    help="Whose slices are scored.",
)
@click.option("--people", type=click.IntRange(1), help="Only so many of the split.")
@click.option("--every", type=click.IntRange(1), default=1, help="Score only every so many frames.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Processes, of one thread each.")
@click.option("--finer", type=path_type, help="A cine with finer pixels: DICOM.")
@click.option("--pictures", type=path_type, help="Draw plots and native slices into this folder.")
@click.option("--page", type=path_type, help="Put the tables between this page's marks.")
@click.option("--stamp", is_flag=True, help="Put the results into the models' cards.")
@spacing_option
@quiet_option
def benchmark(
    models: tuple[str, ...],
    data: Path,
    output: Path,
    parts: str | None,
    people: int | None,
    jobs: int,
    pictures: Path | None,
    page: Path | None,
    stamp: bool,
    spacing: tuple[float, float] | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Score models on people they have not seen, beside the baselines.

    MODEL is a name, a file or NAME=FILE; all shipped ones where none is named, the baselines alone
    for `bicubic`. What was measured before is kept in DIR/cache and not measured again.
    """
    from cinesr.experiment.benchmark.command import run_command

    found = run_command(
        models,
        data,
        output,
        parts=parts,
        people=people,
        jobs=jobs,
        pictures=pictures,
        page=page,
        stamp=stamp,
        spacing_mm=spacing,
        settings=settings,
        talk=_talk(quiet),
    )
    for path in found:
        click.echo(path)


@contextmanager
def _stage_bars(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for one stage after another, each named on stderr when it begins."""
    talk = _talk(quiet)
    with ExitStack() as stack:
        name: str | None = None
        bar: Callable[[int, int], None] | None = None

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal name, bar
            if stage != name or bar is None:
                stack.close()
                talk(stage)
                name, bar = stage, stack.enter_context(progress_bar(stage, quiet=quiet))
            bar(done, total)

        yield progress
