"""The training of the reader: its network is the package's, and its simulations are repeatable."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cinesr.experiment.benchmark.tables import around_tables
from cinesr.imaging import acquisition_network
from cinesr.imaging.acquisition import Acquisition
from cinesr.imaging.spectral_features import features

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("torch", reason="the reader is trained in torch")
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import acquisition_training

    return acquisition_training


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import acquisition_reader

    return acquisition_reader


def test_the_tables_can_be_made(reader: ModuleType) -> None:
    import acquisition_tables

    true = reader.Example(pictures(2), reader.Degradation("scanner", noise=0.01))
    found = acquisition_tables.acquisition_of_pictures(true.pictures)
    rows = np.array([acquisition_tables._compared(true, found)])
    assert rows.shape == (1, 6)
    assert rows[0, 3:5] == pytest.approx([1.0, 0.0])
    errors = {(name, scale): rows for name in acquisition_tables.COUNTS for scale in (2, 4)}
    text = acquisition_tables._error_table(errors)
    assert text.count("\n") == 1 + len(acquisition_tables.COUNTS) + 1
    assert "| one slice |" in text
    before, after = around_tables(reader.PAGE)
    assert before.startswith("# How a series was acquired")
    assert isinstance(after, str)


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.uniform(0, 1, (48, 40)) for _ in range(count)]


def test_numpy_computes_what_was_trained(training: ModuleType, tmp_path: Path) -> None:
    import torch

    rows = np.array([features(pictures(1 + seed, seed)) for seed in range(6)])
    torch.manual_seed(0)
    network = training.Reader(rows.shape[-1])
    with torch.no_grad():
        network.position.normal_()
        expected = network(torch.from_numpy(rows)).numpy()
    numbers: dict[str, Any] = {k: v.detach().numpy() for k, v in network.named_parameters()}
    numbers |= {"mean": np.zeros(rows.shape[-1]), "spread": np.ones(rows.shape[-1])}
    for row, outputs in zip(rows, expected, strict=True):
        found = acquisition_network._outputs(numbers, row)
        assert np.abs(found - outputs).max() < 1e-5


def test_training_learns_and_writes_what_the_package_reads(
    training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    size = np.asarray(features(pictures(1))).shape[-1]
    labels = np.zeros((128, 6))
    labels[:, :2] = generator.uniform(0.5, 1, (128, 2))
    labels[:, 2:4] = generator.uniform(0, 1, (128, 2)) * (1, 0.02)
    rows = generator.normal(0, 1, (128, 2, size))
    rows[:, 0, 300], rows[:, 1, 300] = labels[:, 0], labels[:, 1]
    path = tmp_path / "reader.npz"
    training.train((rows, labels), (rows, labels), path, seed=0, epochs=100)
    with np.load(path) as stored:
        numbers = {name: stored[name].astype(np.float32) for name in stored.files}
    monkeypatch.setattr(acquisition_network, "_numbers", lambda: numbers)
    found = np.array([acquisition_network.read(row.astype(np.float32)).keep for row in rows])
    assert np.abs(found - labels[:, :2]).mean() < 0.07  # Guessing: 0.125.
    for name in ("one", "same"):
        training.train((rows, labels), (rows, labels), tmp_path / f"{name}.npz", seed=0, epochs=2)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "same.npz").read_bytes()


def test_what_is_not_known_is_not_learned(training: ModuleType) -> None:
    import torch

    outputs = torch.zeros(3, 2, 9)
    centre = {name: value[0] for name, value in acquisition_network.CENTRES.items()}
    middle = [centre["keep"], centre["keep"], centre["taper"], centre["noise"], 0.0, 0.0]
    labels = torch.tensor([middle, middle, middle])
    labels[0, 0] += 0.1  # Half a step of 1/5 on one of two axes, in one of two scanners.
    labels[1, 2:5] = math.nan
    labels[2, 5] = 3
    found = training.losses(outputs, labels)
    assert float(found["keep"]) == pytest.approx(0.1 * 5 / 2 / 2, abs=1e-6)
    assert float(found["taper"]) == pytest.approx(0)
    assert float(found["ellipse"]) == pytest.approx(math.log(2))
    assert float(found["method"]) == pytest.approx(math.log(5))
    assert all(math.isfinite(float(value)) for value in found.values())


@pytest.mark.parametrize(
    ("window", "width"),
    [("none", 0), ("cosine:0.3", 0.3), ("fermi:0.05", 0.3), ("fermi:0.12", 0.72), ("hamming", 1)],
)
def test_windows_have_a_cosine_that_comes_near(
    reader: ModuleType, window: str, width: float
) -> None:
    found = reader.taper_width(Acquisition(window=window))
    assert found == pytest.approx(width)
    if found:
        rho = np.linspace(0, 1, 200)
        near, true = (
            Acquisition(window=each).axis_transfer(rho, 0) for each in (f"cosine:{found}", window)
        )
        assert np.abs(near - true).mean() < 0.07


def test_simulated_series_are_repeatable(reader: ModuleType, scd: Path) -> None:
    for draw in range(4):
        one, same = (
            reader.example(np.random.default_rng([3, draw]), "validation", slices=2)
            for _ in range(2)
        )
        assert one.recipe == same.recipe
        assert len(one.pictures) == 2
        assert all(np.array_equal(*pair) for pair in zip(one.pictures, same.pictures, strict=True))


def test_native_frames_are_labelled_by_their_header(reader: ModuleType, scd: Path) -> None:
    for draw in range(6):
        found = reader.native(np.random.default_rng(draw))
        label = found.label()
        assert found.is_native
        assert all(0.62 < share <= 1 for share in label[:2])
        # Taper and noise are what the phases' differences show of the three scans; see the reader.
        assert 0 <= label[2] < 0.4
        assert 0.002 < label[3] < 0.007
        assert math.isnan(label[4])
        for share, size in zip(label[:2], found.pictures[0].shape, strict=True):
            assert share == 1 or round(share * size, 6) in (160, 192, 224)
