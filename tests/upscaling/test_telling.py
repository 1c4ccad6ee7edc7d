"""What a network is told: by the user, by the record, by the scan."""

from pathlib import Path

import numpy as np
import pytest

import cinesr
from cinesr.degradation import Degradation
from cinesr.errors import UnfitImageError
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.telling import Telling, parse_acquired, tell


class TestText:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            (
                "keep=0.8,0.65,window=cosine:0.4,noise=0.01",
                {"keep": (0.8, 0.65), "window": "cosine:0.4", "noise": 0.01},
            ),
            ("noise=0", {"noise": 0.0}),
            ("keep=0.7", {"keep": (0.7, 0.7)}),
            ("window=hamming, keep=1, .5", {"window": "hamming", "keep": (1.0, 0.5)}),
            ("method=bicubic,shape=elliptical", {"method": "bicubic", "shape": "elliptical"}),
        ],
    )
    def test_any_part_in_any_order(self, text: str, parts: dict) -> None:
        assert parse_acquired(text) == parts

    @pytest.mark.parametrize(
        "text",
        ["", "0.8", "keep", "keep=", "keep=a", "keep=1,1,1", "noise=0.1,0.2", "speed=3", "noise=x"],
    )
    def test_other_text_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(UnfitImageError, match="expected parts such as keep="):
            parse_acquired(text)


class TestUser:
    found = Degradation("scanner", 2, 0.02, 0, (0.9, 0.7), "rectangular", "cosine:0.3")

    def test_what_the_user_says_stands_in_place_of_what_was_found(self) -> None:
        recipe = Telling({"keep": (0.6, 0.6), "noise": 0.0}).recipe(self.found)
        assert recipe == Degradation("scanner", 2, 0.0, 0, (0.6, 0.6), "rectangular", "cosine:0.3")

    def test_a_method_of_papers_has_no_matrix(self) -> None:
        assert Telling({"method": "johnson"}).recipe(self.found) == Degradation("johnson", 2, 0.02)
        with pytest.raises(UnfitImageError, match="belong to scanner"):
            Telling({"method": "johnson", "keep": (0.8, 0.8)})

    def test_a_matrix_means_a_scanner(self) -> None:
        recipe = Telling({"keep": (0.8, 0.7)}).recipe(Degradation("bicubic", 4, 0.01))
        assert recipe == Degradation("scanner", 4, 0.01, 0, (0.8, 0.7))

    @pytest.mark.parametrize(
        ("acquired", "words"),
        [
            ({"speed": 1}, "with speed was told"),
            ({"keep": (0.2, 1.0)}, "share of k-space of 0.2, 1"),
            ({"window": "tukey"}, "window 'tukey'"),
            ({"method": "nearest"}, "method 'nearest'"),
            ({"noise": 2.0}, "noise of 2.0"),
        ],
    )
    def test_what_makes_no_sense_is_refused_before_anything_is_read(
        self, acquired: dict, words: str
    ) -> None:
        with pytest.raises(UnfitImageError, match=words):
            Telling(acquired)

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_denoising_is_a_share(self, share: float) -> None:
        with pytest.raises(UnfitImageError, match="share from 0 to 1"):
            Telling(denoise=share)


class TestTelling:
    def test_a_scan_is_read(self) -> None:
        scan = cinesr.degrade(
            make_phantom(size=128, slices=3, phases=2), method="scanner", scale=2, keep=(0.9, 0.6)
        )
        told = tell(scan, Telling(), scale=2)
        assert told.recipe.method == "scanner"
        assert told.source == "pixels"
        assert told.recipe.keep[0] > told.recipe.keep[1]
        assert tell(scan, Telling(), scale=2) == told

    def test_whoever_says_everything_is_believed(self) -> None:
        scan = make_phantom(size=64, slices=1, phases=1)
        said = {"keep": (0.8, 0.7), "window": "none", "noise": 0.01, "shape": "rectangular"}
        told = tell(scan, Telling(said), scale=4)
        assert told.recipe == Degradation("scanner", 4, 0.01, 0, (0.8, 0.7))
        assert told.source == "user"

    def test_part_of_the_noise_is_told(self) -> None:
        scan = make_phantom(size=64, slices=1, phases=1)
        told = tell(scan, Telling({"noise": 0.02}, denoise=0.25), scale=2)
        assert told.recipe.noise == pytest.approx(0.005)
        assert told.to_dict()["denoise"] == 0.25

    @pytest.mark.parametrize("method", ["thesis", "bicubic"])
    def test_what_a_file_says_of_its_own_making_is_believed(
        self, method: str, tmp_path: Path
    ) -> None:
        low = cinesr.degrade(make_phantom(size=64, slices=1, phases=1), method=method, scale=2)
        cinesr.save(low, tmp_path / "low.nii.gz")
        told = tell(cinesr.load(tmp_path / "low.nii.gz"), Telling(), scale=2)
        assert told.recipe.method == method
        assert told.words().startswith(f"Told: {method} degradation")

    def test_scale_and_offset_change_nothing(self) -> None:
        scan = make_phantom(size=96, slices=2, phases=2)
        frames = np.asarray(scan.frames).astype(np.float64)
        other = cinesr.Cine(3.0 * frames - 50.0, scan.geometry)
        plain = cinesr.Cine(frames, scan.geometry)
        first, second = (tell(it, Telling(), scale=2).recipe for it in (plain, other))
        assert first.described() == pytest.approx(second.described(), abs=1e-4)
