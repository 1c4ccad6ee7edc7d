"""Bad input, from the shell to the shell: one clear error, the right exit code, nothing left."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import dicom_cases
from cinesr.cli import main
from cinesr.imaging.files import load
from model_cases import write_model, write_model_without_card

PICTURE = dicom_cases.expected_frame(0, 0)
Maker = Callable[[Path], Path]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "bicubic.onnx")


def upscale(*arguments: object) -> Result:
    line = ["upscale", *(str(argument) for argument in arguments)]
    result = CliRunner().invoke(main, line)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def halved(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def empty_folder(place: Path) -> Path:
    (place / "scan" / "sub").mkdir(parents=True)
    return place / "scan"


def words_named_dicom(place: Path) -> Path:
    (place / "words.dcm").write_text("these are only words\n" * 50)
    return place / "words.dcm"


def truncated_dicom(place: Path) -> Path:
    return halved(dicom_cases.save(dicom_cases.classic_frame(0, 0), place / "cut.dcm"))


def truncated_dicom_among_others(place: Path) -> Path:
    dicom_cases.write_cine_series(place / "scan", slices=1)
    halved(place / "scan" / "7_2.dcm")
    return place / "scan"


def truncated_nifti(place: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64, 4)).astype("int16")
    nib.save(nib.Nifti1Image(noise, np.eye(4)), place / "cut.nii.gz")
    return halved(place / "cut.nii.gz")


def short_nifti(place: Path) -> Path:
    """Whole as gzip, but with fewer voxels than its header says."""
    nib.save(nib.Nifti1Image(np.zeros((64, 64, 4), "int16"), np.eye(4)), place / "cut.nii.gz")
    content = gzip.decompress((place / "cut.nii.gz").read_bytes())
    (place / "cut.nii.gz").write_bytes(gzip.compress(content[:5000]))
    return place / "cut.nii.gz"


def no_pixel_data(place: Path) -> Path:
    dataset = dicom_cases.classic_frame(0, 0)
    del dataset.PixelData
    return dicom_cases.save(dataset, place / "bare.dcm")


def colour_png(place: Path) -> Path:
    grey = PICTURE.astype(np.uint8)
    Image.fromarray(np.dstack([grey, grey, grey + 1])).save(place / "colour.png")
    return place / "colour.png"


def colour_dicom(place: Path) -> Path:
    dataset = dicom_cases.classic_frame(0, 0)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dicom_cases.set_pixels(dataset, PICTURE.astype(np.uint8))
    pixels = np.dstack([PICTURE, PICTURE, PICTURE + 1]).astype(np.uint8)
    dataset.PixelData = pixels.tobytes()
    return dicom_cases.save(dataset, place / "colour.dcm")


def not_a_number(place: Path) -> Path:
    cine = np.ones((3, 20, 24)) * np.arange(24)
    cine[2, 3, 4] = np.nan
    np.save(place / "nan.npy", cine)
    return place / "nan.npy"


def infinite(place: Path) -> Path:
    voxels = np.ones((20, 24, 2), np.float32)
    voxels[3, 4, 1] = -np.inf
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), place / "inf.nii.gz")
    return place / "inf.nii.gz"


def all_zero(place: Path) -> Path:
    return dicom_cases.write_cine_series(
        place / "scan",
        slices=1,
        change=lambda dataset, *_: dicom_cases.set_pixels(dataset, np.zeros_like(PICTURE)),
    )


def one_pixel(place: Path) -> Path:
    np.save(place / "dot.npy", np.array([[7.0]]))
    return place / "dot.npy"


def no_spacing(place: Path) -> Path:
    def forget(dataset: pydicom.Dataset, *_: int) -> None:
        del dataset.PixelSpacing

    return dicom_cases.write_cine_series(place / "scan", slices=1, phases=2, change=forget)


def absent(place: Path) -> Path:
    return place / "nowhere"


def folder_without_images(place: Path) -> Path:
    (place / "scan").mkdir()
    (place / "scan" / "notes.txt").write_text("words")
    return place / "scan"


CASES: dict[Maker, tuple[str, str]] = {
    absent: ("nowhere does not exist", "Check the path"),
    empty_folder: ("scan holds no file", "Name the folder"),
    folder_without_images: ("holds only notes.txt", "Name the folder"),
    words_named_dicom: ("words.dcm is of no kind that cinesr reads", "Convert it"),
    truncated_dicom: ("cut.dcm", "again"),
    truncated_dicom_among_others: ("7_2.dcm", "again"),
    truncated_nifti: ("cut.nii.gz is not a whole NIfTI file", "again"),
    short_nifti: ("cut.nii.gz is not a whole NIfTI file", "again"),
    no_pixel_data: ("bare.dcm", "again"),
    colour_png: ("colour.png: a colour image", "Convert it to grey"),
    colour_dicom: ("colour.dcm", "colour"),
    not_a_number: ("nan.npy: the frame at phase 2, slice 0 holds 1 values", "nan_to_num"),
    infinite: ("inf.nii.gz: the frame at phase 0, slice 1 holds 1 values", "nan_to_num"),
    all_zero: ("every pixel of the image is 0", "export of the scan"),
    one_pixel: ("dot.npy has slices of 1x1 pixels", "export of the scan"),
    no_spacing: ("holds no PixelSpacing", "--spacing ROW,COLUMN"),
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_an_unfit_input_gives_one_error_and_leaves_nothing(
    make: Maker, model: Path, tmp_path: Path
) -> None:
    words, way_out = CASES[make]
    source = make(tmp_path)
    before = tree(tmp_path)
    for output in (["-o", tmp_path / "out"], ["-o", tmp_path / "new" / "out.nii.gz"], []):
        result = upscale(source, "--model", model, *output)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr.count("Error: ") == 1
        assert len(result.stderr.splitlines()) == 2
        message, hint = result.stderr.splitlines()
        assert words in message
        assert way_out in hint
        assert tree(tmp_path) == before


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_an_unfit_input_among_others_is_told_and_the_rest_is_done(
    make: Maker, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    np.save(tmp_path / "good.npy", PICTURE)
    result = upscale(
        make(tmp_path / "bad"), tmp_path / "good.npy", "--model", model, "-o", tmp_path / "out"
    )
    assert result.exit_code == 1
    assert CASES[make][0] in result.stderr
    assert result.stdout == f"{tmp_path / 'out' / 'good_x4.npy'}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "good_x4.npy",
        "good_x4.preview.png",
        "good_x4.run.json",
    ]


def test_a_grey_image_saved_as_colour_is_taken(model: Path, tmp_path: Path) -> None:
    grey = PICTURE.astype(np.uint8)
    Image.fromarray(grey).convert("RGB").save(tmp_path / "rgb.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for name in ("rgb", "grey"):
        result = upscale(tmp_path / f"{name}.png", "--model", model)
        assert result.exit_code == 0, result.stderr
    one, other = (load(tmp_path / f"{name}_x4.png").frames for name in ("rgb", "grey"))
    np.testing.assert_array_equal(one, other)


def test_a_named_spacing_stands_in_for_a_missing_one(model: Path, tmp_path: Path) -> None:
    source = no_spacing(tmp_path)
    result = upscale(source, "--model", model, "--spacing", "1.5,0.75", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    header = pydicom.dcmread(next((tmp_path / "out").glob("*.dcm")))
    assert list(header.PixelSpacing) == pytest.approx([0.375, 0.1875])
    for line in (["info", str(source)], ["evaluate", str(source), str(source), "--no-lpips"]):
        refused = CliRunner().invoke(main, line)
        assert (refused.exit_code, "--spacing" in refused.stderr) == (3, True)
        assert CliRunner().invoke(main, [*line, "--spacing", "1.5"]).exit_code == 0


@pytest.mark.parametrize("output", ["out", "out.nii.gz"])
def test_an_output_that_exists_is_kept(model: Path, tmp_path: Path, output: str) -> None:
    source = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
    line = (source, "--model", model, "-o", tmp_path / output)
    assert upscale(*line).exit_code == 0
    before = tree(tmp_path)
    result = upscale(*line)
    assert result.exit_code == 3
    assert f"{output} exists already" in result.stderr
    assert "--overwrite" in result.stderr
    assert tree(tmp_path) == before
    assert upscale(*line, "--overwrite").exit_code == 0
    assert set(tree(tmp_path)) == set(before)


def test_a_folder_of_other_things_is_kept_whatever_is_asked(model: Path, tmp_path: Path) -> None:
    source = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
    other = dicom_cases.write_cine_series(tmp_path / "other", slices=1, phases=2)
    before = tree(tmp_path)
    for output, words in ((other, "no earlier result"), (source, "is the input itself")):
        result = upscale(source, "--model", model, "-o", output, "--overwrite")
        assert result.exit_code == 3
        assert words in result.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize("output", ["out", "new/out", "out.nii.gz", "out.npy", "out.nii"])
def test_no_room_on_the_disk_leaves_nothing(model: Path, tmp_path: Path, output: str) -> None:
    """A limit on the size of files stands in for a full disk, in a program of its own."""
    np.save(tmp_path / "noise.npy", dicom_cases.expected_frame(0, 0, 120, 120))
    dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2, rows=120, columns=120)
    before = tree(tmp_path)

    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from cinesr.cli import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", program, "upscale", "scan", "-o", output, "--model", model],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (3, "")
    message, hint = run.stderr.splitlines()
    assert message.startswith(f"Error: {tmp_path / output} could not be written: no room on the")
    assert "Make room" in hint
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_to(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PICTURE)
    (tmp_path / "locked").mkdir(mode=0o500)
    result = upscale(tmp_path / "a.npy", "--model", model, "-o", tmp_path / "locked" / "b.npy")
    assert result.exit_code == 3
    assert "no permission" in result.stderr


def test_models_that_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PICTURE)
    (tmp_path / "words.onnx").write_text("only words")
    write_model_without_card(tmp_path / "foreign.onnx")
    write_model(
        tmp_path / "liar.onnx", scale=2, says={"name": "l", "scale": 4, "receptive_field": 1}
    )
    before = tree(tmp_path)
    for name, words in {
        "words.onnx": "words.onnx: is not an ONNX model",
        "foreign.onnx": "foreign.onnx: is an ONNX file without a cinesr card",
        "absent.onnx": "absent.onnx: cannot be read: No such file",
        "liar.onnx": "liar.onnx: makes (1, 1, 40, 48) of an image of (20, 24)",
    }.items():
        result = upscale(tmp_path / "a.npy", "--model", tmp_path / name, "-o", tmp_path / "b.npy")
        assert (result.exit_code, result.stdout) == (3, "")
        message, hint = result.stderr.splitlines()
        assert words in message
        assert "cinesr" in hint or "--model" in hint
        assert tree(tmp_path) == before
    result = upscale(tmp_path / "a.npy", "--model", "no-such-model")
    assert result.exit_code == 3
    assert "There is no model 'no-such-model'; at hand: " in result.stderr


def test_a_model_of_another_scale(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PICTURE)
    result = upscale(tmp_path / "a.npy", "--model", model, "--scale", "2")
    assert result.exit_code == 3
    assert "bicubic.onnx: upscales by 4, not by 2" in result.stderr
    result = upscale(tmp_path / "a.npy", "--scale", "7")
    assert result.exit_code == 3
    assert "There is no model of scale 7; at hand: " in result.stderr


@pytest.mark.parametrize("kind", ["nan", "black", "constant", "shifted", "overshoot"])
def test_a_result_that_fails_its_checks_is_not_written(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).random((40, 48))
    np.save(tmp_path / "a.npy", noise)
    bad = write_model(tmp_path / "bad.onnx", kind)
    before = tree(tmp_path)
    result = upscale(tmp_path / "a.npy", "--model", bad, "--json")
    assert result.exit_code == 3
    assert "Nothing was written." in result.stderr
    (failed,) = json.loads(result.stdout)["failed"]
    assert "a.npy" in failed["error"]
    assert tree(tmp_path) == before
