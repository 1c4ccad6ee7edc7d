"""The whole experiment on tiny networks: what it writes, and that it can be left and resumed."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cinesr.cli import main
from cinesr.degradation import Degradation
from cinesr.errors import ConfigError, OutputError, UnreadableFileError
from cinesr.evaluation.metrics import nrmse, psnr
from cinesr.experiment.config import read_experiment
from cinesr.experiment.run import is_finished, run_experiment, train_one
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import load
from cinesr.learning.dataset import Split
from cinesr.upscaling.catalogue import read_model
from cinesr.upscaling.engine import Engine

SECTIONS = [
    *("What was asked", "Answer", "Scores", "Differences", "Against the linear filter"),
    *("Pictures", "Spectrum", "Training", "Constant image", "Another seed", "Data and settings"),
]
NETWORKS = ("mse-transposed", "mse-nearest", "mse-nearest-seed1")


def cli(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def finished(bench: Path) -> Path:
    """The folder of a finished experiment, one network of which was trained by itself."""
    arguments = ("experiment", bench / "tiny.toml", "-o", bench / "out")
    alone = cli(*arguments, "--only", "mse-nearest", "--quiet")
    assert (alone.exit_code, alone.stdout) == (0, f"{bench / 'out' / 'mse-nearest'}\n")
    assert not (bench / "out" / "mse-transposed").exists()
    result = cli(*arguments, "--resume")
    assert (result.exit_code, result.stdout) == (0, f"{bench / 'out' / 'report.html'}\n")
    assert "mse-transposed: training" in result.stderr
    assert "mse-nearest: training" not in result.stderr.splitlines()
    return bench / "out"


def rows(folder: Path) -> dict[tuple[str, ...], float]:
    with (folder / "results.csv").open(newline="") as file:
        return {
            (row["person"], row["method"], row["region"], row["measure"]): float(row["value"])
            for row in csv.DictReader(file)
        }


def test_the_report_has_every_section_and_needs_nothing_else(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    sources = re.findall(r'src="(.{30})', page)
    assert len(sources) == 7
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(re.search(r'alt="\w', tag) for tag in re.findall(r"<img.*?>", page))
    assert not re.search(r"https?:|<link|<script|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert "Research use only" in page
    assert "None" not in re.sub(r"base64,[^\"]*", "", page)


def test_the_markdown_holds_the_same_and_its_pictures_are_there(finished: Path) -> None:
    text = (finished / "results.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    pictures = re.findall(r"\]\((pictures/.*?)\)", text)
    assert len(pictures) == 7
    for picture in pictures:
        assert (finished / picture).read_bytes().startswith(b"\x89PNG")
    page = (finished / "report.html").read_text(encoding="utf-8")
    for value in re.findall(r"\| (-?\d+\.\d+) \(", text):
        assert value in page


def test_results_are_what_one_computes_oneself(finished: Path, bench: Path) -> None:
    cine = load(bench / "people" / "p4.nii.gz")
    rule, highest = IntensityRule.of(cine), float(np.asarray(cine.frames).max())
    engine = Engine(read_model(finished / "mse-nearest" / "model.onnx"))
    qualities, heart, ratios = [], [], []
    for frame in np.asarray(cine.frames)[0]:
        low = Degradation("thesis", 4).apply(rule.apply(frame))
        ours = rule.invert(engine.run(low))
        qualities.append(psnr(frame, ours, data_range=highest))
        heart.append(psnr(frame[6:60, 4:58], ours[6:60, 4:58], data_range=highest))
        ratios.append(nrmse(rule.apply(frame), engine.run(low)))
    found = rows(finished)
    assert found["p4", "mse-nearest", "whole", "psnr"] == pytest.approx(
        np.mean(qualities), abs=1e-3
    )
    assert found["p4", "mse-nearest", "heart", "psnr"] == pytest.approx(np.mean(heart), abs=1e-3)
    assert found["p4", "mse-nearest", "whole", "nrmse"] == pytest.approx(np.mean(ratios))
    assert ("p3", "mse-nearest", "heart", "psnr") not in found
    summary = json.loads((finished / "summary.json").read_text())
    people = [found[person, "mse-nearest", "whole", "psnr"] for person in ("p3", "p4")]
    interval = summary["intervals"]["mse-nearest"]["whole"]["psnr"]
    assert interval["mean"] == pytest.approx(np.mean(people))
    assert set(summary["networks"]) == set(NETWORKS)


def test_resuming_a_finished_experiment_does_nothing_again(finished: Path, bench: Path) -> None:
    files = [finished / name / "model.onnx" for name in NETWORKS]
    files += sorted((finished / "scores").iterdir())
    assert len(files) == 3 + 6
    before = [file.stat().st_mtime_ns for file in files]
    values = rows(finished)
    stages: list[str] = []
    config = read_experiment(bench / "tiny.toml", output=finished)
    run_experiment(config, finished, resume=True, progress=lambda stage, *_: stages.append(stage))
    assert set(stages) == {"linear filter: fitting"}
    assert [file.stat().st_mtime_ns for file in files] == before
    assert rows(finished) == values


def test_a_run_that_was_stopped_goes_on_to_the_same(
    finished: Path, bench: Path, tmp_path: Path
) -> None:
    config = read_experiment(bench / "tiny.toml", output=tmp_path)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "mse-nearest: training" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_one(config, tmp_path, "mse-nearest", progress=stop)
    folder = tmp_path / "mse-nearest"
    assert len((folder / "log.csv").read_text().splitlines()) == 2
    for name in ("mse-transposed", "mse-nearest-seed1"):
        shutil.copytree(finished / name, tmp_path / name)

    run_experiment(config, tmp_path, as_is=True)
    text = (tmp_path / "results.md").read_text()
    assert "mse-nearest was cut short: 1 of 2 planned epochs" in text
    assert "mse-transposed was cut short" not in text

    run_experiment(config, tmp_path, resume=True)
    assert rows(tmp_path) == rows(finished)
    assert "cut short" not in (tmp_path / "results.md").read_text()


def test_what_was_trained_is_not_trained_over(finished: Path, bench: Path) -> None:
    config = read_experiment(bench / "tiny.toml", output=finished)
    with pytest.raises(OutputError, match="holds trained networks already: mse-transposed, mse"):
        run_experiment(config, finished)
    with pytest.raises(OutputError, match="holds a training run already"):
        train_one(config, finished, "mse-nearest")
    with pytest.raises(ConfigError, match="no network 'x' in this experiment; allowed: mse-trans"):
        train_one(config, finished, "x")
    split = Split(("p0", "p1"), ("p2",), ("p3", "p4"))
    assert is_finished(config.networks[0], split)
    assert not is_finished(config.networks[0], Split(("p0",), ("p2",), ("p3", "p4")))
    other = bench / "other.toml"
    other.write_text((bench / "tiny.toml").read_text().replace("batch_size = 2", "batch_size = 3"))
    changed = read_experiment(other, output=finished)
    assert not is_finished(changed.networks[0], split)
    with pytest.raises(ConfigError, match="batch_size"):
        run_experiment(changed, finished, resume=True)


def test_what_cannot_be_scored_is_told_before_anything_is_trained(
    bench: Path, tmp_path: Path
) -> None:
    config = read_experiment(bench / "tiny.toml", output=tmp_path)
    with pytest.raises(UnreadableFileError, match="mse-transposed: holds no trained network"):
        run_experiment(config, tmp_path, as_is=True)
    text = (bench / "tiny.toml").read_text()
    cases = {
        'split = "validation"': "validation split of tiny: holds 1 person; expected at least 2",
        'split = "test"': "1 people are not in the data folder: zoe",
    }
    for line, words in cases.items():
        splits = json.loads((bench / "splits.json").read_text())
        (bench / "more.json").write_text(json.dumps(splits | {"test": ["p3", "zoe"]}))
        (bench / "bad.toml").write_text(
            text.replace("[evaluation]", f"[evaluation]\n{line}").replace(
                "splits.json", "more.json"
            )
        )
        result = cli("experiment", bench / "bad.toml", "-o", tmp_path / "bad")
        assert (result.exit_code, result.stdout) == (3, "")
        assert words in result.stderr
        assert not (tmp_path / "bad").exists()
