"""bfloat16 is chosen where it is faster, and nowhere else."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import keras
import pytest

from cinesr.learning import hardware
from cinesr.learning.hardware import (
    MOST_PROCESSES,
    exact_float32,
    fast_precision,
    input_processes,
    trains_on_gpu,
)


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


@pytest.mark.parametrize(
    ("device", "capability", "expected"),
    [
        ("cpu", None, "float32"),
        ("gpu", "7.5", "float32"),
        ("gpu", "8.0", "bfloat16"),
        ("gpu", "12.0", "bfloat16"),
        ("gpu", "gfx90a", "bfloat16"),
        ("tpu", None, "bfloat16"),
    ],
)
def test_jax_multiplies_bfloat16_fast_on_newer_gpus_alone(
    monkeypatch: pytest.MonkeyPatch, device: str, capability: str | None, expected: str
) -> None:
    on_backend(monkeypatch, "jax")
    monkeypatch.setattr(jax, "default_backend", lambda: device)
    made = SimpleNamespace(**({} if capability is None else {"compute_capability": capability}))
    monkeypatch.setattr(jax, "devices", lambda: [made])
    assert fast_precision("auto") == expected


@pytest.mark.parametrize(
    ("gpu", "flags", "expected"),
    [
        ("new", None, "bfloat16"),
        ("old", "avx512_bf16", "float32"),
        (None, "avx512_bf16", "bfloat16"),
        (None, "amx_bf16", "bfloat16"),
        (None, "avx2", "float32"),
        (None, None, "float32"),
    ],
)
def test_torch_uses_what_the_hardware_has(
    monkeypatch: pytest.MonkeyPatch, gpu: str | None, flags: str | None, expected: str
) -> None:
    on_backend(monkeypatch, "torch")

    def supported(*, including_emulation: bool) -> bool:
        return gpu == "new" or including_emulation

    cuda = SimpleNamespace(is_available=lambda: gpu is not None, is_bf16_supported=supported)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    with_processor(monkeypatch, flags)
    assert fast_precision("auto") == expected


def test_other_backends_stay_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    on_backend(monkeypatch, "tensorflow")
    assert fast_precision("auto") == "float32"
    assert not trains_on_gpu()


@pytest.mark.parametrize(
    ("cores", "gpu", "processes"),
    [
        (1, False, 0),
        (7, False, 0),
        (8, False, 1),
        (64, False, 8),
        (1, True, 1),
        (2, True, 1),
        (8, True, 7),
        (256, True, MOST_PROCESSES),
    ],
)
def test_a_thread_prepares_crops_on_few_cores_and_processes_on_many_or_for_a_gpu(
    monkeypatch: pytest.MonkeyPatch, cores: int, gpu: bool, processes: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(hardware, "trains_on_gpu", lambda: gpu)
    assert input_processes() == processes


def test_jax_is_asked_for_products_in_all_of_float32() -> None:
    image, kernel = jax.numpy.ones((1, 5, 5, 1)), jax.numpy.ones((3, 3, 1, 1))

    def lowered() -> str:
        return str(jax.jit(lambda it: keras.ops.conv(it, kernel)).lower(image).as_text())

    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    assert "HIGHEST" not in lowered()
    with exact_float32():
        assert "HIGHEST" in lowered()
    assert "HIGHEST" not in lowered()


def test_torch_is_asked_for_products_in_all_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    on_backend(monkeypatch, "torch")
    before = torch.backends.cudnn.allow_tf32
    with exact_float32():
        assert torch.backends.cudnn.enabled
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


def test_on_other_backends_products_are_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    on_backend(monkeypatch, "tensorflow")
    with exact_float32():
        pass
