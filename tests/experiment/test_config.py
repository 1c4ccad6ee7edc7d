"""The grid: every combination is a network, and what cannot be compared is refused."""

from pathlib import Path

import pytest

from cinesr.degradation import Degradation
from cinesr.errors import ConfigError, UnreadableFileError
from cinesr.experiment.config import ExperimentConfig, level_name, read_experiment

SHIPPED = Path(__file__).parents[2] / "experiments" / "seed.toml"
START = 'name = "a"\n[data]\nfolder = "people"\n'
GRID = '[grid]\n"loss.name" = ["mse", "mae"]\n'


def read(folder: Path, text: str) -> ExperimentConfig:
    path = folder / "grid.toml"
    path.write_text(text)
    return read_experiment(path, output=folder / "out")


def test_the_shipped_experiment_is_the_four(tmp_path: Path) -> None:
    config = read_experiment(SHIPPED, output=tmp_path)
    assert list(config.levels) == [
        "perceptual-transposed",
        "perceptual-nearest",
        "mse-transposed",
        "mse-nearest",
    ]
    for network in config.networks:
        assert f"{network.loss.name}-{network.network.upsampling}" == network.name
        assert (network.network.architecture, network.network.filters) == ("seed", 64)
        assert Path(network.output) == tmp_path / network.name
        assert Path(network.data.folder).is_absolute()
    assert config.recipe == Degradation("thesis", 4)
    assert [run.name for run in config.runs][4:] == ["mse-nearest-seed1"]
    assert config.repeat is not None
    assert (config.repeat.seed, config.repeat.loss.name) == (1, "mse")


def test_networks_differ_in_the_grid_alone(tmp_path: Path) -> None:
    text = (
        START + '[loss]\nname = "lpips"\nfidelity = 0.5\n'
        '[grid]\n"seed" = [3, 4]\n"optimisation.ema" = [0.5, 0.9]\n'
    )
    config = read(tmp_path, text)
    assert [(n.name, n.seed, n.optimisation.ema) for n in config.networks] == [
        ("3-0.5", 3, 0.5),
        ("3-0.9", 3, 0.9),
        ("4-0.5", 4, 0.5),
        ("4-0.9", 4, 0.9),
    ]
    assert {network.loss.fidelity for network in config.networks} == {0.5}
    assert config.levels["4-0.5"] == {"seed": 4, "optimisation.ema": 0.5}
    assert config.repeat is None
    assert config.runs == config.networks


def test_names_of_values() -> None:
    assert [level_name(value) for value in ("mse", 8, 1e-3, ["thesis", "kspace"])] == [
        "mse",
        "8",
        "0.001",
        "thesis+kspace",
    ]


def test_the_input_is_what_the_networks_learn_unless_named(tmp_path: Path) -> None:
    several = '[degradation]\nmethods = ["bicubic", "kspace"]\n'
    with pytest.raises(ConfigError, match=r"bicubic, kspace; expected evaluation\.degradation"):
        read(tmp_path, START + several + GRID)
    named = '[evaluation]\ndegradation = "johnson"\n'
    assert read(tmp_path, START + several + GRID + named).recipe.method == "johnson"
    assert (
        read(tmp_path, START + several.replace(', "kspace"', "") + GRID).recipe.method == "bicubic"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (START + GRID + "speed = 3\n", "cannot vary 'speed'"),
        ("speed = 3\n" + START + GRID, "no key 'speed'; allowed here: name, data, seed"),
        (START + "[network]\nblocks = 0\n" + GRID, r"network\.blocks is 0; expected 1 to 256"),
        (START, r"grid is None; expected a table of lists"),
        (START + "grid = 3\n", r"there is no key 'data\.grid'"),
        (START + "[grid]\n", r"grid is \{\}; expected a table"),
        (START + '[grid]\n"data.folder" = ["a"]\n', r"cannot vary 'data\.folder'; allowed"),
        (START + '[grid]\n"loss.name" = "mse"\n', "is 'mse'; expected a list"),
        (START + '[grid]\n"loss.name" = []\n', r"is \[\]; expected a list"),
        (START + '[grid]\n"loss.name" = ["mse", "fast"]\n', r"\(fast\): loss\.name is 'fast'"),
        (START + '[grid]\n"loss.name" = ["mse", "mse"]\n', "would be named 'mse'"),
        (START + '[grid]\n"loss.layer" = ["a/b"]\n', "'a/b'"),
        (START + '[grid]\n"network.scale" = [2, 4]\n', r"scales \[2, 4\]; expected one"),
        (START + GRID + "[evaluation]\nfast = 1\n", r"no key 'evaluation\.fast'"),
        (START + GRID + "[evaluation]\nsplit = 'train'\n", "'test', 'validation'"),
        ("evaluation = 3\n" + START + GRID, "evaluation is 3; expected a table"),
        (
            START + GRID + "[evaluation]\nrepeat = {network = 'x'}\n",
            "'x'; allowed: mse, mae",
        ),
        (
            START + GRID + "[evaluation]\nrepeat = {network = 'mse', seed = 0}\n",
            "seed is 0, with which mse is trained already",
        ),
    ],
)
def test_what_is_wrong_is_told(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, text)


def test_a_file_that_is_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="cannot be read as a TOML"):
        read(tmp_path, "name = ")
    with pytest.raises(UnreadableFileError, match=r"absent\.toml"):
        read_experiment(tmp_path / "absent.toml", output=tmp_path)


def test_a_setting_that_some_networks_use_is_taken_and_one_that_none_uses_refused(
    tmp_path: Path,
) -> None:
    layer = '[loss]\nlayer = "block1_conv2"\n[grid]\n"loss.name" = ["mse", "{}"]\n'
    assert len(read(tmp_path, START + layer.format("perceptual")).networks) == 2
    with pytest.raises(ConfigError, match=r"loss\.layer does nothing with loss\.name = 'mae' or"):
        read(tmp_path, START + layer.format("mae"))
    with pytest.raises(ConfigError, match=r"network\.upsampling does nothing"):
        read(
            tmp_path,
            START + '[network]\narchitecture = "wide"\n[grid]\n'
            '"network.upsampling" = ["nearest", "transposed"]\n',
        )
    with pytest.raises(ConfigError, match=r"evaluation\.repeat\.seed does nothing without"):
        read(tmp_path, START + GRID + "[evaluation]\nrepeat = {seed = 3}\n")
