"""Whether two cines may be compared pixel by pixel, and over which part of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.cine import Cine, LazyFrames

LARGEST_CROP = 7
"""What is left over at most when an image is cut to a multiple of a scale of up to 8."""
LARGEST_OFFSET_PX = 0.1


def crop_to_candidate(reference: Cine, candidate: Cine) -> tuple[Cine, tuple[str, ...]]:
    """The part of the reference that the candidate covers, and what a reader should know about it.

    Degrading cuts up to seven rows and columns at the lower and right edge, so that the result of
    upscaling again is that much smaller. Everything else of another size is refused, never resized.

    Args:
        reference: What the candidate should look like.
        candidate: A cine with as many phases and slices.

    Raises:
        UnfitImageError: Sizes do not fit, or a smaller candidate does not start at the same voxel.
    """
    if candidate.shape == reference.shape:
        return reference, _offset_notes(reference, candidate)
    missing = [ours - theirs for ours, theirs in zip(reference.shape, candidate.shape, strict=True)]
    if missing[:2] != [0, 0] or not all(0 <= pixels <= LARGEST_CROP for pixels in missing[2:]):
        raise _unfit(reference, candidate, "the same size")
    rows, columns = candidate.shape[2:]
    offset = _offset_px(reference, candidate)
    if offset is not None and offset > LARGEST_OFFSET_PX:
        raise _unfit(reference, candidate, "the same first voxel and pixel spacing")
    note = (
        f"The candidate is {missing[2]} rows and {missing[3]} columns smaller: the reference was "
        f"cut at its lower and right edge to {rows} rows and {columns} columns."
    )
    if offset is None:
        note += " Without a known geometry on both it is assumed that they start at the same pixel."

    def read(time: int, slice_index: int) -> NDArray[Any]:
        return reference.frame(time, slice_index)[:rows, :columns]

    cropped = Cine(
        LazyFrames(candidate.shape, reference.dtype, read),
        reference.geometry,
        times_ms=reference.times_ms,
        name=reference.name,
    )
    return cropped, (note,)


def _offset_px(reference: Cine, candidate: Cine) -> float | None:
    """Largest distance between corners of the two grids, in reference pixels, where known."""
    ours, theirs = reference.geometry, candidate.geometry
    if not (ours.is_known and theirs.is_known):
        return None
    rows, columns = candidate.shape[2:]
    apart = ours.edges_mm(rows, columns) - theirs.edges_mm(rows, columns)
    return float(np.linalg.norm(apart, axis=-1).max() / min(ours.spacing_mm[:2]))


def _offset_notes(reference: Cine, candidate: Cine) -> tuple[str, ...]:
    offset = _offset_px(reference, candidate)
    if offset is None or offset <= LARGEST_OFFSET_PX:
        return ()
    return (
        f"The positions differ by up to {offset:.2f} pixels between {reference.name} and "
        f"{candidate.name}: their files place the pixels elsewhere in the patient. Pixels were "
        "compared by index.",
    )


def _described(cine: Cine) -> str:
    time, slices, rows, columns = cine.shape
    column_mm, row_mm, _ = cine.geometry.spacing_mm
    first = ", ".join(f"{place:.2f}" for place in cine.geometry.positions_mm[0])
    place = (
        f"pixels of {row_mm:.4g} x {column_mm:.4g} mm from ({first}) mm"
        if cine.geometry.is_known
        else "geometry not known"
    )
    return (
        f"{cine.name} has {time} phases x {slices} slices of {rows} rows x {columns} columns, "
        f"{place}"
    )


def _unfit(reference: Cine, candidate: Cine, expected: str) -> UnfitImageError:
    hint = "Compare images on the same grid: degrade the reference, upscale that, evaluate this."
    ratio, rest = divmod(reference.shape[3], candidate.shape[3])
    if rest <= LARGEST_CROP and ratio > 1 and reference.shape[2] // candidate.shape[2] == ratio:
        hint = f"The candidate looks like a low-resolution image: upscale it by {ratio} first."
    elif candidate.shape[3] > reference.shape[3]:
        hint = (
            "The candidate is larger: degrade the reference first, upscale that, and evaluate the "
            "result against the reference."
        )
    return UnfitImageError(
        f"The two cannot be compared: {_described(reference)}; {_described(candidate)}. "
        f"Expected {expected}.",
        hint=hint,
    )
