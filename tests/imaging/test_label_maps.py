"""Label maps are told from pictures by their values and areas; names are hints."""

import numpy as np
import pytest

from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.label_maps import labels_of
from cinesr.imaging.phantom import make_phantom


def cine(frames: np.ndarray, name: str = "scan.nii.gz") -> Cine:
    return Cine(frames, Geometry.assumed(slices=frames.shape[1]), name=name)


def discs(labels: tuple[float, ...], dtype: str = "uint8", slices: int = 3) -> np.ndarray:
    """Nested discs, the first label around them; the first slice is empty."""
    rows, columns = np.mgrid[:64, :72]
    distance = np.hypot(rows - 30, columns - 40)
    frames = np.full((2, slices, 64, 72), labels[0], dtype)
    for number, label in enumerate(labels[1:]):
        frames[:, 1:, distance < 28 - 3 * number] = label
    return frames


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        ((0, 1, 2, 3), "uint8"),
        ((0, 1, 2, 3), "float64"),
        ((0, 255), "uint8"),
        ((0, 1), "int16"),
        ((0, 3, 1, 2, 15, 5, 6, 7), "uint16"),
    ],
)
def test_few_whole_values_in_even_areas_are_labels(labels, dtype: str) -> None:
    assert labels_of(cine(discs(labels, dtype))) == tuple(sorted(labels))


@pytest.mark.parametrize(
    "name",
    ["p1_gt.nii.gz", "p1_seg.nii", "SEG.npy", "labels/p1.nii.gz", "p-mask.png", "p.label.nii"],
)
def test_a_name_allows_more_and_other_labels(name: str) -> None:
    heart = (0, 205, 420, 500, 550, 600, 820, 850, 900)

    assert labels_of(cine(discs(heart, "int16"))) == ()
    assert labels_of(cine(discs(heart, "int16"), name)) == heart


@pytest.mark.parametrize("name", ["scan_gt.nii.gz", "segment.nii", "target_hr.npy"])
def test_a_name_does_not_make_labels_of_a_picture(name: str) -> None:
    phantom = make_phantom(size=64, phases=2, slices=2)

    assert labels_of(cine(np.asarray(phantom.frames), name)) == ()


@pytest.mark.parametrize(
    "frames",
    [
        discs((0, 0.5, 1), "float32"),
        discs((0, 4095), "uint16"),
        discs((0, 100), "uint16"),
        discs((0, 128, 255), "uint8"),
        discs((-1000, 1000), "int16"),
        np.full((1, 1, 20, 20), 3, "uint8"),
        np.arange(6, dtype="uint8").reshape(6, 1, 1, 1) * np.ones((20, 20), "uint8"),
        np.random.default_rng(0).integers(0, 4, (1, 1, 40, 40)).astype("uint8"),
        np.full((1, 1, 20, 20), np.nan, "float32"),
    ],
)
def test_anything_else_is_no_label_map(frames: np.ndarray) -> None:
    assert labels_of(cine(frames)) == ()


def test_one_frame_is_read_of_a_picture() -> None:
    asked = []

    def read(time: int, slice_index: int) -> np.ndarray:
        asked.append((time, slice_index))
        return np.arange(400, dtype="uint16").reshape(20, 20)

    lazy = Cine(LazyFrames((5, 4, 20, 20), "uint16", read), Geometry.assumed(slices=4))

    assert labels_of(lazy) == ()
    assert asked == [(0, 0)]
