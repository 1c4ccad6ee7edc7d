"""Frames reach the page exactly, in the order that was asked for, and from a place on disk."""

from pathlib import Path

import numpy as np
import pytest

from cinesr.errors import UnreadableFileError
from cinesr.viewer.errors import RequestError
from cinesr.viewer.frames import LEVELS, Encoding, asked_places, one_place
from cinesr.viewer.spool import Spool


def through(encoding: Encoding, stored: np.ndarray) -> np.ndarray:
    raw = np.frombuffer(encoding.encode(stored), "<u2").reshape(stored.shape)
    headers = encoding.headers()
    slope, intercept = (float(headers[f"X-Cinesr-{key}"]) for key in ("Slope", "Intercept"))
    return slope * raw.astype(np.float64) + intercept


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", ">i2"])
def test_whole_numbers_of_16_bits_travel_exactly(dtype):
    info = np.iinfo(dtype)
    stored = np.linspace(info.min, info.max, 1000).astype(dtype).reshape(20, 50)
    assert stored.min() == info.min
    assert stored.max() == info.max
    encoding = Encoding.of(stored.dtype, low=5, high=6)
    assert (through(encoding, stored) == stored).all()


def test_larger_whole_numbers_of_a_small_range_travel_exactly():
    stored = (np.arange(1000, dtype=np.int32) + 1_000_000).reshape(20, 50)
    encoding = Encoding.of(stored.dtype, low=1_000_000, high=1_065_535)
    assert (through(encoding, stored) == stored).all()


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("f4", -2.5, 7.25), ("f8", 0, 1e-9), ("i4", -9, 2e9)]
)
def test_other_numbers_travel_to_half_a_level(dtype, low, high):
    stored = np.linspace(low, high, 5000).astype(dtype).reshape(50, 100)
    found = through(Encoding.of(stored.dtype, low=low, high=high), stored)
    assert np.abs(found - stored).max() <= 0.51 * (high - low) / LEVELS
    assert found[0, 0] == low


def test_what_is_out_of_range_or_no_number_is_shown_at_an_end():
    stored = np.array([[-1.0, 11.0, np.inf, -np.inf, 5.0]], dtype=np.float32)
    found = through(Encoding.of(stored.dtype, low=0, high=10), stored)
    assert found == pytest.approx(np.array([[0, 10, 10, 0, 5]]), abs=1e-4)
    nan = np.full((2, 2), np.nan, dtype=np.float32)
    assert (through(Encoding.of(nan.dtype, low=3, high=4), nan) == 3).all()


def test_a_constant_image_has_an_encoding():
    stored = np.full((3, 3), 0.75)
    assert (through(Encoding.of(stored.dtype, low=0.75, high=0.75), stored) == 0.75).all()


def test_asked_places():
    shape = (4, 3, 8, 8)
    assert asked_places({}, shape) == [(0, 0)]
    assert asked_places({"time": "3", "slice": "2"}, shape) == [(3, 2)]
    assert asked_places({"time": "1-3", "slice": "2"}, shape) == [(1, 2), (2, 2), (3, 2)]
    assert asked_places({"time": "3", "slice": "0-2"}, shape) == [(3, 0), (3, 1), (3, 2)]
    assert one_place({"time": "1", "slice": "1-1"}, shape) == (1, 1)
    with pytest.raises(RequestError, match="expected one time"):
        one_place({"time": "0-1"}, shape)
    with pytest.raises(RequestError, match="Both time and slice"):
        asked_places({"time": "0-1", "slice": "0-1"}, shape)
    for wrong in ("4", "-1", "2-1", "0-4", "a", "", "1.0", "٣", "0-", "1e1", "9" * 30):
        with pytest.raises(RequestError, match="from 0 to 3"):
            asked_places({"time": wrong}, shape)


class TestSpool:
    def test_a_frame_is_computed_once_and_kept_exactly(self, tmp_path):
        asked = []
        frames = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)

        def compute(time, slice_index):
            asked.append((time, slice_index))
            return frames[time, slice_index]

        spool = Spool(tmp_path, frames.shape, frames.dtype, compute)
        for _ in range(2):
            for place in ((1, 2), (0, 0), (1, 0)):
                found = spool.read(*place)
                assert found.dtype == np.float32
                assert (found == frames[place]).all()
        assert asked == [(1, 2), (0, 0), (1, 0)]
        assert (np.asarray(spool.lazy_frames()) == frames).all()
        assert len(asked) == 6

    def test_what_is_quickly_read_again_is_not_kept(self, tmp_path):
        frames = np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3)
        spool = Spool(
            tmp_path, frames.shape, frames.dtype, lambda *place: frames[place], keeps=False
        )
        assert (np.asarray(spool.lazy_frames()) == frames).all()
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size == 0
        spool.discard()
        with pytest.raises(RequestError, match="was closed"):
            spool.read(0, 0)

    def test_frames_that_were_written_come_back_bit_for_bit(self, tmp_path):
        frames = np.random.default_rng(0).integers(0, 2**63, (2, 2, 3, 3), dtype=np.uint64)
        spool = Spool(tmp_path, frames.shape, frames.dtype)
        for place in ((1, 1), (0, 1), (0, 0), (1, 0)):
            spool.write(*place, frames[place].T.copy().T)
        assert (np.asarray(spool.lazy_frames()) == frames).all()

    def test_a_frame_that_fails_is_tried_again(self, tmp_path):
        failures = [UnreadableFileError("gone"), None]

        def compute(time, slice_index):
            if failure := failures.pop(0):
                raise failure
            return np.ones((2, 2), np.uint8)

        spool = Spool(tmp_path, (1, 1, 2, 2), np.dtype(np.uint8), compute)
        with pytest.raises(UnreadableFileError, match="gone"):
            spool.read(0, 0)
        assert spool.read(0, 0).sum() == 4

    def test_a_closed_series_says_so(self, tmp_path):
        spool = Spool(
            tmp_path, (1, 1, 2, 2), np.dtype(np.uint8), lambda *_: np.ones((2, 2), np.uint8)
        )
        spool.read(0, 0)
        spool.discard()
        assert list(tmp_path.iterdir()) == []
        for use in (lambda: spool.read(0, 0), lambda: spool.write(0, 0, np.ones((2, 2), np.uint8))):
            with pytest.raises(RequestError, match="was closed") as told:
                use()
            assert told.value.status == 404
        spool.discard()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    def test_a_full_disk_is_told(self, tmp_path):
        spool = Spool(tmp_path, (1, 1, 64, 64), np.dtype(np.uint16))
        (file,) = tmp_path.iterdir()
        file.unlink()
        file.symlink_to("/dev/full")
        with pytest.raises(RequestError, match="no room") as told:
            spool.write(0, 0, np.ones((64, 64), np.uint16))
        assert told.value.status == 507

    def test_a_look_before_each_reading_can_end_it(self, tmp_path):
        spool = Spool(
            tmp_path, (1, 1, 2, 2), np.dtype(np.uint8), lambda *_: np.ones((2, 2), np.uint8)
        )

        def no_more():
            raise KeyError

        with pytest.raises(KeyError):
            spool.lazy_frames(before=no_more)[0, 0]
