"""One tree of errors. Each says what came, what was expected, and what to do next."""

import errno

_MEMORY_WORDS = (
    *("bad_alloc", "bad allocation", "cannot allocate memory", "failed to allocate"),
    *("out of memory", "can't start new thread", "failed to map segment", "unable to allocate"),
    *("resource temporarily unavailable", "could not allocate"),
)
"""In what libraries say when they get no memory, be it for numbers, threads or code."""


class CinesrError(Exception):
    """What every error of this package derives from.

    Args:
        message: What came and what was expected, with the file's name.
        hint: What the reader can do next, as one sentence; shown on its own line.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class UnreadableFileError(CinesrError):
    """A file that is absent, broken, or of a kind that cinesr does not read."""


class UnfitImageError(CinesrError):
    """A file that was read, but whose image cannot be processed as it is."""


class LabelMapError(UnfitImageError):
    """A label map where a picture is expected."""


class MissingCodecError(UnreadableFileError):
    """A compressed file for which no decoder is installed."""


class OutputError(CinesrError):
    """A result that cannot be written: it exists already, or there is no room for it."""


class ModelError(CinesrError):
    """A model that is absent, not a cinesr model, or not fit for what was asked."""


class ConfigError(CinesrError):
    """A training configuration with a wrong key or a wrong value."""


class CheckFailedError(CinesrError):
    """A result that failed a check which no result may fail, so that it was not written."""


class OutOfMemoryError(CinesrError):
    """There was too little memory."""


def refuse_for_memory(error: BaseException) -> None:
    """Says so if it was memory that was missing, whatever a library calls it.

    Raises:
        OutOfMemoryError: It was.
    """
    words = str(error).lower()
    lacks = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    if lacks or any(each in words for each in _MEMORY_WORDS):
        raise OutOfMemoryError(
            "There is too little memory for this.",
            hint="Close other programs, allow this one more (ulimit -v, the container's limit), or "
            "use fewer --threads; nothing was left half written.",
        ) from error
