"""Super-resolution of cardiac cine MR images. Research use only.

The whole of the common use: `cinesr.save(cinesr.upscale(cinesr.load("scan/")), "scan_x2/")`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinesr.degradation import degrade
    from cinesr.errors import CinesrError
    from cinesr.evaluation.metrics import evaluate
    from cinesr.imaging.cine import Cine
    from cinesr.imaging.files import load, save
    from cinesr.imaging.geometry import Geometry
    from cinesr.upscaling.catalogue import models
    from cinesr.upscaling.upscale import Upscaler, upscale

__version__ = "0.1.0"

_HOMES = {
    "Cine": "cinesr.imaging.cine",
    "CinesrError": "cinesr.errors",
    "Geometry": "cinesr.imaging.geometry",
    "Upscaler": "cinesr.upscaling.upscale",
    "degrade": "cinesr.degradation",
    "evaluate": "cinesr.evaluation.metrics",
    "load": "cinesr.imaging.files",
    "models": "cinesr.upscaling.catalogue",
    "save": "cinesr.imaging.files",
    "upscale": "cinesr.upscaling.upscale",
}

__all__ = [
    "Cine",
    "CinesrError",
    "Geometry",
    "Upscaler",
    "degrade",
    "evaluate",
    "load",
    "models",
    "save",
    "upscale",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `import cinesr` and `cinesr --help` stay quick.
    if name not in _HOMES:
        raise AttributeError(f"module 'cinesr' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
