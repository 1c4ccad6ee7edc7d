"""Who is in which split, and which pixels are in which batch."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesr.degradation import Degradation
from cinesr.errors import ConfigError, UnfitImageError, UnreadableFileError
from cinesr.imaging.cine import Cine
from cinesr.imaging.files import save
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.phantom import make_phantom
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    NetworkConfig,
    OptimisationConfig,
    TrainingConfig,
)
from cinesr.learning.dataset import (
    CropStream,
    SliceSet,
    Split,
    count_summary,
    find_people,
    load_slices,
    read_split,
    validation_pairs,
)
from dicom_cases import write_cine_series

Tiny = Callable[..., TrainingConfig]


def people_named(*names: str) -> dict[str, Path]:
    return {name: Path(name) for name in names}


def splits_file(folder: Path, content: object) -> DataConfig:
    path = folder / "splits.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return DataConfig("scans", str(path))


def config_of(
    *, methods: tuple[str, ...] = ("bicubic",), noise: float = 0.0, scale: int = 2, crop: int = 16
) -> TrainingConfig:
    return TrainingConfig(
        name="any",
        output="out",
        data=DataConfig("scans"),
        degradation=DegradationConfig(methods, noise),  # type: ignore[arg-type]
        network=NetworkConfig("residual", scale),  # type: ignore[arg-type]
        optimisation=OptimisationConfig(batch_size=3, crop=crop, validation_slices=2),
    )


def smooth_noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 1, (rows, columns)).astype(np.float32)


def slices_of(*images: np.ndarray) -> SliceSet:
    return SliceSet(images, tuple("abcdefgh"[: len(images)]), None)


class TestPeople:
    def test_each_file_or_folder_is_one(self, tmp_path: Path) -> None:
        for name in ("P.1.nii.gz", "P.2.PNG", "P3.zip", "1.2.840.99", ".hidden"):
            (tmp_path / name).touch()
        (tmp_path / "P4.old").mkdir()
        people = find_people(tmp_path)
        assert list(people) == ["1.2.840.99", "P.1", "P.2", "P3", "P4.old"]
        assert people["P.1"] == tmp_path / "P.1.nii.gz"

    def test_two_entries_of_one_name_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "P1.nii").touch()
        (tmp_path / "P1.png").touch()
        with pytest.raises(ConfigError, match=r"P1\.nii and P1\.png are both of 'P1'"):
            find_people(tmp_path)

    def test_a_folder_that_is_not_there_or_empty_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableFileError, match="absent: is not a folder"):
            find_people(tmp_path / "absent")
        with pytest.raises(UnreadableFileError, match="is empty; expected one file or folder"):
            find_people(tmp_path)


class TestSplit:
    def test_the_named_file_decides(self, tmp_path: Path) -> None:
        config = splits_file(tmp_path, {"train": ["b", "a"], "validation": ["c"], "test": ["x"]})
        split = read_split(config, people_named("a", "b", "c", "d"), seed=0)
        assert split == Split(("b", "a"), ("c",), ("x",))

    @pytest.mark.parametrize(
        ("content", "error", "words"),
        [
            ({"train": ["a"], "validation": ["a"]}, ConfigError, "a stands in more than one"),
            ({"train": ["a", "a"], "validation": ["b"]}, ConfigError, "a stands in more than"),
            ({"train": ["a"], "validation": ["b"], "test": ["b"]}, ConfigError, "b stands in"),
            ({"train": ["a", "y"], "validation": ["z"]}, ConfigError, "2 people are not in scans"),
            ({"train": ["a"], "val": ["b"]}, ConfigError, "under both 'train' and 'validation'"),
            ({"train": [], "validation": ["b"]}, ConfigError, "under both 'train'"),
            (["a", "b"], UnreadableFileError, "is not a splits file"),
            ({"train": 5}, UnreadableFileError, "is not a splits file"),
            ("{", UnreadableFileError, "is not a splits file"),
        ],
    )
    def test_wrong_splits_are_named(
        self, tmp_path: Path, content: object, error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=rf"splits\.json: .*{words}"):
            read_split(splits_file(tmp_path, content), people_named("a", "b"), seed=0)

    def test_an_absent_file_is_named(self) -> None:
        with pytest.raises(UnreadableFileError, match=r"none\.json: is not a splits") as caught:
            read_split(DataConfig("scans", "none.json"), people_named("a"), seed=0)
        assert '"validation"' in str(caught.value)

    @settings(max_examples=50, deadline=None)
    @given(number=st.integers(2, 60), seed=st.integers(0, 2**31 - 1))
    def test_a_random_split_leaves_nobody_out_and_puts_nobody_twice(
        self, number: int, seed: int
    ) -> None:
        people = people_named(*(f"p{index:02}" for index in range(number)))
        split = read_split(DataConfig("scans"), people, seed=seed)
        assert sorted([*split.train, *split.validation, *split.test]) == sorted(people)
        assert split.train
        assert split.validation
        assert abs(len(split.validation) - 0.2 * number) <= 1
        assert split == read_split(DataConfig("scans"), dict(reversed(people.items())), seed=seed)

    def test_another_seed_splits_otherwise(self) -> None:
        people = people_named(*(f"p{index:02}" for index in range(30)))
        splits = {read_split(DataConfig("scans"), people, seed=seed) for seed in range(5)}
        assert len(splits) == 5
        assert len({split.digest() for split in splits}) == 5

    def test_one_person_cannot_be_split(self) -> None:
        with pytest.raises(ConfigError, match="scans: holds 1 person; expected at least 2"):
            read_split(DataConfig("scans"), people_named("a"), seed=0)

    def test_the_digest_depends_on_people_alone(self) -> None:
        split = Split(("a", "b"), ("c",), ())
        assert split.digest() == Split(("b", "a"), ("c",), ()).digest()
        assert split.digest() != Split(("a",), ("b", "c"), ()).digest()
        assert len(split.digest()) == 64

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        split = Split(("a", "b"), ("c",), ("d",))
        split.write(tmp_path / "splits.json")
        config = DataConfig("scans", str(tmp_path / "splits.json"))
        assert read_split(config, people_named("a", "b", "c", "d"), seed=0) == split


class TestLoading:
    def test_any_format_of_a_person_is_read(self, tmp_path: Path, tiny: Tiny) -> None:
        save(make_phantom(size=48, slices=2, phases=3), tmp_path / "nifti.nii.gz")
        still = make_phantom(size=33, slices=1, phases=1, seed=2)
        for at in range(2):
            save(still, tmp_path / "pictures" / f"{at}.png")
        write_cine_series(tmp_path / "dicom", slices=2, phases=2, rows=20, columns=24)
        people = find_people(tmp_path)
        seen: list[tuple[int, int]] = []
        names = ("nifti", "pictures", "dicom")
        slices = load_slices(
            people, names, config=tiny(), progress=lambda *state: seen.append(state)
        )
        assert seen == [(1, 3), (2, 3), (3, 3)]
        shapes = [image.shape for image in slices.images]
        assert shapes == [(48, 48)] * 6 + [(32, 32)] * 2 + [(20, 24)] * 4
        assert slices.people == ("nifti",) * 6 + ("pictures",) * 2 + ("dicom",) * 4
        assert {image.dtype for image in slices.images} == {np.dtype(np.float32)}
        coarsest = max(make_phantom(size=48, slices=2, phases=3).geometry.spacing_mm[:2])
        assert slices.spacing_mm == pytest.approx((0.75, coarsest), rel=1e-6)
        assert count_summary(slices) == {"people": 3, "slices": 12}

    def test_one_intensity_rule_serves_a_cine_and_black_slices_are_left_out(
        self, tmp_path: Path, tiny: Tiny
    ) -> None:
        frames = np.zeros((1, 3, 20, 20), np.uint16)
        frames[0, 0] = 500
        frames[0, 2] = 1000
        frames[0, 2, 0, 0] = 0
        save(Cine(frames, Geometry.from_affine(np.eye(4), slices=3)), tmp_path / "a.nii")
        slices = load_slices(find_people(tmp_path), ("a",), config=tiny())
        assert len(slices.images) == 2
        levels = sorted(float(image.max()) for image in slices.images)
        assert levels == pytest.approx([0.5, 1.0])

    def test_spacing_of_pictures_comes_from_the_configuration(
        self, tmp_path: Path, tiny: Tiny
    ) -> None:
        save(make_phantom(size=32, slices=1, phases=1), tmp_path / "a.png")
        people = find_people(tmp_path)
        assert load_slices(people, ("a",), config=tiny()).spacing_mm is None
        known = tiny(data=DataConfig("scans", spacing_mm=(1.5, 0.75)))
        assert load_slices(people, ("a",), config=known).spacing_mm == (0.75, 1.5)

    def test_slices_smaller_than_a_crop_are_refused(self, tmp_path: Path, tiny: Tiny) -> None:
        save(make_phantom(size=40, slices=1, phases=1), tmp_path / "small.png")
        config = tiny(
            network=NetworkConfig("residual", scale=3),
            optimisation=OptimisationConfig(crop=42),
        )
        with pytest.raises(UnfitImageError, match=r"small\.png.*40 x 40 .*optimisation.crop, 42"):
            load_slices(find_people(tmp_path), ("small",), config=config)

    def test_an_unreadable_person_is_named(self, tmp_path: Path, tiny: Tiny) -> None:
        (tmp_path / "README.txt").write_text("no scan")
        with pytest.raises(UnreadableFileError, match=r"README\.txt is of no kind"):
            load_slices(find_people(tmp_path), ("README.txt",), config=tiny())

    @pytest.mark.parametrize(("number", "expected"), [(1, 1), (3, 3), (7, 5)])
    def test_slices_are_spread_evenly(self, number: int, expected: int) -> None:
        images = [np.full((2, 2), value, np.float32) for value in range(5)]
        values = [int(image[0, 0]) for image in slices_of(*images).spread(number)]
        assert len(values) == expected
        assert len(set(values)) == expected
        if number == 3:
            assert values == [0, 2, 4]


def turned(image: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    rotated = np.rot90(image, turns)
    return rotated[:, ::-1] if flip else rotated


def found_in(image: np.ndarray, crop: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """Where, turned how often and flipped or not, a crop stands in an image."""
    windows = np.lib.stride_tricks.sliding_window_view(image, crop.shape)
    places = []
    for turns in range(4):
        for flip in (False, True):
            same = np.abs(windows - turned(crop, turns, flip)).max(axis=(2, 3)) < 1e-6
            places += [(int(r), int(c), turns, flip) for r, c in np.argwhere(same)]
    return places


class TestCrops:
    @pytest.mark.parametrize("method", ["thesis", "johnson", "bicubic", "kspace"])
    @pytest.mark.parametrize("scale", [2, 4])
    def test_the_low_crop_is_the_same_place_of_the_degraded_slice(
        self, method: str, scale: int
    ) -> None:
        image = smooth_noise(40, 56)
        low_image = Degradation(method, scale).apply(image)
        config = config_of(methods=(method,), scale=scale)
        stream = CropStream(slices_of(image), config)
        kinds = set()
        for step in range(12):
            low, high = stream.batch(step)
            assert low.shape == (3, 16 // scale, 16 // scale, 1)
            assert high.shape == (3, 16, 16, 1)
            assert low.dtype == high.dtype == np.float32
            for small, large in zip(low[..., 0], high[..., 0], strict=True):
                places = found_in(image, large)
                assert len(places) == 1
                row, column, turns, flip = places[0]
                assert (row % scale, column % scale) == (0, 0)
                size = 16 // scale
                at = np.s_[row // scale :, column // scale :]
                expected = low_image[at][:size, :size]
                assert turned(small, turns, flip) == pytest.approx(expected, abs=1e-6)
                kinds.add((turns, flip))
        assert len(kinds) == 8

    def test_a_batch_depends_on_seed_and_step_alone(self) -> None:
        slices = slices_of(smooth_noise(32, 32), smooth_noise(40, 24, 1))
        config = config_of(methods=("thesis", "kspace"), noise=0.1)
        first, again = CropStream(slices, config), CropStream(slices, config)
        again.batch(9)
        for ours, theirs in zip(first.batch(4), again.batch(4), strict=True):
            assert np.array_equal(ours, theirs)
        assert not np.array_equal(first.batch(4)[0], first.batch(5)[0])
        other = CropStream(slices, replace(config, seed=1))
        assert not np.array_equal(first.batch(4)[1], other.batch(4)[1])

    def test_every_slice_and_place_is_drawn(self) -> None:
        images = [smooth_noise(32, 36, seed) for seed in range(3)]
        stream = CropStream(slices_of(*images), config_of())
        drawn, corners = set(), set()
        for step in range(80):
            for crop in stream.batch(step)[1][..., 0]:
                for index, image in enumerate(images):
                    for row, column, *_ in found_in(image, crop):
                        drawn.add(index)
                        corners.add((row, column))
        assert drawn == {0, 1, 2}
        assert {row for row, _ in corners} == set(range(0, 17, 2))
        assert {column for _, column in corners} == set(range(0, 21, 2))

    def test_empty_background_is_avoided(self) -> None:
        image = np.zeros((96, 96), np.float32)
        image[64:, 64:] = smooth_noise(32, 32)
        stream = CropStream(slices_of(image), config_of())
        filled = [
            np.mean(crop > 0.05) >= 0.5
            for step in range(30)
            for crop in stream.batch(step)[1][..., 0]
        ]
        # One place in eight is body: without a choice, so many crops would be.
        assert np.mean(filled) > 0.6

    def test_a_slice_that_is_all_background_still_gives_crops(self) -> None:
        dark = np.full((32, 32), 0.01, np.float32)
        low, high = CropStream(slices_of(dark), config_of()).batch(0)
        assert low == pytest.approx(np.full((3, 8, 8, 1), 0.01))
        assert high.shape == (3, 16, 16, 1)

    def test_brightness_changes_both_alike(self) -> None:
        level = np.full((32, 32), 0.5, np.float32)
        config = config_of()
        plan = replace(config.optimisation, intensity=(0.6, 1.1))
        stream = CropStream(slices_of(level), replace(config, optimisation=plan))
        gains = []
        for step in range(40):
            low, high = stream.batch(step)
            assert low.mean(axis=(1, 2, 3)) == pytest.approx(high.mean(axis=(1, 2, 3)))
            gains += list(high[:, 0, 0, 0] / 0.5)
        assert 0.6 <= min(gains) < 0.65
        assert 1.05 < max(gains) <= 1.1

    def test_half_of_the_crops_are_magnified(self) -> None:
        """On a ramp the slope tells by how much; low and high resolution agree on it."""
        ramp = np.broadcast_to(0.3 + 0.005 * np.arange(120, dtype=np.float32), (96, 120))
        config = config_of()
        plan = replace(config.optimisation, zoom=4.0)
        stream = CropStream(slices_of(ramp), replace(config, optimisation=plan))
        zooms = []
        for step in range(40):
            low, high = (side[..., 0] for side in stream.batch(step))
            for small, large in zip(low, high, strict=True):
                slope = max(abs(float(np.median(np.diff(large, axis=at)))) for at in (0, 1))
                low_slope = max(abs(float(np.median(np.diff(small, axis=at)))) for at in (0, 1))
                assert low_slope == pytest.approx(2 * slope, rel=1e-3)
                assert small.mean() == pytest.approx(large.mean(), abs=1e-3)
                zooms.append(0.005 / slope)
        magnified = [zoom for zoom in zooms if zoom > 1.001]
        assert len(magnified) / len(zooms) == pytest.approx(0.5, abs=0.12)
        assert 1.0 < min(magnified) < 1.2
        assert 3.5 < max(magnified) <= 4.05
        assert min(zooms) > 0.999

    def test_magnified_parts_show_the_body_where_there_is_one(self) -> None:
        image = np.zeros((96, 96), np.float32)
        image[48:, 48:] = 1.0
        config = config_of()
        plan = replace(config.optimisation, zoom=3.0)
        stream = CropStream(slices_of(image), replace(config, optimisation=plan))
        bright = [np.mean(stream.batch(step)[1] > 0.05) for step in range(30)]
        assert np.mean(bright) > 0.6

    def test_noise_is_on_the_low_side_and_of_any_strength_up_to_the_given(self) -> None:
        level = np.full((64, 64), 1.0, np.float32)
        config = config_of(noise=0.1, crop=32)
        stream = CropStream(slices_of(level), config)
        strengths = []
        for step in range(60):
            low, high = stream.batch(step)
            assert np.ptp(high) == 0
            strengths += list(low.std(axis=(1, 2, 3)))
        assert max(strengths) < 0.12
        assert min(strengths) < 0.01
        assert np.mean(strengths) == pytest.approx(0.05, rel=0.2)

    def test_every_method_is_drawn(self) -> None:
        image = smooth_noise(16, 16)
        config = config_of(methods=("bicubic", "thesis"))
        stream = CropStream(slices_of(image), config)
        sharpness = {
            round(float(crop.std()), 5) for step in range(10) for crop in stream.batch(step)[0]
        }
        expected = {
            round(float(Degradation(method, 2).apply(image).std()), 5)
            for method in ("bicubic", "thesis")
        }
        assert sharpness == expected

    @pytest.mark.parametrize("first", [0, 7])
    def test_batches_come_in_order_from_a_step_on(self, first: int) -> None:
        stream = CropStream(slices_of(smooth_noise(32, 32)), config_of(noise=0.1))
        batches = stream.batches(first)
        for step, (low, high) in enumerate(islice(batches, 12), first):
            assert np.array_equal(low, stream.batch(step)[0])
            assert np.array_equal(high, stream.batch(step)[1])
        batches.close()


def test_validation_sees_whole_slices_under_every_method() -> None:
    images = [smooth_noise(20, 24, seed) for seed in range(5)]
    pairs = list(validation_pairs(slices_of(*images), config_of(methods=("thesis", "kspace"))))
    assert [method for method, _, _ in pairs] == ["thesis", "thesis", "kspace", "kspace"]
    for method, low, high in pairs:
        assert np.array_equal(low, Degradation(method, 2).apply(high))
    assert np.array_equal(pairs[0][2], images[0])
    assert np.array_equal(pairs[1][2], images[4])
