"""The training configuration: one frozen tree of dataclasses, read from TOML and checked.

A wrong key or value is an error that names it and what is allowed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from cinesr.errors import ConfigError, UnreadableFileError

Method = Literal["thesis", "johnson", "bicubic", "kspace", "scanner"]

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each block (Simonyan and Zisserman, ICLR 2015)."""
VGG16_LAYERS = tuple(
    f"block{block}_{part}"
    for block, (_, convolutions) in enumerate(VGG16_BLOCKS, 1)
    for part in [*(f"conv{index}" for index in range(1, convolutions + 1)), "pool"]
)


def _bounded(default: Any, low: float, high: float) -> Any:
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class DataConfig:
    """Which scans to learn from.

    Args:
        folder: Holds one file or folder per person, in any format that `cinesr upscale` reads.
            Relative to the configuration file.
        also: More such folders; what is of the same name in several is of the same person.
        splits: JSON file with lists of those names under "train", "validation" and "test". Made at
            random and written beside the model where not given.
        most_slices: How many slices of a person in one folder are read at most, evenly spread over
            all of them, so that a long cine does not outweigh the rest; 0 for all.
        spacing_mm: In-plane (row, column) spacing of files that hold none; empty where unknown.
        name: Of the data set, for the model's card.
        licence: Under which it may be used, for the card.
        citation: What to cite, for the card.
    """

    folder: str
    also: tuple[str, ...] = ()
    splits: str = ""
    most_slices: int = _bounded(0, 0, 1_000_000)
    spacing_mm: tuple[float, ...] = ()
    name: str = ""
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class DegradationConfig:
    """How low resolution is made: one of `methods` at random for every crop.

    Args:
        methods: Names of degradations; see `cinesr.degradation`. `scanner` draws its own settings
            and noise for every crop.
        weights: How often each method is drawn, relative to the others; equally where not given.
        noise: Largest Rician noise, as a share of the intensity range; half of the crops of the
            other methods draw their own from zero to this.
        blur: Largest standard deviation, in low-resolution pixels, of a Gaussian blur that a
            quarter of the crops of the other methods get on top; each axis draws its own from zero
            to this.
        weights: How often each method is drawn, relative to the others; equally where not given.
    """

    methods: tuple[Method, ...] = ("thesis",)
    noise: float = _bounded(0.0, 0.0, 1.0)
    blur: float = _bounded(0.0, 0.0, 4.0)
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class VariationConfig:
    """How pictures are varied, so that a network does not learn one scanner's look.

    Args:
        intensity: Each crop's brightness is multiplied by a random factor between these two.
        contrast: Half of the pictures are raised to a random power, from one over this to this.
        zoom: Half of the crops come from a part of a picture that was magnified, by 1 to this
            factor, before it was degraded. They teach that a smooth image may show a smooth object:
            without them a network takes every smooth edge for a blurred one, and overshoots on
            scans of the resolution that it was trained to reach.
        synthetic: Share of the crops that come from dead-leaves pictures; see
            `cinesr.learning.dead_leaves`.
        shrink: Under `scanner`, slices are first made smaller by a random factor between these two,
            so that the truth is sharp at its own pixel size, which a scanner's interpolated
            picture is not.
    """

    intensity: tuple[float, ...] = (1.0, 1.0)
    contrast: float = _bounded(1.0, 1.0, 4.0)
    zoom: float = _bounded(1.0, 1.0, 16.0)
    synthetic: float = _bounded(0.0, 0.0, 1.0)
    shrink: tuple[float, ...] = (1.0, 1.0)


@dataclass(frozen=True)
class NetworkConfig:
    """Which network.

    Args:
        architecture: "seed" (residual blocks with batch norm, then upscaling blocks), or "residual"
            or "wide" (all work on the low-resolution grid, added to bicubic interpolation).
        scale: Output pixels per input pixel, per axis.
        filters: Channels of the hidden layers.
        blocks: Residual blocks.
        upsampling: Of the seed's upscaling blocks.
        start: Folder of a finished run of the same network, whose weights are the first ones; empty
            for random ones. Relative to the configuration file.
        told: Whether the network is told how its input was acquired, and adapts; "residual" and
            "wide" can be.
    """

    architecture: Literal["seed", "residual", "wide"] = "seed"
    scale: Literal[2, 3, 4, 8] = 4
    filters: int = _bounded(64, 1, 1024)
    blocks: int = _bounded(4, 1, 256)
    upsampling: Literal["nearest", "transposed"] = "nearest"
    start: str = ""
    told: bool = False


@dataclass(frozen=True)
class LossConfig:
    """What is minimised.

    Args:
        name: "mse", "mae", "perceptual" (VGG16 features), or "lpips", which is what
            `cinesr evaluate` measures.
        layer: VGG16 layer whose features the perceptual loss compares.
        weights: File with VGG16 numbers for layers deeper than the package holds; see
            `cinesr.learning.losses`. Relative to the configuration file.
        fidelity: Weight of a mean absolute error, on the 0-255 scale, that is added to
            "perceptual" and "lpips".
        pattern: Weight of what is periodic in the error, on the same scale, that is added to
            "lpips".
    """

    name: Literal["mse", "mae", "perceptual", "lpips"] = "mse"
    layer: str = "block2_conv2"
    weights: str = ""
    fidelity: float = _bounded(0.0, 0.0, 1e9)
    pattern: float = _bounded(0.0, 0.0, 1e9)


@dataclass(frozen=True)
class OptimisationConfig:
    """How long and how fast.

    Args:
        epochs: Rounds, each ended by a validation and a checkpoint.
        steps_per_epoch: Batches per round.
        batch_size: Crops per step.
        crop: Side of a high-resolution crop, in pixels; a multiple of the scale.
        optimizer: "adam", or "muon", which takes steps that are equally long in all directions of a
            kernel and gets further in the same number of them.
        learning_rate: Of the optimiser, after the warm-up.
        warmup_steps: Steps over which the learning rate rises from zero.
        schedule: "cosine" falls to zero at the last step, "constant" does not fall.
        ema: Momentum of the moving average of the weights, which is what is validated and saved; 0
            keeps the plain weights.
        precision: "auto" takes bfloat16 where the hardware multiplies it faster.
        validation_slices: How many slices, spread over the validation persons, are scored.
    """

    epochs: int = _bounded(40, 1, 100_000)
    steps_per_epoch: int = _bounded(500, 1, 10_000_000)
    batch_size: int = _bounded(8, 1, 4096)
    crop: int = _bounded(96, 16, 1024)
    optimizer: Literal["adam", "muon"] = "adam"
    learning_rate: float = _bounded(5e-4, 1e-9, 1.0)
    warmup_steps: int = _bounded(200, 0, 10_000_000)
    schedule: Literal["cosine", "constant"] = "cosine"
    ema: float = _bounded(0.0, 0.0, 0.999999)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    validation_slices: int = _bounded(32, 1, 100_000)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run.

    Args:
        name: Of the model that comes out.
        output: Folder for checkpoints, logs and the model. Relative to the configuration file.
        seed: Of the first weights, the crops and the noise.
        limits: Sentences for the model's card: what a user should not expect of it.
    """

    name: str
    output: str
    data: DataConfig
    seed: int = _bounded(0, 0, 2**31 - 1)
    degradation: DegradationConfig = DegradationConfig()
    variation: VariationConfig = VariationConfig()
    network: NetworkConfig = NetworkConfig()
    loss: LossConfig = LossConfig()
    optimisation: OptimisationConfig = OptimisationConfig()
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, text in {
            "name": self.name,
            "output": self.output,
            "data.folder": self.data.folder,
            "data.also": all(self.data.also),
        }.items():
            if not text:
                raise ConfigError(f"{key} is empty; expected a name.")
        if self.loss.layer not in VGG16_LAYERS:
            raise ConfigError(
                f"loss.layer is {self.loss.layer!r}; allowed: {', '.join(VGG16_LAYERS)}."
            )
        crop, scale = self.optimisation.crop, self.network.scale
        if crop % scale:
            raise ConfigError(
                f"optimisation.crop is {crop}; expected a multiple of network.scale, {scale}."
            )
        for key, pair in {
            "data.spacing_mm": self.data.spacing_mm,
            "variation.intensity": self.variation.intensity,
            "variation.shrink": self.variation.shrink,
        }.items():
            allowed = (0, 2) if key == "data.spacing_mm" else (2,)
            if len(pair) not in allowed or not all(0 < value < math.inf for value in pair):
                raise ConfigError(f"{key} is {list(pair)}; expected two positive numbers.")
        for key in ("intensity", "shrink"):
            pair = getattr(self.variation, key)
            if pair[0] > pair[1]:
                raise ConfigError(
                    f"variation.{key} is {list(pair)}; expected the smaller factor first."
                )
        if self.variation.shrink[0] < 1.0:
            raise ConfigError(
                f"variation.shrink is {list(self.variation.shrink)}; expected factors from 1."
            )
        if self.network.told and self.network.architecture == "seed":
            raise ConfigError(
                'network.told is true; the architecture "seed" cannot be told, only "residual" and '
                '"wide" can.'
            )
        if not self.degradation.methods:
            raise ConfigError(f"degradation.methods is empty; {_allowed(Method)}.")
        weights = self.degradation.weights
        fits = len(weights) == len(self.degradation.methods)
        if weights and not (fits and all(0 < value < math.inf for value in weights)):
            raise ConfigError(
                f"degradation.weights is {list(weights)}; expected a positive number for each of "
                f"the {len(self.degradation.methods)} methods."
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain


Tree = TypeVar("Tree")


def read_config(path: Path) -> TrainingConfig:
    """Reads a training configuration.

    Args:
        path: TOML file. Paths inside it are taken relative to its folder and come back absolute.

    Raises:
        UnreadableFileError: There is no such file, or it is not TOML.
        ConfigError: A key or a value is wrong.
    """
    values = read_toml(path, page="docs/training.md")
    config = build(TrainingConfig, values, where=str(path))
    refuse_idle_settings(values, [config], where=str(path))
    located = with_absolute_paths(config, path)
    return dataclasses.replace(
        located, output=str((path.resolve().parent / config.output).resolve())
    )


_ONLY_WITH = {
    "network.upsampling": ("network.architecture", ("seed",)),
    "loss.layer": ("loss.name", ("perceptual",)),
    "loss.weights": ("loss.name", ("perceptual",)),
    "loss.fidelity": ("loss.name", ("perceptual", "lpips")),
    "loss.pattern": ("loss.name", ("lpips",)),
}
"""Settings that do something only where another has one of these values."""


def refuse_idle_settings(
    values: dict[str, Any], networks: Sequence[TrainingConfig], *, where: str
) -> None:
    """Refuses what somebody wrote into a file and no network of it would use.

    Records of earlier runs hold every setting and are not checked.

    Args:
        values: As read from TOML: what is not in there is a default, and nobody's wish.
        networks: What was made of them.
        where: Name of the file, for messages.

    Raises:
        ConfigError: A setting does nothing.
    """
    for key, (other, useful) in _ONLY_WITH.items():
        section, name = key.split(".")
        if name not in values.get(section, {}) and key not in values.get("grid", {}):
            continue
        of, what = other.split(".")
        found = sorted({str(getattr(getattr(network, of), what)) for network in networks})
        if not set(found) & set(useful):
            raise ConfigError(
                f"{where}: {key} does nothing with {other} = {' or '.join(map(repr, found))}; it "
                f"serves {' and '.join(map(repr, useful))}.",
                hint=f"Leave {key} out, or choose another {other}.",
            )


def read_toml(path: Path, *, page: str) -> dict[str, Any]:
    """The plain values of a TOML file.

    Args:
        path: The file.
        page: Of the documentation, with an example.

    Raises:
        UnreadableFileError: There is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFileError(
            f"{path}: cannot be read as a TOML configuration: {error}.",
            hint=f"See {page} for a configuration to start from.",
        ) from error


def with_absolute_paths(config: TrainingConfig, path: Path) -> TrainingConfig:
    """A configuration whose inputs are named from the root, wherever the program runs.

    Args:
        config: As built from the file.
        path: The file, from whose folder its paths go; its `output` is left as it is.
    """
    base = path.resolve().parent

    def absolute(relative: str) -> str:
        return str((base / relative).resolve()) if relative else ""

    data = dataclasses.replace(
        config.data,
        folder=absolute(config.data.folder),
        also=tuple(absolute(folder) for folder in config.data.also),
        splits=absolute(config.data.splits),
    )
    return dataclasses.replace(
        config,
        data=data,
        network=dataclasses.replace(config.network, start=absolute(config.network.start)),
        loss=dataclasses.replace(config.loss, weights=absolute(config.loss.weights)),
    )


def build(tree: type[Tree], values: dict[str, Any], *, where: str, prefix: str = "") -> Tree:
    """Makes a dataclass from plain values, checking every key, type and range.

    Args:
        tree: The dataclass.
        values: As read from TOML or JSON.
        where: Name of the file, for messages.
        prefix: Keys above this one, for messages.

    Raises:
        ConfigError: An unknown or missing key, a value of the wrong type or out of range.
    """
    hints = typing.get_type_hints(tree)
    fields = {item.name: item for item in dataclasses.fields(tree)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(
                f"{where}: there is no key {prefix + key!r}; allowed here: {', '.join(fields)}."
            )
    arguments = {}
    for name, item in fields.items():
        if name in values:
            arguments[name] = _value(hints[name], values[name], item, (where, prefix + name))
        elif item.default is dataclasses.MISSING:
            raise ConfigError(f"{where}: the key {prefix + name!r} is missing.")
    try:
        return tree(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}") from error


def _value(hint: Any, value: Any, item: dataclasses.Field[Any], where: tuple[str, str]) -> Any:
    file, key = where
    wrong = ConfigError(f"{file}: {key} is {value!r}; {_allowed(hint)}.")
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise wrong
        return build(typing.cast(type, hint), value, where=file, prefix=f"{key}.")
    origin = typing.get_origin(hint)
    if origin is Literal:
        # 4.0 and 4 are equal, but only one of them counts pixels.
        if not any(type(value) is type(it) and value == it for it in typing.get_args(hint)):
            raise wrong
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise wrong
        return tuple(_value(typing.get_args(hint)[0], part, item, where) for part in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise wrong
    low, high = item.metadata.get("range", (None, None))
    if low is not None and not low <= value <= high:
        raise ConfigError(f"{file}: {key} is {value!r}; expected {low} to {high}.")
    return value


def _allowed(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return "allowed: " + ", ".join(repr(choice) for choice in typing.get_args(hint))
    if origin is tuple:
        return f"expected a list; for each, {_allowed(typing.get_args(hint)[0])}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
    return f"expected {names.get(hint, 'a table')}"
