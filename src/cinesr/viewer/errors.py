"""What the page is told when a request cannot be served."""

from __future__ import annotations

from cinesr.errors import CinesrError


class RequestError(CinesrError):
    """A request that is wrong, or asks for what is not there.

    Args:
        message: What came and what was expected.
        hint: What to do next.
        status: Of the answer (RFC 9110, section 15.5).
    """

    def __init__(self, message: str, *, hint: str | None = None, status: int = 400) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def not_there(what: str, name: str) -> RequestError:
    """For something that was removed, or never was."""
    return RequestError(f"There is no {what} {name!r} (any more).", status=404)


def no_room() -> RequestError:
    """For a full disk."""
    return RequestError(
        "There is no room left on the disk for temporary files.",
        hint="Close some series, or make room and try again.",
        status=507,
    )
