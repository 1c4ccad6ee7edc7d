"""Where pixels lie in the patient: the one place for affines, spacing and resampling grids.

All coordinates are DICOM patient coordinates (LPS: x to the left, y to the back, z to the head),
in millimetres, of pixel centres (DICOM PS3.3, C.7.6.2.1.1). Indices run over (column, row, slice).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cinesr.errors import UnfitImageError

EVEN_SPACING_TOLERANCE_MM = 1e-2
"""Slice positions written with two or three decimals still count as evenly spaced."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a stack of parallel slices.

    Args:
        directions: (3, 3); the columns are the unit vectors along which the column, row and slice
            index grow.
        spacing_mm: Steps along the column, row and slice index, in millimetres. DICOM's
            PixelSpacing has the first two the other way round.
        positions_mm: (slices, 3); centre of the first voxel of each slice. Slices need not be
            evenly spaced.
        is_known: False where the file holds no spacing and 1 mm is assumed.
        is_placed: False where the file does not say where in the patient it lies.
    """

    directions: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    positions_mm: NDArray[np.float64]
    is_known: bool = True
    is_placed: bool = True

    def __post_init__(self) -> None:
        directions = np.asarray(self.directions, dtype=np.float64)
        positions = np.atleast_2d(np.asarray(self.positions_mm, dtype=np.float64))
        spacing = tuple(float(step) for step in self.spacing_mm)
        if directions.shape != (3, 3) or positions.shape[1:] != (3,) or len(spacing) != 3:
            raise ValueError("directions are (3, 3), positions (slices, 3), spacing 3 numbers")
        finite = all(np.isfinite(part).all() for part in (directions, positions, spacing))
        if not finite or min(spacing) <= 0 or abs(np.linalg.det(directions)) < 1e-6:
            raise UnfitImageError(
                f"The geometry makes no sense: spacing {spacing} mm, directions "
                f"{np.round(directions, 4).tolist()}; expected positive spacing along three "
                "independent directions.",
                hint="Name the in-plane spacing with --spacing ROW,COLUMN.",
            )
        object.__setattr__(self, "directions", directions)
        object.__setattr__(self, "spacing_mm", spacing)
        object.__setattr__(self, "positions_mm", positions)

    @classmethod
    def from_affine(
        cls, affine: ArrayLike, *, slices: int, is_known: bool = True, is_placed: bool = True
    ) -> Geometry:
        """Reads a grid of evenly spaced slices from its affine.

        Args:
            affine: (4, 4); index (column, row, slice) to LPS millimetres.
            slices: How many slices the stack holds.
            is_known: False where the affine is assumed rather than read.
            is_placed: False where its place in the patient is.
        """
        matrix = np.asarray(affine, dtype=np.float64)
        steps = np.linalg.norm(matrix[:3, :3], axis=0)
        if not np.isfinite(steps).all() or steps.min() <= 0:
            raise UnfitImageError(
                f"The geometry makes no sense: steps of {steps.tolist()} mm; expected three "
                "positive steps.",
                hint="Name the in-plane spacing with --spacing ROW,COLUMN.",
            )
        positions = matrix[:3, 3] + np.arange(slices)[:, None] * matrix[:3, 2]
        spacing = (float(steps[0]), float(steps[1]), float(steps[2]))
        return cls(matrix[:3, :3] / steps, spacing, positions, is_known, is_placed)

    @classmethod
    def assumed(cls, *, slices: int = 1) -> Geometry:
        """1 mm pixels at the origin, marked as not known: for files that hold no geometry."""
        return cls.from_affine(np.eye(4), slices=slices, is_known=False, is_placed=False)

    @property
    def slices(self) -> int:
        """How many slices the stack holds."""
        return len(self.positions_mm)

    @property
    def is_evenly_spaced(self) -> bool:
        """Whether one affine describes all slices, to within 0.01 mm."""
        steps = np.arange(self.slices)[:, None] * self._slice_step()
        error = self.positions_mm - self.positions_mm[0] - steps
        return bool(np.abs(error).max() <= EVEN_SPACING_TOLERANCE_MM)

    def _slice_step(self) -> NDArray[np.float64]:
        return np.asarray(self.directions[:, 2] * self.spacing_mm[2])

    def affine(self, slice_index: int = 0) -> NDArray[np.float64]:
        """The (4, 4) affine from (column, row, slices on from `slice_index`) to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.directions * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.positions_mm[slice_index]
        return matrix

    def upscaled(self, scale: int) -> Geometry:
        """The grid with `scale` times as many pixels in each in-plane direction, same extent.

        The outer edges of the image stay where they are, so the centre of the first pixel moves by
        (1 / scale - 1) / 2 old pixels along each in-plane axis: -0.375 at x4.
        """
        return self._with_pixels_of(1.0 / scale)

    def downscaled(self, scale: int) -> Geometry:
        """The grid with `scale` times fewer pixels in each in-plane direction, same extent."""
        return self._with_pixels_of(float(scale))

    def _with_pixels_of(self, ratio: float) -> Geometry:
        column_mm, row_mm, slice_mm = self.spacing_mm
        shift = (ratio - 1.0) / 2.0
        offset = self.directions[:, :2] @ np.array([column_mm * shift, row_mm * shift])
        return replace(
            self,
            spacing_mm=(column_mm * ratio, row_mm * ratio, slice_mm),
            positions_mm=self.positions_mm + offset,
        )

    def resampled(
        self, shape: tuple[int, int], new_shape: tuple[int, int], spacing_mm: float
    ) -> Geometry:
        """The grid with square pixels of another size in the plane; the middle stays where it is.

        Args:
            shape: (rows, columns) of this grid.
            new_shape: (rows, columns) of the new one.
            spacing_mm: Of the new pixels.
        """
        column_mm, row_mm, slice_mm = self.spacing_mm
        shifts = [
            ((size - 1) * old_mm - (new - 1) * spacing_mm) / 2
            for size, new, old_mm in zip(
                reversed(shape), reversed(new_shape), (column_mm, row_mm), strict=True
            )
        ]
        return replace(
            self,
            spacing_mm=(spacing_mm, spacing_mm, slice_mm),
            positions_mm=self.positions_mm + self.directions[:, :2] @ np.array(shifts),
        )

    def with_in_plane_spacing(self, row_mm: float, column_mm: float) -> Geometry:
        """The same grid with the in-plane spacing that a user named; the first centre stays."""
        return replace(self, spacing_mm=(column_mm, row_mm, self.spacing_mm[2]), is_known=True)

    def edges_mm(self, rows: int, columns: int) -> NDArray[np.float64]:
        """The four outer corners of each slice, (slices, 4, 3), in LPS millimetres.

        Corners of pixels, not centres: this is the physical extent that resampling must keep.
        """
        corners = np.array(
            [[c, r] for r in (-0.5, rows - 0.5) for c in (-0.5, columns - 0.5)], dtype=np.float64
        )
        in_plane = self.directions[:, :2] * np.asarray(self.spacing_mm[:2])
        return np.asarray(self.positions_mm[:, None, :] + corners @ in_plane.T)

    def is_close(self, other: Geometry, *, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids put their voxels in the same places, to within `tolerance_mm`."""
        return (
            self.slices == other.slices
            and np.allclose(self.positions_mm, other.positions_mm, rtol=0, atol=tolerance_mm)
            and np.allclose(
                self.affine()[:3, :2], other.affine()[:3, :2], rtol=0, atol=tolerance_mm / 100
            )
        )
