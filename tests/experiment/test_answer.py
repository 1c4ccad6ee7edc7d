"""The answer follows the numbers, also where they contradict what was expected."""

from dataclasses import replace

import numpy as np
import pytest

from cinesr.evaluation.confidence import Interval
from cinesr.experiment.answer import answer, factor_answer, question, ranking
from cinesr.experiment.config import ExperimentConfig
from cinesr.experiment.history import Training
from cinesr.experiment.scoring import MethodScores
from cinesr.experiment.summary import NetworkFacts, Summary, summarise
from cinesr.experiment.tables import Table, interval_text, score_table

GRID = {
    "loss.name": ("perceptual", "mse"),
    "network.upsampling": ("transposed", "nearest"),
}
PEOPLE = [f"p{number}" for number in range(6)]


def method(psnr: float, lpips: float, checkerboard: float) -> MethodScores:
    own = np.linspace(-1, 1, len(PEOPLE))
    noise = np.random.default_rng(int(psnr * 100)).uniform(-0.05, 0.05, len(PEOPLE))

    def of(level: float, spread: float) -> dict[str, list[float]]:
        values = level + spread * own + 0.1 * spread * noise
        return {person: [float(value)] for person, value in zip(PEOPLE, values, strict=True)}

    whole = {"psnr": of(psnr, 1), "ssim": of(psnr / 40, 0.01), "lpips": of(lpips, 0.01)}
    return MethodScores("", {"whole": whole | {"checkerboard": of(checkerboard, 0.01)}}, [])


@pytest.fixture
def summary(tiny: ExperimentConfig) -> Summary:
    levels = {
        f"{loss}-{up}": {"loss.name": loss, "network.upsampling": up}
        for loss in GRID["loss.name"]
        for up in GRID["network.upsampling"]
    }
    config = replace(
        tiny,
        grid=GRID,
        levels=levels,
        evaluation=replace(tiny.evaluation, repeat=type(tiny.evaluation.repeat)()),
    )
    own = {"whole": {"checkerboard_own": {p: [0.1 + 0.02 * n] for n, p in enumerate(PEOPLE)}}}
    scores = {
        "truth": MethodScores("", own, []),
        "bicubic interpolation": method(26.0, 0.5, -0.2),
        "linear filter": method(31.8, 0.3, -0.1),
        "perceptual-transposed": method(31.0, 0.12, 0.9),
        "perceptual-nearest": method(31.0, 0.11, 0.0),
        "mse-transposed": method(32.9, 0.2, 0.0),
        "mse-nearest": method(33.0, 0.2, 0.0),
    }
    training = Training([1], [30.0], 2.0, 1, None, "cosine")
    facts = {
        name: NetworkFacts(level, 0, {"parameters": 12345}, "0", training, {})
        for name, level in levels.items()
    }
    return summarise(config, scores, facts, split_sha256="0", machine={}, versions={})


def test_both_questions_are_answered_with_intervals(summary: Summary) -> None:
    loss = factor_answer(summary, "loss.name")
    assert "PSNR, whole frame: mse is better than perceptual by 1.95 (1.95 to 1.95) dB" in loss
    assert "LPIPS, whole frame: perceptual is better than mse by 0.0850 (0.08" in loss
    upsampling = factor_answer(summary, "network.upsampling")
    assert "nearest has the weaker pattern, by 0.45" in upsampling
    assert "That depends on the rest: transposed minus nearest is +0.90" in upsampling
    assert "loss.name: perceptual or mse" in question(summary)


def test_an_interval_that_covers_zero_is_said_to(summary: Summary) -> None:
    for effect in summary.effects:
        object.__setattr__(effect, "difference", Interval(0.1, -0.1, 0.3))
    words = factor_answer(summary, "loss.name")
    assert "perceptual and mse cannot be told apart" in words
    assert "+0.10 (-0.10 to +0.30) dB, covers zero" in words
    assert "better" not in words


def test_what_was_expected_is_contradicted_where_it_is_wrong(summary: Summary) -> None:
    (words,) = [text for text in answer(summary) if "Expected beforehand" in text]
    assert "by PSNR it is not: mse-nearest is better" in words
    assert "by LPIPS it is." in words
    assert ranking(summary, "psnr")[0] == "mse-nearest"
    assert ranking(summary, "lpips")[0] == "perceptual-nearest"


def test_the_checkerboard_is_judged_by_the_truths_own(summary: Summary) -> None:
    words = answer(summary)[-1]
    assert summary.truth_checkerboard_spread == pytest.approx(0.0374, abs=1e-4)
    assert "perceptual-transposed 0.900 (0.895 to 0.905), beyond" in words
    assert words.count("within;") + words.count("within.") == 3


def test_networks_above_the_linear_filter_are_named(summary: Summary) -> None:
    assert "above the linear filter are mse-transposed, mse-nearest." in " ".join(answer(summary))
    assert summary.margins["mse-nearest"]["whole"]["psnr"].mean == pytest.approx(1.2, abs=0.01)


def test_the_table_of_scores(summary: Summary) -> None:
    table = score_table(summary, "whole")
    assert table is not None
    assert table.header[:4] == ("method", "loss.name", "network.upsampling", "parameters")
    row = table.rows[-1]
    assert row[:6] == ("mse-nearest", "mse", "nearest", "12,345", "-", "2.0 s")
    assert row[6].startswith("33.00 (3")
    assert score_table(summary, "heart") is None


def test_a_table_in_two_languages() -> None:
    table = Table("Two & two.", ("a", "b"), (("x|y", "1.0 (0.5 to 1.5)"), ("z", "<b>" * 20)))
    page = table.to_html()
    assert "Two &amp; two." in page
    assert '<td class="line">1.0<br><small>(0.5 to 1.5)</small></td>' in page
    assert "<td>&lt;b&gt;" in page
    assert table.to_markdown().splitlines()[2:5] == [
        "| a | b |",
        "| --- | --- |",
        "| x\\|y | 1.0 (0.5 to 1.5) |",
    ]
    assert interval_text(None, "psnr") == "-"
    assert interval_text(Interval(1.234, 1.0, 2.0), "psnr", signed=True) == "+1.23 (+1.00 to +2.00)"
