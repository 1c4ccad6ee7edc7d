"""A running server for the tests of one file, and scans to open."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cinesr.degradation import degrade
from cinesr.imaging.files import save
from cinesr.imaging.phantom import make_phantom
from model_cases import write_model
from viewer_cases import Page, running


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's own: `twice`, which is bicubic, and `shifted`, whose results fail their checks."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "twice.onnx", scale=2)
    write_model(folder / "shifted.onnx", "shifted", scale=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CINESR_MODELS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def page(models: Path) -> Iterator[Page]:
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`truth.nii.gz`, 3 phases of 2 slices of 64x64, and `low.nii.gz`, half of that."""
    folder = tmp_path_factory.mktemp("scans")
    truth = make_phantom(size=64, slices=2, phases=3)
    save(truth, folder / "truth.nii.gz")
    save(degrade(truth, method="kspace", scale=2), folder / "low.nii.gz")
    return folder
