import json
from dataclasses import replace
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from cinesr.errors import UnfitImageError
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import checkerboard_index, evaluate, nrmse, psnr, ssim
from cinesr.imaging import files
from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.geometry import Geometry

OBLIQUE = np.array(
    [[0.8, 0.36, 0.48, -40.0], [0.0, 0.8, -0.6, 12.0], [-0.6, 0.48, 0.64, 7.0], [0, 0, 0, 1]]
) @ np.diag([1.3, 1.7, 8.0, 1.0])


def beating(time=2, slices=2, rows=64, columns=72):
    generator = np.random.default_rng(0)
    frames = generator.uniform(size=(time, slices, rows, columns))
    frames = ndimage.gaussian_filter(frames, (0, 0, 2, 2))
    frames = (frames - frames.min()) / np.ptp(frames) * 3000
    frames[..., :12, :] = 0
    geometry = Geometry.from_affine(OBLIQUE, slices=slices)
    times = np.arange(time) * 40.0
    return Cine(frames.astype(np.uint16), geometry, times_ms=times, name="reference")


def worse(cine, **changes):
    frames = ndimage.gaussian_filter(cine.frames.astype(np.float32), (0, 0, 1, 1))
    return replace(cine, frames=frames, name="candidate", value_range=None, **changes)


def test_rows_and_means_are_the_measures_of_the_frames():
    reference = beating()
    candidate = worse(reference)
    heart = np.zeros((64, 72), dtype=bool)
    heart[20:40, 20:50] = True
    found = evaluate(reference, candidate, heart_mask=heart)
    top = float(reference.frames.max())
    assert found.data_range == top
    assert (found.reference, found.candidate) == ("reference", "candidate")
    assert [(row.time, row.slice_index) for row in found.frames] == [(0, 0), (0, 1), (1, 0), (1, 1)]

    ours, theirs = reference.frame(1, 0), candidate.frame(1, 0)
    scores = found.frames[2].scores
    for region, mask in ((scores.whole, None), (scores.body, ours > 0.05 * top)):
        assert region.psnr == pytest.approx(psnr(ours, theirs, data_range=top, mask=mask))
        assert region.ssim == pytest.approx(ssim(ours, theirs, data_range=top, mask=mask))
        assert region.nrmse == pytest.approx(nrmse(ours, theirs, mask=mask))
    assert scores.heart.psnr == pytest.approx(psnr(ours, theirs, data_range=top, mask=heart))
    assert scores.lpips == pytest.approx(lpips(ours, theirs, data_range=top))
    assert scores.checkerboard == pytest.approx(checkerboard_index(theirs, ours, scale=4))
    assert scores.shift_px == pytest.approx((0, 0), abs=0.01)

    rows = [row.scores for row in found.frames]
    assert found.mean.whole.psnr == pytest.approx(np.mean([row.whole.psnr for row in rows]))
    assert found.mean.body.ssim == pytest.approx(np.mean([row.body.ssim for row in rows]))
    assert found.mean.heart.nrmse == pytest.approx(np.mean([row.heart.nrmse for row in rows]))
    assert found.mean.lpips == pytest.approx(np.mean([row.lpips for row in rows]))
    assert found.notes == ()


def test_displacement_is_reported_in_reference_pixels():
    reference = beating()
    moved = ndimage.shift(reference.frames.astype(float), (0, 0, 0.375, -0.25), order=5)
    found = evaluate(reference, replace(reference, frames=moved, value_range=None))
    assert found.mean.shift_px == pytest.approx((0.375, -0.25), abs=0.01)


def test_without_lpips():
    found = evaluate(beating(), worse(beating()), with_lpips=False)
    assert found.mean.lpips is None
    assert found.notes == ()


def test_dict_is_json_even_for_identical_images():
    found = evaluate(beating(), beating())
    assert found.mean.whole.psnr == np.inf
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["mean"]["whole"] == {"psnr": None, "ssim": pytest.approx(1.0), "nrmse": 0.0}
    assert plain["mean"]["shift_px"] == pytest.approx([0, 0], abs=1e-6)
    assert plain["mean"]["heart"] is None
    assert len(plain["frames"]) == 4
    assert plain["frames"][3]["slice_index"] == 1
    assert "4 of 4 frames are identical" in plain["notes"][0]


def test_an_identical_frame_does_not_make_the_mean_infinite():
    reference, candidate = beating(), worse(beating())
    candidate.frames[0, 1] = reference.frames[0, 1]
    found = evaluate(reference, candidate, with_lpips=False)
    others = [found.frames[i].scores.whole.psnr for i in (0, 2, 3)]
    assert found.mean.whole.psnr == pytest.approx(np.mean(others))
    assert any("1 of 4 frames are identical" in note for note in found.notes)


def test_black_frame_and_empty_heart_are_noted():
    reference, candidate = beating(), worse(beating())
    reference.frames[1, 1] = 0
    heart = np.ones(reference.shape, dtype=bool)
    heart[0, 0] = False
    found = evaluate(reference, candidate, heart_mask=heart)
    black = found.frames[3].scores
    assert (black.body, black.checkerboard, black.shift_px) == (None, None, None)
    assert found.frames[0].scores.heart is None
    assert np.isfinite(found.mean.whole.nrmse)
    for words in ("no body", "empty heart mask", "for a checkerboard index", "for a shift"):
        assert any(words in note for note in found.notes)


def test_small_frames_have_no_lpips():
    reference = beating(rows=28, columns=30)
    found = evaluate(reference, worse(reference))
    assert found.mean.lpips is None
    assert any("too small for LPIPS" in note for note in found.notes)


def test_one_heart_mask_per_slice():
    reference = beating()
    masks = np.zeros((2, 64, 72), dtype=bool)
    masks[1, 20:30, 20:30] = True
    found = evaluate(reference, worse(reference), heart_mask=masks, with_lpips=False)
    assert [row.scores.heart is None for row in found.frames] == [True, False, True, False]


def test_reference_is_cut_to_a_candidate_that_lost_its_last_rows():
    reference = beating(rows=66, columns=75)
    candidate = worse(reference)
    smaller = replace(candidate, frames=candidate.frames[..., :64, :72])
    heart = np.ones((66, 75), dtype=bool)
    found = evaluate(reference, smaller, heart_mask=heart, with_lpips=False)
    cut = replace(reference, frames=reference.frames[..., :64, :72])
    top = float(reference.frames.max())
    assert found.data_range == top
    expected = psnr(cut.frames, smaller.frames, data_range=top)
    assert found.mean.whole.psnr == pytest.approx(expected)
    assert found.mean.heart.psnr == pytest.approx(expected)
    assert "2 rows and 3 columns smaller" in found.notes[0]
    assert "assumed" not in found.notes[0]

    unknown = replace(smaller, geometry=Geometry.assumed(slices=2))
    assert "assumed" in evaluate(reference, unknown, with_lpips=False).notes[0]


def moved(geometry, columns):
    step = geometry.directions[:, 0] * geometry.spacing_mm[0] * columns
    return replace(geometry, positions_mm=geometry.positions_mm + step)


def test_another_field_of_view_is_compared_where_both_are():
    reference = beating(slices=3, rows=66, columns=75)
    candidate = worse(reference)
    window = (slice(1, 3), slice(5, 60), slice(3, 75))
    moved_by = reference.geometry.affine() @ [3, 5, 0, 0]
    positions = reference.geometry.positions_mm[1:] + moved_by[:3]
    candidate = replace(
        candidate,
        frames=candidate.frames[:, *window],
        geometry=replace(reference.geometry, positions_mm=positions),
    )
    heart = np.zeros((3, 66, 75), dtype=bool)
    heart[2, 20:40, 20:50] = True

    found = evaluate(reference, candidate, heart_mask=heart, with_lpips=False)

    top = float(reference.frames.max())
    ours = reference.frames[:, *window]
    expected = psnr(ours, candidate.frames, data_range=top)
    assert found.mean.whole.psnr == pytest.approx(expected)
    assert [row.slice_index for row in found.frames] == [1, 2, 1, 2]
    assert [row.scores.heart is None for row in found.frames] == [True, False, True, False]
    mask = heart[2, 5:60, 3:75]
    expected = psnr(ours[1, 1], candidate.frames[1, 1], data_range=top, mask=mask)
    assert found.frames[3].scores.heart.psnr == pytest.approx(expected)
    assert "2 of 3 slices, 55 of 66 rows and 72 of 75 columns" in found.notes[0]
    # A candidate that is larger on all sides is cut as well.
    other = evaluate(candidate, reference, with_lpips=False)
    assert other.mean.whole.nrmse > 0
    assert [row.slice_index for row in other.frames] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: moved(g, 500), "overlap in the patient, plane on plane"),
        (lambda g: moved(g, 2.5), "pixels in the same places(.|\n)*resampled here"),
        (lambda g: replace(g, positions_mm=g.positions_mm + g.directions[:, 2] * 4), "overlap"),
        (lambda g: replace(g, spacing_mm=(1.4, 1.7, 8)), "the same pixel spacing"),
        (lambda g: replace(g, directions=g.directions @ tilt(30)), "planes in the same directions"),
        (lambda g: replace(g, directions=g.directions @ tilt(0.8)), "the same pixel spacing"),
    ],
)
def test_grids_that_do_not_coincide_are_refused(change, words):
    reference = beating()
    candidate = worse(reference, geometry=change(reference.geometry))
    with pytest.raises(UnfitImageError, match=words):
        evaluate(reference, candidate, with_lpips=False)


def tilt(degrees):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_same_scan_with_other_axes_is_the_same_scan(tmp_path, order, flips):
    """Every one of the 48 orientations of a file, turned by nibabel."""
    reference = beating(slices=3, rows=33, columns=35)
    files.save(reference, tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    image = image.as_reoriented(np.array(list(zip(order, flips, strict=True))))
    nib.save(image, tmp_path / "b.nii")
    candidate = files.load(tmp_path / "b.nii")

    found = evaluate(reference, candidate, with_lpips=False)

    assert found.mean.whole.psnr == np.inf
    assert found.mean.whole.nrmse == 0
    is_turned = not candidate.geometry.is_close(reference.geometry, tolerance_mm=0.01)
    assert any("run otherwise" in note for note in found.notes) == is_turned


def test_a_stack_that_is_not_evenly_spaced_is_turned_within_its_planes():
    reference = beating(slices=3)
    uneven = replace(
        reference.geometry,
        positions_mm=reference.geometry.positions_mm
        + np.outer([0, 0, 3.0], reference.geometry.directions[:, 2]),
    )
    reference = replace(reference, geometry=uneven)
    step = uneven.affine()[:3, 0] * 71
    candidate = replace(
        reference,
        frames=reference.frames[:, ::-1, :, ::-1],
        geometry=replace(
            uneven,
            directions=uneven.directions * [-1, 1, -1],
            positions_mm=uneven.positions_mm[::-1] + step,
        ),
    )
    assert evaluate(reference, candidate, with_lpips=False).mean.whole.psnr == np.inf
    sideways = replace(
        candidate,
        geometry=replace(
            candidate.geometry, directions=candidate.geometry.directions[:, [2, 1, 0]]
        ),
    )
    with pytest.raises(UnfitImageError, match="planes in the same directions"):
        evaluate(reference, sideways)


def nifti(path, real, *, slope=1.0, intercept=0.0, dtype="int16", code=1):
    stored = ((real - intercept) / slope).astype(dtype)
    image = nib.Nifti1Image(stored, np.diag([1.4, 1.4, 8.0, 1.0]))
    image.set_sform(image.affine, code)
    image.set_qform(image.affine, code)
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, path)
    # nibabel rescales what it saves: the stored numbers are put where they belong.
    content = bytearray(path.read_bytes())
    content[352:] = stored.tobytes(order="F")
    path.write_bytes(content)
    return files.load(path)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize(("slope", "intercept"), [(0.5, 0.0), (2.0, -100.0), (-1.0, 10.0)])
def test_real_values_are_compared(tmp_path, slope, intercept, dtype):
    real = beating().frames[0].T // 4 * 4
    reference = nifti(tmp_path / "a.nii", real)
    same = nifti(tmp_path / "b.nii", real, slope=slope, intercept=intercept, dtype=dtype)
    twice = nifti(tmp_path / "c.nii", 2 * real, slope=slope, intercept=intercept, dtype=dtype)

    found = evaluate(reference, same, with_lpips=False)

    assert found.mean.whole.psnr == np.inf
    assert f"{slope:g} x + {intercept:g} for b.nii" in found.notes[0]
    assert evaluate(same, reference, with_lpips=False).data_range == real.max()
    assert evaluate(reference, twice, with_lpips=False).mean.whole.nrmse == pytest.approx(1.0)
    top = float(real.max())
    expected = np.mean([psnr(frame, 2.0 * frame, data_range=top) for frame in real.T])
    measured = evaluate(reference, twice, with_lpips=False).mean.whole.psnr
    assert measured == pytest.approx(expected)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_means_none_is_none(tmp_path, slope):
    real = beating().frames[0].T
    reference = nifti(tmp_path / "a.nii", real)
    nifti(tmp_path / "b.nii", real)
    content = bytearray((tmp_path / "b.nii").read_bytes())
    content[112:120] = np.array([slope, 7.0], "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(content)

    found = evaluate(reference, files.load(tmp_path / "b.nii"), with_lpips=False)

    assert found.mean.whole.psnr == np.inf


def test_cutting_keeps_slope_and_intercept(tmp_path):
    real = beating(rows=66, columns=75).frames[0].T
    reference = nifti(tmp_path / "a.nii", real * 2.0, slope=2.0)
    for code in (1, 0):  # Known and unknown place.
        smaller = nifti(tmp_path / "b.nii", 2.0 * real[:72, :64], dtype="float32", code=code)
        assert evaluate(reference, smaller, with_lpips=False).mean.whole.psnr == np.inf


def test_a_file_that_says_no_place_is_compared_by_index(tmp_path):
    real = beating().frames[0].T
    reference = nifti(tmp_path / "a.nii", real)
    reference = replace(reference, geometry=moved(reference.geometry, 300))
    without = nifti(tmp_path / "b.nii", real, code=0)

    assert not without.geometry.is_placed
    assert evaluate(reference, without, with_lpips=False).mean.whole.psnr == np.inf


def test_a_mask_lies_where_its_file_says():
    reference = beating()
    mask = np.zeros((1, 2, 64, 72), np.uint8)
    mask[0, 1, 20:40, 20:50] = 1
    candidate = worse(reference)
    plain = evaluate(reference, candidate, heart_mask=mask[0], with_lpips=False)
    flipped = replace(
        reference.geometry,
        directions=reference.geometry.directions * [-1, 1, 1],
        positions_mm=reference.geometry.positions_mm + reference.geometry.affine()[:3, 0] * 71,
    )
    cine = Cine(mask[..., ::-1], flipped, name="mask")

    found = evaluate(reference, candidate, heart_mask=cine, with_lpips=False)

    assert found.frames == plain.frames
    elsewhere = replace(cine, geometry=moved(flipped, 30))
    with pytest.raises(UnfitImageError, match="a mask in the same place"):
        evaluate(reference, candidate, heart_mask=elsewhere, with_lpips=False)


def test_positions_that_differ_are_noted():
    reference = beating()
    away = worse(reference, geometry=moved(reference.geometry, 0.375))
    (note,) = evaluate(reference, away, with_lpips=False).notes
    assert "positions differ by up to 0.38 pixels" in note
    near = worse(reference, geometry=moved(reference.geometry, 0.05))
    assert evaluate(reference, near, with_lpips=False).notes == ()
    unknown = worse(reference, geometry=Geometry.assumed(slices=2))
    assert evaluate(reference, unknown, with_lpips=False).notes == ()


def low_resolution(reference):
    frames = reference.frames[..., ::4, ::4]
    return replace(reference, frames=frames, geometry=reference.geometry.downscaled(4), name="low")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            low_resolution,
            r"low has 2 phases x 2 slices of 16 rows x 18 columns(.|\n)*upscale it by 4",
        ),
        (
            lambda c: replace(c, frames=c.frames[..., :56, :], geometry=Geometry.assumed(slices=2)),
            "degrade the reference",
        ),
        (lambda c: replace(c, frames=c.frames[:1], times_ms=np.zeros(1)), "1 phases x 2 slices"),
        (
            lambda c: replace(
                c,
                frames=np.pad(c.frames, ((0, 0), (0, 0), (0, 4), (0, 4))),
                geometry=Geometry.assumed(slices=2),
            ),
            "The candidate is larger",
        ),
    ],
)
def test_other_sizes_are_refused_with_a_way_out(change, words):
    reference = beating()
    with pytest.raises(UnfitImageError, match=words):
        evaluate(reference, change(reference))


def test_frames_that_are_not_finite_are_named():
    reference, candidate = beating(), worse(beating())
    candidate.frames[1, 0, 5, 5] = np.nan
    with pytest.raises(UnfitImageError, match=r"candidate: the frame at phase 1, slice 0 holds 1"):
        evaluate(reference, candidate)
    with pytest.raises(UnfitImageError, match="phase 1, slice 0"):
        evaluate(candidate, reference)


def test_black_reference_and_wrong_mask_are_refused():
    reference = beating()
    black = replace(reference, frames=np.zeros_like(reference.frames))
    with pytest.raises(UnfitImageError, match="no pixel is above 0"):
        evaluate(black, reference)
    with pytest.raises(UnfitImageError, match=r"heart mask is \(3, 64, 72\)"):
        evaluate(reference, worse(reference), heart_mask=np.ones((3, 64, 72), dtype=bool))


def test_frames_are_read_one_at_a_time():
    reference, candidate = beating(), worse(beating())

    def lazily(cine):
        frames = LazyFrames(cine.shape, cine.dtype, lambda t, s: cine.frame(t, s))
        return replace(cine, frames=frames)

    lazy = evaluate(lazily(reference), lazily(candidate), with_lpips=False)
    assert lazy == evaluate(reference, candidate, with_lpips=False)
