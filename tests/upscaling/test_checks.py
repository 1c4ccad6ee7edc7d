"""Each check passes on a sound result and fails on one that is wrong in its own way."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cinesr.degradation import Degradation, resize_bicubic
from cinesr.errors import CheckFailedError
from cinesr.upscaling.checks import check_frame, check_samples, refuse_failed

SCALE = 4


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A sharp picture in [0, 1] and its low resolution."""
    noise = np.random.default_rng(seed).random((160, 128))
    high = gaussian_filter(noise, 4)
    high = ((high - high.min()) / np.ptp(high)).astype(np.float32)
    return Degradation("bicubic", SCALE).apply(high), high


def found(low: np.ndarray, high: np.ndarray) -> dict:
    checks = check_samples([low], [high], scale=SCALE)
    json.dumps([check.to_dict() for check in checks])
    return {check.name: check for check in checks}


def test_a_sound_result_passes_all_checks() -> None:
    checks = found(*pair())
    assert list(checks) == ["finite", "not constant", "range", "shift", "consistency"]
    assert all(check.passed and not check.warning for check in checks.values())
    assert max(abs(value) for value in checks["shift"].values.values()) < 0.005
    assert checks["consistency"].values["psnr_db"]["bicubic"] > 100
    assert "by bicubic, the closest" in checks["consistency"].finding
    refuse_failed(list(checks.values()), name="scan")


def test_values_that_are_not_finite_fail() -> None:
    low, high = pair()
    high[3, 4] = np.nan
    assert not found(low, high)["finite"].passed


def test_a_constant_result_fails() -> None:
    low, high = pair()
    for level in (0.0, 0.5):
        checks = found(low, np.full_like(high, level))
        assert not checks["not constant"].passed
        assert "spans 0 % of" in checks["not constant"].finding


def test_one_constant_frame_among_others_is_no_failure() -> None:
    low, high = pair()
    checks = check_samples([low, low * 0], [high, high * 0], scale=SCALE)
    assert all(check.passed for check in checks)


@pytest.mark.parametrize(("low_end", "high_end", "passed"), [(-0.4, 1.4, True), (-0.6, 1, False)])
def test_the_range_may_grow_by_less_than_half(low_end: float, high_end: float, passed) -> None:
    low, high = pair()
    below, above = low.min() + low_end, low.max() + (high_end - 1)
    high[:2], high[2:4] = below, above
    check = found(low, high)["range"]
    assert check.passed is passed
    assert check.values["below"] == pytest.approx(-low_end, abs=1e-6)


def test_the_range_of_a_spike_counts_by_its_own_height() -> None:
    """A pixel ten times as bright as the tissue may be overdrawn by a tenth."""
    low, high = pair()
    low[5, 5], high[20:24, 20:24] = 10.0, 11.0
    assert found(low, high)["range"].passed
    high[20:40, 20:40] = 16.0
    assert not found(low, high)["range"].passed


def test_a_few_pixels_beyond_the_range_are_worth_a_look_but_no_failure() -> None:
    """At the hard edge of a scanner's mask a network overshoots by more, at a pixel or two."""
    low, high = pair()
    high[50, 50] = low.max() + 0.7
    check = found(low, high)["range"]
    assert check.passed
    assert check.warning
    assert 0 < check.values["share_outside"] < 0.001
    check_frame(high, highest=float(low.max()), name="scan", place=(0, 0))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pixels", [1, -1, 2])
def test_a_shift_by_one_result_pixel_fails(axis: int, pixels: int) -> None:
    low, high = pair()
    check = found(low, np.roll(high, pixels, axis))["shift"]
    assert not check.passed
    moved, still = (check.values[name] for name in (("row", "column"), ("column", "row"))[axis])
    assert moved == pytest.approx(pixels / SCALE, abs=0.02)
    assert still == pytest.approx(0, abs=0.02)


def test_a_copied_origin_fails() -> None:
    """Corners aligned instead of pixel edges: the commonest mistake of resampling."""
    low, _ = pair()
    fine = resize_bicubic(low, (low.shape[0] * SCALE, low.shape[1] * SCALE))
    wrong = np.roll(fine, (-SCALE // 2 + 1, -SCALE // 2 + 1), (0, 1))
    assert found(low, fine)["shift"].passed
    assert not found(low, wrong)["shift"].passed


def test_a_picture_too_small_for_a_shift_is_said() -> None:
    low, high = pair()
    check = found(low[:8, :8], high[:32, :32])["shift"]
    assert check.passed
    assert check.finding.startswith("could not be measured: too little to see")


def test_a_result_that_degrades_to_something_else_is_a_warning() -> None:
    low, high = pair()
    check = found(low, 0.8 * high)["consistency"]
    assert check.passed
    assert check.warning
    bicubic = check.values["psnr_db"]["bicubic"]
    assert bicubic == pytest.approx(-10 * np.log10(np.mean((0.2 * low) ** 2)), abs=0.01)


def test_what_failed_is_told_with_its_figures() -> None:
    low, high = pair()
    checks = check_samples([low], [np.roll(high, 1, 0)], scale=SCALE)
    with pytest.raises(CheckFailedError, match=r"failed its checks \(shift: \+0\.2") as error:
        refuse_failed(checks, name="scan")
    assert error.value.message.startswith("scan: ")
    assert "--model" in str(error.value.hint)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.6, 1.6])
def test_a_frame_with_impossible_values_is_refused(value: float) -> None:
    frame = np.full((4, 4), 0.5, np.float32)
    check_frame(frame, highest=1.0, name="scan", place=(3, 1))
    frame[1, 2] = value
    with pytest.raises(CheckFailedError, match="scan: the result at phase 3, slice 1 spans"):
        check_frame(frame, highest=1.0, name="scan", place=(3, 1))


def test_a_bright_frame_of_a_cine_with_spikes_is_taken() -> None:
    check_frame(np.array([[0.0, 10.0]], np.float32), highest=8.0, name="scan", place=(0, 0))
