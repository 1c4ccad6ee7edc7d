"""Small networks, small scans, and Keras on JAX."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cinesr.imaging.cine import Cine
from cinesr.imaging.files import save
from cinesr.imaging.phantom import make_phantom
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    LossConfig,
    NetworkConfig,
    OptimisationConfig,
    TrainingConfig,
)

# Both are read once, when Keras and JAX are imported. Compiling without optimisation takes half as
# long, and these networks run for milliseconds.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five people, as NIfTI files: 2 slices of 48x48 each."""
    folder = tmp_path_factory.mktemp("people")
    for seed in range(5):
        phantom: Cine = make_phantom(size=48, slices=2, phases=1, seed=seed)
        save(phantom, folder / f"person.{seed}.nii.gz")
    return folder


@pytest.fixture
def tiny(scans: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    """Makes a configuration that trains in seconds; sections can be given."""

    def make(**sections: object) -> TrainingConfig:
        values: dict[str, object] = {
            "name": "tiny",
            "output": str(tmp_path / "run"),
            "data": DataConfig(str(scans)),
            "seed": 3,
            "degradation": DegradationConfig(("bicubic",)),
            "network": NetworkConfig("residual", scale=2, filters=4, blocks=1),
            "loss": LossConfig("mae"),
            "optimisation": OptimisationConfig(
                epochs=2,
                steps_per_epoch=3,
                batch_size=2,
                crop=16,
                learning_rate=1e-3,
                warmup_steps=1,
                validation_slices=2,
            ),
        }
        return TrainingConfig(**(values | sections))  # type: ignore[arg-type]

    return make
