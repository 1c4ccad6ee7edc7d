"""Real runs of a tiny network: what they leave, and that a killed one ends as if it were not."""

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from cinesr.degradation import resize_bicubic
from cinesr.errors import CinesrError, ConfigError, OutputError, UnreadableFileError
from cinesr.evaluation.metrics import psnr
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    LossConfig,
    NetworkConfig,
    OptimisationConfig,
    TrainingConfig,
    VariationConfig,
    build,
)
from cinesr.learning.crops import CropStream
from cinesr.learning.dataset import (
    Material,
    SliceSet,
    Split,
    find_people,
    load_slices,
    read_split,
    validation_pairs,
)
from cinesr.learning.hardware import fast_precision
from cinesr.learning.log import TIMES
from cinesr.learning.pace import Pace
from cinesr.learning.training import TrainingRun, _Epochs, train

Tiny = Callable[..., TrainingConfig]

SCORES = ["psnr", "ssim", "psnr_bicubic", "ssim_bicubic", "psnr_thesis", "ssim_thesis"]


def rows_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def events_of(folder: Path) -> list[Event]:
    """TFRecord: length, its checksum, data, its checksum."""
    events = []
    for path in sorted((folder / "tensorboard").iterdir(), key=lambda it: it.stat().st_mtime_ns):
        content, start = path.read_bytes(), 0
        while start < len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            events.append(Event.FromString(content[start + 12 : start + 12 + length]))
            start += length + 16
    return events


def without_times(row: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key not in TIMES}


def weights_of(folder: Path) -> list[np.ndarray]:
    return keras.saving.load_model(folder / "model.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def finished(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """A run of 3 epochs of 15 steps, done."""
    config = TrainingConfig(
        name="tiny",
        output=str(tmp_path_factory.mktemp("finished") / "run"),
        data=DataConfig(str(scans)),
        seed=3,
        degradation=DegradationConfig(("bicubic", "thesis"), 0.0),
        network=NetworkConfig("residual", scale=2, filters=8, blocks=1),
        loss=LossConfig("mae"),
        optimisation=OptimisationConfig(
            epochs=3,
            steps_per_epoch=15,
            batch_size=4,
            crop=16,
            learning_rate=3e-3,
            warmup_steps=5,
            validation_slices=2,
        ),
    )
    calls: list[tuple[str, int, int]] = []
    folder = train(config, progress=lambda *state: calls.append(state))
    assert folder == Path(config.output)
    # 3 people to learn from, 1 to validate on, 1 for the test that is not read.
    assert calls[:4] == [("reading", n, 3) for n in (1, 2, 3)] + [("reading", 1, 1)]
    assert calls[4:] == [("training", step, 45) for step in range(1, 46)]
    return config


def test_a_run_leaves_everything(finished: TrainingConfig) -> None:
    folder = Path(finished.output)
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "splits.json",
        "state.npz",
        "log.csv",
        "tensorboard",
        "model.keras",
        "card.json",
        "loss.png",
    }
    recorded = json.loads((folder / "config.json").read_text())
    assert build(TrainingConfig, recorded["config"], where="config.json") == finished
    splits = json.loads((folder / "splits.json").read_text())
    everyone = sorted(name for names in splits.values() for name in names)
    assert everyone == [f"person.{index}" for index in range(5)]
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_log_tells_how_it_went(finished: TrainingConfig) -> None:
    rows = rows_of(Path(finished.output))
    assert list(rows[0]) == ["epoch", "step", "loss", "learning_rate", *TIMES, *SCORES]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 15), (2, 30), (3, 45)]
    # Warm-up over 5 steps, then half a cosine over the other 40.
    rates = [3e-3 * (1 + np.cos(np.pi * (step - 5) / 40)) / 2 for step in (15, 30, 45)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(rates, abs=1e-8)
    for row in rows:
        assert row["psnr"] == pytest.approx((row["psnr_bicubic"] + row["psnr_thesis"]) / 2)
        assert row["ssim"] == pytest.approx((row["ssim_bicubic"] + row["ssim_thesis"]) / 2)
        assert row["seconds"] > 0
        # The first step of an epoch, which may compile, takes part in its seconds alone.
        assert row["steps_per_second"] > 14 / row["seconds"]
        assert 0 <= row["device_busy"] <= 1


def test_it_learns(finished: TrainingConfig) -> None:
    rows = rows_of(Path(finished.output))
    people = find_people(Path(finished.data.folder))
    split = read_split(finished.data, people, seed=finished.seed)
    check = load_slices(people, split.validation, config=finished)
    network = keras.saving.load_model(Path(finished.output) / "model.keras", compile=False)
    gains, scores = [], []
    for recipe, low, high in validation_pairs(check, finished):
        output = network.predict_on_batch(low[None, ..., None])[0, ..., 0]
        ours = psnr(high, output, data_range=float(high.max()))
        bicubic = psnr(high, resize_bicubic(low, high.shape), data_range=float(high.max()))
        scores.append(ours)
        if recipe.method == "thesis":
            gains.append(ours - bicubic)
    assert np.mean(scores) == pytest.approx(rows[-1]["psnr"], abs=1e-3)
    assert np.mean(gains) > 0.3


def test_a_run_from_before_a_key_was_known_goes_on(
    finished: TrainingConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(finished.output, folder)
    recorded = json.loads((folder / "config.json").read_text())
    del recorded["config"]["variation"], recorded["config"]["loss"]["pattern"]
    (folder / "config.json").write_text(json.dumps(recorded))
    assert train(replace(finished, output=str(folder)), resume=True) == folder
    varied = replace(finished, output=str(folder), variation=VariationConfig(zoom=2.0))
    with pytest.raises(ConfigError, match=r"these differ: variation\.zoom\."):
        train(varied, resume=True)


def test_a_run_from_before_its_pace_was_logged_goes_on(
    finished: TrainingConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(finished.output, folder)
    with np.load(folder / "state.npz") as arrays:
        held = dict(arrays)
    # As if it had been stopped after two epochs, of which the older log knew the seconds alone.
    history = [
        {key: value for key, value in row.items() if key not in TIMES[1:]}
        for row in json.loads(str(held["history"]))[:2]
    ]
    np.savez(folder / "state.npz", **(held | {"history": np.array(json.dumps(history))}))
    train(replace(finished, output=str(folder)), resume=True)
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["device_busy"] == "" for row in rows] == [True, True, False]
    assert all(row["psnr"] and row["seconds"] for row in rows)


class TestPace:
    """How fast a run tells that it goes."""

    def test_each_step_is_told_with_its_pace(self, tiny: Tiny) -> None:
        told: list[Pace] = []
        done: list[int] = []

        def progress(what: str, step: int, _: int) -> None:
            if what == "training":
                # The pace comes first, so that both can be shown together.
                assert len(told) == len(done) + 1
                done.append(step)

        folder = train(tiny(), progress=progress, watch=told.append)
        assert done == [1, 2, 3, 4, 5, 6]
        assert [pace.epoch for pace in told] == [1, 1, 1, 2, 2, 2]
        assert [pace.steps for pace in told] == [1, 1, 2] * 2
        assert [pace.epoch_done for pace in told] == [False, False, True] * 2
        logged = [(row["steps_per_second"], row["device_busy"]) for row in rows_of(folder)]
        assert logged == [
            (pace.steps_per_second, pace.device_busy) for pace in told if pace.epoch_done
        ]

    def test_slow_input_shows(self, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
        prepared = CropStream.batch

        def slow(stream: CropStream, step: int) -> object:
            time.sleep(0.05)
            return prepared(stream, step)

        plan = replace(tiny().optimisation, epochs=1, steps_per_epoch=40)
        monkeypatch.setattr(CropStream, "batch", slow)
        (row,) = rows_of(train(tiny(optimisation=plan)))
        # Some ten batches lie ready when the steps begin; the other thirty come at 20 a second.
        assert row["steps_per_second"] < 20 * 40 / 25
        assert row["device_busy"] < 0.5

    def test_no_callback_makes_keras_read_the_loss_of_every_step(self) -> None:
        """Keras waits for the device to give a callback for the end of a step its loss."""
        for name in ("on_train_batch_end", "on_batch_end"):
            assert getattr(_Epochs, name) is getattr(keras.callbacks.Callback, name)


@pytest.mark.parametrize(
    ("network", "loss", "optimizer"),
    [
        (
            NetworkConfig("seed", scale=2, filters=4, blocks=1),
            LossConfig("perceptual", layer="block1_conv2"),
            "adam",
        ),
        (NetworkConfig("residual", scale=2, filters=16, blocks=1), LossConfig("mae"), "muon"),
        (NetworkConfig("wide", scale=2, filters=16, blocks=1), LossConfig("lpips"), "muon"),
    ],
)
def test_bfloat16_is_for_multiplying_and_float32_for_what_is_kept(
    network: NetworkConfig, loss: LossConfig, optimizer: str, tiny: Tiny
) -> None:
    plan = replace(tiny().optimisation, precision="bfloat16", ema=0.9, optimizer=optimizer)
    config = tiny(network=network, loss=loss, optimisation=plan)
    image = np.random.default_rng(0).random((64, 64), np.float32)
    slices = SliceSet((image,), ("anna",), None)
    material = Material(Split(("anna",), ("ben",), ()), slices, slices)
    run = TrainingRun(config, material, lambda *_: None, lambda _: None)

    used = {layer.compute_dtype for layer in run.model.layers if layer.weights}
    assert "bfloat16" in used
    kept = [*run.model.variables, *run.model.optimizer.variables]
    # Counters of steps are whole numbers.
    assert {keras.backend.standardize_dtype(it.dtype) for it in kept if it.shape} == {"float32"}
    averages = run.model.optimizer._model_variables_moving_average
    assert len(averages) == len(run.model.trainable_variables)
    assert {layer.compute_dtype for layer in run.result.layers} == {"float32"}

    low, high = np.ones((1, 32, 32, 1), np.float32), np.zeros((1, 64, 64, 1), np.float32)
    output = run.model(low, training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    value = run.model.compute_loss(y=high, y_pred=output)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert set(run.validate()) == {"psnr", "ssim", "psnr_bicubic", "ssim_bicubic"}


class TestStart:
    """`network.start`: another run's weights are the first ones."""

    def test_a_step_of_no_length_leaves_the_other_run_as_it_is(
        self, finished: TrainingConfig, tiny: Tiny
    ) -> None:
        still = replace(tiny().optimisation, epochs=1, learning_rate=1e-9, ema=0.0)
        config = tiny(network=replace(finished.network, start=finished.output), optimisation=still)
        train(config)
        pairs = zip(weights_of(Path(finished.output)), weights_of(Path(config.output)), strict=True)
        assert all(first == pytest.approx(second, abs=1e-6) for first, second in pairs)
        card = json.loads((Path(config.output) / "card.json").read_text())
        assert card["network"]["start"] == Path(finished.output).name

    def test_another_network_is_refused(self, finished: TrainingConfig, tiny: Tiny) -> None:
        wider = replace(finished.network, filters=6, start=finished.output)
        with pytest.raises(ConfigError, match="is another network than the configuration") as found:
            train(tiny(network=wider))
        assert "architecture, scale, filters and blocks" in (found.value.hint or "")

    def test_a_folder_without_a_model_is_named(self, tiny: Tiny, tmp_path: Path) -> None:
        network = replace(tiny().network, start=str(tmp_path / "absent"))
        with pytest.raises(UnreadableFileError, match="is not a model to start from"):
            train(tiny(network=network))


def test_the_card_says_what_the_model_is(finished: TrainingConfig) -> None:
    folder = Path(finished.output)
    card = json.loads((folder / "card.json").read_text())
    rows = rows_of(folder)
    split = read_split(finished.data, find_people(Path(finished.data.folder)), seed=3)
    assert (card["name"], card["scale"], card["seed"], card["steps"]) == ("tiny", 2, 3, 45)
    assert card["network"]["filters"] == 8
    assert card["parameters"] == sum(weight.size for weight in weights_of(folder))
    assert card["data"]["train"] == {"people": 3, "slices": 6}
    assert card["data"]["validation"] == {"people": 1, "slices": 2}
    assert card["data"]["split_sha256"] == split.digest()
    assert len(card["data"]["spacing_mm"]) == 2
    assert card["degradation"] == {
        "methods": ["bicubic", "thesis"],
        "noise": 0.0,
        "blur": 0.0,
        "weights": [],
    }
    # At scale 2 with 8 channels: 5x5, two of 3x3 in the block and one behind it, tail, bicubic.
    assert card["multiply_adds_per_output_pixel"] == (25 * 8 + 27 * 64 + 9 * 8 * 4 + 25 * 4) / 4
    assert card["loss"]["name"] == "mae"
    assert card["optimisation"]["used_precision"] == fast_precision("auto")
    assert card["validation"] == pytest.approx(without_times(rows[-1]))
    assert set(card["versions"]) == {"cinesr", "python", "keras", "backend", "numpy"}
    assert card["versions"]["backend"] == keras.backend.backend()
    assert "Not for diagnosis" in card["intended_use"]
    # A card goes with the model to other people: it holds no path of this machine.
    assert str(Path(finished.data.folder)) not in json.dumps(card)


def test_tensorboard_reads_every_epoch(finished: TrainingConfig) -> None:
    scalars = {
        (event.summary.value[0].tag, event.step): event.summary.value[0].simple_value
        for event in events_of(Path(finished.output))
        if event.summary.value
    }
    for row in rows_of(Path(finished.output)):
        for key in ("loss", "learning_rate", *TIMES, *SCORES):
            assert scalars[key, int(row["step"])] == pytest.approx(row[key], rel=1e-5)


def test_a_finished_run_is_not_overwritten_and_can_be_resumed_to_nothing(
    finished: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="holds a training run already") as caught:
        train(finished)
    assert "--resume" in str(caught.value)
    folder = Path(finished.output)
    before, log = weights_of(folder), (folder / "log.csv").read_bytes()
    (folder / "model.keras").unlink()
    (folder / "card.json").unlink()
    train(finished, resume=True)
    assert all(map(np.array_equal, before, weights_of(folder)))
    assert (folder / "log.csv").read_bytes() == log
    assert json.loads((folder / "card.json").read_text())["steps"] == 45


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, r"these differ: seed, split\."),
        ({"network": NetworkConfig("residual", 2, filters=4, blocks=1)}, "network.filters"),
        ({"loss": LossConfig("mse")}, r"differ: loss.name\."),
        ({"degradation": DegradationConfig(("bicubic",))}, "degradation.methods"),
    ],
)
def test_another_configuration_cannot_be_resumed(
    finished: TrainingConfig, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=f"another configuration; .*{words}"):
        train(replace(finished, **change), resume=True)  # type: ignore[arg-type]


def test_a_run_may_move(finished: TrainingConfig, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("config.json", "state.npz"):
        (moved / name).write_bytes((Path(finished.output) / name).read_bytes())
    train(replace(finished, output=str(moved)), resume=True)
    assert all(map(np.array_equal, weights_of(moved), weights_of(Path(finished.output))))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut short", "npy", "half", "other"])
def test_a_broken_checkpoint_is_named(
    finished: TrainingConfig, tmp_path: Path, content: bytes | str
) -> None:
    whole = Path(finished.output)
    state = tmp_path / "state.npz"
    (tmp_path / "config.json").write_bytes((whole / "config.json").read_bytes())
    if isinstance(content, bytes):
        state.write_bytes(content)
    elif content == "half":
        bytes_of_it = (whole / "state.npz").read_bytes()
        state.write_bytes(bytes_of_it[: len(bytes_of_it) // 2])
    elif content == "npy":
        with state.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        np.savez(state, something=np.zeros(3))
    with pytest.raises(UnreadableFileError, match=r"state\.npz: is not a checkpoint") as caught:
        train(replace(finished, output=str(tmp_path)), resume=True)
    assert "Delete it to start anew" in str(caught.value)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_checkpoint_without_its_configuration_is_named(
    finished: TrainingConfig, tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "state.npz").touch()
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UnreadableFileError, match=r"config\.json: cannot be read"):
        train(replace(finished, output=str(tmp_path)), resume=True)


KILLED_AT = 5
"""The middle of the second of three epochs of three steps."""

KILLED_RUN = """
import json, os, signal, sys
from cinesr.learning.config import TrainingConfig, build
from cinesr.learning.training import train

def kill(what, done, total):
    if (what, done) == ("training", int(sys.argv[2])):
        os.kill(os.getpid(), signal.SIGKILL)

train(build(TrainingConfig, json.loads(sys.argv[1]), where="test"), progress=kill)
"""


@pytest.mark.parametrize(
    ("optimizer", "network"),
    [
        ("adam", NetworkConfig("seed", scale=2, filters=4, blocks=1)),
        ("muon", NetworkConfig("residual", scale=2, filters=16, blocks=1)),
    ],
)
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(
    tiny: Tiny, tmp_path: Path, optimizer: str, network: NetworkConfig
) -> None:
    config = tiny(
        degradation=DegradationConfig(("thesis", "kspace"), noise=0.05, blur=0.5),
        variation=VariationConfig(intensity=(0.6, 1.1), contrast=1.3, zoom=2.0),
        network=network,
        optimisation=OptimisationConfig(
            epochs=3,
            steps_per_epoch=3,
            batch_size=2,
            crop=16,
            learning_rate=1e-2,
            warmup_steps=2,
            ema=0.7,
            optimizer=optimizer,  # type: ignore[arg-type]
            validation_slices=1,
        ),
    )
    killed = replace(config, output=str(tmp_path / "killed"))
    result = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, json.dumps(killed.to_dict()), str(KILLED_AT)],
        env=dict(os.environ),
        capture_output=True,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()
    assert len(rows_of(tmp_path / "killed")) == 1

    train(killed, resume=True)
    train(config)
    whole, resumed = Path(config.output), Path(killed.output)
    for ours, theirs in zip(weights_of(whole), weights_of(resumed), strict=True):
        assert np.array_equal(ours, theirs)
    with np.load(whole / "state.npz") as ours, np.load(resumed / "state.npz") as theirs:
        assert set(ours) == set(theirs)
        assert any("optimizer" in key for key in ours)
        for key in set(ours) - {"history"}:
            assert np.array_equal(ours[key], theirs[key]), key
    for ours, theirs in zip(rows_of(whole), rows_of(resumed), strict=True):
        assert without_times(ours) == without_times(theirs)
    # TensorBoard hides the steps that are done again, and only those.
    starts = [e.step for e in events_of(resumed) if e.session_log.status == SessionLog.START]
    assert starts == [1, 4]


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_again(tiny: Tiny) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), progress=stop)
    assert not (Path(tiny().output) / "state.npz").exists()
    train(tiny())
    assert len(rows_of(Path(tiny().output))) == 2


def test_the_average_is_what_is_saved(tiny: Tiny) -> None:
    """By hand: after a first step the average is the weights, then it follows at its momentum."""
    plan = replace(tiny().optimisation, epochs=2, steps_per_epoch=1, schedule="constant", ema=0.75)
    config = tiny(optimisation=plan, degradation=DegradationConfig(("thesis",)))
    states: list[list[np.ndarray]] = []

    def keep(what: str, done: int, total: int) -> None:
        if what == "training" and done == 2:
            states.append(plain_weights(Path(config.output)))

    train(config, progress=keep)
    states.append(plain_weights(Path(config.output)))
    moved = False
    for first, second, saved in zip(*states, weights_of(Path(config.output)), strict=True):
        assert saved == pytest.approx(0.75 * first + 0.25 * second, abs=1e-6)
        moved |= not np.allclose(first, second, atol=1e-5)
    assert moved
    rates = [row["learning_rate"] for row in rows_of(Path(config.output))]
    assert rates == pytest.approx([1e-3, 1e-3])


def plain_weights(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "state.npz") as arrays:
        count = sum(key.startswith("model/") for key in arrays)
        return [arrays[f"model/{index}"] for index in range(count)]


def test_the_perceptual_loss_and_mixed_precision_train(tiny: Tiny) -> None:
    plan = replace(tiny().optimisation, epochs=1, precision="bfloat16", warmup_steps=0)
    config = tiny(
        loss=LossConfig("perceptual", layer="block1_conv2", fidelity=1.0),
        network=NetworkConfig("seed", scale=2, filters=4, blocks=1, upsampling="transposed"),
        optimisation=plan,
    )
    folder = train(config)
    card = json.loads((folder / "card.json").read_text())
    assert card["optimisation"]["used_precision"] == "bfloat16"
    assert card["loss"]["layer"] == "block1_conv2"
    assert {weight.dtype for weight in weights_of(folder)} == {np.dtype(np.float32)}
    network = keras.saving.load_model(folder / "model.keras", compile=False)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}


def test_a_run_that_diverges_says_so(tiny: Tiny) -> None:
    plan = replace(
        tiny().optimisation, learning_rate=1.0, steps_per_epoch=30, schedule="constant", epochs=9
    )
    config = tiny(
        optimisation=plan,
        loss=LossConfig("mse"),
        network=NetworkConfig("residual", scale=2, filters=16, blocks=12),
    )
    with pytest.raises(CinesrError, match=r"The loss became (nan|inf) in epoch \d") as caught:
        train(config)
    assert "learning_rate" in str(caught.value)


def test_named_splits_decide_who_is_read(tiny: Tiny, scans: Path, tmp_path: Path) -> None:
    splits = {"train": ["person.4"], "validation": ["person.0"], "test": []}
    file = tmp_path / "splits.json"
    file.write_text(json.dumps(splits))
    plan = replace(tiny().optimisation, epochs=1, steps_per_epoch=1)
    folder = train(tiny(data=DataConfig(str(scans), splits=str(file)), optimisation=plan))
    assert json.loads((folder / "splits.json").read_text()) == splits
    assert json.loads((folder / "card.json").read_text())["data"]["train"]["people"] == 1
