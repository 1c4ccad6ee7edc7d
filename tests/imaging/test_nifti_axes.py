"""Slices along any axis of a NIfTI file: found, upscaled in their planes, written back in order."""

from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cinesr.errors import UnfitImageError
from cinesr.imaging import nifti
from cinesr.imaging.cine import Cine, Derivation
from cinesr.imaging.geometry import Geometry

SHAPE = (9, 7, 3, 4)
"""Columns, rows, slices, phases."""


def oblique(steps: tuple[float, ...] = (1.3, 0.9, 8.0)) -> np.ndarray:
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    affine[:3, :3] = turned * np.array(steps)
    affine[:3, 3] = [-91.5, 40.25, 133.0]
    return affine


def voxels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 100, shape).astype("int16")


def saved(path: Path, data: np.ndarray, affine: np.ndarray, *, slice_axis: int | None = None):
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_dim_info(slice=slice_axis)
    nib.save(image, path)
    return path


def turned(path: Path, target: Path, order: tuple[int, ...], flips: tuple[int, ...] = (1, 1, 1)):
    """The same scan by nibabel, its axes in another order."""
    places = np.argsort(order)
    orientation = [[places[axis], flips[axis]] for axis in range(3)]
    image = nib.load(path).as_reoriented(np.array(orientation))
    image.set_qform(image.affine, 1)  # nibabel puts the sform right alone.
    nib.save(image, target)
    return target


def upscaled(cine: Cine, scale: int = 4) -> Cine:
    frames = np.asarray(cine.frames).repeat(scale, axis=2).repeat(scale, axis=3)
    return cine.with_frames(frames, cine.geometry.upscaled(scale), Derivation("x4", "by a test"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_turned_file_gives_the_turned_result(tmp_path: Path, order, flips, name: str) -> None:
    path = saved(tmp_path / f"plain_{name}", voxels(), oblique())
    (plain,) = nifti.read(path)
    nifti.write(upscaled(plain), tmp_path / f"plain_high_{name}")
    other = turned(path, tmp_path / f"turned_{name}", order, flips)

    (cine,) = nifti.read(other)
    nifti.write(upscaled(cine), tmp_path / name)

    slice_axis = order.index(2)
    assert cine.shape[:2] == (4, 3)
    assert sorted(cine.shape[2:]) == [7, 9]
    assert cine.geometry.spacing_mm[2] == pytest.approx(8.0)
    assert bool(cine.notes) == (slice_axis != 2)
    expected = nib.load(
        turned(tmp_path / f"plain_high_{name}", tmp_path / f"expected_{name}", order, flips)
    )
    written = nib.load(tmp_path / name)
    assert written.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_allclose(written.get_sform(), expected.get_sform(), atol=1e-4)
    np.testing.assert_allclose(written.get_qform(), expected.get_qform(), atol=1e-4)
    np.testing.assert_allclose(written.header.get_zooms(), expected.header.get_zooms(), rtol=1e-5)
    (again,) = nifti.read(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(again.frames), np.asarray(upscaled(cine).frames))
    assert again.geometry.is_close(upscaled(cine).geometry, tolerance_mm=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slice_axis_is_written_down_for_pixels_as_far_apart_as_slices(
    tmp_path: Path, axis: int
) -> None:
    """Degraded by 8, pixels lie further apart than the slices of the same scan."""
    order = {0: (2, 0, 1), 1: (0, 2, 1), 2: (0, 1, 2)}[axis]
    path = saved(tmp_path / "a.nii", voxels((64, 48, 3, 2)), oblique((1.3, 2.6, 8.0)))
    (cine,) = nifti.read(turned(path, tmp_path / "b.nii", order))
    low = cine.with_frames(
        np.asarray(cine.frames)[..., ::8, ::8], cine.geometry.downscaled(8), Derivation("low", "")
    )

    nifti.write(low, tmp_path / "low.nii")

    (again,) = nifti.read(tmp_path / "low.nii")
    assert nib.load(tmp_path / "low.nii").header.get_dim_info()[2] == axis
    np.testing.assert_array_equal(np.asarray(again.frames), np.asarray(low.frames))


def test_a_header_left_over_from_before_the_file_was_turned_is_not_believed(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", voxels((3, 9, 7)), oblique((8.0, 1.3, 0.9)), slice_axis=2)

    (cine,) = nifti.read(path)

    assert cine.shape == (1, 3, 7, 9)
    assert cine.notes == (
        "the slices lie along the file's first axis (steps of 8 x 1.3 x 0.9 mm); the result keeps "
        "the file's order of axes",
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_header_that_names_the_slice_axis_is_believed(tmp_path: Path, axis: int) -> None:
    path = saved(tmp_path / "a.nii", voxels((5, 7, 9)), oblique((1, 1, 1)), slice_axis=axis)

    (cine,) = nifti.read(path)

    assert cine.shape == ((1, 5, 9, 7), (1, 7, 9, 5), (1, 9, 7, 5))[axis]
    assert not [note for note in cine.notes if "assumed" in note]


@pytest.mark.parametrize("steps", [(1, 1, 1), (1.2, 1, 1), (1, 1, 0.8)])
def test_voxels_that_do_not_tell_are_said_and_the_axes_can_be_named(tmp_path: Path, steps) -> None:
    path = saved(tmp_path / "a.nii", voxels((5, 7, 9)), oblique(steps))

    (assumed,) = nifti.read(path)
    (named,) = nifti.read(path, axes="zxy")

    assert assumed.shape == (1, 9, 7, 5)
    assert "the third is assumed; name the axes with --axes" in assumed.notes[0]
    assert named.shape == (1, 5, 9, 7)
    assert named.notes == ()
    nifti.write(upscaled(named), tmp_path / "b.nii")
    assert nib.load(tmp_path / "b.nii").shape == (5, 28, 36)


def test_named_rows_may_come_first(tmp_path: Path) -> None:
    data = voxels((5, 7, 9, 2))
    path = saved(tmp_path / "a.nii", data, oblique((1, 1, 1)))

    (cine,) = nifti.read(path, axes="yxzt")

    np.testing.assert_array_equal(cine.frame(1, 3), data[:, :, 3, 1])
    nifti.write(cine, tmp_path / "b.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "b.nii").dataobj), data)


def test_axes_do_not_replace_what_the_header_says(tmp_path: Path) -> None:
    (cine,) = nifti.read(saved(tmp_path / "a.nii", voxels(), oblique()), axes="zxyt")

    assert cine.shape == (4, 3, 7, 9)


@pytest.mark.parametrize("axes", ["tzyx", "xy", "xyz", "zzxy", "abc", ""])
def test_axes_that_do_not_fit_are_refused(tmp_path: Path, axes: str) -> None:
    path = saved(tmp_path / "a.nii", voxels((5, 7, 9, 2)), oblique((1, 1, 1)))

    with pytest.raises(UnfitImageError, match=r"axes were named '.*'; expected"):
        nifti.read(path, axes=axes)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 7, 9), (1, 1, 9, 7)), ((7, 1, 9, 4), (4, 1, 9, 7)), ((7, 9, 1), (1, 1, 9, 7))],
)
def test_an_axis_of_one_voxel_is_that_of_the_slice(tmp_path: Path, shape, expected) -> None:
    path = saved(tmp_path / "a.nii", voxels(shape), oblique((1.0, 1.0, 1.0)))

    (cine,) = nifti.read(path)

    assert cine.shape == expected
    nifti.write(cine, tmp_path / "b.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "b.nii").dataobj), voxels(shape))


def test_a_cine_of_other_origin_names_its_slice_axis(tmp_path: Path) -> None:
    geometry = Geometry.from_affine(oblique((5.0, 2.0, 1.0)), slices=6)
    cine = Cine(voxels((2, 6, 8, 5)), geometry)

    nifti.write(cine, tmp_path / "a.nii")

    (again,) = nifti.read(tmp_path / "a.nii")
    assert again.geometry.is_close(geometry, tolerance_mm=1e-3)
    np.testing.assert_array_equal(np.asarray(again.frames), cine.frames)
