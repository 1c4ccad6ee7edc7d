"""The one workflow: load, normalise, run, restore, check, save."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr import __version__
from cinesr.errors import OutputError
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames
from cinesr.imaging.files import (
    RECORD,
    natural_suffix,
    open_cines,
    require_sensible_output,
    save,
    staged_result,
    suffix_of,
)
from cinesr.imaging.records import PREVIEW, companions, files_within
from cinesr.imaging.replacing import refuse_foreign
from cinesr.imaging.staging import staged_together
from cinesr.upscaling.catalogue import Model, find_model
from cinesr.upscaling.checks import Check, check_frame, check_samples, refuse_failed
from cinesr.upscaling.coverage import not_covered, recorded_result
from cinesr.upscaling.engine import Engine, Precision
from cinesr.upscaling.pipeline import overlapped
from cinesr.upscaling.preview import Panel, write_preview

SAMPLES = 5
"""So many frames, spread over the cine, are upscaled and checked before anything is written."""

Image = NDArray[np.float32]
Place = tuple[int, int]
Progress = Callable[[int, int], None]


class Stopwatch:
    """Seconds spent in each stage of a run, whatever thread it runs in.

    A stage within another of the same thread counts for itself alone. Stages of several threads
    overlap, so that their sum may exceed the time that passed.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._inner = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to a stage."""
        outer = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            with self._lock:
                own = spent - self._inner.seconds
                self.seconds[name] = self.seconds.get(name, 0.0) + own
            self._inner.seconds = outer + spent


@dataclass(frozen=True, eq=False)
class Upscaled:
    """An upscaled cine and what was found on the way.

    Args:
        cine: The result; its frames are computed when they are read. Its notes say what a reader
            should know.
        checks: Of samples spread over the cine.
        sample: The middle sample's input and output on the network's scale, for a preview.
    """

    cine: Cine
    checks: tuple[Check, ...]
    sample: tuple[Image, Image]


class Upscaler:
    """A model made ready to upscale any number of cines.

    Args:
        model: A name from `cinesr.models()` or an .onnx file; the default model where not given.
        scale: Refuse a model of another scale.
        threads: Processor threads; all that this process may use where not given.
        precision: "float32", or "bfloat16": about twice as fast on processors that have it, and
            less exact.

    Raises:
        ModelError: There is no such model, its scale is another, or the processor has not this
            precision.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        scale: int | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.stopwatch = Stopwatch()
        self.model: Model = find_model(model, scale=scale)
        self._engine = Engine(self.model, threads=threads, precision=precision)

    @property
    def threads(self) -> int:
        """Processor threads in use."""
        return self._engine.threads

    @property
    def precision(self) -> Precision:
        """In which the network multiplies."""
        return self._engine.precision

    def settings(self) -> dict[str, Any]:
        """With what it upscales, as plain values for a record."""
        return {
            "model": self.model.name,
            "model_sha256": self.model.sha256,
            "scale": self.model.scale,
            "threads": self.threads,
            "precision": self.precision,
        }

    def __call__(self, cine: Cine, *, progress: Progress | None = None) -> Upscaled:
        """Upscales and checks a few frames, and prepares the rest.

        Args:
            cine: What to upscale.
            progress: Called with frames done and frames in all.

        Raises:
            UnfitImageError: A frame is not finite, or the image is constant.
            CheckFailedError: The result is not fit to be used.
        """
        watch, scale = self.stopwatch, self.model.scale
        with watch.stage("read"):
            rule = IntensityRule.of(cine)
        job = _Job(cine, rule, self._engine, watch)
        times, slices, rows, columns = cine.shape
        report = progress or (lambda *_: None)
        places = _spread(times, slices)
        inputs = [job.prepare(place)[1] for place in places]
        outputs = []
        for place, low in zip(places, inputs, strict=True):
            outputs.append(job.compute((place, low)))
            report(len(outputs), times * slices)
        with watch.stage("check"):
            checks = check_samples(inputs, outputs, scale=scale)
            refuse_failed(checks, name=cine.name)
        known = dict(zip(places, outputs, strict=True))

        def compute(prepared: tuple[Place, Image]) -> Image:
            return known.pop(prepared[0]) if prepared[0] in known else job.compute(prepared)

        def read(time_index: int, slice_index: int) -> NDArray[Any]:
            return job.restore(compute(job.prepare((time_index, slice_index))))

        def read_all() -> Iterator[NDArray[Any]]:
            todo = list(np.ndindex(times, slices))
            results = overlapped(todo, job.prepare, compute, job.restore)
            with closing(results):
                computed = len(places)
                for place, result in zip(todo, results, strict=True):
                    with watch.stage("waiting"):
                        frame = result()
                    if place not in places:
                        computed += 1
                        report(computed, len(todo))
                    yield frame

        shape = times, slices, rows * scale, columns * scale
        frames = LazyFrames(shape, cine.dtype, read, read_all)
        result = cine.with_frames(frames, cine.geometry.upscaled(scale), self._derivation())
        looks = [f"{check.name}: {check.finding}" for check in checks if check.warning]
        result = replace(result, notes=(*cine.notes, *looks, *not_covered(self.model, cine)))
        middle = len(places) // 2
        return Upscaled(result, tuple(checks), (inputs[middle], outputs[middle]))

    def _derivation(self) -> Derivation:
        model = self.model
        return Derivation(
            f"super-resolved x{model.scale}",
            f"cinesr {__version__}, model {model.name}, sha256 {model.sha256}, "
            f"scale {model.scale}. Detail is predicted. Research use only.",
        )


class _Job:
    """The steps of one cine, from a stored frame to the stored frame that is made of it."""

    def __init__(self, cine: Cine, rule: IntensityRule, engine: Engine, watch: Stopwatch) -> None:
        self._cine, self._rule, self._engine, self._watch = cine, rule, engine, watch
        self._highest = (rule.maximum - rule.low) / (rule.high - rule.low)
        # A magnitude image has no negative values, though its storage may be signed.
        self._lowest = 0.0 if rule.minimum >= 0 else None

    def prepare(self, place: Place) -> tuple[Place, Image]:
        with self._watch.stage("read"):
            return place, self._rule.apply(self._cine.frame(*place))

    def compute(self, prepared: tuple[Place, Image]) -> Image:
        place, low = prepared
        with self._watch.stage("network"):
            high = self._engine.run(low)
        with self._watch.stage("check"):
            check_frame(high, highest=self._highest, name=self._cine.name, place=place)
        return high

    def restore(self, high: Image) -> NDArray[Any]:
        with self._watch.stage("restore"):
            return self._cine.to_stored(self._rule.invert(high), lowest=self._lowest)


def _spread(times: int, slices: int) -> list[Place]:
    """Places from the first phase and slice to the last ones, through the middle of both."""
    number = min(SAMPLES, max(times, slices))
    ways = [np.rint(np.linspace(0, size - 1, number)).astype(int) for size in (times, slices)]
    return [(int(time), int(slice_index)) for time, slice_index in zip(*ways, strict=True)]


def upscale(
    cine: Cine,
    *,
    model: str | Path | None = None,
    scale: int | None = None,
    threads: int | None = None,
    precision: Precision = "float32",
) -> Cine:
    """Upscales a cine in memory.

    Args:
        cine: What to upscale, as `cinesr.load` gives it.
        model: A name from `cinesr.models()` or an .onnx file; the default model where not given.
        scale: Refuse a model of another scale.
        threads: Processor threads; all that this process may use where not given.
        precision: "float32" or "bfloat16", as for `Upscaler`.

    Returns:
        A cine of the same phases, slices, stored type and extent, with `scale` times the rows and
        columns.

    Raises:
        ModelError: There is no such model, or its scale is another.
        UnfitImageError: A frame is not finite, or the image is constant.
        CheckFailedError: The result is not fit to be used.
    """
    upscaler = Upscaler(model, scale=scale, threads=threads, precision=precision)
    return upscaler(cine).cine.in_memory()


def default_output(source: Path, scale: int) -> Path:
    """Where a result goes if nobody says: beside its input, with the scale in its name."""
    source = source.resolve()
    if source.is_dir():
        return source.with_name(f"{source.name}_x{scale}")
    return source.with_name(_scaled_name(source.name, scale, suffix_of(source)))


def output_paths(sources: Sequence[Path], output: Path | None, scale: int) -> list[Path]:
    """Where the result of each input goes.

    Args:
        sources: The inputs.
        output: As the user named it: for one input the result itself, for several a folder for all
            of them; beside each input where not given.
        scale: Of the model.
    """
    beside = [default_output(source, scale) for source in sources]
    if output is None:
        return beside
    if len(beside) == 1:
        return [output]
    if len({path.name for path in beside}) == len(beside):
        return [output / path.name for path in beside]
    # The scans of several people often share a name: their folders tell them apart.
    common = os.path.commonpath([path.parent for path in beside])
    return [output / path.relative_to(common) for path in beside]


def _scaled_name(name: str, scale: int, suffix: str) -> str:
    own = suffix_of(name)
    stem = name[: -len(own)] if own else name.removesuffix(".zip")
    return f"{stem}_x{scale}{suffix}"


def upscale_path(
    source: Path,
    output: Path,
    upscaler: Upscaler,
    *,
    overwrite: bool = False,
    spacing_mm: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Upscales what is at a path, and leaves the result, a record of the run and a preview.

    Args:
        source: A file, folder or zip in any readable format.
        output: A file, beside which `<stem>.run.json` and `<stem>.preview.png` are written; or a
            folder, which then holds `run.json`, `preview.png` and the results.
        upscaler: With the model.
        overwrite: Replace an earlier result: files that its record names, and no others.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        progress: Called with frames done and frames in all.

    Returns:
        What the record holds.

    Raises:
        CinesrError: Anything that is wrong with the input, the model, the output or the result;
            nothing is written then.
    """
    require_sensible_output(source, output)
    watch = upscaler.stopwatch = Stopwatch()
    start = time.perf_counter()
    with watch.stage("read"):
        cines = open_cines(source, spacing_mm=spacing_mm)
    if derivation := recorded_result(source):
        cines = [replace(cine, derivation=derivation) for cine in cines]
    run = _Run(upscaler, sum(cine.shape[0] * cine.shape[1] for cine in cines), progress)
    if suffix_of(output):
        if len(cines) > 1:
            raise OutputError(
                f"{source} holds {len(cines)} series; {output} can take one.",
                hint="Name a folder for the output: a name without a suffix.",
            )
        written = (output, *companions(output))
        with staged_together(*written, overwrite=overwrite, approve=refuse_foreign) as parts:
            run.one(cines[0], parts[0])
            record = run.record(source, output, time.perf_counter() - start)
            record |= {"files": [path.name for path in written], "pictures": [written[2].name]}
            write_record(parts[1], record)
            run.write_preview(parts[2])
        return record
    with staged_result(output, overwrite=overwrite) as part:
        scale = upscaler.model.scale
        for cine, name in zip(cines, _names(cines, source, scale), strict=True):
            run.one(cine, part / name)
        run.write_preview(part / PREVIEW)
        record = run.record(source, output, time.perf_counter() - start)
        record |= {"files": files_within(part), "pictures": [PREVIEW]}
        write_record(part / RECORD, record)
    return record


def _names(cines: Sequence[Cine], source: Path, scale: int) -> list[str]:
    """Under which name each cine goes into the output folder; "" for the folder itself."""
    suffixes = [natural_suffix(cine) for cine in cines]
    if suffixes == [""]:
        return [""]
    names: list[str] = []
    for cine, suffix in zip(cines, suffixes, strict=True):
        name = source.name if len(cines) == 1 and suffix_of(source) else cine.name
        clean = re.sub(r"[^\w./ -]+", "_", name).strip("./ ") or "series"
        name = f"{clean}_x{scale}" if not suffix else _scaled_name(clean, scale, suffix)
        names.append(_unlike(name, names, suffix))
    return names


def _unlike(name: str, taken: Sequence[str], suffix: str) -> str:
    stem, number = name.removesuffix(suffix), 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}{suffix}"
    return name


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes what a run did as JSON.

    Args:
        path: Of the new file.
        record: As `upscale_path` returns it.
    """
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


class _Run:
    """One call of the workflow: what was done so far, for its record and preview."""

    def __init__(self, upscaler: Upscaler, frames: int, progress: Progress | None) -> None:
        self._upscaler, self._frames, self._progress = upscaler, frames, progress
        self._done = 0
        self._series: list[dict[str, Any]] = []
        self._panels: list[Panel] = []
        self._pixel_aspect = 1.0

    def one(self, cine: Cine, target: Path) -> None:
        """Upscales and writes one cine."""
        before, progress = self._done, self._progress

        def onward(done: int, _: int) -> None:
            if progress:
                progress(before + done, self._frames)

        found = self._upscaler(cine, progress=onward)
        with self._upscaler.stopwatch.stage("write"):
            save(found.cine, target)
        times, slices, rows, columns = cine.shape
        self._done += times * slices
        if not self._panels:
            low, high = found.sample
            self._panels = [(f"input {columns} x {rows}", low)]
            size = f"{found.cine.shape[3]} x {found.cine.shape[2]}"
            self._panels.append((f"{self._upscaler.model.name} {size}", high))
            self._pixel_aspect = cine.geometry.spacing_mm[1] / cine.geometry.spacing_mm[0]
        self._series.append(
            {
                "name": cine.name,
                "shape": list(cine.shape),
                "result_shape": list(found.cine.shape),
                "spacing_mm": _spacing(cine),
                "result_spacing_mm": _spacing(found.cine),
                "checks": [check.to_dict() for check in found.checks],
                "notes": list(found.cine.notes),
            }
        )

    def write_preview(self, path: Path) -> None:
        """Draws the first series."""
        write_preview(path, self._panels, pixel_aspect=self._pixel_aspect)

    def record(self, source: Path, output: Path, seconds: float) -> dict[str, Any]:
        """What `run.json` holds."""
        return {
            "tool": f"cinesr {__version__}",
            "use": "research only; detail is predicted",
            "input": str(source.resolve()),
            "output": str(output.resolve()),
            **self._upscaler.settings(),
            "frames": self._done,
            "seconds": {**self._upscaler.stopwatch.seconds, "total": seconds},
            "series": self._series,
        }


def _spacing(cine: Cine) -> dict[str, float] | None:
    if not cine.geometry.is_known:
        return None
    column, row, slice_step = cine.geometry.spacing_mm
    return {"row": row, "column": column, "slice": slice_step}
