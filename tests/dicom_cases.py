"""Synthetic DICOM for tests: oblique planes, pixels that are not square, shuffled numbers.

Every pixel value tells its frame: see `expected_frame`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

SPACING = (1.5, 0.75)
"""PixelSpacing: row spacing, column spacing."""

SLICE_STEP = 8.0
PHASE_STEP = 40.0
FIRST_TRIGGER = 12.5
ORIGIN = np.array([-80.25, -120.5, 33.125])
# An oblique plane, as a short-axis one: rotated about two axes.
ROW_AXIS = np.array([0.8, 0.36, -0.48])
COLUMN_AXIS = np.array([0.0, 0.8, 0.6])
NORMAL = np.cross(ROW_AXIS, COLUMN_AXIS)
STUDY = "1.2.826.0.1.3680043.8.498.1"
FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.2"

Change = Callable[[Dataset, int, int], None]


def expected_frame(phase: int, slice_index: int, rows: int = 20, columns: int = 24) -> np.ndarray:
    """The stored values of one frame: a ramp on a level that only this frame has."""
    row, column = np.mgrid[:rows, :columns]
    return (100 * (phase + 1) + 10 * slice_index + 2 * row + column).astype(np.uint16)


def position(slice_index: float) -> np.ndarray:
    """Centre of the first voxel of a slice."""
    return ORIGIN + slice_index * SLICE_STEP * NORMAL


def write_cine_series(
    folder: Path,
    *,
    slices: int = 3,
    phases: int = 4,
    rows: int = 20,
    columns: int = 24,
    series: int = 7,
    change: Change | None = None,
) -> Path:
    """Writes one classic MR series, one file per frame; names and numbers tell nothing.

    Args:
        folder: Made where missing.
        slices: How many planes.
        phases: How many frames in each plane.
        rows: Of each frame.
        columns: Of each frame.
        series: SeriesNumber, on which the SeriesInstanceUID depends.
        change: Called with (dataset, phase, slice) before each file is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(series).permutation(slices * phases)
    for slice_index in range(slices):
        for phase in range(phases):
            number = int(order[slice_index * phases + phase]) + 1
            dataset = classic_frame(phase, slice_index, rows=rows, columns=columns, series=series)
            dataset.InstanceNumber = number
            if change is not None:
                change(dataset, phase, slice_index)
            save(dataset, folder / f"{series}_{number}.dcm")
    return folder


def save(dataset: Dataset, path: Path) -> Path:
    """Writes a data set as a DICOM file, with the transfer syntax of its file meta."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def _study(series: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = f"{STUDY}.{series}"
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.PositionReferenceIndicator = ""
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20240229"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "101500"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.PatientName, dataset.PatientID = "Phantom^Heart", "P1"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.Modality, dataset.Manufacturer = "MR", "Testing"
    dataset.ManufacturerModelName, dataset.DeviceSerialNumber = "Scanner", "1"
    dataset.SoftwareVersions = "1"
    dataset.SeriesDescription, dataset.SeriesNumber = "cine SAX", series
    dataset.PatientPosition = "HFS"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    return dataset


def classic_frame(
    phase: int, slice_index: int, *, rows: int = 20, columns: int = 24, series: int = 7
) -> Dataset:
    """One frame as an MR Image (PS3.3, A.4) that `dciodvfy` finds no error in."""
    dataset = _study(series)
    dataset.SOPClassUID = MRImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.AcquisitionNumber, dataset.InstanceNumber = 1, 1
    dataset.BodyPartExamined = "HEART"
    dataset.ScanningSequence, dataset.SequenceVariant = "GR", "SS"
    dataset.ScanOptions, dataset.MRAcquisitionType = "CG", "2D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = 3.0, 1.5, 1
    dataset.FlipAngle, dataset.MagneticFieldStrength = 45, 1.5
    dataset.SliceThickness, dataset.SpacingBetweenSlices = 6.0, SLICE_STEP
    dataset.TriggerTime = FIRST_TRIGGER + PHASE_STEP * phase
    dataset.AcquisitionMatrix = [24, 0, 0, 20]
    dataset.ReconstructionDiameter = 30
    dataset.PixelSpacing = list(SPACING)
    dataset.ImageOrientationPatient = [*ROW_AXIS, *COLUMN_AXIS]
    dataset.ImagePositionPatient = [round(each, 6) for each in position(slice_index)]
    dataset.SliceLocation = SLICE_STEP * slice_index
    dataset.WindowCenter, dataset.WindowWidth = 300, 600
    set_pixels(dataset, expected_frame(phase, slice_index, rows, columns))
    return dataset


def set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    """Puts grey frames, (row, column) or (frame, row, column), into a data set as they are."""
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = min(int(dataset.BitsStored), int(dataset.BitsAllocated))
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"


def write_enhanced(
    path: Path,
    *,
    slices: int = 3,
    phases: int = 4,
    rows: int = 20,
    columns: int = 24,
    change: Callable[[Dataset], None] | None = None,
) -> Path:
    """Writes one Enhanced MR Image (PS3.3, A.36) with all frames in a shuffled order.

    Args:
        path: Of the file; its folder is made where missing.
        slices: How many planes.
        phases: How many frames in each plane.
        rows: Of each frame.
        columns: Of each frame.
        change: Called with the data set before it is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = _study(series=9)
    dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]
    dataset.InstanceNumber, dataset.SeriesDescription = 1, "enhanced cine"
    dataset.NumberOfFrames = slices * phases
    _describe_acquisition(dataset)
    dataset.SharedFunctionalGroupsSequence = Sequence([_shared_groups()])
    places = [(phase, at) for at in range(slices) for phase in range(phases)]
    shuffled = [places[at] for at in np.random.default_rng(1).permutation(len(places))]
    groups = [_frame_groups(phase, at) for phase, at in shuffled]
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    frames = [expected_frame(phase, at, rows, columns) for phase, at in shuffled]
    set_pixels(dataset, np.stack(frames))
    if change is not None:
        change(dataset)
    return save(dataset, path)


def _items(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _describe_acquisition(dataset: Dataset) -> None:
    organisation = f"{STUDY}.99"
    dataset.DimensionOrganizationSequence = Sequence(
        [_items(DimensionOrganizationUID=organisation)]
    )
    dataset.DimensionIndexSequence = Sequence(
        [
            _items(
                DimensionIndexPointer=pointer,
                FunctionalGroupPointer=0x00209111,
                DimensionOrganizationUID=organisation,
            )
            for pointer in (0x00209057, 0x00209128)
        ]
    )
    values = {
        "AcquisitionContextSequence": Sequence(),
        "AcquisitionDateTime": "20240229101500",
        "AcquisitionDuration": 1000.0,
        "AcquisitionNumber": 1,
        "ApplicableSafetyStandardAgency": "IEC",
        "BurnedInAnnotation": "NO",
        "CardiacSynchronizationTechnique": "RETROSPECTIVE",
        "CardiacSignalSource": "ECG",
        "CardiacRRIntervalSpecified": 800.0,
        "CardiacBeatRejectionTechnique": "NONE",
        "LowRRValue": 700,
        "HighRRValue": 900,
        "IntervalsAcquired": 10,
        "IntervalsRejected": 0,
        "ComplexImageComponent": "MAGNITUDE",
        "AcquisitionContrast": "UNKNOWN",
        "ContentQualification": "RESEARCH",
        "EchoPulseSequence": "GRADIENT",
        "KSpaceFiltering": "NONE",
        "LossyImageCompression": "00",
        "MRAcquisitionType": "2D",
        "MagneticFieldStrength": 1.5,
        "EchoPlanarPulseSequence": "NO",
        "GeometryOfKSpaceTraversal": "RECTILINEAR",
        "NumberOfKSpaceTrajectories": 1,
        "OversamplingPhase": "NONE",
        "SaturationRecovery": "NO",
        "MultiPlanarExcitation": "NO",
        "PhaseContrast": "NO",
        "PixelPresentation": "MONOCHROME",
        "PresentationLUTShape": "IDENTITY",
        "PulseSequenceName": "TRUFI",
        "RectilinearPhaseEncodeReordering": "LINEAR",
        "ResonantNucleus": "1H",
        "SegmentedKSpaceTraversal": "PARTIAL",
        "SpectrallySelectedSuppression": "NONE",
        "SteadyStatePulseSequence": "FREE_PRECESSION",
        "TimeOfFlightContrast": "NO",
        "VolumeBasedCalculationTechnique": "NONE",
        "VolumetricProperties": "VOLUME",
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def _code(value: str, scheme: str, meaning: str) -> Sequence:
    return Sequence([_items(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)])


def _shared_groups() -> Dataset:
    macros = {
        "PixelMeasuresSequence": _items(
            PixelSpacing=list(SPACING), SliceThickness=6.0, SpacingBetweenSlices=SLICE_STEP
        ),
        "PlaneOrientationSequence": _items(ImageOrientationPatient=[*ROW_AXIS, *COLUMN_AXIS]),
        "FrameAnatomySequence": _items(
            FrameLaterality="U", AnatomicRegionSequence=_code("80891009", "SCT", "Heart")
        ),
        "PixelValueTransformationSequence": _items(
            RescaleIntercept=0, RescaleSlope=1, RescaleType="US"
        ),
        "FrameVOILUTSequence": _items(WindowCenter=300, WindowWidth=600),
        "MRImageFrameTypeSequence": _items(
            FrameType=["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"],
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent="MAGNITUDE",
            AcquisitionContrast="UNKNOWN",
        ),
        "MRTimingAndRelatedParametersSequence": _items(
            RepetitionTime=3.0,
            FlipAngle=45,
            EchoTrainLength=1,
            RFEchoTrainLength=0,
            GradientEchoTrainLength=1,
            SpecificAbsorptionRateSequence=Sequence(
                [
                    _items(
                        SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY",
                        SpecificAbsorptionRateValue=1.0,
                    )
                ]
            ),
            GradientOutputType="DB_DT",
            GradientOutput=1.0,
            OperatingModeSequence=Sequence(
                [_items(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL")]
            ),
        ),
        "MRFOVGeometrySequence": _items(
            InPlanePhaseEncodingDirection="COLUMN",
            MRAcquisitionFrequencyEncodingSteps=24,
            MRAcquisitionPhaseEncodingStepsInPlane=20,
            PercentSampling=100,
            PercentPhaseFieldOfView=100,
        ),
        "MREchoSequence": _items(EffectiveEchoTime=1.5),
        "MRModifierSequence": _items(
            InversionRecovery="NO",
            FlowCompensation="NONE",
            Spoiling="NONE",
            T2Preparation="NO",
            SpectrallySelectedExcitation="NONE",
            SpatialPresaturation="NONE",
            PartialFourier="NO",
            ParallelAcquisition="NO",
        ),
        "MRImagingModifierSequence": _items(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=63.9,
            PixelBandwidth=976.0,
        ),
        "MRReceiveCoilSequence": _items(
            ReceiveCoilName="BODY",
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="BODY",
            QuadratureReceiveCoil="YES",
        ),
        "MRTransmitCoilSequence": _items(
            TransmitCoilName="BODY", TransmitCoilManufacturerName="", TransmitCoilType="BODY"
        ),
        "MRAveragesSequence": _items(NumberOfAverages=1),
    }
    return _items(**{macro: Sequence([item]) for macro, item in macros.items()})


def _frame_groups(phase: int, slice_index: int) -> Dataset:
    trigger = FIRST_TRIGGER + PHASE_STEP * phase
    macros = {
        "FrameContentSequence": _items(
            FrameAcquisitionDateTime="20240229101500",
            FrameReferenceDateTime="20240229101500",
            FrameAcquisitionDuration=10.0,
            CardiacCyclePosition="UNDETERMINED",
            StackID="1",
            InStackPositionNumber=slice_index + 1,
            TemporalPositionIndex=phase + 1,
            DimensionIndexValues=[slice_index + 1, phase + 1],
        ),
        "PlanePositionSequence": _items(
            ImagePositionPatient=[round(each, 6) for each in position(slice_index)]
        ),
        "CardiacSynchronizationSequence": _items(
            NominalCardiacTriggerDelayTime=trigger,
            ActualCardiacTriggerDelayTime=trigger,
            RRIntervalTimeNominal=800.0,
        ),
    }
    return _items(**{macro: Sequence([item]) for macro, item in macros.items()})
