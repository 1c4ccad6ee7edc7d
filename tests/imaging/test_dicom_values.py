"""Values of headers and pixels that are not what they should be."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from cinesr.errors import UnfitImageError
from cinesr.imaging import dicom
from cinesr.imaging.cine import Cine, Derivation
from cinesr.imaging.dicom_values import seconds_of
from dicom_cases import (
    classic_frame,
    expected_frame,
    save,
    set_pixels,
    write_cine_series,
    write_enhanced,
)


def read_one(folder: Path) -> Cine:
    (cine,) = dicom.read([path for path in folder.rglob("*") if path.is_file()])
    return cine


def raw_element(path: Path, keyword: str) -> bytes:
    """The bytes of an element's value in a file, without the padding to an even length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        element = dcmread(path).get_item(keyword)
    return bytes(element.value).rstrip(b" \0")


def patch(path: Path, keyword: str, old: bytes, new: bytes) -> None:
    """Changes the bytes of a value in a file, at every depth where both are of one length."""
    number = tag_for_keyword(keyword)
    tag = struct.pack("<HH", number >> 16, number & 0xFFFF)
    vr = dictionary_VR(number).encode()
    old, new = (value + b" " * (len(value) % 2) for value in (old, new))
    content, found = path.read_bytes(), 0
    for form, prefix in (("<H", tag + vr), ("<L", tag)):
        before = prefix + struct.pack(form, len(old)) + old
        found += content.count(before)
        content = content.replace(before, prefix + struct.pack(form, len(new)) + new)
    assert found
    path.write_bytes(content)


class TestOptionalElements:
    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("SliceThickness", "8,0"),
            ("SliceThickness", "thin"),
            ("InstanceNumber", "1\\2"),
            ("InstanceNumber", "one"),
            ("SpacingBetweenSlices", "8.0\\8.0"),
            ("EchoTime", "nan"),
            ("SliceLocation", "?"),
        ],
    )
    @pytest.mark.parametrize("is_implicit", [True, False])
    def test_a_bad_value_is_named_noted_and_passed_over(
        self, tmp_path, keyword, value, is_implicit
    ):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            if is_implicit:
                dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            setattr(dataset, keyword, 3)

        scan = write_cine_series(tmp_path, change=change)
        for path in scan.iterdir():
            plain = b"3.0" if dictionary_VR(keyword) == "DS" else b"3"
            patch(path, keyword, plain, value.encode())
        cine = read_one(scan)
        assert cine.shape == (4, 3, 20, 24)
        np.testing.assert_array_equal(cine.frame(2, 1), expected_frame(2, 1))
        (note,) = (note for note in cine.notes if keyword in note)
        assert value in note
        assert "passed over (12 files)" in note

    def test_within_the_groups_of_a_frame(self, tmp_path):
        patch(write_enhanced(tmp_path / "e.dcm"), "SliceThickness", b"6.0", b"6,0")
        assert any('SliceThickness "6,0"' in note for note in read_one(tmp_path).notes)

    def test_a_needed_element_says_what_was_wrong_with_it(self, tmp_path):
        path = save(classic_frame(0, 0), tmp_path / "a.dcm")
        patch(path, "PixelSpacing", b"1.5\\0.75", b"1,5\\0,75")
        with pytest.raises(UnfitImageError, match=r'no PixelSpacing; PixelSpacing "1,5.0,75"'):
            dicom.read([path])

    def test_empty_elements_say_nothing(self, tmp_path):
        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            dataset.SliceThickness = dataset.EchoTime = dataset.AcquisitionNumber = None

        assert read_one(write_cine_series(tmp_path, change=change)).notes == ()


class TestText:
    """Umlauts in other bytes than the declared character set has them in, or in an unknown one."""

    CASES = (
        ("ISO_IR 192", "Müller".encode("latin-1")),
        ("ISO_IR 999", "Müller".encode("latin-1")),
        ("", "Müller".encode("latin-1")),
        (None, "Müller".encode()),
        ("ISO_IR 100", "Müller".encode()),
        ("GB18030", b"M\xfcller\xff\xff"),
        ("ISO 2022 IR 87", b"Yamada=\x1b$B;3\xffED\x1b(B"),
        ("\\ISO 2022 IR 159", b"M\xfcller\x1b$(D"),
    )

    @pytest.mark.parametrize(("charset", "text"), CASES)
    @pytest.mark.parametrize("is_implicit", [True, False])
    def test_leaves_as_its_bytes_came(self, tmp_path, charset, text, is_implicit):
        keywords = ("PatientName", "StudyDescription", "RequestedProcedureDescription")
        plain = "x" * len(text)

        def change(dataset: Dataset, phase: int, slice_index: int) -> None:
            if is_implicit:
                dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            request = Dataset()
            for item in (dataset, request):
                for keyword in keywords:
                    setattr(item, keyword, plain)
            dataset.SeriesDescription = plain
            dataset.RequestAttributesSequence = Sequence([request])
            if charset is not None:
                dataset.SpecificCharacterSet = "ISO_IR 100"

        scan = write_cine_series(tmp_path / "in", slices=1, phases=2, change=change)
        for path in scan.iterdir():
            for keyword in (*keywords, "SeriesDescription"):
                patch(path, keyword, plain.encode(), text)
            if charset is not None:
                patch(path, "SpecificCharacterSet", b"ISO_IR 100", charset.encode())
        cine = read_one(scan)
        (tmp_path / "out").mkdir()
        derived = cine.with_frames(cine.frames, cine.geometry, Derivation("super-resolved x1", "d"))
        written = dicom.write(derived, tmp_path / "out")[0]
        for keyword in keywords:
            assert raw_element(written, keyword) == text
            padded = text + b" " * (len(text) % 2)
            tag = struct.pack("<HH", *divmod(tag_for_keyword(keyword), 1 << 16))
            vr = dictionary_VR(keyword).encode()
            # Of the data set and of the item within it.
            element = tag + vr + struct.pack("<H", len(padded)) + padded
            assert written.read_bytes().count(element) == 2
        described = raw_element(written, "SeriesDescription")
        assert described.startswith(text)
        assert described.endswith(b"super-resolved x1 - research use only")


class TestStoredBits:
    @pytest.mark.parametrize("kind", ["<i2", "<u2"])
    @pytest.mark.parametrize(("bits", "high"), [(12, 11), (12, 15), (12, 13), (10, 9), (16, 15)])
    @pytest.mark.parametrize("syntax", ["plain", "rle", "deflated"])
    def test_stray_bits_are_masked_and_the_high_bit_is_kept_to(
        self, tmp_path, kind, bits, high, syntax
    ):
        rng = np.random.default_rng(1)
        low = -(2 ** (bits - 1)) if kind == "<i2" else 0
        values = rng.integers(low, low + 2**bits, (20, 24))
        shift = high + 1 - bits
        stray = rng.integers(0, 2**16, values.shape)
        mask = (2**bits - 1) << shift
        stored = ((values << shift) & mask) | (stray & ~mask & 0xFFFF)
        dataset = classic_frame(0, 0)
        set_pixels(dataset, stored.astype("<u2"))
        dataset.BitsStored, dataset.HighBit = bits, high
        dataset.PixelRepresentation = int(kind == "<i2")
        if syntax == "deflated":
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if syntax == "rle":
            dataset.compress(RLELossless, generate_instance_uid=False)
        save(dataset, tmp_path / "a.dcm")
        cine = read_one(tmp_path)
        np.testing.assert_array_equal(cine.frame(0, 0), values)
        assert cine.value_range == (low, low + 2**bits - 1)
        (tmp_path / "out").mkdir()
        derived = cine.with_frames(cine.frames, cine.geometry, Derivation("x", "d"))
        (written,) = dicom.write(derived, tmp_path / "out")
        result = dcmread(written)
        assert (result.BitsStored, result.HighBit) == (bits, bits - 1)
        np.testing.assert_array_equal(result.pixel_array, values)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120000.052", 43200.052),
        ("12:00:01.5", 43201.5),
        ("1200", 43200),
        ("20240229101500.5", 19782 * 86400 + 36900.5),
        ("20240229101500+0100", 19782 * 86400 + 36900),
        ("", np.nan),
        ("noon", np.nan),
        ("256060", np.nan),
        ("20241301101500", np.nan),
    ],
)
def test_times_in_seconds(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds, nan_ok=True)
