"""Says in words what the numbers say, also where it is not what was expected."""

from __future__ import annotations

import itertools

from cinesr.evaluation.confidence import Interval
from cinesr.experiment.comparison import FactorEffect
from cinesr.experiment.history import FLAT_GAIN_DB, Training
from cinesr.experiment.scoring import BICUBIC, LINEAR, OWN_CHECKERBOARD, TRUTH
from cinesr.experiment.summary import Summary
from cinesr.experiment.tables import REGION_WORDS, STYLES, interval_text

FACTOR_WORDS = {"loss.name": "Loss", "network.upsampling": "Upsampling"}
QUESTIONS = (("whole", "psnr"), ("whole", "ssim"), ("whole", "lpips"), ("whole", "checkerboard"))
EXPECTED = {"loss.name": "perceptual", "network.upsampling": "nearest"}
"""What the comparison of these two factors was set up to confirm."""


def question(summary: Summary) -> str:
    """What was asked, from the grid."""
    config = summary.config
    factors = "; ".join(
        f"{key}: {' or '.join(str(value) for value in values)}"
        for key, values in config.grid.items()
    )
    return (
        f"Which of these settings gives the better x{config.recipe.scale} super-resolution of cine "
        f"slices ({factors})? Every combination was trained on the same data with the same "
        f"schedule, and scored on the {config.evaluation.split} split, {summary.slices} slices of "
        f"{len(summary.people)} persons, from input made by the {config.recipe.method} degradation."
    )


def answer(summary: Summary) -> list[str]:
    """Paragraphs: each factor, the best networks, what was expected, the checkerboard."""
    paragraphs = [factor_answer(summary, factor) for factor in summary.config.grid]
    paragraphs += [_best(summary), _against_expectation(summary), _checkerboards(summary)]
    return [paragraph for paragraph in paragraphs if paragraph]


def factor_answer(summary: Summary, factor: str) -> str:
    """What one key of the grid does; empty where it has one value.

    Args:
        summary: Of the experiment.
        factor: The key.
    """
    effects = [effect for effect in summary.effects if effect.factor == factor]
    sentences = []
    for region, measure in QUESTIONS:
        asked = [
            effect for effect in effects if (effect.region, effect.measure) == (region, measure)
        ]
        pairs = itertools.groupby(asked, key=lambda effect: (effect.first, effect.second))
        for _, group in pairs:
            overall, *settings = group
            sentences.append(_effect_sentence(overall) + _exceptions(overall, settings))
    if not sentences:
        return ""
    return f"{FACTOR_WORDS.get(factor, factor)}. " + " ".join(sentences)


def _verdict(interval: Interval) -> int:
    """1 where the difference is above zero, -1 below, 0 where its interval covers zero."""
    return 1 if interval.low > 0 else -1 if interval.high < 0 else 0


def _turned(interval: Interval) -> Interval:
    return Interval(-interval.mean, -interval.high, -interval.low)


def _effect_sentence(effect: FactorEffect) -> str:
    style = STYLES[effect.measure]
    words = f"{style.name[0].upper()}{style.name[1:]}, {REGION_WORDS[effect.region]}: "
    verdict = _verdict(effect.difference)
    if not verdict:
        return (
            f"{words}{effect.first} and {effect.second} cannot be told apart; the interval of "
            f"their difference, {interval_text(effect.difference, effect.measure, signed=True)}"
            f"{style.unit}, covers zero."
        )
    higher = effect.first if verdict > 0 else effect.second
    lower = effect.second if verdict > 0 else effect.first
    apart = effect.difference if verdict > 0 else _turned(effect.difference)
    figures = interval_text(apart, effect.measure)
    if effect.measure == "checkerboard":
        return f"{words}{lower} has the weaker pattern, by {figures} points."
    better, worse = (higher, lower) if style.higher_is_better else (lower, higher)
    return f"{words}{better} is better than {worse} by {figures}{style.unit}."


def _exceptions(overall: FactorEffect, settings: list[FactorEffect]) -> str:
    """Where the mean over the other settings is not what each of them says."""
    verdicts = {_verdict(effect.difference) for effect in (overall, *settings)}
    if len(verdicts) == 1:
        return ""
    style = STYLES[overall.measure]
    parts = (
        f"{interval_text(effect.difference, effect.measure, signed=True)}{style.unit} with "
        f"{effect.setting}"
        for effect in settings
    )
    return (
        f" That depends on the rest: {overall.first} minus {overall.second} is "
        f"{' and '.join(parts)}."
    )


def ranking(summary: Summary, measure: str) -> list[str]:
    """Networks of the grid from the best to the worst mean over the whole frame.

    Args:
        summary: Of the experiment.
        measure: A key of `STYLES`.
    """
    known = [name for name in summary.names if summary.interval(name, "whole", measure)]
    means = {name: summary.intervals[name]["whole"][measure].mean for name in known}
    return sorted(known, key=means.__getitem__, reverse=STYLES[measure].higher_is_better)


def _is_told_apart(summary: Summary, one: str, other: str, measure: str) -> bool:
    for test in summary.tests:
        same = {test.first, test.second} == {one, other}
        if same and (test.region, test.measure) == ("whole", measure):
            return _verdict(test.difference) != 0
    return False


def _best(summary: Summary) -> str:
    sentences = []
    for measure in ("psnr", "ssim", "lpips"):
        order = ranking(summary, measure)
        if not order:
            continue
        style = STYLES[measure]
        level = interval_text(summary.interval(order[0], "whole", measure), measure)
        sentence = f"The best whole-frame {style.name} is that of {order[0]}, {level}{style.unit}"
        if len(order) > 1:
            told = _is_told_apart(summary, order[0], order[1], measure)
            sentence += (
                f", ahead of {order[1]} with an interval of their difference that "
                f"{'does not cover' if told else 'covers'} zero"
            )
        sentences.append(sentence + ".")
    references = [
        f"{interval_text(summary.interval(name, 'whole', 'psnr'), 'psnr')} dB for the {name}"
        for name in (BICUBIC, LINEAR)
    ]
    margins = {name: summary.margins[name]["whole"]["psnr"] for name in summary.names}
    ahead = [name for name, margin in margins.items() if _verdict(margin) > 0]
    return (
        " ".join(sentences)
        + f" Without a network, PSNR is {' and '.join(references)}; "
        + (
            f"above the linear filter are {', '.join(ahead)}."
            if ahead
            else "no network is above it."
        )
    )


def _against_expectation(summary: Summary) -> str:
    expected = [
        name for name, levels in summary.config.levels.items() if EXPECTED.items() <= levels.items()
    ]
    if len(expected) != 1 or len(summary.names) < 2:
        return ""
    name = expected[0]
    findings = []
    for measure in ("psnr", "ssim", "lpips"):
        order, words = ranking(summary, measure), STYLES[measure].name
        if not order:
            continue
        best = order[0]
        rival = order[1] if best == name else best
        told = _is_told_apart(summary, name, rival, measure)
        if best == name:
            findings.append(
                f"by {words} it is"
                if told
                else f"by {words} it leads, but not beyond {rival} for certain"
            )
        else:
            findings.append(
                f"by {words} it is not: {best} is better"
                if told
                else f"by {words} {best} leads, but the two cannot be told apart"
            )
    return (
        f"Expected beforehand was that the perceptual loss with nearest-neighbour interpolation is "
        f"best. For {name}, the numbers say: {'; '.join(findings)}."
    )


def _checkerboards(summary: Summary) -> str:
    own = summary.interval(TRUTH, "whole", OWN_CHECKERBOARD)
    spread = summary.truth_checkerboard_spread
    if own is None or spread is None:
        return ""
    found = []
    for name in summary.networks:
        index = summary.interval(name, "whole", "checkerboard")
        if index is not None:
            within = "within" if index.mean <= spread else "beyond"
            found.append(f"{name} {interval_text(index, 'checkerboard')}, {within}")
    return (
        f"The truth's own checkerboard index is {interval_text(own, 'checkerboard')} %, with a "
        f"standard deviation of {spread:.3f} between persons. What a network has more than the "
        f"truth, below zero where it is smoother, counts as within noise up to that deviation: "
        f"{'; '.join(found)}."
    )


def training_answer(training: Training, name: str) -> str:
    """Whether a validation curve is flat, or the run was cut short.

    Args:
        training: How it went.
        name: Of the network.
    """
    if training.cut_short:
        return (
            f"{name} was cut short: {len(training.steps)} of {training.planned_epochs} planned "
            "epochs were done, so its scores are not final."
        )
    if training.late_gain_db is None:
        return f"{name}: fewer than five epochs; whether its curve is flat cannot be said."
    cosine = (
        "; its learning rate falls to zero along a cosine, so that every curve ends flat and a "
        "longer schedule may still gain"
        if training.schedule == "cosine"
        else ""
    )
    gain = f"the last fifth of its steps gained {training.late_gain_db:+.3f} dB"
    if training.flat:
        return f"{name}: flat, {gain} (less than {FLAT_GAIN_DB:g} dB){cosine}."
    return f"{name}: not flat, {gain} (flat is less than {FLAT_GAIN_DB:g} dB){cosine}."
