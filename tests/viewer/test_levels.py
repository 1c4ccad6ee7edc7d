"""Levels of detail: averages of stored values, at the same place as the pixels they are made of."""

import numpy as np
import pytest

import cinesr
from cinesr.degradation import resize_bicubic
from cinesr.imaging.phantom import make_phantom
from cinesr.viewer.errors import RequestError
from cinesr.viewer.frames import Encoding, Part, asked_part
from cinesr.viewer.levels import averaged, bicubic_interpolator
from viewer_cases import decoded

SHAPES = [(8, 8), (7, 12), (13, 5), (1, 9), (21, 34)]


def block_means(frame, level):
    """The mean of what there is of each block, one block after another."""
    step = 2**level
    rows, columns = frame.shape
    return np.array(
        [
            [
                frame[row : row + step, column : column + step].mean(dtype=np.float64)
                for column in range(0, columns, step)
            ]
            for row in range(0, rows, step)
        ]
    )


def frame_of(dtype, shape=(13, 22)):
    random = np.random.default_rng(1)
    if np.dtype(dtype).kind == "f":
        return random.normal(-3, 20, shape).astype(dtype)
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max, shape, np.int64, endpoint=True).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_each_pixel_is_the_mean_of_its_block(shape, level):
    frame = frame_of("<u2", shape)
    found = averaged(frame, level)
    assert found.shape == Part.whole((1, 1, *shape), level).shape
    assert found == pytest.approx(block_means(frame, level), rel=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "<i2", "<i4", "<u4", "<f4", "<f8"])
def test_every_type_is_averaged(dtype):
    frame = frame_of(dtype)
    found = averaged(frame, 2)
    scale = np.abs(frame.astype(np.float64)).max()
    assert np.abs(found - block_means(frame, 2)).max() <= 2e-7 * scale


def test_known_averages():
    frame = np.array([[0, 2, 10], [4, 6, 20], [1, 3, 7]], np.int16)
    assert averaged(frame, 1).tolist() == [[3, 15], [2, 7]]
    assert averaged(frame, 2).tolist() == [[pytest.approx(53 / 9)]]
    assert (averaged(np.full((64, 64), 65535, np.uint16), 4) == 65535).all()


def test_what_is_no_number_stays_none_of_the_others():
    frame = np.array([[np.nan, 1, 2, 4], [1, 1, np.inf, -np.inf]], np.float32)
    assert np.isnan(averaged(frame, 1)).all()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_place_has_the_same_value_at_every_level(level):
    """A scan whose values are positions: those of a block's centre are its average."""
    spacing_mm, shape = np.array([0.7, 1.3]), (24, 41)
    rows, columns = (
        (np.arange(size) + 0.5) * mm for size, mm in zip(shape, spacing_mm, strict=True)
    )
    ramp = 3.0 * rows[:, None] - 2.0 * columns[None, :]
    found = averaged(ramp, level)
    starts = [np.arange(0, size, 2**level) for size in shape]
    ends = [np.minimum(start + 2**level, size) for start, size in zip(starts, shape, strict=True)]
    centres = [(a + b) / 2 * mm for a, b, mm in zip(starts, ends, spacing_mm, strict=True)]
    assert found == pytest.approx(3.0 * centres[0][:, None] - 2.0 * centres[1][None, :])


@pytest.mark.parametrize(("shape", "scale"), [((9, 14), 4), ((16, 16), 2), ((5, 11), 3)])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_way_from_the_input_is_that_over_the_full_enlargement(shape, scale, level):
    low = frame_of("<i2", shape)
    full = resize_bicubic(low.astype(np.float64), tuple(scale * size for size in shape))
    series = (1, 1, *full.shape)
    expected = block_means(full, level)
    interpolator = bicubic_interpolator(shape, scale)
    assert interpolator(low, Part.whole(series, level)) == pytest.approx(expected)
    rows, columns = expected.shape
    part = Part(level, range(1, rows), range(columns // 2, columns))
    assert interpolator(low, part) == pytest.approx(expected[1:, columns // 2 :])


def test_asked_part():
    shape = (2, 3, 20, 31)
    assert asked_part({}, shape) == Part(0, range(20), range(31)) == Part.whole(shape)
    assert asked_part({"level": "1"}, shape) == Part(1, range(10), range(16))
    query = {"level": "2", "rows": "1-4", "columns": "7"}
    assert asked_part(query, shape) == Part(2, range(1, 5), range(7, 8))
    assert asked_part({"level": "4"}, shape).shape == (2, 2)
    wrong = [{"level": "5"}, {"level": "-1"}, {"level": "a"}, {"level": "0-1"}, {"rows": "20"}]
    wrong += [{"level": "1", "rows": "3-10"}, {"columns": "4-3"}, {"columns": ""}]
    for query in wrong:
        with pytest.raises(RequestError, match="expected"):
            asked_part(query, shape)


def test_averages_of_8_bits_keep_their_fractions():
    for dtype in (np.uint8, np.int8):
        encoding = Encoding.of(np.dtype(dtype), low=0, high=1).of_averages(np.dtype(dtype))
        info = np.iinfo(dtype)
        values = np.array([info.min, info.min + 0.25, 3.75, info.max])
        assert (encoding.raw(values) * encoding.slope + encoding.intercept == values).all()
    others = Encoding.of(np.dtype(np.int16), low=0, high=1)
    assert others.of_averages(np.dtype(np.int16)) == others


class TestServed:
    @pytest.mark.parametrize("dtype", ["u1", "<u2", "<i2", "<f4"])
    def test_levels_and_parts_travel(self, page, tmp_path, dtype):
        frame = frame_of(dtype, (37, 50))
        np.save(tmp_path / "scan.npy", frame)
        (series,) = page.open(tmp_path / "scan.npy")
        step = {"u1": 1 / 256, "<f4": float(np.ptp(frame)) / 65535}.get(dtype, 1.0)
        for level in (0, 1, 3):
            expected = block_means(frame, level)
            # Twice: computed, and from the disk.
            for _ in range(2):
                (found,) = page.frames(series["id"], level=level)
                assert np.abs(found - expected).max() <= 0.51 * step
            (found,) = page.frames(series["id"], level=level, rows="1-3", columns="2-4")
            assert np.abs(found - expected[1:4, 2:5]).max() <= 0.51 * step
        page.delete(f"api/series/{series['id']}")
        assert not list(page.served.store.folder.glob("*.frames"))

    def test_a_run_of_frames_is_cut_alike(self, page, tmp_path):
        cine = make_phantom(size=32, slices=1, phases=3)
        cinesr.save(cine, tmp_path / "cine.nii.gz")
        (series,) = page.open(tmp_path / "cine.nii.gz")
        found = page.frames(series["id"], time="0-2", level=1, rows="4-9", columns="0-7")
        expected = np.array([block_means(cine.frame(time, 0), 1)[4:10, :8] for time in range(3)])
        assert np.abs(found - expected).max() <= 0.5
        page.delete(f"api/series/{series['id']}")

    def test_the_bicubic_is_cut_and_averaged_without_its_full_frames(self, page, scans):
        (low,) = page.open(scans / "low.nii.gz")
        bicubic = page.post(f"api/series/{low['id']}/bicubic", {"scale": 4}).json()
        (full,) = page.frames(bicubic["id"], time=1, slice=1)
        before = spooled(page)
        (part,) = page.frames(bicubic["id"], time=1, slice=1, rows="40-59", columns="7-90")
        assert (part == full[40:60, 7:91]).all()
        (found,) = page.frames(bicubic["id"], time=1, slice=1, level=2)
        # Overshoot below zero is cut off each pixel of the full frame, and off the average here.
        is_tissue = block_means((full > 0).astype(float), 2) == 1
        assert is_tissue.sum() > 100
        difference = np.abs(found - block_means(full, 2))
        assert difference[is_tissue].max() <= 1.0
        assert found.min() >= 0
        assert spooled(page) == before
        page.delete(f"api/series/{low['id']}")

    def test_a_level_or_part_that_is_not_there_is_refused(self, page, scans):
        (low,) = page.open(scans / "low.nii.gz")
        for query in ({"level": 6}, {"rows": "0-32"}, {"level": 1, "columns": "16"}):
            answer = page.get(f"api/series/{low['id']}/frames", **query)
            assert answer.status_code == 400
            assert "expected a number from 0 to" in answer.json()["error"]
        answer = page.get(f"api/series/{low['id']}/frames", level=5)
        assert decoded(answer).shape == (1, 1, 1)
        page.delete(f"api/series/{low['id']}")


def spooled(page):
    return sorted((file.name, file.stat().st_size) for file in page.served.store.folder.glob("*"))
