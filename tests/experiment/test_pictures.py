"""What is shown is chosen by rule, and the words follow the numbers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cinesr.experiment.figures import checkerboard_frequencies, draw_panels, round_up
from cinesr.experiment.pictures import crop_places, median_person, mid_ventricular, middle_slice
from cinesr.experiment.scoring import EvaluationSlice
from cinesr.experiment.summary import constant_response
from cinesr.upscaling.catalogue import read_model
from model_cases import write_model


def a_slice(name: str, *, heart: bool, larger: int = 0) -> EvaluationSlice:
    truth = np.full((80, 96), 0.2, np.float32)
    truth[60:, 70:] = 1.0
    box = (slice(10, 40), slice(20, 50 + larger)) if heart else None
    return EvaluationSlice("anna", name, truth, truth[::4, ::4], 1.0, box)


def test_the_person_in_the_middle_is_shown() -> None:
    assert median_person({"a": 3.0, "b": 1.0, "c": 2.0}) == "c"
    assert median_person({"a": 4.0, "b": 1.0, "c": 2.0, "d": 3.0}) == "c"


def test_the_slice_of_a_filled_ventricle_midway_is_shown() -> None:
    # From base to tip, each filled and then emptied; the first two and the last have no heart.
    sizes = [None, None, 9, 6, 7, 4, 5, 3, 2, 1, None]
    slices = [
        a_slice(str(number), heart=size is not None, larger=size or 0)
        for number, size in enumerate(sizes)
    ]
    assert middle_slice(slices).name == "3"
    assert mid_ventricular([4.0]) == 0
    assert mid_ventricular([9.0, 6.0, 7.0, 4.0, 5.0]) == 2
    assert middle_slice([a_slice(str(number), heart=False) for number in range(5)]).name == "2"


def test_magnified_are_the_heart_and_the_strongest_edge() -> None:
    first, second = crop_places(a_slice("a", heart=True))
    assert first == (slice(15, 35), slice(25, 45))
    # The corner of the bright part has the most edge within a box.
    assert second[0].start <= 60 < second[0].stop
    assert second[1].start <= 70 < second[1].stop
    for part, other in zip(first, second, strict=True):
        assert part.stop - part.start == other.stop - other.start == 20
    middle, _ = crop_places(a_slice("a", heart=False))
    assert middle == (slice(30, 50), slice(38, 58))


@pytest.mark.parametrize(("value", "rounded"), [(0.31, 0.4), (0.3, 0.3), (2e-4, 2e-4), (95, 100)])
def test_scales_are_round(value: float, rounded: float) -> None:
    assert round_up(value) == pytest.approx(rounded)


def test_the_frequencies_of_a_checkerboard() -> None:
    assert checkerboard_frequencies(4) == [0.25, 0.5]
    assert checkerboard_frequencies(2) == [0.5]


def test_panels_are_drawn_in_rows(tmp_path: Path) -> None:
    panels = {str(number): np.eye(9) for number in range(5)}
    draw_panels(tmp_path / "a.png", panels, limits=(0, 1), boxes=[(slice(1, 3), slice(2, 5))])
    draw_panels(tmp_path / "b.png", {"one": np.eye(9)}, limits=(0, 1), colours="magma")
    with Image.open(tmp_path / "a.png") as wide, Image.open(tmp_path / "b.png") as narrow:
        assert wide.width > 3 * narrow.width
        assert wide.height > 1.5 * narrow.height


def test_bicubic_leaves_a_constant_image_constant(tmp_path: Path) -> None:
    found = constant_response(read_model(write_model(tmp_path / "bicubic.onnx")))
    assert found.inside < 1e-5
    assert found.at_border < 1e-5
    assert found.image.shape[0] > 2 * found.border
