"""The whole experiment: train, export, score, draw, write; to be left and resumed at any time."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr import __version__
from cinesr.degradation import resize_bicubic
from cinesr.errors import ConfigError, OutputError, UnreadableFileError
from cinesr.experiment.baseline import WINDOW, LinearFilter, fit_linear_filter
from cinesr.experiment.config import ExperimentConfig
from cinesr.experiment.environment import machine, versions
from cinesr.experiment.history import read_training
from cinesr.experiment.pictures import (
    Picture,
    draw_comparison,
    draw_constant,
    draw_curves,
    median_person,
    middle_slice,
)
from cinesr.experiment.report import html_report, markdown_report, sections
from cinesr.experiment.scoring import (
    BICUBIC,
    LINEAR,
    TRUTH,
    EvaluationSlice,
    MethodScores,
    Upscaling,
    evaluation_slices,
    read_scores,
    score_method,
    score_truth,
)
from cinesr.experiment.summary import (
    ConstantResponse,
    NetworkFacts,
    Summary,
    constant_response,
    result_rows,
    summarise,
)
from cinesr.imaging.files import staged
from cinesr.learning.config import TrainingConfig
from cinesr.learning.dataset import Split, find_people, read_split
from cinesr.learning.folder import held, refuse_files_of_others
from cinesr.upscaling.catalogue import Model, read_model
from cinesr.upscaling.engine import Engine

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

FEWEST_PEOPLE = 2


def run_experiment(
    config: ExperimentConfig,
    folder: Path,
    *,
    resume: bool = False,
    as_is: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Trains every network of a grid, scores them beside two baselines, and writes the report.

    Args:
        config: What to train and how to score it.
        folder: For everything that comes out.
        resume: Go on where an earlier run stopped; what is done already is not done again.
        as_is: Score the networks as they stand, without training them further.
        progress: Called along the way.

    Returns:
        The report, `report.html` in the folder.

    Raises:
        ConfigError: A network was trained with another configuration, or too few people are left
            to score.
        OutputError: The folder holds an experiment already, or files of somebody else, or cannot
            be written.
        CinesrError: Scans, masks or models cannot be read.
    """
    report = progress or (lambda *_: None)
    trained = [run.name for run in config.runs if (Path(run.output) / "state.npz").exists()]
    if trained and not (resume or as_is):
        raise OutputError(
            f"{folder}: holds trained networks already: {', '.join(trained)}.",
            hint="Continue with --resume, or name another folder with -o.",
        )
    if not (resume or as_is) or not (folder / "summary.json").exists():
        refuse_files_of_others(folder, _WRITTEN)
    # What cannot be scored is refused before anything is made.
    experiment = Experiment(config, folder, report)
    with held(folder):
        if not as_is:
            for run in experiment.runs:
                experiment.train(run)
        return experiment.evaluate()


_WRITTEN = ("summary.json", "results.csv", "results.md", "report.html")
"""What an experiment leaves in its folder, the summary first, beside its networks."""


def train_one(
    config: ExperimentConfig,
    folder: Path,
    name: str,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Trains one network of an experiment, so that several can be trained side by side.

    Args:
        config: Of the experiment.
        folder: Of the experiment.
        name: Of the network.
        resume: Go on where an earlier run stopped.
        progress: Called along the way.

    Returns:
        The network's folder.

    Raises:
        ConfigError: There is no such network, or it was trained with another configuration.
        OutputError: It was begun already, and is not to be resumed.
    """
    experiment = Experiment(config, folder, progress or (lambda *_: None))
    for run in experiment.runs:
        if run.name == name:
            if (Path(run.output) / "state.npz").exists() and not resume:
                raise OutputError(
                    f"{run.output}: holds a training run already.",
                    hint="Continue it with --resume, or name another folder with -o.",
                )
            experiment.train(run)
            return Path(run.output)
    raise ConfigError(
        f"There is no network {name!r} in this experiment; allowed: "
        f"{', '.join(run.name for run in config.runs)}."
    )


class Experiment:
    """An experiment with its people and its folder.

    Args:
        config: What to train and how to score it.
        folder: For everything that comes out.
        report: Called along the way.

    Raises:
        ConfigError: Too few people are left to score.
        CinesrError: The folder of scans or the splits cannot be read.
    """

    def __init__(self, config: ExperimentConfig, folder: Path, report: Progress) -> None:
        self.config, self.folder, self.report = config, folder, report
        first = config.networks[0]
        folder_of_scans = Path(first.data.folder)
        everyone = find_people(folder_of_scans, *map(Path, first.data.also))
        self.split = read_split(first.data, everyone, seed=first.seed)
        # What lies in `data.also` trains; scored are the scans of one folder, so of one kind.
        self.people = {name: paths[0] for name, paths in find_people(folder_of_scans).items()}
        self.names = dataclasses.asdict(self.split)[config.evaluation.split]
        self._require_people()
        # One file for all runs, so that another seed does not draw other people.
        self.split.write(folder / "splits.json")
        shared = dataclasses.replace(first.data, splits=str(folder / "splits.json"))
        self.runs = [dataclasses.replace(run, data=shared) for run in config.runs]

    def _require_people(self) -> None:
        where = f"{self.config.evaluation.split} split of {self.config.name}"
        missing = sorted(set(self.names) - set(self.people))
        if missing:
            raise ConfigError(
                f"{where}: {len(missing)} people are not in the data folder: "
                f"{', '.join(missing[:5])}."
            )
        if len(self.names) < FEWEST_PEOPLE:
            raise ConfigError(
                f"{where}: holds {len(self.names)} person; expected at least {FEWEST_PEOPLE}, "
                "because the intervals resample persons.",
                hint="Name more people in data.splits, or choose another evaluation.split.",
            )

    def train(self, run: TrainingConfig) -> None:
        """Trains a network to its end, if it is not there yet, and exports it.

        Args:
            run: Which one.

        Raises:
            CinesrError: As for `cinesr.learning.training.train`.
        """
        if not is_finished(run, self.split):
            from cinesr.learning.training import train

            train(
                run,
                resume=True,
                progress=lambda what, done, total: self.report(f"{run.name}: {what}", done, total),
            )
        self.exported(run)

    def exported(self, run: TrainingConfig) -> Model:
        """The network's file, written anew where the training went on since.

        Args:
            run: Which one.

        Raises:
            UnreadableFileError: It was not trained yet.
        """
        folder = Path(run.output)
        path = folder / "model.onnx"
        card = _read_json(folder / "card.json")
        if card is None:
            raise UnreadableFileError(
                f"{folder}: holds no trained network; expected what `cinesr experiment` leaves "
                "after each epoch.",
                hint="Train it first: `cinesr experiment` without --as-is.",
            )
        if path.exists():
            model = read_model(path)
            if all(model.card.get(key) == value for key, value in card.items()):
                return model
        from cinesr.learning.export import export

        export(folder, path, overwrite=True)
        return read_model(path)

    def evaluate(self) -> Path:
        """Scores all methods, draws the pictures, and writes tables and report.

        Returns:
            The report.

        Raises:
            CinesrError: A network is missing, or scans or masks cannot be read.
        """
        models = {run.name: self.exported(run) for run in self.runs}
        linear = self._linear_filter()
        size = self.config.recipe.scale
        methods: dict[str, Upscaling] = {
            BICUBIC: lambda low: resize_bicubic(low, (low.shape[0] * size, low.shape[1] * size)),
            LINEAR: linear.apply,
            **{name: Engine(model).run for name, model in models.items()},
        }
        scores = {TRUTH: self._scores(TRUTH, None, "")}
        for name, upscale in methods.items():
            what = models[name].sha256 if name in models else f"{name} {WINDOW}"
            scores[name] = self._scores(name, upscale, what)
        responses = {name: constant_response(model) for name, model in models.items()}
        summary = summarise(
            self.config,
            scores,
            self._facts(models, responses),
            split_sha256=self.split.digest(),
            machine=machine(),
            versions=versions(),
        )
        pictures = self._pictures(scores, methods, responses, summary)
        return self._write(summary, scores, pictures)

    def _person(self, name: str, *, masks: bool = True) -> list[EvaluationSlice]:
        where = self.config.evaluation.masks
        return evaluation_slices(
            self.people[name],
            self.config.recipe,
            person=name,
            spacing_mm=self.runs[0].data.spacing_mm,
            masks=Path(where) if where and masks else None,
        )

    def _each_person(
        self, names: tuple[str, ...], words: str, *, masks: bool = True
    ) -> Iterator[list[EvaluationSlice]]:
        for done, name in enumerate(names):
            self.report(words, done, len(names))
            yield self._person(name, masks=masks)
        self.report(words, len(names), len(names))

    def _linear_filter(self) -> LinearFilter:
        known = tuple(name for name in self.split.train if name in self.people)
        people = self._each_person(known, f"{LINEAR}: fitting", masks=False)
        return fit_linear_filter(
            ((scored.low, scored.truth) for slices in people for scored in slices),
            scale=self.config.recipe.scale,
        )

    def _scores(self, name: str, upscale: Upscaling | None, what: str) -> MethodScores:
        """The scores of a method, taken from an earlier run where nothing has changed."""
        decided_by = {
            "cinesr": __version__,
            "what": what,
            "split": self.split.digest(),
            "people": self.config.evaluation.split,
            "recipe": self.config.recipe.to_dict(),
            "masks": self.config.evaluation.masks,
        }
        key = json.dumps(decided_by, sort_keys=True)
        path = self.folder / "scores" / f"{name.replace(' ', '_')}.json"
        found = read_scores(path, key=key)
        if found is None:
            people = self._each_person(self.names, f"{name}: scoring")
            found = (
                score_truth(people, key=key)
                if upscale is None
                else score_method(upscale, people, key=key)
            )
            found.write(path)
        return found

    def _facts(
        self, models: dict[str, Model], responses: dict[str, ConstantResponse]
    ) -> dict[str, NetworkFacts]:
        repeated = self.config.evaluation.repeat.network
        return {
            run.name: NetworkFacts(
                levels=self.config.levels.get(run.name, self.config.levels.get(repeated, {})),
                seed=run.seed,
                card=models[run.name].card,
                sha256=models[run.name].sha256,
                training=read_training(run),
                constant={
                    "inside": responses[run.name].inside,
                    "at_border": responses[run.name].at_border,
                },
            )
            for run in self.runs
        }

    def _pictures(
        self,
        scores: dict[str, MethodScores],
        methods: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]],
        responses: dict[str, ConstantResponse],
        summary: Summary,
    ) -> dict[str, list[Picture]]:
        folder = self.folder / "pictures"
        shown = median_person(scores[BICUBIC].per_person("whole", "psnr"))
        compared = {name: methods[name] for name in (BICUBIC, LINEAR, *summary.names)}
        trainings = {name: network.training for name, network in summary.networks.items()}
        spectrum, training = draw_curves(
            folder,
            {name: scores[name] for name in (TRUTH, *compared)},
            trainings,
            scale=self.config.recipe.scale,
        )
        return {
            "comparison": draw_comparison(folder, middle_slice(self._person(shown)), compared),
            "spectrum": [spectrum],
            "training": [training],
            "constant": [draw_constant(folder, responses)],
        }

    def _write(
        self,
        summary: Summary,
        scores: dict[str, MethodScores],
        pictures: dict[str, list[Picture]],
    ) -> Path:
        parts = sections(summary, dict(pictures))
        summary.write(self.folder / "summary.json")
        rows = result_rows(scores)
        with (
            staged(self.folder / "results.csv", overwrite=True) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        report = self.folder / "report.html"
        texts = {
            self.folder / "results.md": markdown_report(summary, parts, folder=self.folder),
            report: html_report(summary, parts),
        }
        for path, text in texts.items():
            with staged(path, overwrite=True) as part:
                part.write_text(text, encoding="utf-8")
        return report


def is_finished(run: TrainingConfig, split: Split) -> bool:
    """Whether a folder holds this very network, trained to its end.

    Args:
        run: The configuration.
        split: Of the people.
    """
    folder = Path(run.output)
    recorded, card = _read_json(folder / "config.json"), _read_json(folder / "card.json")
    if recorded is None or card is None or not (folder / "model.keras").is_file():
        return False
    plan = run.optimisation
    from cinesr.learning.training import changed_keys

    done = card.get("steps") == plan.epochs * plan.steps_per_epoch
    return bool(done and not changed_keys(recorded, run, split))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
