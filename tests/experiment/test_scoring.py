"""Slices to measures: each against the definition that it names."""

from pathlib import Path

import numpy as np
import pytest

from cinesr.degradation import Degradation
from cinesr.errors import UnfitImageError
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import body_mask, checkerboard_index, nrmse, psnr, ssim
from cinesr.experiment.scoring import (
    FREQUENCIES,
    EvaluationSlice,
    axis_spectrum,
    evaluation_slices,
    heart_box,
    measure,
    own_checkerboard,
    read_scores,
    score_method,
    score_truth,
)
from cinesr.imaging.files import save
from cinesr.imaging.phantom import make_phantom

RECIPE = Degradation("bicubic", 4)


def a_slice(person: str = "anna", size: int = 96, seed: int = 0) -> EvaluationSlice:
    truth = make_phantom(size=size, slices=1, phases=1, seed=seed).frames[0, 0].astype(np.float32)
    truth /= truth.max()
    heart = (slice(10, 80), slice(12, 84))
    return EvaluationSlice(person, "a", truth, RECIPE.apply(truth), 1.25, heart)


def double(low: np.ndarray) -> np.ndarray:
    return np.kron(low, np.ones((4, 4), np.float32))


def test_the_heart_is_the_box_around_the_blood_pool() -> None:
    pool = np.zeros((60, 80), bool)
    pool[30:33, 70] = True
    assert heart_box(pool, margin=5) == (slice(25, 38), slice(65, 76))
    assert heart_box(pool) == (slice(6, 57), slice(46, 80))
    assert heart_box(np.zeros((60, 80))) is None


def test_every_measure_is_the_one_of_its_name() -> None:
    scored = a_slice()
    truth, image = scored.truth, double(scored.low)
    found = measure(scored, image)
    body, box = body_mask(truth, 1.25), np.zeros(truth.shape, bool)
    box[scored.heart] = True
    for region, mask in {"whole": None, "body": body, "heart": box}.items():
        assert found[region]["psnr"] == psnr(truth, image, data_range=1.25, mask=mask)
        assert found[region]["ssim"] == ssim(truth, image, data_range=1.25, mask=mask)
        assert found[region]["nrmse"] == nrmse(truth, image, mask=mask)
    assert found["whole"]["lpips"] == lpips(truth, image, data_range=1.25)
    assert found["whole"]["checkerboard"] == checkerboard_index(image, truth)
    inner = lpips(truth[10:80, 12:84], image[10:80, 12:84], data_range=1.25)
    assert found["heart"]["lpips"] == inner


def test_small_pictures_and_small_hearts_are_measured_as_far_as_they_go() -> None:
    scored = a_slice(size=28)
    small = EvaluationSlice("a", "a", scored.truth, scored.low, 1.0, (slice(4, 20), slice(4, 20)))
    found = measure(small, double(small.low))
    assert set(found["whole"]) == {"psnr", "ssim", "nrmse"}
    assert set(found["heart"]) == {"psnr", "ssim", "nrmse"}


def test_the_range_is_the_persons_brightest_stored_value(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "anna").mkdir()
    dim, bright = generator.integers(0, 100, (2, 41, 44)).astype(np.float32)
    bright *= 3
    np.save(tmp_path / "anna" / "dim.npy", dim)
    np.save(tmp_path / "anna" / "bright.npy", bright)
    mask = np.zeros((41, 44), np.uint8)
    mask[20, 22] = 1
    (tmp_path / "masks" / "anna").mkdir(parents=True)
    np.save(tmp_path / "masks" / "anna" / "dim.npy", mask)
    found = {
        scored.name: scored
        for scored in evaluation_slices(
            tmp_path / "anna", RECIPE, person="anna", masks=tmp_path / "masks"
        )
    }
    for name, stored in {"dim.npy": dim, "bright.npy": bright}.items():
        scored = found[name]
        assert (scored.truth.shape, scored.low.shape) == ((40, 44), (10, 11))
        np.testing.assert_allclose(scored.low, RECIPE.apply(scored.truth), atol=1e-6)
        # The same share of the scale, whatever rule the file's own values gave.
        share = scored.truth.max() / scored.data_range
        assert share == pytest.approx(stored[:40].max() / bright[:40].max(), rel=1e-5)
    assert found["dim.npy"].heart == (slice(0, 40), slice(0, 44))
    assert found["bright.npy"].heart is None


def test_a_mask_of_another_size_is_told(tmp_path: Path) -> None:
    save(make_phantom(size=48, slices=1, phases=1), tmp_path / "anna.nii.gz")
    save(make_phantom(size=40, slices=1, phases=1), tmp_path / "masks" / "anna.nii.gz")
    with pytest.raises(UnfitImageError, match="the mask has 40 rows and 40 columns; expected 48"):
        evaluation_slices(tmp_path / "anna.nii.gz", RECIPE, person="anna", masks=tmp_path / "masks")


def test_the_truths_own_pattern_is_measured_by_the_same_index() -> None:
    smooth = np.outer(*[np.hanning(64)] * 2)
    pattern = 0.02 * (np.indices((64, 64)).sum(axis=0) % 2)
    own = own_checkerboard(smooth + pattern)
    level = np.sqrt(np.mean((smooth + pattern) ** 2)) / np.sqrt(np.mean(smooth**2))
    assert own * level == pytest.approx(checkerboard_index(smooth + pattern, smooth), rel=0.02)
    assert own > 1
    assert own_checkerboard(smooth) == pytest.approx(0, abs=0.01)


def test_a_spectrum_shows_a_wave_where_it_is() -> None:
    wave = np.outer(*(np.sin(2 * np.pi * np.arange(size) / 4) for size in (96, 128)))
    assert FREQUENCIES[np.argmax(axis_spectrum(wave))] == pytest.approx(0.25, abs=0.01)
    noise = np.random.default_rng(0).standard_normal((256, 256))
    np.testing.assert_allclose(axis_spectrum(noise)[5:-5], 1.0, atol=0.3)


def test_slices_are_averaged_within_a_person() -> None:
    people = [[a_slice("anna", seed=1), a_slice("anna", seed=2)], [a_slice("ben", seed=3)]]
    scores = score_method(double, people, key="k")
    single = [measure(scored, double(scored.low)) for slices in people for scored in slices]
    found = scores.per_person("body", "psnr")
    values = [one["body"]["psnr"] for one in single]
    assert found == pytest.approx({"anna": np.mean(values[:2]), "ben": values[2]})
    assert scores.per_person("nowhere", "psnr") == {}
    assert set(score_truth(people, key="k").values) == {"whole"}


def test_scores_are_taken_again_only_while_nothing_changed(tmp_path: Path) -> None:
    scores = score_method(double, [[a_slice()]], key="old")
    path = tmp_path / "scores.json"
    scores.write(path)
    assert read_scores(path, key="old") == scores
    assert read_scores(path, key="new") is None
    path.write_text("{}")
    assert read_scores(path, key="old") is None
    assert read_scores(tmp_path / "absent.json", key="old") is None
