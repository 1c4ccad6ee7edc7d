"""Headers as vendors write them: what was measured, along which axis, and what makes no sense."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import dicom_cases
from cinesr.imaging.acquisition import MeasuredMatrix
from cinesr.imaging.cine import Cine
from cinesr.imaging.files import open_cines

SAYS = (
    "AcquisitionMatrix",
    "PercentSampling",
    "PercentPhaseFieldOfView",
    "InPlanePhaseEncodingDirection",
    "ImageType",
)


def read(folder: Path, **header: Any) -> Cine:
    """A cine of one slice whose header says this and nothing else of its acquisition."""

    def change(dataset: Dataset, phase: int, slice_index: int) -> None:
        for keyword in SAYS:
            if keyword in dataset and keyword != "ImageType":
                del dataset[keyword]
        for keyword, value in header.items():
            values = value(phase) if callable(value) else value
            setattr(dataset, keyword, values)

    dicom_cases.write_cine_series(folder, slices=1, phases=3, change=change)
    (cine,) = open_cines(folder)
    return cine


CASES = {
    "GE, horizontal phase": (
        {
            "AcquisitionMatrix": [0, 224, 160, 0],
            "PercentSampling": "100",
            "PercentPhaseFieldOfView": "90",
            "InPlanePhaseEncodingDirection": "ROW",
        },
        MeasuredMatrix(224, 160, 1, 1.0, 0.9),
    ),
    "GE, vertical phase, partial Fourier": (
        {
            "AcquisitionMatrix": [224, 0, 0, 224],
            "PercentSampling": "71.42857",
            "PercentPhaseFieldOfView": "100",
            "InPlanePhaseEncodingDirection": "COL",
        },
        MeasuredMatrix(224, 224, 0, 0.7142857, 1.0),
    ),
    "Siemens, rectangular": (
        {
            "AcquisitionMatrix": [0, 256, 166, 0],
            "PercentSampling": "80",
            "PercentPhaseFieldOfView": "81.25",
            "InPlanePhaseEncodingDirection": "ROW",
        },
        MeasuredMatrix(256, 166, 1, 0.8, 0.8125),
    ),
    "United Imaging, both as columns": (
        {"AcquisitionMatrix": [0, 448, 0, 390], "InPlanePhaseEncodingDirection": "ROW"},
        MeasuredMatrix(448, 390, 1),
    ),
    "no direction": ({"AcquisitionMatrix": [192, 0, 0, 144]}, MeasuredMatrix(192, 144, 0)),
    "no direction, rows": ({"AcquisitionMatrix": [0, 192, 144, 0]}, MeasuredMatrix(192, 144, 1)),
    "nonsense shares": (
        {
            "AcquisitionMatrix": [192, 0, 0, 144],
            "PercentSampling": "0",
            "PercentPhaseFieldOfView": "1000",
        },
        MeasuredMatrix(192, 144, 0),
    ),
    "nothing": ({}, None),
    "a blank form": ({"AcquisitionMatrix": [0, 0, 0, 0]}, None),
    "an empty element": ({"AcquisitionMatrix": None}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_vendors_headers_are_understood(name: str, tmp_path: Path) -> None:
    header, expected = CASES[name]
    cine = read(tmp_path / "scan", **header)
    assert cine.notes == ()
    if expected is None:
        assert cine.measured is None
        return
    found = cine.measured
    assert found is not None
    assert (found.frequency, found.phase, found.phase_axis) == (
        expected.frequency,
        expected.phase,
        expected.phase_axis,
    )
    assert found.sampling == pytest.approx(expected.sampling)
    assert found.phase_field_of_view == pytest.approx(expected.phase_field_of_view)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"AcquisitionMatrix": [256, 256, 256, 256]}, "makes no sense"),
        ({"AcquisitionMatrix": [256, 0, 0, 0]}, "makes no sense"),
        ({"AcquisitionMatrix": [0, 448, 0, 390]}, "makes no sense"),
        ({"AcquisitionMatrix": [0, 9999, 160, 0]}, r"9999, 160, 0\] makes no sense"),
        ({"AcquisitionMatrix": [256, 192]}, r"256, 192\] makes no sense"),
        (
            {
                "AcquisitionMatrix": [0, 256, 192, 0],
                "ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"],
            },
            "was cut from others",
        ),
        (
            {"AcquisitionMatrix": lambda phase: [0, 256, 192 + 8 * (phase == 1), 0]},
            r"several acquisitions \(256 x 192, 256 x 200\)",
        ),
    ],
)
def test_what_makes_no_sense_is_left_aside_with_a_note(
    header: dict[str, Any], words: str, tmp_path: Path
) -> None:
    cine = read(tmp_path / "scan", **header)
    assert cine.measured is None
    (note,) = cine.notes
    assert re.search(words, note)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("direction", "axis"), [("COLUMN", 0), ("ROW", 1)])
def test_enhanced_files_say_it_in_their_groups(
    direction: str, axis: int, is_shared: bool, tmp_path: Path
) -> None:
    def change(dataset: Dataset) -> None:
        item = Dataset()
        item.MRAcquisitionFrequencyEncodingSteps = 192
        item.MRAcquisitionPhaseEncodingStepsInPlane = 150
        item.InPlanePhaseEncodingDirection = direction
        item.PercentSampling, item.PercentPhaseFieldOfView = 78.125, 85.0
        groups = [*dataset.SharedFunctionalGroupsSequence]
        if not is_shared:
            del groups[0].MRFOVGeometrySequence
            groups = list(dataset.PerFrameFunctionalGroupsSequence)
        for group in groups:
            group.MRFOVGeometrySequence = Sequence([item])

    path = dicom_cases.write_enhanced(tmp_path / "scan.dcm", change=change)
    (cine,) = open_cines(path)
    assert cine.measured == MeasuredMatrix(192, 150, axis, 0.78125, 0.85)


def test_what_is_made_from_a_cine_has_no_matrix_of_its_own(tmp_path: Path) -> None:
    from cinesr.degradation import degrade

    cine = read(tmp_path / "scan", AcquisitionMatrix=[0, 24, 20, 0])
    assert cine.measured is not None
    assert cine.in_memory().measured == cine.measured
    assert degrade(cine, method="kspace", scale=2).measured is None


@pytest.mark.parametrize(
    ("matrix", "pixels", "extent_mm", "expected"),
    [
        # GE: prescribed for a square field of view; partial Fourier comes second.
        (MeasuredMatrix(224, 160, 1, 1.0, 0.9), (256, 256), (210, 210), [(0.875, 0.625)]),
        (MeasuredMatrix(224, 224, 0, 0.7142857), (256, 256), (350, 350), [(0.875, 0.875)]),
        # Siemens: a rectangular picture on which the lines were measured.
        (MeasuredMatrix(256, 166, 0, 0.8, 0.8125), (208, 256), (276, 340), [(0.798, 1.0)]),
        # The same, interpolated to twice the size.
        (MeasuredMatrix(256, 166, 0, 0.8, 0.8125), (416, 512), (276, 340), [(0.399, 0.5)]),
        # A slightly cropped picture.
        (MeasuredMatrix(260, 192, 1), (256, 256), (300, 300), [(1.0, 0.75)]),
        # Made smaller since: nothing is known.
        (MeasuredMatrix(224, 160, 1), (128, 128), (210, 210), []),
        (MeasuredMatrix(120, 160, 1), (128, 128), (210, 210), []),
    ],
)
def test_shares_of_k_space(
    matrix: MeasuredMatrix,
    pixels: tuple[int, int],
    extent_mm: tuple[float, float],
    expected: list[tuple[float, float]],
) -> None:
    found = matrix.kept_shares(pixels, extent_mm)
    assert len(found) >= len(expected)
    for share, truth in zip(found, expected, strict=False):
        assert share == pytest.approx(truth, abs=1e-3)
    assert bool(found) is bool(expected)


def test_other_meanings_of_a_header_follow_the_likeliest() -> None:
    """Lines of a narrow field of view in a square picture may lie closer; some may be missing."""
    found = MeasuredMatrix(256, 128, 0, 0.75, 0.8).kept_shares((256, 256), (320, 320))
    assert np.allclose(found, [(0.5, 1.0), (0.625, 1.0), (0.375, 1.0), (0.46875, 1.0)])
