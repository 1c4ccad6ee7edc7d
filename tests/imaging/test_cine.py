"""What a cine promises: lazily read frames, one intensity rule, values stored once."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import cinesr
from cinesr.errors import UnfitImageError
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames
from cinesr.imaging.geometry import Geometry

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]


def cine_of(frames: np.ndarray, **options) -> Cine:
    return Cine(
        frames,
        Geometry.assumed(slices=frames.shape[1]),
        times_ms=np.arange(frames.shape[0]) * 40.0,
        name="sax.nii",
        **options,
    )


def ramp(dtype: str = "uint16") -> np.ndarray:
    return np.arange(2 * 3 * 4 * 5, dtype=dtype).reshape(2, 3, 4, 5)


def test_lazy_frames_equal_the_array_they_stand_for() -> None:
    array = ramp()
    asked = []

    def read(time: int, slice_index: int) -> np.ndarray:
        asked.append((time, slice_index))
        return array[time, slice_index]

    lazy = LazyFrames(array.shape, array.dtype, read)

    assert asked == []
    np.testing.assert_array_equal(lazy[1, 2], array[1, 2])
    assert asked == [(1, 2)]
    np.testing.assert_array_equal(np.asarray(lazy), array)
    assert np.asarray(lazy).dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(lazy, dtype=float), array.astype(float))
    in_memory = cine_of(lazy).in_memory()
    assert isinstance(in_memory.frames, np.ndarray)
    np.testing.assert_array_equal(in_memory.frames, array)


def test_lazy_frames_refuse_a_frame_that_is_not_as_promised() -> None:
    wrong_size = LazyFrames((1, 1, 4, 5), "uint16", lambda *_: np.zeros((5, 4), "uint16"))
    wrong_dtype = LazyFrames((1, 1, 4, 5), "uint16", lambda *_: np.zeros((4, 5), "int16"))

    with pytest.raises(ValueError, match=r"\(5, 4\)"):
        wrong_size[0, 0]
    with pytest.raises(ValueError, match="int16"):
        wrong_dtype[0, 0]
    with pytest.raises(ValueError, match="copy"):
        np.array(wrong_size, copy=False)


def test_frames_come_phase_by_phase_with_slices_fastest() -> None:
    array = ramp()

    order = [(time, slice_index) for time, slice_index, _ in cine_of(array).iter_frames()]

    assert order == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for time, slice_index, frame in cine_of(array).iter_frames():
        np.testing.assert_array_equal(frame, array[time, slice_index])


def test_a_cine_that_does_not_fit_together_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="time, slice, row, column"):
        Cine(np.zeros((3, 4, 5)), Geometry.assumed())
    with pytest.raises(ValueError, match="3 slices"):
        Cine(ramp(), Geometry.assumed(slices=2), times_ms=np.zeros(2))
    with pytest.raises(ValueError, match="2 phases"):
        Cine(ramp(), Geometry.assumed(slices=3), times_ms=np.zeros(3))


def test_other_frames_keep_everything_else() -> None:
    cine = cine_of(ramp(), source="header", value_range=(0, 4095), notes=("one dropped",))
    derivation = Derivation("super-resolved x4", "by a test")

    larger = cine.with_frames(
        np.zeros((2, 3, 16, 20), "uint16"), cine.geometry.upscaled(4), derivation
    )

    assert larger.shape == (2, 3, 16, 20)
    assert larger.geometry.spacing_mm == (0.25, 0.25, 1.0)
    assert larger.derivation == derivation
    for kept in ("source", "name", "value_range", "notes"):
        assert getattr(larger, kept) == getattr(cine, kept)
    np.testing.assert_array_equal(larger.times_ms, cine.times_ms)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_stored_integers_are_clipped_once_and_rounded_once(dtype: str) -> None:
    info = np.iinfo(dtype)
    cine = cine_of(np.zeros((1, 1, 2, 2), dtype))

    stored = cine.to_stored(np.array([-1e30, 1e30, 0.4999, 0.5, 1.5, 2.5001, 99.0]))

    assert stored.dtype == dtype
    assert stored[0] == info.min
    # float64 holds no 64-bit maximum; the next number below it counts.
    allowed = 2048 if info.bits == 64 else 0
    assert info.max - allowed <= int(stored[1]) <= info.max
    np.testing.assert_array_equal(stored[2:], [0, 0, 2, 3, 99])


def test_bits_stored_and_a_lower_bound_limit_what_is_stored() -> None:
    cine = cine_of(np.zeros((1, 1, 2, 2), "int16"), value_range=(-2048, 2047))
    values = np.array([-5000.0, -3.0, 7.0, 5000.0])

    np.testing.assert_array_equal(cine.to_stored(values), [-2048, -3, 7, 2047])
    np.testing.assert_array_equal(cine.to_stored(values, lowest=0), [0, 0, 7, 2047])


def test_floats_are_stored_as_they_are() -> None:
    cine = cine_of(np.zeros((1, 1, 2, 2), "float32"))
    values = np.array([-1.25e7, 0.3, 1e20])

    np.testing.assert_array_equal(cine.to_stored(values), values.astype("float32"))


frames_of_scans = arrays(np.int16, (2, 2, 6, 7), elements=st.integers(-2000, 4095)).filter(
    lambda frames: frames.max() > frames.min()
)


@given(frames_of_scans)
def test_the_intensity_rule_comes_back_exactly_after_rounding(frames: np.ndarray) -> None:
    cine = cine_of(frames)
    rule = IntensityRule.of(cine)

    scaled = rule.apply(frames)

    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(cine.to_stored(rule.invert(scaled)), frames)
    assert (rule.minimum, rule.maximum) == (frames.min(), frames.max())


def test_one_rule_serves_all_frames() -> None:
    frames = np.zeros((2, 2, 10, 10), "uint16")
    frames[0, 0, :5] = 100
    frames[1, 1, :5] = 2000

    rule = IntensityRule.of(cine_of(frames))

    assert (rule.low, rule.high) == (0, 2000)
    np.testing.assert_allclose(rule.apply(frames[0, 0]).max(), 0.05)
    np.testing.assert_allclose(rule.apply(frames[1, 1]).max(), 1.0)


def test_a_bright_spike_does_not_set_the_scale() -> None:
    frames = np.random.default_rng(0).integers(0, 1000, (1, 1, 100, 100)).astype("uint16")
    frames[0, 0, 3, 4] = 60000

    rule = IntensityRule.of(cine_of(frames))

    assert rule.high < 1001
    assert rule.maximum == 60000


def test_a_single_bright_pixel_on_black_still_gives_a_rule() -> None:
    frames = np.zeros((1, 1, 100, 100), "uint16")
    frames[0, 0, 3, 4] = 7

    assert IntensityRule.of(cine_of(frames)).high == 7


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_is_named(bad: float) -> None:
    frames = ramp("float32")
    frames[1, 2, 0, :2] = bad

    with pytest.raises(UnfitImageError, match=r"sax\.nii: .* phase 1, slice 2 holds 2 values"):
        IntensityRule.of(cine_of(frames))


@pytest.mark.parametrize("value", [0, 41])
def test_a_constant_image_is_refused(value: int) -> None:
    frames = np.full((2, 3, 4, 5), value, "uint16")

    with pytest.raises(UnfitImageError, match=rf"sax\.nii: every pixel of the image is {value}"):
        IntensityRule.of(cine_of(frames))


def test_frames_that_are_faster_all_at_once_are_read_so() -> None:
    calls: list[str] = []

    def read(time: int, slice_index: int) -> np.ndarray:
        calls.append("one")
        return np.full((2, 3), 10 * time + slice_index, np.int16)

    def read_all() -> Iterator[np.ndarray]:
        calls.append("all")
        return (np.full((2, 3), 10 * t + s, np.int16) for t in range(2) for s in range(3))

    frames = LazyFrames((2, 3, 2, 3), "int16", read, read_all)
    places = [(time, place, int(frame[0, 0])) for time, place, frame in frames]
    assert places == [(t, s, 10 * t + s) for t in range(2) for s in range(3)]
    np.testing.assert_array_equal(np.asarray(frames)[1, 2], frames[1, 2])
    assert calls == ["all", "all", "one"]
    cine = Cine(frames, Geometry.assumed(slices=3))
    assert [place[:2] for place in cine.iter_frames()] == [place[:2] for place in places]


def test_too_few_frames_at_once_are_noticed() -> None:
    one = np.zeros((1, 1), np.int16)
    frames = LazyFrames((1, 2, 1, 1), "int16", lambda *_: one, lambda: iter([one]))
    with pytest.raises(ValueError, match="shorter"):
        list(frames)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values_beyond_a_float_type_are_clipped_to_its_largest(dtype) -> None:
    largest = np.finfo(dtype).max
    cine = cine_of(np.zeros((1, 1, 2, 2), dtype))

    stored = cine.to_stored(np.array([-1e308, -1.0, 0.5, 1e308]))

    assert stored.dtype == dtype
    finite = [-min(float(largest), 1e308), -1.0, 0.5, min(float(largest), 1e308)]
    np.testing.assert_array_equal(stored, np.array(finite, dtype))


@pytest.mark.parametrize("dtype", ["float16", "int8", "int16", "int64"])
def test_the_rule_of_a_type_s_whole_range_is_finite(dtype) -> None:
    info = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    frames = np.full((1, 1, 30, 30), info.min, dtype)
    frames[..., ::2] = info.max

    rule = IntensityRule.of(cine_of(frames))

    assert (rule.low, rule.high) == (float(info.min), float(info.max))
    np.testing.assert_allclose(np.unique(rule.apply(frames)), [0, 1])


@pytest.mark.parametrize("dtype", ["float16", "int8", "int16", "float32"])
def test_the_percentile_does_not_overflow_the_type(dtype) -> None:
    largest = 100 if dtype == "int8" else 30000
    frames = np.full((1, 1, 20, 20), -largest, dtype)
    frames[0, 0, 0, 0] = largest

    expected = np.percentile(frames.astype(float), IntensityRule.PERCENTILE)
    assert IntensityRule.of(cine_of(frames)).high == pytest.approx(expected)


class TestFromArray:
    @pytest.mark.parametrize(
        ("shape", "axes", "expected"),
        [
            ((6, 9), None, (1, 1, 6, 9)),
            ((4, 6, 9), None, (4, 1, 6, 9)),
            ((4, 3, 6, 9), None, (4, 3, 6, 9)),
            ((6, 9, 4), "yxt", (4, 1, 6, 9)),
            ((3, 6, 9), "zyx", (1, 3, 6, 9)),
        ],
    )
    def test_axes_find_their_places(self, shape, axes, expected) -> None:
        array = np.arange(np.prod(shape), dtype="uint16").reshape(shape)

        cine = Cine.from_array(array, axes=axes)

        assert cine.shape == expected
        assert np.shares_memory(cine.frames, array)
        assert not cine.geometry.is_known
        assert cine.name == "array"

    def test_spacing_and_times_are_those_that_are_named(self) -> None:
        cine = Cine.from_array(
            np.zeros((3, 2, 8, 9)),
            spacing_mm=(1.4, 1.3),
            slice_spacing_mm=8,
            times_ms=[0, 30, 60],
            name="mine",
        )

        assert cine.geometry.spacing_mm == (1.3, 1.4, 8.0)
        assert cine.geometry.is_known
        assert not cine.geometry.is_placed
        np.testing.assert_array_equal(cine.geometry.positions_mm, [[0, 0, 0], [0, 0, 8]])
        assert cine.geometry.is_evenly_spaced
        np.testing.assert_array_equal(cine.times_ms, [0, 30, 60])
        assert cine.name == "mine"
        assert Cine.from_array(np.zeros((8, 9)), spacing_mm=2).geometry.spacing_mm[:2] == (2, 2)

    def test_any_byte_order_and_lists_are_taken(self) -> None:
        assert Cine.from_array(np.zeros((8, 9), ">f4")).dtype.isnative
        assert Cine.from_array([[1, 2], [3, 4]]).shape == (1, 1, 2, 2)

    @pytest.mark.parametrize(
        ("array", "settings", "words"),
        [
            (np.zeros((8, 9), complex), {}, "an array of complex128; expected whole numbers"),
            (np.zeros((8, 9), bool), {}, "an array of bool"),
            (np.array([["a"]]), {}, "an array of <U1"),
            (np.zeros((8, 9), object), {}, "an array of object"),
            (np.zeros(5), {}, r"an array of shape \(5,\)"),
            (np.zeros((40, 48, 5)), {}, "--axes yxt"),
            (np.zeros((8, 9)), {"axes": "tyx"}, "3 axes were named"),
            (np.zeros((8, 9)), {"spacing_mm": 0}, "spacing_mm is 0; expected one or two numbers"),
            (np.zeros((8, 9)), {"spacing_mm": (1, 2, 3)}, "spacing_mm is"),
            (np.zeros((8, 9)), {"spacing_mm": "wide"}, "spacing_mm is 'wide'"),
            (np.zeros((8, 9)), {"slice_spacing_mm": -1}, "slice_spacing_mm is -1"),
            (np.zeros((3, 8, 9)), {"times_ms": [0, 1]}, r"times_ms has the shape \(2,\)"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, array, settings, words: str) -> None:
        with pytest.raises(UnfitImageError, match=words):
            Cine.from_array(array, **settings)


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (np.zeros((8, 9)), r"an array of shape \(8, 9\) came(.|\n)*Cine\.from_array\(array"),
        ("scan/", r"the path 'scan/' came(.|\n)*cinesr\.load\('scan/'\)"),
        (None, r"a NoneType came(.|\n)*cinesr\.load"),
        ([cine_of(np.zeros((1, 1, 2, 2)))] * 2, r"2 cines came(.|\n)*one by one"),
    ],
)
def test_what_is_no_cine_is_refused_with_the_way_to_one(tmp_path, thing, words: str) -> None:
    cine = cine_of(np.zeros((1, 1, 2, 2)))
    for use in (
        cinesr.upscale,
        cinesr.degrade,
        lambda it: cinesr.evaluate(it, cine),
        lambda it: cinesr.evaluate(cine, it),
        lambda it: cinesr.save(it, tmp_path / "a.npy"),
    ):
        with pytest.raises(UnfitImageError, match=words):
            use(thing)


@pytest.mark.parametrize("dtype", ["bool", "complex64", "object"])
def test_a_cine_of_no_grey_values_is_refused_in_our_words(dtype: str) -> None:
    cine = cine_of(np.ones((1, 1, 20, 20), dtype))
    for use in (cinesr.upscale, cinesr.degrade, lambda it: cinesr.evaluate(it, it)):
        with pytest.raises(UnfitImageError, match=f"an array of {dtype}; expected whole numbers"):
            use(cine)
