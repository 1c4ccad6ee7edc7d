"""The training run: a folder that can be left and resumed at any epoch, bit for bit.

The folder holds `config.json` and `splits.json` (what was run), `state.npz` (everything that the
next epoch needs), `log.csv` and `tensorboard/` (how it went), and after every epoch `model.keras`,
`card.json` and `loss.png`. The crops of a step are drawn from the seed and the step's number alone,
so no state of a random generator has to be kept.
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cinesr.errors import CinesrError, ConfigError, OutputError, UnreadableFileError
from cinesr.evaluation.metrics import psnr, ssim
from cinesr.imaging.files import staged
from cinesr.learning.card import write_card
from cinesr.learning.config import TrainingConfig, build
from cinesr.learning.crops import CropStream
from cinesr.learning.dataset import (
    Material,
    Split,
    find_people,
    load_slices,
    read_split,
    validation_pairs,
)
from cinesr.learning.folder import held, refuse_files_of_others
from cinesr.learning.hardware import exact_float32, fast_precision, input_processes
from cinesr.learning.log import Log, Row
from cinesr.learning.losses import build_loss
from cinesr.learning.networks import build_network, multiply_adds
from cinesr.learning.optimizers import build_optimizer
from cinesr.learning.pace import Pace, PaceMeter
from cinesr.learning.prefetch import Prefetcher, one_blas_thread
from cinesr.learning.recorded import quick_to_train

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

Watch = Callable[[Pace], None]
"""Called with how fast an epoch goes."""


def train(
    config: TrainingConfig,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Path:
    """Trains a network, validates it after every epoch, and leaves a model with its card.

    Args:
        config: Everything that decides the run.
        resume: Continue a run that was stopped, from its last whole epoch. The result is the same,
            bit for bit on the same machine, as if it had not been stopped.
        progress: Called while people are read ("reading") and steps are done ("training").
        watch: Called before it, for each step, with how fast the epoch goes.

    Returns:
        The folder of the run.

    Raises:
        ConfigError: The run to resume had another configuration.
        OutputError: The folder holds a run already, or files of somebody else, or cannot be
            written.
        CinesrError: The scans cannot be read.
    """
    report, watch = progress or (lambda *_: None), watch or (lambda _: None)
    folder = Path(config.output)
    people = find_people(*map(Path, (config.data.folder, *config.data.also)))
    split = read_split(config.data, people, seed=config.seed)

    def reading(done: int, total: int) -> None:
        report("reading", done, total)

    with held(folder):
        _open_folder(folder, config, split, resume=resume)
        learn = load_slices(people, split.train, config=config, progress=reading)
        check = load_slices(people, split.validation, config=config, progress=reading)
        TrainingRun(config, Material(split, learn, check), report, watch).fit(folder)
    return folder


_WRITTEN = (
    *("config.json", "splits.json", "state.npz", "model.keras", "card.json"),
    *("log.csv", "loss.png", "tensorboard"),
)
"""What a run leaves in its folder."""


def _open_folder(folder: Path, config: TrainingConfig, split: Split, *, resume: bool) -> None:
    state = folder / "state.npz"
    if state.exists() and not resume:
        raise OutputError(
            f"{folder}: holds a training run already.",
            hint="Continue it with --resume, or name another output in the configuration.",
        )
    wanted = {"config": config.to_dict(), "split": split.digest()}
    recorded = folder / "config.json"
    if state.exists():
        try:
            before = json.loads(recorded.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnreadableFileError(f"{recorded}: cannot be read: {error}.") from error
        changed = changed_keys(before if isinstance(before, dict) else {}, config, split)
        if changed:
            raise ConfigError(
                f"{folder}: was trained with another configuration; these differ: "
                f"{', '.join(changed)}.",
                hint="Restore them to continue, or name another output to start anew.",
            )
        return
    if not _is_record(recorded):
        refuse_files_of_others(folder, _WRITTEN)
    with staged(recorded, overwrite=True) as part:
        part.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    split.write(folder / "splits.json")


def _is_record(path: Path) -> bool:
    """Whether a run, perhaps stopped before its first checkpoint, wrote a `config.json`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"config", "split"} <= found.keys()


_PLACES = ("output", "folder", "also", "splits", "start", "weights")
_WORDS = ("data.name", "data.licence", "data.citation", "limits")
"""Keys that say where things are on one machine, and what the card says: a run may move, and be
described better."""


def changed_keys(recorded: dict[str, Any], config: TrainingConfig, split: Split) -> list[str]:
    """The keys in which a recorded run differs, but for places and words of the card.

    Args:
        recorded: What `config.json` holds. A key that was not known then has its default.
        config: What it is compared with.
        split: Of the people.
    """
    wanted = {"config": config.to_dict(), "split": split.digest()}
    try:
        known = build(TrainingConfig, recorded["config"], where="config.json").to_dict()
    except (ConfigError, KeyError, TypeError):
        known = recorded.get("config", {})
    return _differences({**recorded, "config": known}, wanted)


def _differences(before: Any, after: Any, key: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(set(before) | set(after))
        return [
            found
            for name in names
            if name not in _PLACES and f"{key}.{name}".removeprefix(".config.") not in _WORDS
            for found in _differences(before.get(name), after.get(name), f"{key}.{name}")
        ]
    return [] if before == after else [key.removeprefix(".config").strip(".")]


class TrainingRun:
    """A network in training, with what it learns from and is checked on.

    Args:
        config: Everything that decides the run.
        material: What it learns from and is checked on.
        report: Called while steps are done.
        watch: Called with how fast that goes.
    """

    def __init__(
        self, config: TrainingConfig, material: Material, report: Progress, watch: Watch
    ) -> None:
        self.config, self.material, self.report, self.watch = config, material, report, watch
        self.precision = fast_precision(config.optimisation.precision)
        self.history: list[Row] = []
        keras.utils.set_random_seed(config.seed)
        self.model = quick_to_train(build_network(config.network, precision=self.precision))
        # What is validated, saved and exported is in float32, whatever the training multiplies in.
        self.result = build_network(config.network)
        if config.network.start:
            self.model.set_weights(_first_weights(Path(config.network.start), self.model))
        loss = build_loss(config.loss, scale=config.network.scale, precision=self.precision)
        optimizer = build_optimizer(config.optimisation, precision=self.precision)
        self.model.compile(optimizer=optimizer, loss=loss)
        self.model.optimizer.build(self.model.trainable_variables)

    def fit(self, folder: Path) -> None:
        """Trains from the last whole epoch to the end, leaving a checkpoint after each."""
        self._restore(folder / "state.npz")
        plan, done = self.config.optimisation, len(self.history)
        if done >= plan.epochs:
            self._update_result()
            self.leave_model(folder)
            return
        with one_blas_thread(), Log(folder, self.history) as log:
            crops = Prefetcher(
                CropStream(self.material.learn, self.config),
                first_step=done * plan.steps_per_epoch,
                processes=input_processes(),
            )
            # Whoever prepares crops leaves with the training, also when it fails.
            with closing(crops.batches()) as batches:
                self.model.fit(
                    batches,
                    steps_per_epoch=plan.steps_per_epoch,
                    initial_epoch=done,
                    epochs=plan.epochs,
                    verbose=0,
                    shuffle=False,
                    callbacks=[_Epochs(self, folder, log, PaceMeter(lambda: crops.seconds_waited))],
                )

    def end_epoch(self, loss: float, seconds: float, pace: Pace) -> Row:
        """Validates the network as it stands and records the epoch.

        Args:
            loss: Mean over the epoch.
            seconds: That its steps took.
            pace: At which they went.

        Raises:
            CinesrError: The training diverged.
        """
        if not math.isfinite(loss):
            raise CinesrError(
                f"The loss became {loss} in epoch {len(self.history) + 1}; expected a number.",
                hint="Start anew with a smaller optimisation.learning_rate.",
            )
        self._update_result()
        steps = (len(self.history) + 1) * self.config.optimisation.steps_per_epoch
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row: Row = {"epoch": len(self.history) + 1, "step": steps, "loss": loss}
        row |= {"learning_rate": rate, "seconds": seconds}
        row |= {"steps_per_second": pace.steps_per_second, "device_busy": pace.device_busy}
        row |= self.validate()
        self.history.append(row)
        return row

    def validate(self) -> Row:
        """Mean PSNR and SSIM over whole validation slices, for each degradation and in all.

        The data range is the brightest pixel of each reference slice.
        """
        scores: dict[str, list[tuple[float, float]]] = {}
        for recipe, low, high in validation_pairs(self.material.check, self.config):
            image = low[None, ..., None]
            told = (image, recipe.described()[None]) if self.config.network.told else image
            with exact_float32():
                output = np.asarray(self.result.predict_on_batch(told))[0, ..., 0]
            brightest = float(high.max())
            quality = (
                psnr(high, output, data_range=brightest),
                ssim(high, output, data_range=brightest),
            )
            scores.setdefault(recipe.method, []).append(quality)
        row: Row = {}
        every = [pair for pairs in scores.values() for pair in pairs]
        for name, pairs in {"": every, **{f"_{key}": part for key, part in scores.items()}}.items():
            means = np.mean(pairs, axis=0)
            row |= {f"psnr{name}": float(means[0]), f"ssim{name}": float(means[1])}
        return row

    def _update_result(self) -> None:
        weights = self.model.get_weights()
        if self.config.optimisation.ema:
            averages = iter(self.model.optimizer._model_variables_moving_average)
            trained = {id(variable) for variable in self.model.trainable_variables}
            weights = [
                keras.ops.convert_to_numpy(next(averages)) if id(variable) in trained else weight
                for variable, weight in zip(self.model.weights, weights, strict=True)
            ]
        self.result.set_weights(weights)

    def save(self, path: Path) -> None:
        """Writes everything that the next epoch needs into one file."""
        optimizer = self.model.optimizer.variables
        arrays = {f"model/{index}": value for index, value in enumerate(self.model.get_weights())}
        arrays |= {
            f"optimizer/{index}": keras.ops.convert_to_numpy(variable)
            for index, variable in enumerate(optimizer)
        }
        with staged(path, overwrite=True) as part, part.open("wb") as file:
            np.savez(file, history=np.array(json.dumps(self.history)), **arrays)

    def _restore(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                weights = [arrays[f"model/{index}"] for index in range(len(self.model.weights))]
                for index, variable in enumerate(self.model.optimizer.variables):
                    variable.assign(arrays[f"optimizer/{index}"])
                self.model.set_weights(weights)
                self.history = json.loads(str(arrays["history"]))
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableFileError(
                f"{path}: is not a checkpoint of this run: {error}.",
                hint="Delete it to start anew.",
            ) from error

    def leave_model(self, folder: Path) -> None:
        """Leaves the model as it stands, its card and the plot of its loss."""
        from cinesr.learning.plot import plot_history

        with staged(folder / "model.keras", overwrite=True) as part:
            self.result.save(part)
        write_card(
            folder / "card.json",
            config=self.config,
            material=self.material,
            history=self.history,
            parameters=self.result.count_params(),
            multiply_adds=multiply_adds(self.result),
            precision=self.precision,
        )
        with staged(folder / "loss.png", overwrite=True) as part:
            plot_history(self.history, part)


def _first_weights(folder: Path, network: keras.Model) -> list[Any]:
    path = folder / "model.keras"
    try:
        weights: list[Any] = keras.saving.load_model(path, compile=False).get_weights()
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UnreadableFileError(
            f"{path}: is not a model to start from: {error}.",
            hint="network.start names the folder of a finished run of `cinesr train`.",
        ) from error
    # A network that is told how its input was acquired may start from one that is not: it does the
    # same until it has learned what to make of it.
    kernels, own = iter(weights), network.get_weights()
    wanted = [it.shape for it in own if len(network.inputs) == 1 or it.ndim == 4]
    if [it.shape for it in weights] not in ([it.shape for it in own], wanted):
        raise ConfigError(
            f"{path}: is another network than the configuration describes.",
            hint="Give [network] the same architecture, scale, filters and blocks.",
        )
    if len(weights) == len(own):
        return weights
    return [next(kernels) if it.ndim == 4 else it for it in own]


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells how far the run is, and ends each epoch with a validation and a checkpoint.

    Steps are counted when they begin. A callback for their end would be given their loss, and Keras
    would wait for the device after every step to read it.
    """

    def __init__(self, run: TrainingRun, folder: Path, log: Log, meter: PaceMeter) -> None:
        super().__init__()
        self._run, self._folder, self._log, self._meter = run, folder, log, meter
        self._steps = run.config.optimisation.steps_per_epoch
        self._total = self._steps * run.config.optimisation.epochs
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()
        self._meter.begin_epoch(epoch + 1)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch:
            self._tell(self._meter.pace(batch), batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        seconds = time.perf_counter() - self._started
        pace = self._meter.pace(self._steps, epoch_done=True)
        self._tell(pace, self._steps)
        row = self._run.end_epoch(float((logs or {})["loss"]), seconds, pace)
        # Logged first: a row too many is dropped when the epoch is done again, one too few is lost.
        self._log.add(row)
        self._run.save(self._folder / "state.npz")
        self._run.leave_model(self._folder)

    def _tell(self, pace: Pace, done: int) -> None:
        self._run.watch(pace)
        self._run.report("training", len(self._run.history) * self._steps + done, self._total)
