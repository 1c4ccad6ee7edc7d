"""The scans of the benchmark of the whole path, and the network alone on the same frames."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from harness import MatrixProduct
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.files import save
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.catalogue import find_model
from cinesr.upscaling.engine import Engine

FORMATS = {"dicom": "", "nifti": ".nii.gz"}
"""What the name of an input and of an output ends in."""


class Scans:
    """A synthetic cine on the disk, and the engine that upscales its frames without any files.

    Args:
        folder: For the files.
        size: Rows and columns.
        slices: How many.
        phases: How many, in each of the scans; the shorter ones are the start of the longest.
    """

    def __init__(self, folder: Path, size: int, slices: int, phases: Sequence[int]) -> None:
        self._cine = make_phantom(size=size, slices=slices, phases=max(phases))
        for count in phases:
            part = _first(self._cine, count)
            write_dicom(part, folder / f"{count}{FORMATS['dicom']}")
            save(part, folder / f"{count}{FORMATS['nifti']}")
        self._rule = IntensityRule.of(self._cine)
        self._product = MatrixProduct()

    def ready(self, model: str | None, threads: int) -> None:
        """Loads a model, by its name or file, and runs it once."""
        self._engine = Engine(find_model(model), threads=threads)
        self.network(1)

    def network(self, frames: int) -> list[float]:
        """Seconds that the network took for each of so many frames, spread over the cine."""
        times, slices = self._cine.shape[:2]
        seconds = []
        for at in np.linspace(0, times * slices - 1, frames).astype(int):
            image = self._rule.apply(self._cine.frame(at // slices, at % slices))
            start = time.perf_counter()
            self._engine.run(image)
            seconds.append(time.perf_counter() - start)
        return seconds

    def product(self) -> float:
        """GFLOP/s of the machine's matrix product, once."""
        start = time.perf_counter()
        self._product()
        return self._product.gigaflops(time.perf_counter() - start)


def _first(cine: Cine, phases: int) -> Cine:
    return replace(cine, frames=np.asarray(cine.frames)[:phases], times_ms=cine.times_ms[:phases])


def write_dicom(cine: Cine, folder: Path) -> None:
    """Writes a cine as a series of MR images (DICOM PS3.3, A.4), one file for each frame.

    Args:
        cine: With stored values of 12 bits.
        folder: Made where missing.
    """
    folder.mkdir(parents=True)
    study, series, place = generate_uid(), generate_uid(), generate_uid()
    for number, (phase, slice_index, frame) in enumerate(cine.iter_frames(), start=1):
        dataset = _header(cine, phase, slice_index)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.FrameOfReferenceUID = place
        dataset.SOPInstanceUID, dataset.InstanceNumber = generate_uid(), number
        dataset.Rows, dataset.Columns = frame.shape
        dataset.PixelData = frame.tobytes()
        dataset.save_as(folder / f"IM_{number:04d}.dcm", enforce_file_format=True)


def _header(cine: Cine, phase: int, slice_index: int) -> Dataset:
    column_mm, row_mm, slice_mm = cine.geometry.spacing_mm
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"
    dataset.PatientName, dataset.PatientID = "Phantom^Heart", "phantom"
    dataset.SeriesDescription, dataset.SeriesNumber = "cine SAX", 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.TriggerTime = float(cine.times_ms[phase])
    dataset.SliceThickness = dataset.SpacingBetweenSlices = slice_mm
    dataset.PixelSpacing = [row_mm, column_mm]
    directions = cine.geometry.directions
    dataset.ImageOrientationPatient = _decimals([*directions[:, 0], *directions[:, 1]])
    dataset.ImagePositionPatient = _decimals(cine.geometry.positions_mm[slice_index])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    return dataset


def _decimals(values: Sequence[float]) -> list[float]:
    """As many digits as a decimal string of DICOM holds."""
    return [round(float(value), 8) for value in values]
