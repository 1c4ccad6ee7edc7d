"""Whether two cines may be compared voxel by voxel, and over which part of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinesr.errors import UnfitImageError
from cinesr.evaluation.common_grid import Overlap, overlap, part, same_steps, turned
from cinesr.imaging.cine import Cine

LARGEST_CROP = 7
"""What is left over at most when an image is cut to a multiple of a scale of up to 8."""
LARGEST_OFFSET_PX = 0.1
LARGEST_SLIP_PX = 1.0
"""Images of one size that lie so far apart are compared by index: programs disagree on where the
first pixel lies, by half a pixel or a whole one, and the measured shift shows who is right."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two cines of one shape, voxel by voxel in the same place.

    Args:
        reference: The part of it that both cover.
        candidate: The same part, its axes as the reference's.
        slices: Which slices of the whole reference these are.
        rows: Which rows.
        columns: Which columns.
        notes: What a reader of a comparison should know.
    """

    reference: Cine
    candidate: Cine
    slices: tuple[int, ...]
    rows: slice
    columns: slice
    notes: tuple[str, ...] = ()


def paired(reference: Cine, candidate: Cine) -> Pair:
    """Brings two cines together in the patient, by exchanging axes and cutting, never resampling.

    Where one of them does not say where it lies, pixels are paired by index.

    Args:
        reference: What the candidate should look like.
        candidate: A cine with as many phases.

    Raises:
        UnfitImageError: They do not overlap, or their grids do not coincide.
    """
    notes: tuple[str, ...] = ()
    if reference.geometry.is_placed and candidate.geometry.is_placed:
        candidate, notes = _turned(reference, candidate)
        if candidate.shape != reference.shape or not _lie_together(reference, candidate):
            return _where_both_are(reference, candidate, notes)
    cropped, more = crop_to_candidate(reference, candidate)
    rows, columns = cropped.shape[2:]
    every = tuple(range(cropped.shape[1]))
    return Pair(cropped, candidate, every, slice(0, rows), slice(0, columns), (*notes, *more))


def require_same_place(reference: Cine, mask: Cine) -> Cine:
    """A mask with its axes as the reference's.

    Args:
        reference: The image.
        mask: Of it.

    Raises:
        UnfitImageError: Both say where they lie, and it is not the same place.
    """
    if not (reference.geometry.is_placed and mask.geometry.is_placed):
        return mask
    mask, _ = _turned(reference, mask)
    if mask.shape[1:] == reference.shape[1:] and not _lie_together(reference, mask):
        raise _unfit(reference, mask, "a mask in the same place", hint=_RESAMPLE)
    return mask


def _lie_together(reference: Cine, other: Cine) -> bool:
    """Whether two images of one size may be compared by index."""
    offset = _offset_px(reference, other)
    return offset is None or offset <= LARGEST_SLIP_PX


def _turned(reference: Cine, candidate: Cine) -> tuple[Cine, tuple[str, ...]]:
    found = turned(candidate, reference.geometry)
    if found is None:
        raise _unfit(reference, candidate, "planes in the same directions", hint=_RESAMPLE)
    if found is candidate:
        return candidate, ()
    note = (
        f"The axes of {candidate.name} run otherwise than those of {reference.name}: its voxels "
        "were taken in the reference's order, none was resampled."
    )
    return found, (note,)


_RESAMPLE = (
    "Nothing is resampled here. Compare images on the same grid: degrade the reference, upscale "
    "that, evaluate this; or resample one onto the other's grid first."
)


def _where_both_are(reference: Cine, candidate: Cine, notes: tuple[str, ...]) -> Pair:
    if reference.shape[0] != candidate.shape[0]:
        raise _unfit(reference, candidate, "as many phases")
    if not same_steps(reference, candidate, LARGEST_OFFSET_PX):
        raise _unfit(reference, candidate, "the same pixel spacing and directions")
    shared = overlap(reference, candidate, LARGEST_OFFSET_PX)
    if shared is None:
        raise _unfit(reference, candidate, "pixels in the same places", hint=_RESAMPLE)
    if shared.is_empty:
        raise _unfit(
            reference,
            candidate,
            "images that overlap in the patient, plane on plane",
            hint="Check that both are of one scan, in one frame of reference.",
        )
    ours, theirs = ([pair[side] for pair in shared.slices] for side in (0, 1))
    (row, their_row, rows), (column, their_column, columns) = shared.rows, shared.columns
    window = slice(row, row + rows), slice(column, column + columns)
    their_window = slice(their_row, their_row + rows), slice(their_column, their_column + columns)
    return Pair(
        part(reference, ours, *window),
        part(candidate, theirs, *their_window),
        tuple(ours),
        *window,
        (*notes, _overlap_note(reference, candidate, shared)),
    )


def _overlap_note(reference: Cine, candidate: Cine, shared: Overlap) -> str:
    (row, their_row, rows), (column, their_column, columns) = shared.rows, shared.columns
    sizes = candidate.shape[2:]
    starts_together = not any((row, column, their_row, their_column))
    if starts_together and (rows, columns) == sizes and len(shared.slices) == reference.shape[1]:
        missing = [ours - theirs for ours, theirs in zip(reference.shape[2:], sizes, strict=True)]
        return (
            f"The candidate is {missing[0]} rows and {missing[1]} columns smaller: the reference "
            f"was cut at its lower and right edge to {rows} rows and {columns} columns."
        )
    _, slices, all_rows, all_columns = reference.shape
    return (
        f"{reference.name} and {candidate.name} cover different parts of the patient: compared "
        f"where both are, {len(shared.slices)} of {slices} slices, {rows} of {all_rows} rows and "
        f"{columns} of {all_columns} columns of the reference."
    )


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

    every = list(range(reference.shape[1]))
    cropped = part(reference, every, slice(0, rows), slice(0, columns))
    return cropped, (note,)


def _offset_px(reference: Cine, candidate: Cine) -> float | None:
    """Largest distance between corners of the two grids, in reference pixels, where known."""
    ours, theirs = reference.geometry, candidate.geometry
    if not (ours.is_placed and theirs.is_placed):
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
        if cine.geometry.is_placed
        else "place in the patient not known"
    )
    return (
        f"{cine.name} has {time} phases x {slices} slices of {rows} rows x {columns} columns, "
        f"{place}"
    )


def _unfit(reference: Cine, candidate: Cine, expected: str, *, hint: str = "") -> UnfitImageError:
    hint = hint or _other_size_hint(reference, candidate)
    return UnfitImageError(
        f"The two cannot be compared: {_described(reference)}; {_described(candidate)}. "
        f"Expected {expected}.",
        hint=hint,
    )


def _other_size_hint(reference: Cine, candidate: Cine) -> str:
    hint = "Compare images on the same grid: degrade the reference, upscale that, evaluate this."
    ratio, rest = divmod(reference.shape[3], candidate.shape[3])
    if rest <= LARGEST_CROP and ratio > 1 and reference.shape[2] // candidate.shape[2] == ratio:
        hint = f"The candidate looks like a low-resolution image: upscale it by {ratio} first."
    elif candidate.shape[3] > reference.shape[3]:
        hint = (
            "The candidate is larger: degrade the reference first, upscale that, and evaluate the "
            "result against the reference."
        )
    return hint
