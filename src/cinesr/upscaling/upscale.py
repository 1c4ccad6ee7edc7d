"""The one workflow: load, normalise, run, restore, check, save."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr import __version__
from cinesr.errors import CinesrError, OutputError, UnfitImageError
from cinesr.imaging.archive import stem_of
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames, require_cine
from cinesr.imaging.files import (
    RECORD,
    natural_suffix,
    open_cines,
    require_sensible_output,
    save,
    staged_result,
    suffix_of,
)
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.label_maps import labels_of
from cinesr.imaging.padding import filled, put_back
from cinesr.imaging.records import PREVIEW, companions, files_within
from cinesr.imaging.replacing import refuse_foreign
from cinesr.imaging.resampling import band_limited_matrix, pixels_for
from cinesr.imaging.staging import staged_together
from cinesr.upscaling.catalogue import Model, find_model
from cinesr.upscaling.checks import Check, check_frame, check_samples, refuse_failed
from cinesr.upscaling.coverage import not_covered, recorded_result
from cinesr.upscaling.engine import Engine, Precision
from cinesr.upscaling.labels import (
    LabelMaps,
    checked_choice,
    repeat_labels,
    without_label_maps,
)
from cinesr.upscaling.pipeline import overlapped
from cinesr.upscaling.preview import Panel, write_preview
from cinesr.upscaling.telling import Telling, Told, tell

SAMPLES = 5
"""So many frames, spread over the cine, are upscaled and checked before anything is written."""

SMALLEST_MM, LARGEST_MM = 0.01, 100
"""Of an output spacing."""

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
        told: What the network was told of the acquisition, if it is told anything.
    """

    cine: Cine
    checks: tuple[Check, ...]
    sample: tuple[Image, Image]
    told: Told | None = None


class Upscaler:
    """A model made ready to upscale any number of cines.

    Args:
        model: A name from `cinesr.models()` or an .onnx file. Where neither that nor the scale is
            given, the default model of the scale that fits the scan is taken: x2 where its pixels
            are 2.2 mm or finer, x4 where they are coarser.
        scale: Refuse a model of another scale.
        threads: Processor threads; all that this process may use where not given.
        precision: "float32", or "bfloat16": about twice as fast on processors that have it, and
            less exact.
        telling: What the user says of the acquisition; the rest is read from the scan.
        spacing_out_mm: In-plane spacing of the result. It is resampled from what the network makes,
            exactly and without new detail.
        label_maps: What is done with numbers of structures: "leave" refuses them, "repeat" repeats
            their pixels, so that no new label arises, "network" takes them for pictures.

    Raises:
        ModelError: There is no such model, its scale is another, a setting is none of those
            allowed, or the processor has not this precision.
        UnfitImageError: The spacing is no length.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        scale: int | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
        telling: Telling | None = None,
        spacing_out_mm: float | None = None,
        label_maps: LabelMaps = "leave",
    ) -> None:
        self.stopwatch = Stopwatch()
        self.label_maps: LabelMaps = checked_choice(label_maps)
        self.follows_scan = model is None and scale is None
        self.model: Model = find_model(model, scale=scale)
        self.telling = telling or Telling()
        if spacing_out_mm is not None and not SMALLEST_MM <= spacing_out_mm <= LARGEST_MM:
            raise UnfitImageError(
                f"An in-plane spacing of {spacing_out_mm:g} mm was asked for; expected a length "
                f"from {SMALLEST_MM} to {LARGEST_MM} mm."
            )
        self.spacing_out_mm = spacing_out_mm
        self._options: dict[str, Any] = {"threads": threads, "precision": precision}
        self._engine = Engine(self.model, **self._options)

    @property
    def threads(self) -> int:
        """Processor threads in use."""
        return self._engine.threads

    @property
    def precision(self) -> Precision:
        """In which the network multiplies."""
        return self._engine.precision

    def suited(self, *cines: Cine) -> Upscaler:
        """Itself; or, where neither model nor scale was named, one whose scale fits the scan.

        Args:
            cines: Of one scan. The finest of their pixels decides.
        """
        if not self.follows_scan:
            return self
        scale = default_scale(*cines)
        if scale == self.model.scale:
            same = copy(self)
            same.follows_scan = False
            return same
        return Upscaler(
            scale=scale,
            telling=self.telling,
            spacing_out_mm=self.spacing_out_mm,
            label_maps=self.label_maps,
            **self._options,
        )

    def settings(self) -> dict[str, Any]:
        """With what it upscales, as plain values for a record."""
        return {
            "model": self.model.name,
            "model_sha256": self.model.sha256,
            "scale": self.model.scale,
            "spacing_out_mm": self.spacing_out_mm,
            "threads": self.threads,
            "precision": self.precision,
        }

    def __call__(self, cine: Cine, *, progress: Progress | None = None) -> Upscaled:
        """Upscales and checks a few frames, and prepares the rest.

        Args:
            cine: What to upscale.
            progress: Called with frames done and frames in all.

        Raises:
            UnfitImageError: A frame is not finite, or the image is constant or a label map.
            CheckFailedError: The result is not fit to be used.
        """
        require_cine(cine)
        if self.follows_scan and self.model.scale != default_scale(cine):
            return self.suited(cine)(cine, progress=progress)
        watch, scale = self.stopwatch, self.model.scale
        with watch.stage("read"):
            rule = IntensityRule.of(cine)
            labels = () if self.label_maps == "network" else labels_of(cine)
        if labels:
            repeated, place = repeat_labels(cine, labels, scale, how=self.label_maps)
            before, after = (rule.apply(each.frame(*place)) for each in (cine, repeated))
            return Upscaled(repeated, (), (before, after))
        with watch.stage("read"):
            told = tell(cine, self.telling, scale=scale) if self.model.is_told else None
        if told is not None:
            self._engine = self._engine.told(told.recipe)
        grid = _OutputGrid.of(cine, scale, self.spacing_out_mm)
        job = _Job(cine, rule, self._engine, watch, grid)
        times, slices = cine.shape[:2]
        report = progress or (lambda *_: None)
        places = _spread(times, slices)
        inputs = [job.prepare(place)[1] for place in places]
        outputs = []
        for place, low in zip(places, inputs, strict=True):
            outputs.append(job.compute((place, low)))
            report(len(outputs), times * slices)
        with watch.stage("check"):
            recipe = told.recipe if told else None
            checks = check_samples(inputs, outputs, scale=scale, recipe=recipe)
            refuse_failed(checks, name=cine.name)
        known = dict(zip(places, outputs, strict=True))

        def compute(prepared: tuple[Place, Image]) -> tuple[Place, Image]:
            place = prepared[0]
            return place, known.pop(place) if place in known else job.compute(prepared)

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

        frames = LazyFrames((times, slices, *grid.shape), cine.dtype, read, read_all)
        result = cine.with_frames(frames, grid.geometry, self._derivation(told))
        notes = [*cine.notes, *(told.notes if told else ())]
        notes += [f"{check.name}: {check.finding}" for check in checks if check.warning]
        result = replace(result, notes=(*notes, *not_covered(self.model, cine, told)))
        middle = len(places) // 2
        return Upscaled(result, tuple(checks), (inputs[middle], outputs[middle]), told)

    def _derivation(self, told: Told | None) -> Derivation:
        model = self.model
        size = f", resampled to {self.spacing_out_mm:g} mm" if self.spacing_out_mm else ""
        return Derivation(
            f"super-resolved x{model.scale}",
            f"cinesr {__version__}, model {model.name}, sha256 {model.sha256}, "
            f"scale {model.scale}{size}. {told.words() + ' ' if told else ''}"
            "Detail is predicted. Research use only.",
        )


FINE_MM = 2.2
"""Pixels up to this size are made twice as many along each axis by default, coarser ones four times
as many: those of usual cines are 1 to 2 mm."""


def default_scale(*cines: Cine) -> int:
    """The scale that fits a scan, if nobody says: 2 for usual pixels and unknown ones, else 4.

    Args:
        cines: Of one scan. The finest of their pixels decides.
    """
    known = [min(it.geometry.spacing_mm[:2]) for it in cines if it.geometry.is_known]
    return 4 if known and min(known) > FINE_MM else 2


@dataclass(frozen=True)
class _OutputGrid:
    """The pixels of a result, and how they come from those that the network makes.

    Args:
        geometry: Where they lie.
        shape: (row, column).
        rows: (row, network's row), or None where the network's pixels stay.
        columns: The same for columns.
        ratios: Height and width of a pixel in those of the input; None where the scale says it.
    """

    geometry: Geometry
    shape: tuple[int, int]
    rows: NDArray[np.float32] | None = None
    columns: NDArray[np.float32] | None = None
    ratios: tuple[float, float] | None = None

    @classmethod
    def of(cls, cine: Cine, scale: int, spacing_mm: float | None) -> _OutputGrid:
        """The network's own grid, or one of another spacing over the same field of view.

        Raises:
            UnfitImageError: A spacing is wanted of a cine whose own is not known.
        """
        geometry = cine.geometry.upscaled(scale)
        rows, columns = cine.shape[2] * scale, cine.shape[3] * scale
        if spacing_mm is None:
            return cls(geometry, (rows, columns))
        if not geometry.is_known:
            raise UnfitImageError(
                f"{cine.name}: a spacing of {spacing_mm:g} mm was asked for, and the file does not "
                "say its own.",
                hint="Name it with --spacing ROW,COLUMN.",
            )
        column_mm, row_mm, _ = geometry.spacing_mm
        ratios = spacing_mm / row_mm, spacing_mm / column_mm
        shape = pixels_for(rows, ratios[0]), pixels_for(columns, ratios[1])
        down, across = (
            band_limited_matrix(size, new, ratio).astype(np.float32)
            for size, new, ratio in zip((rows, columns), shape, ratios, strict=True)
        )
        grid = geometry.resampled((rows, columns), shape, spacing_mm)
        return cls(grid, shape, down, across, (ratios[0] / scale, ratios[1] / scale))

    def resample(self, high: Image) -> Image:
        """(network's row, network's column) to the grid."""
        if self.rows is None or self.columns is None:
            return high
        return np.asarray(self.rows @ high @ self.columns.T)


class _Job:
    """The steps of one cine, from a stored frame to the stored frame that is made of it."""

    def __init__(
        self,
        cine: Cine,
        rule: IntensityRule,
        engine: Engine,
        watch: Stopwatch,
        grid: _OutputGrid,
    ) -> None:
        self._cine, self._rule, self._engine, self._watch = cine, rule, engine, watch
        self._grid = grid
        self._highest = (rule.maximum - rule.low) / (rule.high - rule.low)
        # A magnitude image has no negative values, though its storage may be signed.
        self._lowest = 0.0 if rule.minimum >= 0 else None

    def prepare(self, place: Place) -> tuple[Place, Image]:
        with self._watch.stage("read"):
            frame = filled(self._cine.frame(*place), self._cine.padding, empty=self._rule.low)
            return place, self._rule.apply(frame)

    def compute(self, prepared: tuple[Place, Image]) -> Image:
        place, low = prepared
        with self._watch.stage("network"):
            high = self._engine.run(low)
        with self._watch.stage("check"):
            check_frame(high, highest=self._highest, name=self._cine.name, place=place)
        return high

    def restore(self, computed: tuple[Place, Image]) -> NDArray[Any]:
        place, high = computed
        with self._watch.stage("restore"):
            values = self._rule.invert(self._grid.resample(high))
            stored = self._cine.to_stored(values, lowest=self._lowest)
            if self._cine.padding is None:
                return stored
            frame = self._cine.frame(*place)
            return put_back(stored, frame, self._cine.padding, ratios=self._grid.ratios)


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
    acquired: Mapping[str, Any] | None = None,
    denoise: float = 1.0,
    **options: Any,
) -> Cine:
    """Upscales a cine in memory.

    Args:
        cine: What to upscale, as `cinesr.load` or `Cine.from_array` gives it.
        model: A name from `cinesr.models()` or an .onnx file; where neither it nor the scale is
            given, the default model of the scale that fits the scan.
        scale: Refuse a model of another scale.
        acquired: What is known of the acquisition, any part of it: {"keep": (0.8, 0.65),
            "window": "cosine:0.4", "noise": 0.01}; the rest is read from the scan.
        denoise: Share of the noise that the network is told, 0 to 1.
        options: `threads`, `precision`, `spacing_out_mm` and `label_maps` of `Upscaler`.

    Returns:
        A cine of the same phases, slices, stored type and extent, with `scale` times the rows and
        columns, or pixels of the spacing that was asked for.

    Raises:
        ModelError: There is no such model, or its scale is another.
        UnfitImageError: A frame is not finite, or the image is constant or a label map.
        CheckFailedError: The result is not fit to be used.
    """
    require_cine(cine)
    telling = Telling(acquired or {}, denoise)
    upscaler = Upscaler(model, scale=scale, telling=telling, **options)
    return upscaler(cine).cine.in_memory()


def default_output(source: Path, scale: int) -> Path:
    """Where a result goes if nobody says: beside its input, with the scale in its name."""
    source = source.resolve()
    if source.is_dir():
        return source.with_name(f"{source.name}_x{scale}")
    return source.with_name(_scaled_name(source.name, scale, suffix_of(source)))


def scale_for(
    source: Path,
    upscaler: Upscaler,
    *,
    spacing_mm: tuple[float, float] | None = None,
    axes: str | None = None,
) -> int:
    """By which scale an input is going to be upscaled.

    Args:
        source: A file, folder or zip. What cannot be read is refused when it is upscaled.
        upscaler: With the model, or with none named.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: Of arrays, for files that do not say.
    """
    if not upscaler.follows_scan:
        return upscaler.model.scale
    try:
        return default_scale(*open_cines(source, spacing_mm=spacing_mm, axes=axes))
    except CinesrError:
        return upscaler.model.scale


def output_paths(
    sources: Sequence[Path], output: Path | None, scale_of: Callable[[Path], int]
) -> list[Path]:
    """Where the result of each input goes.

    Args:
        sources: The inputs.
        output: As the user named it: for one input the result itself, for several a folder for all
            of them; beside each input where not given.
        scale_of: By which an input is upscaled. Not asked where no name depends on it.
    """
    if output is not None and len(sources) == 1:
        return [output]
    beside = [default_output(source, scale_of(source)) for source in sources]
    if output is None:
        return beside
    if len({path.name for path in beside}) == len(beside):
        return [output / path.name for path in beside]
    # The scans of several people often share a name: their folders tell them apart.
    common = os.path.commonpath([path.parent for path in beside])
    return [output / path.relative_to(common) for path in beside]


def _scaled_name(name: str, scale: int, suffix: str) -> str:
    own = suffix_of(name)
    stem = name[: -len(own)] if own else stem_of(name)
    return f"{stem}_x{scale}{suffix}"


def upscale_path(
    source: Path,
    output: Path,
    upscaler: Upscaler,
    *,
    overwrite: bool = False,
    spacing_mm: tuple[float, float] | None = None,
    axes: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Upscales what is at a path, and leaves the result, a record of the run and a preview.

    Args:
        source: A file, folder or archive in any readable format.
        output: A file, beside which `<stem>.run.json` and `<stem>.preview.png` are written; or a
            folder, which then holds `run.json`, `preview.png` and the results.
        upscaler: With the model.
        overwrite: Replace an earlier result: files that its record names, and no others.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: What the axes are, for files that do not say; see `cinesr.load`.
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
        cines = open_cines(source, spacing_mm=spacing_mm, axes=axes)
    if derivation := recorded_result(source):
        cines = [replace(cine, derivation=derivation) for cine in cines]
    if upscaler.label_maps == "leave":
        with watch.stage("read"):
            cines = without_label_maps(cines)
    upscaler = upscaler.suited(*cines)
    upscaler.stopwatch = watch
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
                "told": found.told.to_dict() if found.told else None,
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
