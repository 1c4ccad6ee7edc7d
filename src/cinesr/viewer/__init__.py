"""A local page to look at scans and their upscaled versions. Needs the extra `view`."""

from __future__ import annotations

from importlib.util import find_spec

from cinesr.errors import CinesrError


def require_viewer_packages() -> None:
    """Says what is missing before anything is opened.

    Raises:
        CinesrError: A package of the extra `view` is not installed.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise CinesrError(
            f"The viewer needs {', '.join(missing)}, which is not installed.",
            hint='Install it with: pip install "cinesr[view]"',
        )
