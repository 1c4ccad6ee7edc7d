"""What all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# onnxruntime, an independent check of exported files, would send usage statistics.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# A busy machine takes its time.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

SCD = Path(__file__).parents[1].parent / "shared" / "data" / "scd"
WEIGHTS = SCD.parents[1] / "weights"


@pytest.fixture(scope="session")
def scd() -> Path:
    """The folder of real scans (Sunnybrook Cardiac Data)."""
    if not SCD.is_dir():
        pytest.skip("the Sunnybrook scans are not at ../shared/data/scd")
    return SCD


@pytest.fixture(scope="session")
def pretrained_weights() -> Path:
    """The folder of published VGG16 and LPIPS numbers."""
    if not WEIGHTS.is_dir():
        pytest.skip("the pretrained weights are not at ../shared/weights")
    return WEIGHTS
