"""The package is quick to import, and its public names are all there."""

import subprocess
import sys

import pytest

import cinesr
from cinesr import errors


def python(program: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return run.stdout.split()


def test_importing_loads_nothing_heavy() -> None:
    before = "import sys; known = set(sys.modules); "
    loaded = python(before + "import cinesr; print(*(set(sys.modules) - known))")
    assert not {"numpy", "openvino", "keras", "click", "pydicom"} & set(loaded)
    assert len(loaded) < 40


def test_the_public_names_are_few_and_there() -> None:
    assert len(cinesr.__all__) <= 12
    for name in cinesr.__all__:
        assert getattr(cinesr, name).__doc__
        assert name in dir(cinesr)
    with pytest.raises(AttributeError, match="module 'cinesr' has no attribute 'upsample'"):
        cinesr.upsample  # noqa: B018


def test_a_name_is_looked_up_once() -> None:
    (same,) = python("import cinesr; print(cinesr.load is cinesr.load is vars(cinesr)['load'])")
    assert same == "True"


def test_the_common_use_in_one_line(tmp_path) -> None:
    from dicom_cases import write_cine_series
    from model_cases import write_model

    write_cine_series(tmp_path / "scan", slices=1, phases=2)
    model = write_model(tmp_path / "m.onnx", scale=2)
    cinesr.save(cinesr.upscale(cinesr.load(tmp_path / "scan"), model=model), tmp_path / "out")
    assert cinesr.load(tmp_path / "out").shape == (2, 1, 40, 48)


def test_errors_tell_what_came_and_what_to_do() -> None:
    every = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(every) >= 8
    for kind in every:
        assert issubclass(kind, cinesr.CinesrError)
        error = kind("a.png: is a cat.", hint="Name a scan.")
        assert str(error) == "a.png: is a cat.\nName a scan."
        assert (error.message, error.hint, error.exit_code) == (
            "a.png: is a cat.",
            "Name a scan.",
            3,
        )
        assert str(kind("alone")) == "alone"
