"""What is read of an acquisition, against pictures whose acquisition is known."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cinesr.degradation import Degradation, degrade, resize_bicubic
from cinesr.errors import UnreadableFileError
from cinesr.imaging.acquisition import Acquisition, MeasuredMatrix
from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.padding import Padding
from cinesr.imaging.phantom import make_phantom
from cinesr.imaging.spectrum import MOST_FRAMES, acquisition_of_pictures, read_acquisition

Picture = np.ndarray[Any, np.dtype[Any]]


@cache
def phantom() -> Cine:
    return make_phantom(slices=4, phases=1, noise=0.0)


def phantoms(count: int = 4) -> list[Picture]:
    return [phantom().frame(0, at).astype(np.float64) / 1500 for at in range(count)]


def acquired(pictures: list[Picture], seed: int = 0, scale: int = 2, **how: Any) -> list[Picture]:
    recipe = Degradation(how.pop("method", "scanner"), scale, **how)
    generator = np.random.default_rng(seed)
    rows, columns = recipe.cropped_shape(*pictures[0].shape)
    return [recipe.measure(each[:rows, :columns], generator=generator) for each in pictures]


def taper(window: str) -> float:
    return float(window.split(":")[1]) if ":" in window else 0.0


@pytest.mark.parametrize("keep", [(0.6, 0.6), (0.6, 0.9), (0.85, 0.65), (0.75, 0.75)])
@pytest.mark.parametrize("width", [0.0, 0.3])
def test_what_was_kept_of_the_phantom(keep: tuple[float, float], width: float) -> None:
    window = f"cosine:{width}" if width else "none"
    pictures = acquired(phantoms(), keep=keep, window=window, noise=0.005)
    found = acquisition_of_pictures(pictures)
    assert (found.method, found.source, found.notes) == ("scanner", "pixels", ())
    assert np.abs(np.array(found.acquisition.keep) - keep).max() < 0.08
    assert taper(found.acquisition.window) == pytest.approx(width, abs=0.2)


def test_more_noise_is_read_as_more() -> None:
    found = [
        acquisition_of_pictures(acquired(phantoms(2), keep=(0.8, 0.7), noise=noise))
        for noise in (0.0, 0.01, 0.025)
    ]
    noise = [each.acquisition.noise for each in found]
    assert noise[0] < 0.004
    assert noise[0] + 0.003 < noise[1] < noise[2] - 0.005


@pytest.mark.parametrize("scale", [1e-3, 7.0, 4095.0])
@pytest.mark.parametrize("offset", [-1000.0, 0.0, 50.0])
def test_scale_and_offset_change_nothing(scale: float, offset: float) -> None:
    pictures = acquired(phantoms(2), keep=(0.8, 0.7), window="cosine:0.4", noise=0.01)
    plain = acquisition_of_pictures(pictures)
    other = acquisition_of_pictures([each * scale + offset for each in pictures])
    assert other.method == plain.method
    assert other.acquisition.shape == plain.acquisition.shape
    assert np.allclose(other.acquisition.keep, plain.acquisition.keep, atol=2e-4)
    assert taper(other.acquisition.window) == pytest.approx(
        taper(plain.acquisition.window), abs=2e-3
    )
    assert other.acquisition.noise == pytest.approx(plain.acquisition.noise, abs=2e-5)


def test_turning_pictures_turns_what_is_read() -> None:
    pictures = acquired(phantoms(2), keep=(0.6, 0.85), noise=0.005)
    plain = acquisition_of_pictures(pictures).acquisition
    turned = acquisition_of_pictures([each.T for each in pictures]).acquisition
    assert turned.keep == pytest.approx(plain.keep[::-1], abs=1e-3)
    assert turned.noise == pytest.approx(plain.noise, abs=1e-4)


def test_the_same_pictures_are_read_alike_to_the_last_bit() -> None:
    pictures = acquired(phantoms(2), keep=(0.8, 0.7), window="cosine:0.4", noise=0.01)
    assert acquisition_of_pictures(pictures) == acquisition_of_pictures(
        [each.copy() for each in pictures]
    )


def geometry(slices: int = 1) -> Geometry:
    positions = np.arange(slices)[:, None] * np.array([0.0, 0.0, 8.0])
    return Geometry(np.eye(3), (1.2, 1.6, 8.0), positions)


def cine_of(pictures: list[Picture], **options: Any) -> Cine:
    return Cine(np.stack(pictures)[None], geometry(len(pictures)), **options)


def test_a_cine_is_read_like_its_frames() -> None:
    pictures = acquired(phantoms(), keep=(0.8, 0.6), noise=0.01)
    assert read_acquisition(cine_of(pictures)) == acquisition_of_pictures(pictures)


def test_of_a_long_series_a_sample_is_read() -> None:
    read: list[tuple[int, int]] = []
    picture = acquired(phantoms(1), keep=(0.8, 0.6))[0]

    def frame(time: int, at: int) -> Picture:
        read.append((time, at))
        return picture

    cine = Cine(LazyFrames((30, 10, *picture.shape), picture.dtype, frame), geometry(10))
    first = read_acquisition(cine)
    assert len(read) == len(set(read)) == MOST_FRAMES
    assert {at for _, at in read} == set(range(10))
    assert {(0, 0), (29, 9)} <= set(read)
    assert read_acquisition(cine) == first


@pytest.mark.parametrize(
    "pictures",
    [
        [np.zeros((64, 64))],
        [np.full((64, 64), 7.0)],
        [np.eye(20)],
        [np.random.default_rng(0).uniform(0, 1, (200, 20))],
        [],
    ],
)
def test_where_there_is_nothing_to_see_it_is_said(pictures: list[Picture]) -> None:
    found = acquisition_of_pictures(pictures)
    assert found.source == "nothing"
    assert found.acquisition.transfer_is_one
    assert "too little to see" in found.notes[0]


@pytest.mark.parametrize("shape", [(24, 24), (25, 31), (33, 1000), (128, 129)])
@pytest.mark.parametrize("kind", ["noise", "mask", "line", "checks"])
def test_any_picture_gives_an_answer(shape: tuple[int, int], kind: str) -> None:
    picture = np.zeros(shape)
    if kind == "noise":
        picture = np.random.default_rng(0).normal(0, 1, shape)
    elif kind == "mask":
        picture[4:9, 5:12] = 1
    elif kind == "line":
        picture[:, 3] = 100
    else:
        picture[::2, ::2] = 1
    found = acquisition_of_pictures([picture])
    assert found.source == "pixels"
    assert all(0.5 <= share <= 1.0 for share in found.acquisition.keep)


def test_frames_that_cannot_be_used_are_not() -> None:
    pictures = acquired(phantoms(), keep=(0.8, 0.6), noise=0.01)
    broken = pictures[1].copy()
    broken[3, 4] = np.nan
    cine = cine_of([pictures[0], broken, *pictures[2:]])
    assert read_acquisition(cine) == acquisition_of_pictures([pictures[0], *pictures[2:]])

    def frame(time: int, at: int) -> Picture:
        raise UnreadableFileError("a.dcm: the pixels of frame 1 cannot be decoded.")

    lazy = Cine(LazyFrames((1, 1, 64, 64), np.float64, frame), geometry())
    found = read_acquisition(lazy)
    assert found.source == "nothing"
    assert "a.dcm: the pixels" in found.notes[0]


def test_padding_is_no_picture() -> None:
    """A mask around the picture that is stored far below it is read as one that is dark."""
    pictures = acquired(phantoms(), keep=(0.7, 0.85), window="cosine:0.3", noise=0.01)
    row, column = np.mgrid[-1:1:128j, -1:1:128j]
    outside = np.hypot(row, column) > 1.05
    padded = cine_of([np.where(outside, -2000, each) for each in pictures])
    plain = read_acquisition(cine_of(pictures)).acquisition
    told = read_acquisition(replace(padded, padding=Padding(-2000, -2000))).acquisition
    assert np.abs(np.array(told.keep) - plain.keep).max() < 0.08
    assert told.noise == pytest.approx(plain.noise, abs=0.004)
    dark = [np.where(outside, each[~outside].min(), each) for each in pictures]
    assert told == acquisition_of_pictures(dark).acquisition
    not_told = read_acquisition(padded).acquisition
    assert np.abs(np.array(not_told.keep) - plain.keep).max() > 0.1  # The mask's edge is sharp.


def test_pictures_like_none_that_were_learned_from_are_not_read() -> None:
    row, column = np.mgrid[:64, :64]
    waves = [np.sin((row + shift) / 5) * np.cos(column / 4) for shift in range(8)]
    found = acquisition_of_pictures(waves)
    assert (found.source, found.acquisition) == ("nothing", Acquisition())
    assert "too little to see" in found.notes[0]
    cine = cine_of(waves, measured=MeasuredMatrix(56, 40, 1))
    assert read_acquisition(cine).source == "header"


class TestHeader:
    def cine(self, matrix: MeasuredMatrix | None, **how: Any) -> Cine:
        settings = {"keep": (0.6, 0.88), "window": "cosine:0.3", "noise": 0.005} | how
        return cine_of(acquired(phantoms(), **settings), measured=matrix)

    def test_the_header_knows_what_was_kept(self) -> None:
        cine = self.cine(MeasuredMatrix(112, 77, 0))
        found = read_acquisition(cine)
        assert (found.source, found.method, found.notes) == ("header and pixels", "scanner", ())
        assert found.acquisition.keep == (round(77 / 128, 4), 0.875)
        plain = read_acquisition(replace(cine, measured=None))
        assert plain.source == "pixels"
        assert found.acquisition.noise == plain.acquisition.noise
        assert taper(found.acquisition.window) == pytest.approx(0.3, abs=0.15)

    def test_the_taper_falls_to_half_where_the_pixels_say(self) -> None:
        plain = read_acquisition(self.cine(None)).acquisition
        found = read_acquisition(self.cine(MeasuredMatrix(115, 80, 0))).acquisition
        half = [np.array(each.keep) * (1 - taper(each.window) / 2) for each in (plain, found)]
        assert half[0] == pytest.approx(half[1], abs=0.03)

    def test_of_two_meanings_the_pixels_choose_one(self) -> None:
        # 62 lines of a field of view of 0.8 in a square picture: as good as 77 of all of it.
        square = Geometry(np.eye(3), (1.5, 1.5, 8.0), np.zeros((4, 3)) + np.arange(4)[:, None])
        cine = replace(
            self.cine(MeasuredMatrix(112, 62, 0, 1.0, 0.65), keep=(0.745, 0.88)), geometry=square
        )
        assert read_acquisition(cine).acquisition.keep[0] == round(62 / 0.65 / 128, 4)

    def test_a_contradiction_is_told(self) -> None:
        found = read_acquisition(self.cine(MeasuredMatrix(112, 112, 0)))
        assert found.acquisition.keep == (0.875, 0.875)
        (note,) = found.notes
        assert "the header says 0.88 x 0.88: the header was believed" in note

    def test_a_matrix_that_does_not_fit_is_left_aside(self) -> None:
        cine = self.cine(MeasuredMatrix(224, 160, 0))
        found = read_acquisition(cine)
        assert found.source == "pixels"
        assert found.acquisition == read_acquisition(replace(cine, measured=None)).acquisition
        assert "matrix of 224 x 160 does not fit a picture of 128 x 128" in found.notes[0]

    def test_less_than_half_is_taken_for_half(self) -> None:
        found = read_acquisition(self.cine(MeasuredMatrix(128, 50, 0)))
        assert found.acquisition.keep == (0.5, 1.0)
        assert any("0.39 x 1.00" in note for note in found.notes)

    def test_a_picture_too_small_to_see_has_its_header(self) -> None:
        cine = Cine(np.eye(20)[None, None], geometry(), measured=MeasuredMatrix(16, 12, 1))
        found = read_acquisition(cine)
        assert (found.source, found.acquisition.keep) == ("header", (0.8, 0.6))
        assert "too little to see" in found.notes[0]

    def test_what_cinesr_made_is_read_from_its_pixels(self) -> None:
        cine = replace(phantom(), measured=MeasuredMatrix(256, 256, 0))
        low = degrade(cine, method="scanner", scale=2, keep=(0.6, 0.9))
        assert read_acquisition(low).source == "pixels"
        # As it is when it was written and read again: the header is there, and so is the label.
        again = replace(low, measured=MeasuredMatrix(128, 128, 0))
        assert read_acquisition(again).source == "pixels"


@pytest.mark.parametrize("method", ["thesis", "johnson", "bicubic"])
def test_recipes_of_papers_are_told_from_scanners(method: str) -> None:
    found = acquisition_of_pictures(acquired(phantoms(), method=method))
    assert found.method == method
    assert found.acquisition.transfer_is_one


def test_a_hamming_window_is_told_from_a_cosine() -> None:
    for window in ("hamming", "cosine:0.9"):
        pictures = acquired(phantoms(), keep=(0.8, 0.7), window=window, noise=0.01)
        found = acquisition_of_pictures(pictures).acquisition
        assert (found.window == "hamming") == (window == "hamming")
        assert np.abs(np.array(found.keep) - (0.8, 0.7)).max() < 0.05


@pytest.fixture(scope="module")
def validation(scd: Path) -> dict[str, list[Picture]]:
    """Every other slice of the validation people, shrunk so that they are sharp."""
    people = json.loads((scd / "splits.json").read_text())["validation"]
    return {
        name: [
            resize_bicubic(np.asarray(Image.open(path), np.float32) / 255, (204, 204))
            for path in sorted((scd / "slices" / name).glob("*.png"))[::2]
        ]
        for name in people
    }


@pytest.mark.parametrize(
    ("keep", "window"),
    [
        ((0.88, 0.7), "cosine:0.2"),
        ((0.6, 0.95), "cosine:0.3"),
        ((0.75, 0.56), "none"),
        ((0.65, 0.8), "cosine:0.1"),
    ],
)
def test_shares_kept_of_real_slices(
    validation: dict[str, list[Picture]], keep: tuple[float, float], window: str
) -> None:
    single, series = [], []
    for seed, slices in enumerate(validation.values()):
        pictures = acquired(slices, seed, keep=keep, window=window, noise=0.01)
        found = acquisition_of_pictures(pictures)
        series.append(np.array(found.acquisition.keep) - keep)
        single += [
            np.array(acquisition_of_pictures([each]).acquisition.keep) - keep
            for each in pictures[:4]
        ]
    assert np.abs(series).max() < 0.05
    assert np.abs(single).mean() < 0.03
    assert np.quantile(np.abs(single), 0.9) < 0.05
