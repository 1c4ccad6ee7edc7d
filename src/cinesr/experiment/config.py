"""The configuration of an experiment: a grid over a training configuration, and how to score it."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cinesr.degradation import Degradation
from cinesr.errors import ConfigError
from cinesr.learning.config import (
    TrainingConfig,
    build,
    read_toml,
    refuse_idle_settings,
    with_absolute_paths,
)

SHARED = tuple(item.name for item in dataclasses.fields(TrainingConfig) if item.name != "output")
"""Keys as in a training configuration, shared by all networks of the grid."""
OWN = ("grid", "evaluation")
VARIABLE = ("degradation", "variation", "network", "loss", "optimisation")
"""Sections whose keys a grid may vary; the data are the same for all, or nothing is compared."""
TAKEN_NAMES = ("pictures", "scores")
"""Folders of the experiment itself."""


@dataclass(frozen=True)
class RepeatConfig:
    """A network to train once more, to see how much the seed decides.

    Args:
        network: Name of a network of the grid; none where empty.
        seed: Another one.
    """

    network: str = ""
    seed: int = field(default=1, metadata={"range": (0, 2**31 - 1)})


@dataclass(frozen=True)
class EvaluationConfig:
    """What the networks are scored on.

    Args:
        split: Whose slices.
        degradation: Recipe of the low-resolution input, without noise; where empty, the one that
            all networks learned.
        masks: Folder with the left ventricle's blood pool of each slice, under the names of the
            scans. Relative to the configuration file; the heart is not scored where empty.
        repeat: A network to train once more.
    """

    split: Literal["test", "validation"] = "test"
    degradation: Literal["", "thesis", "johnson", "bicubic", "kspace"] = ""
    masks: str = ""
    repeat: RepeatConfig = RepeatConfig()


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides an experiment.

    Args:
        name: Of the experiment.
        grid: Dotted key of the training configuration to the values that it takes.
        networks: One training configuration per combination, each with its folder as `output`.
        levels: For each network's name, the value of each key of the grid.
        recipe: How the low-resolution input of the evaluation is made.
        evaluation: What the networks are scored on.
    """

    name: str
    grid: dict[str, tuple[Any, ...]]
    networks: tuple[TrainingConfig, ...]
    levels: dict[str, dict[str, Any]]
    recipe: Degradation
    evaluation: EvaluationConfig

    @property
    def repeat(self) -> TrainingConfig | None:
        """The configuration of the network that is trained once more, if one is."""
        wanted = self.evaluation.repeat
        for network in self.networks:
            if network.name == wanted.network:
                name = f"{network.name}-seed{wanted.seed}"
                folder = Path(network.output).with_name(name)
                return dataclasses.replace(network, name=name, seed=wanted.seed, output=str(folder))
        return None

    @property
    def runs(self) -> tuple[TrainingConfig, ...]:
        """Every training, the repeated one last."""
        return self.networks if self.repeat is None else (*self.networks, self.repeat)


def read_experiment(path: Path, *, output: Path) -> ExperimentConfig:
    """Reads the configuration of an experiment.

    Args:
        path: TOML file. Paths inside it are taken relative to its folder.
        output: Folder of the experiment, in which every network has its own.

    Raises:
        UnreadableFileError: There is no such file, or it is not TOML.
        ConfigError: A key or a value is wrong, or the networks cannot be compared.
    """
    values = read_toml(path, page="docs/experiment.md")
    for key in values:
        if key not in (*SHARED, *OWN):
            raise ConfigError(
                f"{path}: there is no key {key!r}; allowed here: {', '.join((*SHARED, *OWN))}."
            )
    shared = {key: values[key] for key in SHARED if key in values}
    # Checked on its own first, so that an error is told of the key as it stands in the file.
    base = build(TrainingConfig, shared | {"output": str(output)}, where=str(path))
    grid = _grid(values.get("grid"), str(path))
    networks, levels = [], {}
    for combination in itertools.product(*grid.values()):
        chosen = dict(zip(grid, combination, strict=True))
        name = _network_name(combination, str(path))
        if name in levels:
            raise ConfigError(f"{path}: two networks of the grid would be named {name!r}.")
        levels[name] = chosen
        networks.append(_network(shared, chosen, name, path=path, output=output))
    refuse_idle_settings(values, networks, where=str(path))
    evaluation = build(
        EvaluationConfig,
        _section(values, "evaluation", path),
        where=str(path),
        prefix="evaluation.",
    )
    if evaluation.masks:
        masks = str((path.resolve().parent / evaluation.masks).resolve())
        evaluation = dataclasses.replace(evaluation, masks=masks)
    recipe = _common_recipe(networks, evaluation, str(path))
    found = ExperimentConfig(base.name, grid, tuple(networks), levels, recipe, evaluation)
    _check_repeat(found, str(path))
    return found


def _section(values: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    section = values.get(key, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {key} is {section!r}; expected a table.")
    return section


def _grid(section: Any, where: str) -> dict[str, tuple[Any, ...]]:
    example = 'such as "loss.name" = ["mse", "mae"]'
    if not isinstance(section, dict) or not section:
        raise ConfigError(f"{where}: grid is {section!r}; expected a table of lists, {example}.")
    fields = {
        item: [each.name for each in dataclasses.fields(_section_type(item))] for item in VARIABLE
    }
    allowed = ["seed", *(f"{item}.{name}" for item, names in fields.items() for name in names)]
    for key, levels in section.items():
        if key not in allowed:
            raise ConfigError(
                f"{where}: a grid cannot vary {key!r}; allowed, in quotes: {', '.join(allowed)}."
            )
        if not isinstance(levels, list) or not levels:
            raise ConfigError(
                f"{where}: grid.{key!r} is {levels!r}; expected a list of values, {example}."
            )
    return {key: tuple(levels) for key, levels in section.items()}


def _section_type(name: str) -> Any:
    """The dataclass of a section of the training configuration."""
    fields = {item.name: item for item in dataclasses.fields(TrainingConfig)}
    return type(fields[name].default)


def _network_name(combination: tuple[Any, ...], where: str) -> str:
    name = "-".join(level_name(value) for value in combination)
    if not re.fullmatch(r"\w[\w.+-]*", name) or name in TAKEN_NAMES:
        raise ConfigError(
            f"{where}: a network of the grid would be named {name!r}; expected values that make "
            f"the name of a folder, other than {' and '.join(TAKEN_NAMES)}."
        )
    return name


def level_name(value: Any) -> str:
    """A value of the grid, as it stands in the names of networks."""
    if isinstance(value, list):
        return "+".join(level_name(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _network(
    shared: dict[str, Any], chosen: dict[str, Any], name: str, *, path: Path, output: Path
) -> TrainingConfig:
    values = copy.deepcopy(shared)
    for key, value in chosen.items():
        *section, last = key.split(".")
        table = values.setdefault(section[0], {}) if section else values
        table[last] = value
    values |= {"name": name, "output": str((output / name).resolve())}
    return with_absolute_paths(build(TrainingConfig, values, where=f"{path} ({name})"), path)


def _common_recipe(
    networks: list[TrainingConfig], evaluation: EvaluationConfig, where: str
) -> Degradation:
    scales = sorted({network.network.scale for network in networks})
    if len(scales) > 1:
        raise ConfigError(
            f"{where}: the networks have the scales {scales}; expected one, or they would not be "
            "scored on the same input."
        )
    learned = sorted({method for each in networks for method in each.degradation.methods})
    if not evaluation.degradation and len(learned) > 1:
        raise ConfigError(
            f"{where}: the networks learn the degradations {', '.join(learned)}; expected "
            "evaluation.degradation to say which one they are scored on."
        )
    return Degradation(evaluation.degradation or learned[0], scales[0])


def _check_repeat(config: ExperimentConfig, where: str) -> None:
    wanted = config.evaluation.repeat
    if not wanted.network:
        if wanted != RepeatConfig():
            raise ConfigError(
                f"{where}: evaluation.repeat.seed does nothing without evaluation.repeat.network.",
                hint="Leave it out, or name the network to train once more.",
            )
        return
    seeds = {network.name: network.seed for network in config.networks}
    if wanted.network not in seeds:
        raise ConfigError(
            f"{where}: evaluation.repeat.network is {wanted.network!r}; allowed: "
            f"{', '.join(seeds)}."
        )
    if wanted.seed == seeds[wanted.network]:
        raise ConfigError(
            f"{where}: evaluation.repeat.seed is {wanted.seed}, with which {wanted.network} is "
            "trained already; expected another."
        )
