"""Padding stays padding, and nothing of it leaks into the picture."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from cinesr.degradation import degrade
from cinesr.errors import UnfitImageError
from cinesr.imaging import dicom
from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.padding import Padding, filled, put_back, shrunk_back, without_padding
from cinesr.upscaling.telling import Telling
from cinesr.upscaling.upscale import Upscaler
from dicom_cases import set_pixels, write_cine_series

PAD = -2000


def picture() -> np.ndarray:
    row, column = np.mgrid[:40, :48]
    wave = 200 + 90 * np.sin(row / 3) + 80 * np.cos(column / 4)
    return np.rint(wave).astype(np.int16)


def padded_cine(pad: int = PAD, *, phases: int = 2) -> Cine:
    frame = picture()
    frame[:5] = pad
    frame[:, -3:] = pad
    frames = np.stack([frame + 0 * phase for phase in range(phases)])[:, None]
    return Cine(frames, Geometry.assumed(), padding=Padding(pad, pad))


def corner(value: int) -> np.ndarray:
    frame = picture()
    frame[np.add.outer(np.arange(40), np.arange(48)) < 20] = value
    return frame


def test_what_is_padding():
    frame = corner(PAD)
    frame[20, 20] = PAD
    assert Padding(PAD, PAD).mask(frame).sum() == 210 + 1
    assert Padding(-3000, -1000).mask(frame).sum() == 211
    assert not Padding(-1000, -900).mask(frame).any()


def test_zeros_within_a_picture_are_picture():
    frame = corner(0)
    frame[25, 30] = frame[39, 47] = 0
    frame[20:32, 20:32] = 0
    found = Padding(0, 0).mask(frame)
    assert found.sum() == 210
    assert not found[20:, 20:].any()


def test_no_padding_changes_nothing():
    frame = picture()
    for padding in (None, Padding(PAD, PAD)):
        assert without_padding(frame, padding) is frame
        assert filled(frame, padding) is frame
        assert put_back(frame, frame, padding) is frame
        assert shrunk_back(frame, frame, padding) is frame


def test_filled_with_the_nearest_picture():
    frame = np.array([[PAD, 5, 7], [PAD, 6, PAD]], np.int16)
    padding = Padding(PAD, PAD)
    np.testing.assert_array_equal(filled(frame, padding), [[5, 5, 7], [6, 6, 6]])
    assert filled(frame, padding).dtype == np.int16
    np.testing.assert_array_equal(
        filled(np.full((2, 2), PAD), padding, empty=3), np.full((2, 2), 3)
    )
    assert sorted(without_padding(frame, padding)) == [5, 6, 7]


def test_the_rule_does_not_see_padding():
    cine = padded_cine()
    rule = IntensityRule.of(cine)
    inside = picture()[5:, :-3]
    assert (rule.minimum, rule.maximum) == (inside.min(), inside.max())
    with pytest.raises(UnfitImageError, match="every pixel of the image is padding"):
        IntensityRule.of(Cine(np.full((1, 1, 9, 9), PAD), Geometry.assumed(), padding=cine.padding))


@pytest.mark.parametrize("pad", [PAD, 0])
def test_upscaled_padding_is_whole_and_the_picture_beside_it_has_no_trace(pad):
    cine = padded_cine(pad)
    # Both are told the same: what is read of an acquisition may depend on the padding.
    acquired = {"keep": (0.9, 0.8), "shape": "rectangular", "window": "none", "noise": 0.0}
    upscaler = Upscaler(telling=Telling(acquired))
    result = upscaler(cine).cine
    frame = np.asarray(result.frames)[0, 0]
    scale = frame.shape[0] // 40
    assert (frame[: 5 * scale] == pad).all()
    assert (frame[:, -3 * scale :] == pad).all()
    inside = frame[5 * scale :, : -3 * scale]
    assert not (inside == pad).any()
    # As if the picture ended there: what is nearest goes on beyond the border.
    whole = Cine(np.asarray([[filled(cine.frame(0, 0), cine.padding)]] * 2), Geometry.assumed())
    expected = np.asarray(upscaler(whole).cine.frames)[0, 0]
    # The rule takes its percentile over the picture alone: the last digit may differ.
    np.testing.assert_allclose(inside, expected[5 * scale :, : -3 * scale], rtol=0, atol=1)


def test_a_frame_of_padding_alone_stays_one():
    frames = np.asarray(padded_cine(phases=3).frames).copy()
    frames[1] = PAD
    cine = Cine(frames, Geometry.assumed(), padding=Padding(PAD, PAD))
    result = np.asarray(Upscaler()(cine).cine.frames)
    assert (result[1] == PAD).all()
    assert (result[0] != PAD).any()


def test_degraded_padding_stays_padding():
    frame = picture()
    frame[:6] = PAD
    cine = Cine(frame[None, None], Geometry.assumed(), padding=Padding(PAD, PAD))
    low = np.asarray(degrade(cine, method="bicubic", scale=4).frames)[0, 0]
    assert (low[:2] == PAD).all()
    assert low[2:].min() >= picture().min() - 30


class TestDicom:
    def scan(self, folder: Path, pad: int, vr: str, **elements: float) -> Path:
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            frame = picture()
            frame[:5] = PAD if pad > 2**15 else pad
            dataset.BitsStored = 16
            set_pixels(dataset, frame)
            dataset["PixelPaddingValue"] = DataElement("PixelPaddingValue", vr, pad)
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)
            if "RescaleSlope" in elements:
                dataset.RescaleSlope, dataset.RescaleIntercept = 1 + phase, -5 * phase

        return write_cine_series(folder, slices=1, phases=2, change=change)

    @pytest.mark.parametrize(("pad", "vr"), [(PAD, "SS"), (2**16 + PAD, "US"), (0, "SS")])
    def test_the_value_of_the_header_comes_back_in_the_result(self, tmp_path, pad, vr):
        (cine,) = dicom.read(list(self.scan(tmp_path / "in", pad, vr).iterdir()))
        value = 0 if pad == 0 else PAD
        assert cine.padding == Padding(value, value)
        (tmp_path / "out").mkdir()
        for path in dicom.write(Upscaler()(cine).cine, tmp_path / "out"):
            pixels = dcmread(path).pixel_array
            scale = pixels.shape[0] // 40
            assert (pixels[: 5 * scale] == value).all()
            assert (pixels[5 * scale :] > value).all()

    def test_a_range_of_values(self, tmp_path):
        scan = self.scan(tmp_path, PAD, "SS")
        for path in scan.iterdir():
            dataset = dcmread(path)
            frame = dataset.pixel_array.copy()
            frame[0] = -1500
            dataset.PixelPaddingRangeLimit = -1000
            dataset["PixelPaddingRangeLimit"].VR = "SS"
            dataset.PixelData = frame.tobytes()
            dataset.save_as(path)
        (cine,) = dicom.read(list(scan.iterdir()))
        assert cine.padding == Padding(PAD, -1000)
        result = Upscaler()(cine).cine.frame(0, 0)
        scale = result.shape[0] // 40
        assert (result[:scale] == -1500).all()
        assert (result[scale : 5 * scale] == PAD).all()

    def test_frames_of_unequal_rescaling(self, tmp_path):
        scan = self.scan(tmp_path / "in", PAD, "SS", RescaleSlope=1)
        (cine,) = dicom.read(list(scan.iterdir()))
        assert cine.dtype == np.float32
        (tmp_path / "out").mkdir()
        for path in dicom.write(Upscaler()(cine).cine, tmp_path / "out"):
            pixels = dcmread(path).pixel_array
            scale = pixels.shape[0] // 40
            assert (pixels[: 5 * scale] == PAD).all()
            assert pixels[5 * scale :].min() >= picture().min() - 60

    def test_none(self, tmp_path):
        (cine,) = dicom.read(list(write_cine_series(tmp_path / "a").iterdir()))
        assert cine.padding is None
