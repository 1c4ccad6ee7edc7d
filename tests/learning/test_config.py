"""Every wrong key or value is an error that names it and what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from cinesr.errors import ConfigError, UnreadableFileError
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    NetworkConfig,
    TrainingConfig,
    VariationConfig,
    build,
    read_config,
)

LEAST: dict[str, Any] = {"name": "heart", "output": "out", "data": {"folder": "scans"}}
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def built(**sections: Any) -> TrainingConfig:
    return build(TrainingConfig, {**LEAST, **sections}, where="here.toml")


def test_the_least_configuration_is_the_seed() -> None:
    config = built()
    assert config.data == DataConfig("scans")
    assert config.network == NetworkConfig("seed", 4, 64, 4, "nearest")
    assert config.degradation == DegradationConfig(("thesis",), 0.0, 0.0)
    assert config.variation == VariationConfig((1.0, 1.0), 1.0, 1.0, 0.0)
    assert config.optimisation.optimizer == "adam"
    assert (config.loss.name, config.loss.layer, config.seed) == ("mse", "block2_conv2", 0)


def test_plain_values_build_the_same_tree_again() -> None:
    config = built(
        seed=5,
        data={"folder": "scans", "also": ["more"], "splits": "s.json", "spacing_mm": [1.5, 0.75]},
        degradation={"methods": ["bicubic", "kspace"], "noise": 0.02, "blur": 0.5},
        variation={"intensity": [0.5, 2], "contrast": 1.3, "zoom": 5, "synthetic": 0.25},
        network={"architecture": "wide", "scale": 8, "upsampling": "transposed"},
        loss={"name": "perceptual", "layer": "block3_conv3", "fidelity": 1},
        optimisation={"learning_rate": 1, "optimizer": "muon", "schedule": "constant"},
    )
    assert config.data.spacing_mm == (1.5, 0.75)
    assert config.data.also == ("more",)
    assert config.variation == VariationConfig((0.5, 2.0), 1.3, 5.0, 0.25)
    assert config.optimisation.learning_rate == 1.0
    assert isinstance(config.optimisation.learning_rate, float)
    assert build(TrainingConfig, config.to_dict(), where="again") == config


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"colour": 1}, "no key 'colour'; allowed here: name, output, data, seed, degradation"),
    ({"network": {"depth": 3}}, "no key 'network.depth'; allowed here: architecture, scale"),
    ({"data": {}}, "the key 'data.folder' is missing"),
    ({"data": "scans"}, "data is 'scans'; expected a table"),
    ({"name": 5}, "name is 5; expected text in quotes"),
    ({"name": ""}, "name is empty"),
    ({"output": ""}, "output is empty"),
    ({"data": {"folder": ""}}, "data.folder is empty"),
    ({"seed": True}, "seed is True; expected a whole number"),
    ({"seed": 1.0}, r"seed is 1\.0; expected a whole number"),
    ({"seed": -1}, "seed is -1; expected 0 to 2147483647"),
    ({"network": {"filters": 0}}, "network.filters is 0; expected 1 to 1024"),
    ({"network": {"blocks": 257}}, "network.blocks is 257; expected 1 to 256"),
    ({"network": {"scale": 5}}, "network.scale is 5; allowed: 2, 3, 4, 8"),
    ({"network": {"scale": 4.0}}, r"network.scale is 4\.0; allowed: 2, 3, 4, 8"),
    ({"network": {"scale": True}}, "network.scale is True; allowed: 2, 3, 4, 8"),
    ({"network": {"scale": []}}, r"network.scale is \[\]; allowed: 2, 3, 4, 8"),
    ({"network": {"upsampling": "x"}}, "upsampling is 'x'; allowed: 'nearest', 'transposed'"),
    ({"degradation": {"methods": "thesis"}}, "methods is 'thesis'; expected a list; for each, all"),
    ({"degradation": {"methods": ["blur"]}}, "methods is 'blur'; allowed: 'thesis', 'johnson'"),
    ({"degradation": {"methods": []}}, "methods is empty; allowed: 'thesis', 'johnson'"),
    ({"degradation": {"noise": 1.5}}, r"degradation.noise is 1\.5; expected 0\.0 to 1\.0"),
    ({"degradation": {"noise": float("nan")}}, "degradation.noise is nan"),
    ({"degradation": {"noise": True}}, "degradation.noise is True; expected a number"),
    ({"degradation": {"noise": "1"}}, "degradation.noise is '1'; expected a number"),
    ({"loss": {"name": "l1"}}, "loss.name is 'l1'; allowed: 'mse', 'mae', 'perceptual'"),
    ({"loss": {"layer": "conv9"}}, "loss.layer is 'conv9'; allowed: block1_conv1, .*block5_pool"),
    ({"optimisation": {"ema": 1.0}}, r"optimisation.ema is 1\.0; expected 0\.0 to 0\.999999"),
    ({"variation": {"zoom": 0.5}}, r"variation.zoom is 0\.5; expected 1\.0 to 16\.0"),
    ({"optimisation": {"crop": 98}}, "optimisation.crop is 98; .*multiple of network.scale, 4"),
    ({"optimisation": {"crop": 8}}, "optimisation.crop is 8; expected 16 to 1024"),
    ({"variation": {"intensity": [1.0]}}, r"intensity is \[1\.0\]; expected two positive"),
    ({"variation": {"intensity": []}}, r"intensity is \[\]; expected two positive"),
    ({"variation": {"intensity": [0, 1]}}, r"intensity is \[0\.0, 1\.0\]; expected two pos"),
    ({"variation": {"intensity": [1, float("inf")]}}, r"intensity is \[1\.0, inf\]"),
    ({"variation": {"intensity": [1.1, 0.6]}}, r"intensity is \[1\.1, 0\.6\]; .*smaller"),
    ({"variation": {"intensity": ["a", 1]}}, "intensity is 'a'; expected a number"),
    ({"variation": {"contrast": 0.9}}, r"variation.contrast is 0\.9; expected 1\.0 to 4\.0"),
    ({"variation": {"synthetic": 1.1}}, r"variation.synthetic is 1\.1; expected 0\.0 to 1\.0"),
    ({"variation": {"colour": 1}}, "no key 'variation.colour'; allowed here: intensity, contrast"),
    ({"optimisation": {"zoom": 2.0}}, "no key 'optimisation.zoom'; allowed here: epochs"),
    ({"optimisation": {"optimizer": "sgd"}}, "optimizer is 'sgd'; allowed: 'adam', 'muon'"),
    ({"network": {"architecture": "x"}}, "is 'x'; allowed: 'seed', 'residual', 'wide'"),
    ({"degradation": {"blur": 5.0}}, r"degradation.blur is 5\.0; expected 0\.0 to 4\.0"),
    ({"data": {"folder": "a", "also": "b"}}, "data.also is 'b'; expected a list; for each, expec"),
    ({"data": {"folder": "a", "also": [1]}}, "data.also is 1; expected text in quotes"),
    ({"data": {"folder": "a", "also": [""]}}, "data.also is empty; expected a name"),
    ({"data": {"folder": "a", "most_slices": -1}}, "most_slices is -1; expected 0 to 1000000"),
    ({"data": {"folder": "a", "spacing_mm": [1.0]}}, r"spacing_mm is \[1\.0\]; expected two"),
    ({"data": {"folder": "a", "spacing_mm": [1, -1]}}, "spacing_mm is .*two positive numbers"),
    ({"data": {"folder": "a", "spacing_mm": [1, float("nan")]}}, "spacing_mm is .*nan"),
    ({"data": {"folder": "a", "spacing_mm": 1.5}}, r"spacing_mm is 1\.5; expected a list"),
]


@pytest.mark.parametrize(("sections", "words"), WRONG)
def test_wrong_values_are_named(sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"^here.toml: .*{words}"):
        built(**sections)


def test_a_missing_section_is_named() -> None:
    with pytest.raises(ConfigError, match="the key 'data' is missing"):
        build(TrainingConfig, {"name": "a", "output": "b"}, where="here.toml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a" / "config.toml"
    file.parent.mkdir()
    file.write_text(
        'name = "heart"\noutput = "runs/heart"\n[data]\nfolder = "../scans"\nalso = ["more"]\n'
        'splits = "splits.json"\n[loss]\nname = "perceptual"\nweights = "/else/where.npz"\n'
    )
    config = read_config(file)
    assert Path(config.output) == file.parent / "runs" / "heart"
    assert Path(config.data.folder).resolve() == (tmp_path / "scans").resolve()
    assert config.data.also == (str(file.parent / "more"),)
    assert Path(config.data.splits) == file.parent / "splits.json"
    assert config.loss.weights == "/else/where.npz"


def test_paths_that_are_not_given_stay_empty(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('name = "heart"\noutput = "out"\n[data]\nfolder = "scans"\n')
    config = read_config(file)
    assert (config.data.splits, config.loss.weights) == ("", "")


@pytest.mark.parametrize("content", [b"name = heart", b"\xff\xfe", b"[data\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"config\.toml: cannot be read as a TOML") as it:
        read_config(file)
    assert "docs/training.md" in str(it.value)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UnreadableFileError, match=f"{path.name}: cannot be read"):
            read_config(path)


def test_a_wrong_file_is_named_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('name = "a"\noutput = "b"\nnetwrok = 1\n')
    with pytest.raises(ConfigError, match=r"config\.toml: there is no key 'netwrok'"):
        read_config(file)


@pytest.mark.parametrize(
    "file",
    [file for file in sorted(EXPERIMENTS.glob("*.toml")) if "[grid]" not in file.read_text()],
    ids=lambda path: path.stem,
)
def test_the_configurations_of_this_repository_are_right(file: Path) -> None:
    assert read_config(file).name


IDLE = [
    ('[network]\narchitecture = "residual"\nupsampling = "transposed"\n', "network.upsampling"),
    ('[network]\narchitecture = "wide"\nupsampling = "nearest"\n', "network.upsampling"),
    ('[loss]\nname = "mse"\npattern = 0.1\n', "loss.pattern"),
    ('[loss]\nname = "perceptual"\npattern = 0.1\n', "loss.pattern"),
    ("[loss]\nfidelity = 0.0\n", "loss.fidelity"),
    ('[loss]\nname = "mae"\nlayer = "block2_conv2"\n', "loss.layer"),
    ('[loss]\nname = "lpips"\nweights = "w.npz"\n', "loss.weights"),
]
START = 'name = "n"\noutput = "o"\n[data]\nfolder = "d"\n'


@pytest.mark.parametrize(("text", "key"), IDLE)
def test_a_setting_that_does_nothing_is_refused_by_name(tmp_path: Path, text, key) -> None:
    path = tmp_path / "c.toml"
    path.write_text(START + text)

    with pytest.raises(ConfigError, match=rf"{key} does nothing with \w+\.\w+ = '\w+'; it serves"):
        read_config(path)


@pytest.mark.parametrize(
    "text",
    [
        '[network]\nupsampling = "transposed"\n',
        '[network]\narchitecture = "residual"\n',
        '[loss]\nname = "lpips"\nfidelity = 0.02\npattern = 0.1\n',
        '[loss]\nname = "perceptual"\nlayer = "block1_conv2"\nweights = "w.npz"\nfidelity = 1\n',
        "",
    ],
)
def test_settings_that_do_something_and_defaults_are_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(START + text)

    # What a run recorded holds every setting, whether it does something or not.
    config = read_config(path)
    assert build(TrainingConfig, config.to_dict(), where="config.json") == config
