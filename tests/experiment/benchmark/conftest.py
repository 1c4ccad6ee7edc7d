"""A folder with slices, masks and DICOM of three people."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dicom_cases
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.phantom import make_phantom

SIZE = 64
PEOPLE = ("anna", "ben")
LEARNED_FROM = "carl"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with a few slices each, one of them with a mask and with DICOM."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate((*PEOPLE, LEARNED_FROM)):
        (folder / "slices" / name).mkdir(parents=True)
        cine = make_phantom(size=SIZE, slices=6 + seed, phases=1, seed=seed)
        frames = IntensityRule.of(cine).apply(np.asarray(cine.frames))
        for index, frame in enumerate(np.clip(frames[0] * 200, 0, 255).astype(np.uint8)):
            Image.fromarray(frame).save(folder / "slices" / name / f"IM-{index}.png")
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[28:36, 20:30] = 255
    (folder / "masks" / "anna").mkdir(parents=True)
    Image.fromarray(mask).save(folder / "masks" / "anna" / "IM-0.png")
    dicom_cases.write_cine_series(
        folder / "dicom" / "ben", slices=2, phases=6, rows=SIZE, columns=SIZE
    )
    split = {"train": [LEARNED_FROM], "validation": PEOPLE, "test": []}
    (folder / "splits.json").write_text(json.dumps(split))
    return folder
