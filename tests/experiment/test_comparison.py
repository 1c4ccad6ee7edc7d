"""Tests between methods: known answers, and an effect that was put in comes out."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesr.errors import CinesrError
from cinesr.experiment.comparison import (
    differences,
    factor_effects,
    holm,
    paired_tests,
    signed_rank_p,
)
from cinesr.experiment.config import ExperimentConfig
from cinesr.experiment.scoring import MethodScores

PEOPLE = [f"p{number}" for number in range(8)]


def scores(**levels: float) -> dict[str, MethodScores]:
    """PSNR per person: the method's level, and a person's own part that all methods share."""
    return {
        name.replace("_", "-"): MethodScores(
            "",
            {
                "whole": {
                    "psnr": {
                        person: [level + 3 * number + 0.01 * (number % 3 - 1) * len(name)]
                        for number, person in enumerate(PEOPLE)
                    }
                }
            },
            [],
        )
        for name, level in levels.items()
    }


def by_enumeration(values: list[float]) -> float:
    """Over all signs: how often the rank sum is as far from its middle."""
    ranks = np.argsort(np.argsort(np.abs(values))) + 1
    middle = ranks.sum() / 2
    seen = abs(ranks[np.array(values) > 0].sum() - middle)
    signs = itertools.product([False, True], repeat=len(values))
    sums = [abs(ranks[list(sign)].sum() - middle) for sign in signs]
    return float(np.mean([apart >= seen - 1e-9 for apart in sums]))


def test_known_p_values() -> None:
    assert signed_rank_p([float(n) for n in range(1, 11)]) == 2 / 2**10
    assert signed_rank_p([1.0, 2.0, 3.0, 4.0, 0.0]) == 2 / 2**4
    assert signed_rank_p([0.0, 0.0]) == 1.0


@given(st.lists(st.floats(0.01, 9), min_size=2, max_size=7, unique=True), st.integers(0, 127))
def test_p_is_that_of_all_signs(sizes: list[float], signs: int) -> None:
    values = [size if signs >> n & 1 else -size for n, size in enumerate(sizes)]
    assert signed_rank_p(values) == pytest.approx(by_enumeration(values))


def test_holm_corrects_as_in_his_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.8]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]


def test_differences_are_of_the_same_person() -> None:
    assert differences({"b": 5.0, "a": 1.0}, {"a": 3.0, "b": 4.0}) == [-2.0, 1.0]
    with pytest.raises(CinesrError, match="the same persons"):
        differences({"a": 1.0}, {"b": 1.0})


def test_paired_tests_see_what_persons_hide() -> None:
    found = paired_tests(scores(a=30.0, bb=29.0, ccc=29.0), ["a", "bb", "ccc"])
    assert [(test.first, test.second) for test in found] == [
        ("a", "bb"),
        ("a", "ccc"),
        ("bb", "ccc"),
    ]
    assert found[0].difference.low > 0.9
    assert found[0].difference.high < 1.1
    assert found[0].p == 2 / 2**8
    assert found[0].p_holm == 6 / 2**8
    assert {(test.region, test.measure) for test in found} == {("whole", "psnr")}


def test_effects_are_over_the_other_settings_and_in_each(tiny: ExperimentConfig) -> None:
    from dataclasses import replace

    grid = {"loss.name": ("mse", "mae"), "network.upsampling": ("nearest", "transposed")}
    levels = {
        f"{loss}-{up}": {"loss.name": loss, "network.upsampling": up}
        for loss, up in itertools.product(*grid.values())
    }
    config = replace(tiny, grid=grid, levels=levels)
    values = scores(mse_nearest=30.0, mse_transposed=29.0, mae_nearest=32.0, mae_transposed=27.0)
    found = {
        (effect.factor, effect.setting): effect.difference.mean
        for effect in factor_effects(config, values)
    }
    assert found == pytest.approx(
        {
            ("loss.name", ""): 0.0,
            ("loss.name", "nearest"): -2.0,
            ("loss.name", "transposed"): 2.0,
            ("network.upsampling", ""): 3.0,
            ("network.upsampling", "mse"): 1.0,
            ("network.upsampling", "mae"): 5.0,
        },
        abs=0.02,
    )
