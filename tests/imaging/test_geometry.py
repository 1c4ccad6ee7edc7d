"""Properties of grids: oblique, non-square, unevenly spaced, left- and right-handed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from cinesr.errors import UnfitImageError
from cinesr.imaging.geometry import Geometry

steps_mm = st.floats(0.2, 12.0)
scales = st.integers(2, 8)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    directions = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    directions[:, 2] *= draw(st.sampled_from([1.0, -1.0]))
    spacing = draw(st.tuples(steps_mm, steps_mm, steps_mm))
    origin = draw(arrays(float, 3, elements=st.floats(-400, 400)))
    heights = np.cumsum(draw(st.lists(st.floats(0.5, 15.0), min_size=1, max_size=5)))
    positions = origin + heights[:, None] * directions[:, 2]
    return Geometry(directions, spacing, positions)


@given(geometries(), scales)
def test_upscaling_then_downscaling_changes_nothing(geometry: Geometry, scale: int) -> None:
    back = geometry.upscaled(scale).downscaled(scale)

    np.testing.assert_allclose(back.positions_mm, geometry.positions_mm, atol=1e-9)
    np.testing.assert_allclose(back.affine(), geometry.affine(), atol=1e-9)
    assert back.is_close(geometry)


@given(geometries(), scales, st.integers(1, 300), st.integers(1, 300))
def test_upscaling_keeps_the_outer_edges(
    geometry: Geometry, scale: int, rows: int, columns: int
) -> None:
    np.testing.assert_allclose(
        geometry.upscaled(scale).edges_mm(rows * scale, columns * scale),
        geometry.edges_mm(rows, columns),
        atol=1e-8,
    )


@given(geometries())
def test_the_first_voxel_moves_by_three_eighths_of_a_pixel_at_x4(geometry: Geometry) -> None:
    for slice_index in range(geometry.slices):
        centre = geometry.upscaled(4).positions_mm[slice_index]
        index = np.linalg.inv(geometry.affine(slice_index)) @ [*centre, 1.0]
        np.testing.assert_allclose(index, [-0.375, -0.375, 0.0, 1.0], atol=1e-9)


def test_upscaling_a_known_grid_gives_known_numbers() -> None:
    """The formula of the design, worked out by hand for 2 mm columns and 4 mm rows."""
    geometry = Geometry(np.eye(3), (2.0, 4.0, 8.0), [[10.0, 20.0, 30.0]])

    upscaled = geometry.upscaled(4)

    assert upscaled.spacing_mm == (0.5, 1.0, 8.0)
    np.testing.assert_allclose(upscaled.positions_mm, [[10.0 - 0.75, 20.0 - 1.5, 30.0]])


def test_edges_are_corners_of_pixels_not_centres() -> None:
    geometry = Geometry(np.eye(3), (2.0, 4.0, 8.0), [[0.0, 0.0, 0.0]])

    np.testing.assert_allclose(
        geometry.edges_mm(rows=3, columns=5)[0],
        [[-1, -2, 0], [9, -2, 0], [-1, 10, 0], [9, 10, 0]],
    )


@given(geometries(), st.integers(1, 6))
def test_an_affine_comes_back(geometry: Geometry, slices: int) -> None:
    again = Geometry.from_affine(geometry.affine(), slices=slices)

    np.testing.assert_allclose(again.affine(), geometry.affine(), atol=1e-9)
    assert again.slices == slices
    assert again.is_evenly_spaced
    assert again.is_known


def test_each_slice_has_its_own_affine() -> None:
    geometry = Geometry(np.eye(3), (1, 1, 5), [[0, 0, 0], [0, 0, 5], [0, 0, 17]])

    assert not geometry.is_evenly_spaced
    np.testing.assert_allclose(geometry.affine(2)[:3, 3], [0, 0, 17])


def test_positions_rounded_to_two_decimals_still_count_as_even() -> None:
    heights = np.round(np.arange(12) * 9.998, 2)
    geometry = Geometry(np.eye(3), (1, 1, 9.998), np.outer(heights, [0, 0, 1]))

    assert geometry.is_evenly_spaced


def test_spacing_that_a_user_names_is_row_then_column() -> None:
    geometry = Geometry.assumed(slices=2)
    named = geometry.with_in_plane_spacing(1.5, 0.7)

    assert not geometry.is_known
    assert named.is_known
    assert named.spacing_mm == (0.7, 1.5, 1.0)
    np.testing.assert_array_equal(named.positions_mm, geometry.positions_mm)


def test_grids_are_close_only_where_every_voxel_is() -> None:
    geometry = Geometry(np.eye(3), (1, 1, 8), [[0, 0, 0], [0, 0, 8]])
    turned = Rotation.from_euler("z", 0.1, degrees=True).as_matrix()

    assert geometry.is_close(Geometry(np.eye(3), (1, 1, 8), [[0, 0, 0], [0, 0, 8.0005]]))
    assert not geometry.is_close(Geometry(np.eye(3), (1, 1, 8), [[0, 0, 0], [0, 0, 8.01]]))
    assert not geometry.is_close(Geometry(turned, (1, 1, 8), [[0, 0, 0], [0, 0, 8]]))
    assert not geometry.is_close(Geometry(np.eye(3), (1, 1, 8), [[0, 0, 0]]))


@pytest.mark.parametrize(
    ("spacing", "directions"),
    [
        ((0.0, 1.0, 1.0), np.eye(3)),
        ((1.0, -1.0, 1.0), np.eye(3)),
        ((1.0, np.nan, 1.0), np.eye(3)),
        ((1.0, 1.0, 1.0), np.ones((3, 3))),
    ],
)
def test_a_grid_that_makes_no_sense_asks_for_the_spacing(spacing, directions) -> None:
    with pytest.raises(UnfitImageError, match="--spacing ROW,COLUMN"):
        Geometry(directions, spacing, np.zeros((1, 3)))


@pytest.mark.parametrize("bad", [0.0, np.inf, np.nan])
def test_an_affine_without_steps_asks_for_the_spacing(bad: float) -> None:
    with pytest.raises(UnfitImageError, match="--spacing ROW,COLUMN"):
        Geometry.from_affine(np.diag([bad, 1, 1, 1]), slices=1)


def test_arrays_of_the_wrong_shape_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="positions"):
        Geometry(np.eye(3), (1, 1, 1), np.zeros((2, 2)))
