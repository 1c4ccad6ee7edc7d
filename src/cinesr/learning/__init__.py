"""Trains networks on a lab's own scans. Needs the extra `train`."""

from __future__ import annotations

import os
from importlib.util import find_spec

from cinesr.errors import CinesrError


def require_training_packages() -> None:
    """Chooses Keras's backend and says what is missing.

    JAX is the default backend; `KERAS_BACKEND` overrides it.

    Raises:
        CinesrError: A package of the extra `train` is not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "jax")
    needed = ("keras", backend, "onnx", "tensorboardX", "matplotlib", "threadpoolctl")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise CinesrError(
            f"Training needs {', '.join(missing)}, which is not installed.",
            hint='Install it with: pip install "cinesr[train]"',
        )
