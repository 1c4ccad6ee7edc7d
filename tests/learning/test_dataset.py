"""Who is in which split, and which slices there are of them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesr.degradation import Degradation
from cinesr.errors import ConfigError, LabelMapError, UnfitImageError, UnreadableFileError
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
    People,
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


def people_named(*names: str) -> People:
    return {name: (Path(name),) for name in names}


def splits_file(folder: Path, content: object) -> DataConfig:
    path = folder / "splits.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return DataConfig("scans", splits=str(path))


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
        assert people["P.1"] == (tmp_path / "P.1.nii.gz",)

    def test_one_name_in_several_folders_is_one_person(self, tmp_path: Path) -> None:
        for name in ("first/anna.png", "first/ben.nii", "second/ben.png", "second/carl.zip"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        first, second = tmp_path / "first", tmp_path / "second"
        assert find_people(first, second) == {
            "anna": (first / "anna.png",),
            "ben": (first / "ben.nii", second / "ben.png"),
            "carl": (second / "carl.zip",),
        }
        with pytest.raises(UnreadableFileError, match="third: is not a folder"):
            find_people(first, tmp_path / "third")

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
            read_split(DataConfig("scans", splits="none.json"), people_named("a"), seed=0)
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
        config = DataConfig("scans", splits=str(tmp_path / "splits.json"))
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
        (tmp_path / "P1.nii").write_text("no scan")
        with pytest.raises(UnreadableFileError, match=r"P1\.nii is not a whole NIfTI file"):
            load_slices(find_people(tmp_path), ("P1",), config=tiny())

    def test_what_is_no_scan_is_no_person(self, tmp_path: Path) -> None:
        (tmp_path / "README.txt").write_text("no scan")
        with pytest.raises(UnreadableFileError, match=r"holds no scan, only README\.txt; expected"):
            find_people(tmp_path)

    def test_scans_of_a_person_in_several_folders_are_all_read(
        self, tmp_path: Path, tiny: Tiny
    ) -> None:
        save(make_phantom(size=48, slices=2, phases=1), tmp_path / "first" / "a.nii.gz")
        save(make_phantom(size=32, slices=1, phases=1), tmp_path / "second" / "a.png")
        people = find_people(tmp_path / "first", tmp_path / "second")
        slices = load_slices(people, ("a",), config=tiny())
        assert [image.shape for image in slices.images] == [(48, 48)] * 2 + [(32, 32)]
        assert slices.people == ("a",) * 3
        assert count_summary(slices) == {"people": 1, "slices": 3}

    @pytest.mark.parametrize(
        ("most", "expected"), [(0, range(7)), (7, range(7)), (3, (0, 3, 6)), (2, (0, 6)), (1, (0,))]
    )
    def test_a_long_cine_is_thinned_evenly(
        self, tmp_path: Path, tiny: Tiny, most: int, expected: Sequence[int]
    ) -> None:
        """Seven frames tell their number; a second scan of the person is thinned on its own."""
        frames = np.zeros((7, 1, 20, 20), np.uint16)
        frames[:, 0, 4:, 4:] = 100 * (1 + np.arange(7))[:, None, None]
        known = Geometry.from_affine(np.eye(4), slices=1)
        save(Cine(frames, known, times_ms=10.0 * np.arange(7)), tmp_path / "a" / "p.nii")
        save(Cine(frames[:1], known), tmp_path / "b" / "p.nii")
        config = tiny(data=DataConfig("scans", most_slices=most))
        slices = load_slices(find_people(tmp_path / "a", tmp_path / "b"), ("p",), config=config)
        *thinned, other = (float(image.max()) for image in slices.images)
        assert thinned == pytest.approx([(1 + index) / 7 for index in expected])
        assert other == pytest.approx(1.0)

    @pytest.mark.parametrize(("number", "expected"), [(1, 1), (3, 3), (7, 5)])
    def test_slices_are_spread_evenly(self, number: int, expected: int) -> None:
        images = [np.full((2, 2), value, np.float32) for value in range(5)]
        values = [int(image[0, 0]) for image in slices_of(*images).spread(number)]
        assert len(values) == expected
        assert len(set(values)) == expected
        if number == 3:
            assert values == [0, 2, 4]


def test_validation_sees_whole_slices_under_every_method() -> None:
    images = [smooth_noise(20, 24, seed) for seed in range(5)]
    pairs = list(validation_pairs(slices_of(*images), config_of(methods=("thesis", "kspace"))))
    assert [recipe.method for recipe, _, _ in pairs] == ["thesis", "thesis", "kspace", "kspace"]
    for recipe, low, high in pairs:
        assert np.array_equal(low, Degradation(recipe.method, 2).apply(high))
    assert np.array_equal(pairs[0][2], images[0])
    assert np.array_equal(pairs[1][2], images[4])


def test_label_maps_beside_scans_are_not_learned_from(tmp_path: Path) -> None:
    phantom = make_phantom(size=64, slices=2, phases=1)
    labels = (np.asarray(phantom.frames) > 1000).astype("uint8")
    label_map = Cine(labels, phantom.geometry, name="gt")
    for name in ("anna", "ben"):
        save(label_map, tmp_path / name / "scan_gt.nii.gz")
    save(phantom, tmp_path / "anna" / "scan.nii.gz")
    people = {name: (tmp_path / name,) for name in ("anna", "ben")}

    slices = load_slices(people, ("anna", "ben"), config=config_of())

    assert slices.people == ("anna", "anna")
    assert slices.left_aside == ("anna: scan_gt.nii.gz", "ben: scan_gt.nii.gz")
    assert count_summary(slices) == {"people": 1, "slices": 2, "label_maps_left_aside": 2}
    with pytest.raises(LabelMapError, match=r"ben: scan_gt\.nii\.gz: label maps, and nothing else"):
        load_slices(people, ("ben",), config=config_of())
