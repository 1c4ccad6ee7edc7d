"""What the machine multiplies fast."""

from __future__ import annotations

from pathlib import Path

import keras


def fast_precision(wanted: str) -> str:
    """The precision to train in.

    Args:
        wanted: "float32", "bfloat16", or "auto" to choose: bfloat16 on a GPU, and on a processor
            with bfloat16 instructions where the backend uses them (PyTorch's does, JAX's does not).

    Returns:
        "float32" or "bfloat16".
    """
    if wanted != "auto":
        return wanted
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if backend == "torch":
        import torch

        return "bfloat16" if torch.cuda.is_available() or _cpu_has_bfloat16() else "float32"
    return "float32"


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
