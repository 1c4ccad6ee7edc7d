"""OpenVINO, imported so that it keeps to itself.

When it is imported it imports its converter too, which sends usage statistics to its makers unless
the package that sends them is missing. Hospitals expect of a tool that it talks to nobody, so it
is made to look missing meanwhile. Everything of ours takes OpenVINO from here.
"""

from __future__ import annotations

import sys

_SENDER = "openvino_telemetry"

# An entry of None has the import system say that there is no such module.
_before = sys.modules.get(_SENDER)
sys.modules[_SENDER] = None  # type: ignore[assignment]
try:
    import openvino
finally:
    if _before is None:
        del sys.modules[_SENDER]
    else:
        sys.modules[_SENDER] = _before

__all__ = ["openvino"]
