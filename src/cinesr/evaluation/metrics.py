"""How far a picture is from its reference: one definition of each measure, in numpy and scipy.

Measures of pictures take (row, column), or a stack (..., row, column) of which they give the mean
over the frames. `evaluate` scores whole cines with all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from cinesr.errors import UnfitImageError
from cinesr.evaluation.lpips import SMALLEST_SIDE as SMALLEST_LPIPS_SIDE
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.pairing import Pair, paired, require_same_place
from cinesr.evaluation.scores import Evaluation, Fidelity, FrameScores, Scores, mean_scores
from cinesr.imaging.cine import Cine, require_cine
from cinesr.imaging.registration import subpixel_shift

BODY_THRESHOLD = 0.05
CHECKERBOARD_SCALE = 4
"""Patterns of 4 and of 2 pixels, whatever the scale of the model that made the picture."""
SSIM_SIGMA = 1.5
SSIM_RADIUS = 5

Pixels = NDArray[np.float64]
Mask = NDArray[np.bool_]
Measured = TypeVar("Measured")


def _checked_pair(
    reference: NDArray[Any], candidate: NDArray[Any], *, data_range: float = 1.0
) -> tuple[Pixels, Pixels]:
    ours, theirs = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    if ours.shape != theirs.shape or ours.ndim < 2 or ours.size == 0:
        raise UnfitImageError(
            f"Pictures of {ours.shape} and {theirs.shape} pixels were compared; expected two of "
            "the same (..., row, column) size."
        )
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise UnfitImageError(
            "A picture to compare holds NaN or infinite values; every pixel must be finite.",
            hint="Replace them first, for example with numpy.nan_to_num.",
        )
    if not (math.isfinite(data_range) and data_range > 0):
        raise UnfitImageError(
            f"The data range is {data_range:g}; expected the reference's maximum, above 0."
        )
    return ours, theirs


def _counted(values: Pixels, mask: NDArray[Any] | None) -> Iterator[Pixels]:
    """The pixels of each frame of a stack that count."""
    if mask is None:
        yield from values.reshape(-1, *values.shape[-2:])
        return
    if mask.shape not in (values.shape, values.shape[-2:]):
        raise UnfitImageError(
            f"The mask is {mask.shape}, the picture {values.shape}; expected the same size."
        )
    chosen = np.broadcast_to(np.asarray(mask, np.bool_), values.shape)
    for frame, counts in zip(
        values.reshape(-1, *values.shape[-2:]),
        chosen.reshape(-1, *values.shape[-2:]),
        strict=True,
    ):
        if not counts.any():
            raise UnfitImageError("The mask leaves no pixel of a frame to compare.")
        yield frame[counts]


def psnr(
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    data_range: float,
    mask: NDArray[Any] | None = None,
) -> float:
    """Peak signal-to-noise ratio, in decibels; infinite for identical pictures.

    Args:
        reference: (..., row, column).
        candidate: The same shape.
        data_range: Largest value that a pixel may take.
        mask: Pixels that count, same shape or (row, column); all where not given.

    Raises:
        UnfitImageError: Shapes differ, values are not finite, or the mask is empty.
    """
    ours, theirs = _checked_pair(reference, candidate, data_range=data_range)
    errors = [float(np.mean(values**2)) for values in _counted(ours - theirs, mask)]
    decibels = [10 * math.log10(data_range**2 / e) if e > 0 else math.inf for e in errors]
    return float(np.mean(decibels))


def nrmse(
    reference: NDArray[Any], candidate: NDArray[Any], *, mask: NDArray[Any] | None = None
) -> float:
    """Root of the squared error over the squared reference: ||r - c||2 / ||r||2.

    fastMRI's normalisation (Zbontar et al. 2018); others divide by the range or the mean.

    Args:
        reference: (..., row, column).
        candidate: The same shape.
        mask: Pixels that count, same shape or (row, column); all where not given.

    Raises:
        UnfitImageError: Shapes differ, values are not finite, or the mask is empty.
    """
    ours, theirs = _checked_pair(reference, candidate)
    ratios = []
    for error, signal in zip(_counted(ours - theirs, mask), _counted(ours, mask), strict=True):
        lengths = float(np.linalg.norm(error)), float(np.linalg.norm(signal))
        ratios.append(_ratio(*lengths))
    return float(np.mean(ratios))


def _ratio(error: float, signal: float) -> float:
    if signal > 0:
        return error / signal
    return math.inf if error > 0 else 0.0


def ssim_map(
    reference: NDArray[Any], candidate: NDArray[Any], *, data_range: float
) -> NDArray[np.float64]:
    """Structural similarity around each pixel, at most 1 (Wang et al. 2004, IEEE TIP 13(4)).

    Gaussian windows of sigma 1.5 over 11 x 11 pixels, K1 = 0.01, K2 = 0.03, biased covariances.

    Args:
        reference: (..., row, column).
        candidate: The same shape.
        data_range: Largest value that a pixel may take.

    Raises:
        UnfitImageError: Shapes differ, values are not finite, or a side is under 11 pixels.
    """
    ours, theirs = _checked_pair(reference, candidate, data_range=data_range)
    if min(ours.shape[-2:]) < 2 * SSIM_RADIUS + 1:
        raise UnfitImageError(
            f"SSIM needs at least 11 rows and columns; this picture has {ours.shape[-2]} rows and "
            f"{ours.shape[-1]} columns."
        )

    def local_mean(values: Pixels) -> Pixels:
        blurred: Pixels = ndimage.gaussian_filter(
            values, SSIM_SIGMA, radius=SSIM_RADIUS, axes=(-2, -1)
        )
        return blurred

    stabiliser_mean, stabiliser_spread = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_ours, mean_theirs = local_mean(ours), local_mean(theirs)
    cross = mean_ours * mean_theirs
    squares = mean_ours**2 + mean_theirs**2
    covariance = local_mean(ours * theirs) - cross
    variances = local_mean(ours**2 + theirs**2) - squares
    brightness = (2 * cross + stabiliser_mean) / (squares + stabiliser_mean)
    return brightness * (2 * covariance + stabiliser_spread) / (variances + stabiliser_spread)


def ssim(
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    data_range: float,
    mask: NDArray[Any] | None = None,
) -> float:
    """Mean structural similarity, 1 for identical pictures (Wang et al. 2004).

    Args:
        reference: (..., row, column).
        candidate: The same shape.
        data_range: Largest value that a pixel may take.
        mask: Pixels whose map values are averaged, same shape or (row, column). Where not given,
            all pixels at least 5 from the border, whose windows lie inside the picture.

    Raises:
        UnfitImageError: As for `ssim_map`, or the mask is empty.
    """
    return _ssim_over(ssim_map(reference, candidate, data_range=data_range), mask)


def _ssim_over(similarity: Pixels, mask: NDArray[Any] | None) -> float:
    if mask is None:
        inside = slice(SSIM_RADIUS, -SSIM_RADIUS)
        return float(similarity[..., inside, inside].mean())
    return float(np.mean([values.mean() for values in _counted(similarity, mask)]))


def body_mask(reference_frame: NDArray[Any], data_range: float) -> Mask:
    """Where the body is: pixels above 5 % of the range, lungs and vessels left out as they come.

    Args:
        reference_frame: (..., row, column).
        data_range: The reference volume's maximum.
    """
    return np.asarray(reference_frame) > BODY_THRESHOLD * data_range


def checkerboard_index(
    candidate: NDArray[Any], reference: NDArray[Any], *, scale: int = CHECKERBOARD_SCALE
) -> float:
    """Strength of a pattern that repeats every `scale` pixels, in percent of the reference's RMS.

    Transposed convolutions leave such a pattern (Odena, Dumoulin & Olah, Distill 2016). It is the
    spectral energy at multiples of 1 / scale cycles per pixel beyond that of the neighbouring bins,
    as an amplitude, minus the same of the reference: 0 for none, 1 where a pattern of 1 % lies over
    the picture, slightly negative where the candidate is smoother than the reference.

    Args:
        candidate: (row, column).
        reference: The same shape.
        scale: Period of the longest pattern, in pixels; 4 finds those of 4 and of 2.

    Raises:
        UnfitImageError: Shapes differ, values are not finite, a side is under 8 times the scale, or
            the reference is black.
    """
    ours, theirs = _checked_pair(reference, candidate)
    if ours.ndim != 2 or min(ours.shape) < 8 * scale:
        raise UnfitImageError(
            f"The checkerboard index needs a picture of at least {8 * scale} rows and columns; "
            f"this one is {ours.shape}."
        )
    size = math.sqrt(float(np.mean(ours**2)))
    if size == 0:
        raise UnfitImageError("The checkerboard index needs a reference that is not black.")
    return 100 * (_pattern_amplitude(theirs, scale) - _pattern_amplitude(ours, scale)) / size


def _pattern_amplitude(picture: Pixels, scale: int) -> float:
    # Only on whole periods does the pattern fall on bins of the transform.
    rows, columns = (size // scale * scale for size in picture.shape)
    # A Hann window keeps the picture's own border, a strong edge, out of the pattern's bins; it
    # spreads each line over 3 x 3 of them.
    window = np.outer(*(np.hanning(size + 1)[:-1] for size in (rows, columns)))
    centred = (picture[:rows, :columns] - picture[:rows, :columns].mean()) * window
    power = np.abs(fft.fft2(centred)) ** 2 / (np.sum(window**2) * rows * columns)
    reach = max(4, min(rows, columns) // (8 * scale))
    around = np.arange(-reach, reach + 1)
    distance = np.maximum(np.abs(around)[:, None], np.abs(around))
    energy = 0.0
    for line in range(1, scale * scale):
        row, column = line // scale * rows // scale, line % scale * columns // scale
        bins = power[np.ix_((row + around) % rows, (column + around) % columns)]
        energy += float(bins[distance <= 1].sum() - 9 * bins[distance > 2].mean())
    return math.sqrt(max(energy, 0.0))


def evaluate(
    reference: Cine,
    candidate: Cine,
    *,
    heart_mask: NDArray[Any] | Cine | None = None,
    with_lpips: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Scores a cine against its reference, frame by frame, on real values in one patient space.

    Slope and intercept of the files are applied. Axes that run otherwise are exchanged, and where
    the two cover different parts of the patient, the voxels that both have are compared; nothing is
    resampled. Where a file does not say where it lies, pixels are compared by index.

    The data range is the reference volume's maximum (fastMRI's rule). Many scans have a wide black
    surround that flatters every method over the whole frame: read the body's numbers beside it.

    Args:
        reference: What the candidate should look like.
        candidate: As many phases, on a grid that coincides with the reference's. Without a known
            place as many slices, rows and columns too, or up to seven rows and columns fewer, where
            degrading cut the reference at its lower and right edge.
        heart_mask: Where the heart is: (row, column), (slice, row, column) or
            (time, slice, row, column), on the reference's grid; or a cine that is 0 elsewhere.
        with_lpips: False saves the time that LPIPS takes.
        progress: Called with frames done and frames in all.

    Raises:
        UnfitImageError: The two do not overlap or their grids do not coincide, a frame holds NaN or
            Inf, the reference has no positive value, or the mask is of another size.
    """
    for cine in (reference, candidate):
        require_cine(cine)
    pair = paired(reference, candidate)
    cropped, notes = pair.reference, (*pair.notes, *_rescaling_notes(reference, candidate))
    data_range = max(float(reference.real_frame(*at).max()) for at in _places(reference))
    if data_range <= 0:
        raise UnfitImageError(
            f"{reference.name}: no pixel is above 0; expected a picture as the reference.",
            hint="Check that the export of the scan was complete.",
        )
    hearts = _heart_masks(heart_mask, pair, reference)
    rows = []
    for time, slice_index in _places(cropped):
        ours = cropped.real_frame(time, slice_index)
        theirs = pair.candidate.real_frame(time, slice_index)
        heart = None if hearts is None else hearts[time, slice_index]
        scores = _score(ours, theirs, data_range=data_range, heart=heart, with_lpips=with_lpips)
        rows.append(FrameScores(time, pair.slices[slice_index], scores))
        if progress:
            progress(len(rows), cropped.shape[0] * cropped.shape[1])
    all_scores = [row.scores for row in rows]
    notes += _notes(all_scores, with_heart=hearts is not None, with_lpips=with_lpips)
    return Evaluation(
        reference.name, candidate.name, data_range, mean_scores(all_scores), tuple(rows), notes
    )


def _places(cine: Cine) -> Iterator[tuple[int, int]]:
    return product(range(cine.shape[0]), range(cine.shape[1]))


def _rescaling_notes(reference: Cine, candidate: Cine) -> tuple[str, ...]:
    ours, theirs = reference.rescaling, candidate.rescaling
    if ours == theirs:
        return ()
    words = [
        f"{slope:g} x + {intercept:g} for {cine.name}"
        for cine, (slope, intercept) in ((reference, ours), (candidate, theirs))
    ]
    return (f"Real values were compared, from stored ones x: {', '.join(words)}.",)


def _heart_masks(mask: NDArray[Any] | Cine | None, pair: Pair, reference: Cine) -> Mask | None:
    """The mask for each frame of the pair, (time, slice, row, column)."""
    if mask is None:
        return None
    if isinstance(mask, Cine):
        mask = np.asarray(require_same_place(reference, mask).frames) > 0
        # A mask of one phase, or of one slice, is that of all.
        mask = mask[0] if mask.shape[0] == 1 else mask
        mask = mask[0] if mask.ndim == 3 and mask.shape[0] == 1 else mask
    if mask.ndim < 2 or mask.shape != reference.shape[4 - mask.ndim :]:
        raise UnfitImageError(
            f"The heart mask is {mask.shape}; expected {reference.shape[2:]}, "
            f"{reference.shape[1:]} or {reference.shape}, as {reference.name} is."
        )
    whole = np.broadcast_to(mask.astype(np.bool_), reference.shape)
    return whole[:, list(pair.slices), pair.rows, pair.columns]


def _score(
    ours: Pixels, theirs: Pixels, *, data_range: float, heart: Mask | None, with_lpips: bool
) -> Scores:
    similarity = ssim_map(ours, theirs, data_range=data_range)

    def over(mask: Mask | None) -> Fidelity:
        return Fidelity(
            psnr(ours, theirs, data_range=data_range, mask=mask),
            _ssim_over(similarity, mask),
            nrmse(ours, theirs, mask=mask),
        )

    body = body_mask(ours, data_range)
    return Scores(
        whole=over(None),
        body=over(body) if body.any() else None,
        heart=over(heart) if heart is not None and heart.any() else None,
        lpips=_if_fit(lambda: lpips(ours, theirs, data_range=data_range)) if with_lpips else None,
        checkerboard=_if_fit(lambda: checkerboard_index(theirs, ours)),
        shift_px=_if_fit(lambda: subpixel_shift(ours, theirs)),
    )


def _if_fit(measure: Callable[[], Measured]) -> Measured | None:
    """A black or tiny frame has no shift and no LPIPS, which is no reason to refuse the cine."""
    try:
        return measure()
    except UnfitImageError:
        return None


def _notes(rows: list[Scores], *, with_heart: bool, with_lpips: bool) -> tuple[str, ...]:
    counts = [
        (
            sum(math.isinf(row.whole.psnr) for row in rows),
            "are identical to the reference; their infinite PSNR is left out of the mean",
        ),
        (sum(row.body is None for row in rows), "have no pixel above 5 % of the range, so no body"),
    ]
    if with_heart:
        counts.append((sum(row.heart is None for row in rows), "have an empty heart mask"))
    if with_lpips:
        too_small = f"are under {SMALLEST_LPIPS_SIDE} pixels wide or high, too small for LPIPS"
        counts.append((sum(row.lpips is None for row in rows), too_small))
    checkerboard = "are black or too small for a checkerboard index"
    counts.append((sum(row.checkerboard is None for row in rows), checkerboard))
    shift = "show too little structure, in one of the two, for a shift"
    counts.append((sum(row.shift_px is None for row in rows), shift))
    return tuple(f"{count} of {len(rows)} frames {what}." for count, what in counts if count)
