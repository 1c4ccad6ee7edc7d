"""Every model on every degradation, beside the baselines: measured part by part, resumable."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cinesr.errors import UnfitImageError
from cinesr.experiment.benchmark import native, parts, segmentation, segmenter, sizes
from cinesr.experiment.benchmark.bench import FINER, Bench, people_of
from cinesr.experiment.benchmark.candidates import BICUBIC, LINEAR, NATIVE, Candidate
from cinesr.experiment.benchmark.parts import Part, Row
from cinesr.experiment.benchmark.summary import summarise
from cinesr.imaging.files import staged

Progress = Callable[[int, int, str], None]
"""Called with tasks done, tasks in all, and what the last one was."""


@dataclass(frozen=True)
class PartOf:
    """A part of the benchmark.

    Args:
        measure: What it measures of a person.
        baselines: What stands beside the models.
        once: Whether it is done once, not person by person.
        scales: Of the models that it is for; all where empty.
        finer: Whether the finer cine is one of the people.
        prepare: What is done once, before any person.
    """

    measure: Part
    baselines: tuple[str, ...] = (BICUBIC,)
    once: bool = False
    scales: tuple[int, ...] = ()
    finer: bool = False
    prepare: Callable[[Bench], object] | None = None


PARTS = {
    "slices": PartOf(parts.slices, (BICUBIC, LINEAR)),
    "dicom": PartOf(parts.dicom),
    "public": PartOf(parts.public),
    "constant": PartOf(parts.constant, (), once=True),
    "scanner": PartOf(parts.scanner, (BICUBIC, LINEAR)),
    "drawn": PartOf(parts.drawn),
    "segmentation": PartOf(
        segmentation.segmentation, (NATIVE, BICUBIC, LINEAR), prepare=segmenter.segmenter
    ),
    "sizes": PartOf(sizes.sizes, finer=True),
    "native": PartOf(native.native, scales=(native.SCALE,), finer=True),
}
VERSION = 1
"""Of what the parts measure: what was measured by another one is measured again."""
DEFAULT_SCALES = (2, 4)
"""Of the baselines where there is no model to stand beside."""


@dataclass(frozen=True)
class Task:
    """One candidate on one person in one part."""

    part: str
    person: str
    candidate: Candidate
    bench: Bench

    @property
    def words(self) -> str:
        """What is being done."""
        who = f"{self.candidate.name} x{self.candidate.scale}"
        return " ".join(word for word in (self.part, self.person, who) if word)

    def place(self) -> Path:
        """Where its rows are kept: another file where anything is different that decides them."""
        bench = self.bench
        facts = [VERSION, str(bench.data.resolve()), bench.every, bench.spacing_mm, bench.split]
        facts += [str(bench.finer), bench.segmenter_steps, self.candidate.key, self.words]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return bench.cache / f"{self.words.replace(' ', '_').replace('/', '_')}.{digest[:12]}.json"


def run_benchmark(
    models: Sequence[Candidate],
    bench: Bench,
    output: Path,
    *,
    chosen: Sequence[str] = tuple(PARTS),
    people: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[list[Path], list[Row]]:
    """Scores models on people they have not seen, and writes a JSON file for each.

    Args:
        models: Which ones; the baselines alone where there are none.
        bench: The data.
        output: Folder for `<model>.<split>.json`.
        chosen: Names of `PARTS`.
        people: Only so many of the split.
        jobs: Processes, of one thread each.
        progress: Called after every task.

    Returns:
        The files, and everything that was measured.

    Raises:
        UnfitImageError: The split has no people.
        CinesrError: Data or models cannot be read.
    """
    persons = people_of(bench.data, bench.split)[:people]
    if not persons:
        raise UnfitImageError(
            f"{bench.data}: the {bench.split} split has no people; expected at least one.",
            hint="Choose another one with --split.",
        )
    output.mkdir(parents=True, exist_ok=True)
    bench.cache.mkdir(parents=True, exist_ok=True)
    tasks = [task for part in chosen for task in tasks_of(part, models, persons, bench)]
    for name in chosen:
        prepare = PARTS[name].prepare
        if prepare and any(task.part == name and not task.place().exists() for task in tasks):
            prepare(bench)
    rows = list(_run(tasks, jobs=jobs, progress=progress or (lambda *_: None)))
    files = []
    for each in models or [Candidate(BICUBIC, scale) for scale in DEFAULT_SCALES]:
        stem = each.name if each.is_network else f"{each.name}-x{each.scale}"
        path = output / f"{stem}.{bench.split}.json"
        results = {"model": each.name, "scale": each.scale, "split": bench.split}
        results |= {"people": persons, **_kept(path, each, persons, chosen)}
        results |= summarise(rows, each.name, each.scale)
        with staged(path, overwrite=True) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        files.append(path)
    return files, rows


def _kept(
    path: Path, candidate: Candidate, persons: list[str], chosen: Sequence[str]
) -> dict[str, Any]:
    """Parts that were measured before, of the same file and people, and are not chosen now."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    same = (found.get("key"), found.get("people")) == (candidate.key, persons)
    kept = {part: found[part] for part in PARTS if part in found and part not in chosen}
    return {"key": candidate.key, **(kept if same else {})}


def tasks_of(
    part: str, models: Sequence[Candidate], persons: Sequence[str], bench: Bench
) -> list[Task]:
    """What there is to do for a part: the baselines at each scale, then the models."""
    how = PARTS[part]
    scales = sorted({each.scale for each in models}) or DEFAULT_SCALES
    baselines = [Candidate(name, scale) for scale in scales for name in how.baselines]
    fitting = [each for each in [*baselines, *models] if not how.scales or each.scale in how.scales]
    names = [""] if how.once else [*persons, *([FINER] if how.finer and bench.finer else [])]
    return [Task(part, person, each, bench) for person in names for each in fitting]


def _run(tasks: Sequence[Task], *, jobs: int, progress: Progress) -> Iterator[Row]:
    with _each_in_turn(jobs) as run:
        for done, (task, found) in enumerate(zip(tasks, run(measured, tasks), strict=True), 1):
            progress(done, len(tasks), task.words)
            yield from found


@contextmanager
def _each_in_turn(jobs: int) -> Iterator[Callable[..., Iterator[list[Row]]]]:
    if jobs == 1:
        yield map
        return
    # Several processes of several threads each would wait for each other.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield pool.map


def measured(task: Task) -> list[Row]:
    """What a task finds, or what it found before."""
    place = task.place()
    if place.exists():
        kept: list[Row] = json.loads(place.read_text(encoding="utf-8"))
        return kept
    labels: Row = {"part": task.part, "person": task.person}
    labels |= {"scale": task.candidate.scale, "who": task.candidate.name}
    measures = PARTS[task.part].measure(task.bench, task.person, task.candidate)
    rows = [{**labels, **row} for row in measures]
    with staged(place, overwrite=True) as part:
        part.write_text(json.dumps(rows) + "\n", encoding="utf-8")
    return rows
