"""bfloat16 is chosen where it is faster, and nowhere else."""

import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import keras
import pytest

from cinesr.learning.hardware import fast_precision


def on_backend(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: name)


def with_processor(monkeypatch: pytest.MonkeyPatch, flags: str | None) -> None:
    def read(path: Path, **_: object) -> str:
        assert path == Path("/proc/cpuinfo")
        if flags is None:
            raise FileNotFoundError(path)
        return f"flags : fpu {flags} sse"

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_what_is_named_is_taken(wanted: str) -> None:
    assert fast_precision(wanted) == wanted


@pytest.mark.parametrize(("device", "expected"), [("cpu", "float32"), ("gpu", "bfloat16")])
def test_jax_multiplies_bfloat16_fast_on_gpus_alone(
    monkeypatch: pytest.MonkeyPatch, device: str, expected: str
) -> None:
    on_backend(monkeypatch, "jax")
    monkeypatch.setattr(jax, "default_backend", lambda: device)
    assert fast_precision("auto") == expected


@pytest.mark.parametrize(
    ("gpu", "flags", "expected"),
    [
        (True, None, "bfloat16"),
        (False, "avx512_bf16", "bfloat16"),
        (False, "amx_bf16", "bfloat16"),
        (False, "avx2", "float32"),
        (False, None, "float32"),
    ],
)
def test_torch_uses_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, flags: str | None, expected: str
) -> None:
    on_backend(monkeypatch, "torch")
    cuda = SimpleNamespace(is_available=lambda: gpu)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    with_processor(monkeypatch, flags)
    assert fast_precision("auto") == expected


def test_other_backends_stay_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    on_backend(monkeypatch, "tensorflow")
    assert fast_precision("auto") == "float32"
