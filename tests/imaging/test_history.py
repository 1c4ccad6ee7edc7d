"""What was done to an image is known again after it was written and read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dicom_cases
from cinesr.degradation import degrade
from cinesr.imaging.cine import Cine, Derivation
from cinesr.imaging.files import load, save
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.history import Step, last_step


def still() -> Cine:
    frames = np.random.default_rng(0).integers(0, 4000, (1, 1, 16, 24)).astype(np.uint16)
    return Cine(frames, Geometry.assumed())


def super_resolved(cine: Cine) -> Cine:
    return replace(cine, derivation=Derivation("super-resolved x2", "by a model"))


def test_an_original_has_no_history(tmp_path: Path) -> None:
    assert last_step(still()) is None
    for name in ("a.png", "a.tif", "a.nii", "a.npy"):
        save(still(), tmp_path / name)
        assert last_step(load(tmp_path / name)) is None
    assert last_step(load(dicom_cases.write_cine_series(tmp_path / "scan"))) is None
    other = replace(still(), derivation=Derivation("cropped", "by hand"))
    assert last_step(other) is None


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.nii", "a.nii.gz"])
def test_the_last_step_travels_in_the_file(tmp_path: Path, name: str) -> None:
    low = degrade(still(), method="kspace", scale=2)
    assert last_step(low) == Step(2, "kspace")
    save(low, tmp_path / name)
    read = load(tmp_path / name)
    assert last_step(read) == Step(2, "kspace")
    assert last_step(super_resolved(read)) == Step(2)
    save(super_resolved(read), tmp_path / f"b{name}")
    assert last_step(load(tmp_path / f"b{name}")) == Step(2)


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_dicom_keeps_the_newest_in_front(tmp_path: Path, kind: str) -> None:
    write = dicom_cases.write_cine_series if kind == "classic" else dicom_cases.write_enhanced
    low = degrade(load(write(tmp_path / "scan")), method="thesis", scale=4)
    save(low, tmp_path / "low")
    read = load(tmp_path / "low")
    assert last_step(read) == Step(4, "thesis")
    save(super_resolved(read), tmp_path / "high")
    assert last_step(load(tmp_path / "high")) == Step(2)


def test_an_array_tells_nothing(tmp_path: Path) -> None:
    save(degrade(still(), scale=2), tmp_path / "a.npy")
    assert last_step(load(tmp_path / "a.npy")) is None
