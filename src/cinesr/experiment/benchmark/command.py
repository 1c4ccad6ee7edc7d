"""`cinesr benchmark`: what its options mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cinesr.errors import UnfitImageError
from cinesr.experiment.benchmark.bench import Bench, people_of
from cinesr.experiment.benchmark.candidates import Candidate, candidates_of
from cinesr.experiment.benchmark.example import draw_examples
from cinesr.experiment.benchmark.native import draw_native
from cinesr.experiment.benchmark.run import PARTS, run_benchmark
from cinesr.experiment.benchmark.sizes import draw_sizes
from cinesr.experiment.benchmark.tables import around_tables, public_check, write_tables


def run_command(
    names: Sequence[str],
    data: Path,
    output: Path,
    *,
    parts: str | None,
    people: int | None,
    jobs: int,
    pictures: Path | None,
    page: Path | None,
    stamp: bool,
    spacing_mm: tuple[float, float] | None,
    settings: dict[str, Any],
    talk: Callable[[str], None],
) -> list[Path]:
    """Runs the benchmark, writes the tables, and stamps the models.

    Args:
        names: Of models.
        data: Holds the people.
        output: Folder for what comes out.
        parts: Names with commas between; all where not given.
        people: Only so many.
        jobs: Processes.
        pictures: Folder for what is drawn.
        page: For the tables.
        stamp: Whether the results go into the models' cards.
        spacing_mm: Of slices that hold none.
        settings: Others of `Bench`.
        talk: Says what is going on.

    Returns:
        The files with the results.

    Raises:
        UnfitImageError: There is no such part.
        CinesrError: Data, models or the page cannot be read or written.
    """
    chosen = parts.split(",") if parts else list(PARTS)
    if unknown := [part for part in chosen if part not in PARTS]:
        raise UnfitImageError(
            f"There is no part {', '.join(unknown)}; expected some of {', '.join(PARTS)}."
        )
    if page:
        around_tables(page)  # Told now, not after hours of scoring.
    models = candidates_of(names)
    if spacing_mm:
        settings = settings | {"spacing_mm": spacing_mm[1]}
    bench = Bench(data, cache=output / "cache", **settings)
    files, rows = run_benchmark(
        models,
        bench,
        output,
        chosen=chosen,
        people=people,
        jobs=jobs,
        progress=lambda done, total, words: talk(f"{done} of {total}: {words}"),
    )
    if stamp:
        _stamp(models, files)
    if pictures and "scanner" in chosen:
        draw_examples(models, bench, rows, pictures)
    if pictures and "sizes" in chosen:
        draw_sizes(files, pictures / "sizes.png")
    if pictures and "native" in chosen:
        talk("Drawing native slices")
        draw_native(models, bench, people_of(data, bench.split)[:people], pictures / "native")
    write_tables(output, bench.split, page=page)
    persons = people_of(data, bench.split)[:people]
    if "public" in chosen and persons == people_of(data, "test"):
        talk(public_check(rows))
    return files


def _stamp(models: Sequence[Candidate], files: Sequence[Path]) -> None:
    """Puts the results into the cards of models."""
    from cinesr.learning import require_training_packages

    require_training_packages()
    from cinesr.learning.stamp import stamp_results

    for model, path in zip(models, files, strict=False):
        if model.path is not None:
            stamp_results(model.path, json.loads(path.read_text(encoding="utf-8")))
