"""The models that are at hand: those in the package, and those that the user put beside them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

from cinesr.degradation import DESCRIPTION
from cinesr.errors import ModelError, refuse_for_memory
from cinesr.upscaling.runtime import openvino

SHIPPED_MODELS = Path(__file__).parent / "models"
DEFAULT_MODELS = {2: "fidelity-x2", 4: "fidelity-x4"}
"""By scale; the scale follows the scan where neither is named."""
CARD_KEY = "cinesr"
CARD_PLACE = ["framework", CARD_KEY]
"""Where the runtime keeps what stands in a file's metadata."""
NEEDED_KEYS = {"name": str, "scale": int, "receptive_field": int}
INPUT_NAME = "low"
TOLD_NAME = "told"
LARGEST_SCALE, LARGEST_FIELD = 64, 4096
_PARTS = ("network", "degradation", "results", "validation", "data")
_HINT = "Make one with `cinesr export`, or list the models at hand with `cinesr models`."


def user_models() -> Path | None:
    """The folder in which a user's own .onnx files are found by name.

    `CINESR_MODELS` where it is set, else `cinesr/models` in the user's data folder
    (XDG Base Directory Specification); None for a user without a home.
    """
    if named := os.environ.get("CINESR_MODELS"):
        return Path(named)
    try:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    except RuntimeError:  # As in a container whose user has a number and no name.
        return None
    return Path(data) / "cinesr" / "models"


def _own_files() -> list[Path]:
    folder = user_models()
    try:
        return sorted(folder.glob("*.onnx")) if folder else []
    except OSError:  # A home that one may not look into.
        return []


@dataclass(frozen=True)
class Model:
    """A network in a file, with its card.

    Args:
        path: The .onnx file.
        card: What it learned from, how, how well, and what it is for.
        graph: The network itself, as the runtime reads it.
    """

    path: Path
    card: dict[str, Any]
    graph: openvino.Model = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """As the card says."""
        return str(self.card["name"])

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, per axis."""
        return int(self.card["scale"])

    @property
    def receptive_field(self) -> int:
        """How many input pixels to each side an output pixel depends on."""
        return int(self.card["receptive_field"])

    @property
    def is_default(self) -> bool:
        """Whether it is taken where no model is named."""
        return self.name in DEFAULT_MODELS.values()

    @property
    def is_told(self) -> bool:
        """Whether it takes how its input was acquired, and adapts."""
        return len(self.graph.inputs) > 1

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"path": str(self.path), "sha256": self.sha256, **self.card}

    def summary(self) -> dict[str, str]:
        """The card in a few lines, as label and text; what it does not say is left out."""
        network, degradation = (self.card.get(key) or {} for key in ("network", "degradation"))
        size = self.card.get("parameters")
        built = [network.get("architecture"), size and f"{size / 1000:.0f} k parameters"]
        words = {
            "for": self.card.get("purpose") or self.card.get("intended_use") or "",
            "network": ", ".join(part for part in built if part),
            "degradations": ", ".join(degradation.get("methods") or ()),
            "PSNR": self._psnr(),
        }
        return {label: text for label, text in words.items() if text}

    def _psnr(self) -> str:
        """On the degradations that it learned: of the people it was tested on, else validated."""
        results, validation = (self.card.get(key) or {} for key in ("results", "validation"))
        found = {
            method: measures["psnr"]["model"]["mean"]
            for method, measures in (results.get("slices") or {}).items()
            if method in self.card["degradation"]["methods"]
        }
        if found:
            scores = ", ".join(f"{value:.2f} ({method})" for method, value in found.items())
            return f"{scores} dB on {len(results['people'])} {results['split']} people"
        if "psnr" in validation:
            return f"{validation['psnr']:.2f} dB on the validation people, all degradations"
        return ""


def read_model(path: Path) -> Model:
    """Reads a model's card.

    Raises:
        ModelError: The file is absent, not an ONNX model, or has no card of cinesr.
    """
    try:
        return _read_model(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.", hint=_HINT) from error
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        refuse_for_memory(error)
        raise ModelError(f"{path}: is not an ONNX model.", hint=_HINT) from error


def _read_model(path: Path) -> Model:
    graph = openvino.Core().read_model(path.read_bytes())
    if not graph.has_rt_info(CARD_PLACE):
        raise ModelError(f"{path}: is an ONNX file without a cinesr card.", hint=_HINT)
    card = _card_of(str(graph.get_rt_info(CARD_PLACE).astype(str)))
    missing = [key for key, kind in NEEDED_KEYS.items() if type(card.get(key)) is not kind]
    if missing:
        raise ModelError(f"{path}: its card lacks {', '.join(missing)}.", hint=_HINT)
    model = Model(path, card, graph)
    if not _makes_sense(model):
        raise ModelError(f"{path}: its card is damaged.", hint=_HINT)
    names = [node.get_any_name() for node in graph.inputs]
    if names not in ([INPUT_NAME], [INPUT_NAME, TOLD_NAME]):
        raise ModelError(
            f"{path}: its inputs are {', '.join(names)}; expected {INPUT_NAME}, or that and "
            f"{TOLD_NAME}.",
            hint=_HINT,
        )
    if len(names) == 2 and _numbers_told(graph) != DESCRIPTION:
        raise ModelError(
            f"{path}: is told another number of things than this version of cinesr tells.",
            hint="Export it again with this version, or use the version that made it.",
        )
    return model


def _numbers_told(graph: openvino.Model) -> int:
    shape = graph.input(TOLD_NAME).get_partial_shape()
    return int(shape[1].get_length()) if shape.rank == 2 and shape.is_static else 0


def _makes_sense(model: Model) -> bool:
    """Whether the parts of a card that are looked at are of their kinds."""
    parts = [model.card.get(key) or {} for key in _PARTS]
    if not all(isinstance(part, dict) for part in parts):
        return False
    try:
        model.summary()
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return 1 <= model.scale <= LARGEST_SCALE and 0 <= model.receptive_field <= LARGEST_FIELD


def _card_of(text: str) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except ValueError:
        return {}
    return card if isinstance(card, dict) else {}


def models() -> list[Model]:
    """Every model at hand, shipped ones first, by name.

    A file in the user's folder that is not a model is passed over.
    """
    found = [read_model(path) for path in sorted(SHIPPED_MODELS.glob("*.onnx"))]
    for path in _own_files():
        try:
            found.append(read_model(path))
        except ModelError:
            continue
    return found


def is_whole_number(value: Any) -> bool:
    """Whether a setting counts something; numpy's whole numbers do too, True does not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def find_model(name: str | Path | None = None, *, scale: int | None = None) -> Model:
    """The model of a name or in a file.

    Args:
        name: A name from `models()` or a path; the default model where not given.
        scale: Refuse a model of another scale; without a name, choose one of this scale.

    Raises:
        ModelError: There is no such model, or its scale is another.
    """
    if scale is not None and not is_whole_number(scale):
        raise ModelError(f"scale is {scale!r}; expected a whole number, such as 4.")
    if name is None and scale is not None:
        fitting = [model for model in models() if model.scale == scale]
        if not fitting:
            raise ModelError(
                f"There is no model of scale {scale}; at hand: {_listing()}.",
                hint="Train one with network.scale in the configuration, see docs/training.md.",
            )
        preferred = [model for model in fitting if model.name == DEFAULT_MODELS.get(scale)]
        return (preferred or fitting)[0]
    wanted = str(name or DEFAULT_MODELS[2])
    for path in (SHIPPED_MODELS / f"{wanted}.onnx", *_own_files()):
        if path.name == f"{wanted}.onnx" and path.is_file():
            return _of_scale(read_model(path), scale)
    if Path(wanted).exists() or wanted.endswith(".onnx"):
        return _of_scale(read_model(Path(wanted)), scale)
    for model in models():
        if model.name == wanted:
            return _of_scale(model, scale)
    raise ModelError(
        f"There is no model {wanted!r}; at hand: {_listing()}.",
        hint="Name one of these, an .onnx file, or put one into "
        f"{user_models() or 'a folder that CINESR_MODELS names'}.",
    )


def _of_scale(model: Model, scale: int | None) -> Model:
    if scale is not None and model.scale != scale:
        raise ModelError(
            f"{model.path.name}: upscales by {model.scale}, not by {scale}.",
            hint=f"Leave out the scale, or choose a model of scale {scale}; at hand: {_listing()}.",
        )
    return model


def _listing() -> str:
    return ", ".join(f"{model.name} (x{model.scale})" for model in models()) or "none"
