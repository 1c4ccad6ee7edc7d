"""What a network is told of how its input was acquired: by the user, by the file, by the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cinesr.degradation import METHODS, Degradation
from cinesr.errors import UnfitImageError
from cinesr.imaging.cine import Cine
from cinesr.imaging.history import last_step
from cinesr.imaging.spectrum import ReadAcquisition, read_acquisition

PARTS = ("keep", "shape", "window", "noise", "method")


@dataclass(frozen=True)
class Telling:
    """What a user says of an acquisition, and how much of the noise is to go.

    Args:
        acquired: Any of "keep" (shares of k-space that were measured along the rows' and the
            columns' index), "shape", "window" and "noise" of `Acquisition`, and "method", the
            degradation by which a picture was made that no scanner made. What is not given is read
            from the header and the pixels.
        denoise: Share of the noise that the network is told, 0 to 1: at 0 it takes the grain for
            something to keep.

    Raises:
        UnfitImageError: There is no such part, or a value out of range.
    """

    acquired: Mapping[str, Any] = field(default_factory=dict)
    denoise: float = 1.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.acquired) - set(PARTS))
        if unknown:
            raise UnfitImageError(
                f"An acquisition with {', '.join(unknown)} was told; expected any of "
                f"{', '.join(PARTS)}.",
                hint="For example: keep=0.8,0.65,window=cosine:0.4,noise=0.01",
            )
        if not 0.0 <= self.denoise <= 1.0:
            raise UnfitImageError(
                f"A denoising of {self.denoise:g} was asked for; expected a share from 0 to 1."
            )
        self.recipe(Degradation("scanner", 2))  # Refuses what is out of range.

    def recipe(self, known: Degradation) -> Degradation:
        """A recipe with what the user says in place of what was found.

        Args:
            known: As found.
        """
        parts = dict(self.acquired)
        method = str(parts.pop("method", known.method))
        if method not in METHODS:
            raise UnfitImageError(
                f"An acquisition by the method {method!r} was told; expected one of "
                f"{', '.join(METHODS)}."
            )
        if method != "scanner" and "method" not in self.acquired and set(parts) - {"noise"}:
            method = "scanner"  # Whoever names a matrix or a window means a scanner's.
        if method != "scanner":
            noise = float(parts.pop("noise", known.noise))
            plain = Degradation(method, known.scale, noise)
            return replace(plain, **parts)
        if known.method != "scanner":
            known = Degradation("scanner", known.scale, known.noise)
        return replace(known, method="scanner", **parts)


def parse_acquired(text: str) -> dict[str, Any]:
    """What a user says of an acquisition, from text.

    Args:
        text: Parts with commas between them, such as `keep=0.8,0.65,window=cosine:0.4,noise=0.01`;
            one number for keep holds for both axes.

    Raises:
        UnfitImageError: It is no such text.
    """
    parts: dict[str, Any] = {}
    name = ""
    for word in text.split(","):
        key, equals, value = word.partition("=")
        if equals:
            name = key.strip()
            parts.setdefault(name, []).append(value.strip())
        elif name == "keep":
            parts[name].append(word.strip())
        else:
            parts.setdefault(word.strip() or "nothing", []).append("")
    wrong = UnfitImageError(
        f"An acquisition {text!r} was told; expected parts such as "
        "keep=0.8,0.65,window=cosine:0.4,noise=0.01.",
        hint=f"The parts are {', '.join(PARTS)}; any of them may be left out.",
    )
    found: dict[str, Any] = {}
    for key, values in parts.items():
        if key not in PARTS or not all(values) or len(values) > (2 if key == "keep" else 1):
            raise wrong
        try:
            numbers = [float(value) for value in values] if key in ("keep", "noise") else []
        except ValueError as error:
            raise wrong from error
        if key == "keep":
            found[key] = numbers[0], numbers[-1]
        else:
            found[key] = numbers[0] if numbers else values[0]
    return found


@dataclass(frozen=True)
class Told:
    """What a network was told of one cine.

    Args:
        recipe: The acquisition, as a recipe of the network's scale.
        source: Where that comes from, in words.
        denoise: Share of the noise that was told.
        notes: What a reader should know of it.
    """

    recipe: Degradation
    source: str
    denoise: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a record."""
        return {
            "method": self.recipe.method,
            **self.recipe.acquisition.to_dict(),
            "denoise": self.denoise,
            "source": self.source,
        }

    def words(self) -> str:
        """In one sentence, for a file's own record."""
        if self.recipe.method != "scanner":
            return f"Told: {self.recipe.method} degradation ({self.source})."
        down, across = self.recipe.keep
        return (
            f"Told: keep {down:.2f},{across:.2f}, window {self.recipe.window}, noise "
            f"{self.recipe.noise:.4f} ({self.source})."
        )


def tell(cine: Cine, telling: Telling, *, scale: int) -> Told:
    """What a network is told of a cine.

    Args:
        cine: The input; a bounded sample of its frames is read.
        telling: What the user says.
        scale: Of the network.
    """
    needed = set(PARTS[:4]) - set(telling.acquired)
    step = last_step(cine)
    by_record = step is not None and step.method in METHODS and step.scale == scale
    found, sources = Degradation("scanner", scale), []
    notes: tuple[str, ...] = ()
    if needed and telling.acquired.get("method", "scanner") == "scanner":
        read = read_acquisition(cine)
        notes = read.notes
        found = recipe_of(read, scale=scale)
        sources.append(read.source)
    if by_record and step is not None and step.method not in ("scanner", found.method):
        found = Degradation(step.method, scale, found.noise)
        sources = ["record", "pixels"]
    if telling.acquired:
        sources.insert(0, "user")
    recipe = telling.recipe(found)
    told = replace(recipe, noise=recipe.noise * telling.denoise)
    return Told(told, ", ".join(sources), telling.denoise, notes)


def recipe_of(read: ReadAcquisition, *, scale: int) -> Degradation:
    """The recipe that stands for an acquisition that was read.

    Args:
        read: As read.
        scale: Of the network.
    """
    acquisition = read.acquisition
    if read.method != "scanner":
        return Degradation(read.method, scale, acquisition.noise)
    parts = acquisition.keep, acquisition.shape, acquisition.window
    return Degradation("scanner", scale, acquisition.noise, 0, *parts)
