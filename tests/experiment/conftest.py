"""A tiny experiment, run once."""

import json
import os
from pathlib import Path

import pytest

from cinesr.experiment.config import ExperimentConfig, read_experiment
from cinesr.imaging.files import save
from cinesr.imaging.phantom import make_phantom

# As in tests/learning: both are read once, when Keras and JAX are imported.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

CONFIG = """
name = "tiny"

[data]
folder = "people"
splits = "splits.json"

[network]
filters = 4
blocks = 1

[optimisation]
epochs = 2
steps_per_epoch = 2
batch_size = 2
crop = 32
warmup_steps = 1
validation_slices = 1

[grid]
"loss.name" = ["mse"]
"network.upsampling" = ["transposed", "nearest"]

[evaluation]
masks = "masks"
repeat = {network = "mse-nearest", seed = 1}
"""


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five people, masks for one of them, and `tiny.toml`."""
    folder = tmp_path_factory.mktemp("bench")
    for seed in range(5):
        phantom = make_phantom(size=64, slices=2, phases=1, seed=seed)
        save(phantom, folder / "people" / f"p{seed}.nii.gz")
    mask = phantom.frames * 0
    mask[..., 30:36, 28:34] = 1
    save(phantom.with_frames(mask, phantom.geometry, None), folder / "masks" / "p4.nii.gz")
    splits = {"train": ["p0", "p1"], "validation": ["p2"], "test": ["p3", "p4"]}
    (folder / "splits.json").write_text(json.dumps(splits))
    (folder / "tiny.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="session")
def tiny(bench: Path) -> ExperimentConfig:
    return read_experiment(bench / "tiny.toml", output=bench / "out")
