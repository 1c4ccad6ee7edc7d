"""What the machine multiplies fast, and how its cores are shared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from cinesr.cores import available_cores

BFLOAT16_CAPABILITY = 8.0
"""Of NVIDIA's GPUs since Ampere (2020); older ones have no such instructions and emulate them."""
CORES_PER_PROCESS = 8
MOST_PROCESSES = 16


def fast_precision(wanted: str) -> str:
    """The precision to train in.

    Args:
        wanted: "float32", "bfloat16", or "auto" to choose: bfloat16 on a GPU that has it, and on a
            processor with bfloat16 instructions where the backend uses them (PyTorch's does, JAX's
            does not).

    Returns:
        "float32" or "bfloat16".
    """
    if wanted != "auto":
        return wanted
    backend = keras.backend.backend()
    fast = False
    if backend == "jax":
        fast = trains_on_gpu() and _jax_device_has_bfloat16()
    elif backend == "torch":
        import torch

        if trains_on_gpu():
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = _cpu_has_bfloat16()
    return "bfloat16" if fast else "float32"


def trains_on_gpu() -> bool:
    """Whether Keras trains on something else than the processor."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    return False


def _jax_device_has_bfloat16() -> bool:
    import jax

    capability = getattr(jax.devices()[0], "compute_capability", "")
    try:
        return float(capability) >= BFLOAT16_CAPABILITY
    except ValueError:
        return True  # Other makers' names for what all has it: "gfx90a", or none for a TPU.


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def input_processes() -> int:
    """How many processes prepare crops beside the training; 0 for a thread.

    One core prepares more than a hundred batches of 8 crops a second, and a few cores train on ten,
    so that a thread does; many cores, or a GPU, want more than one interpreter can make.
    """
    cores = available_cores()
    wanted = max(1, cores - 1) if trains_on_gpu() else cores // CORES_PER_PROCESS
    return min(wanted, MOST_PROCESSES)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Has a GPU multiply float32 as such; by default it rounds to 10 bits (TensorFloat-32)."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        with jax.default_matmul_precision("float32"):
            yield
    elif backend == "torch":
        import torch

        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    else:
        yield
