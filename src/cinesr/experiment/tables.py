"""The tables of a report, in HTML and in Markdown from one source."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cinesr.evaluation.confidence import Interval
from cinesr.experiment.config import level_name
from cinesr.experiment.history import FLAT_GAIN_DB
from cinesr.experiment.scoring import BICUBIC, LINEAR
from cinesr.experiment.summary import NetworkFacts, Summary

ABSENT = "-"
LONGEST_LINE = 40
COST_KEY = "multiply_adds_per_output_pixel"


@dataclass(frozen=True)
class MeasureStyle:
    """How a measure is told.

    Args:
        name: In words.
        unit: Behind a number, with its space.
        digits: After the point.
        higher_is_better: Or lower.
    """

    name: str
    unit: str
    digits: int
    higher_is_better: bool


STYLES = {
    "psnr": MeasureStyle("PSNR", " dB", 2, True),
    "ssim": MeasureStyle("SSIM", "", 4, True),
    "nrmse": MeasureStyle("NRMSE", "", 4, False),
    "lpips": MeasureStyle("LPIPS", "", 4, False),
    "checkerboard": MeasureStyle("checkerboard index", " %", 3, False),
}
REGION_WORDS = {"whole": "whole frame", "body": "body", "heart": "heart"}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        caption: What it holds.
        header: Of the columns; the first column names the rows.
        rows: As wide as the header.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_html(self) -> str:
        """As a table that scrolls by itself where the window is narrow."""
        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{html.escape(first)}</th>'
            + "".join(_cell_html(cell) for cell in rest)
            + "</tr>\n"
            for first, *rest in self.rows
        )
        return (
            f'<div class="wide"><table><caption>{html.escape(self.caption)}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
        )

    def to_markdown(self) -> str:
        """As a table of GitHub's Markdown under its caption."""
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        text = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
        return f"{self.caption}\n\n" + "\n".join(text) + "\n"


def _cell_html(cell: str) -> str:
    """A mean above its interval; text that is long may wrap, numbers may not."""
    text = re.sub(r"^(\S+) (\(\S+ to \S+\))$", r"\1<br><small>\2</small>", html.escape(cell))
    return f"<td>{text}</td>" if len(cell) > LONGEST_LINE else f'<td class="line">{text}</td>'


def interval_text(interval: Interval | None, measure: str, *, signed: bool = False) -> str:
    """A mean with its interval, in the digits of its measure.

    Args:
        interval: None where it could not be taken.
        measure: A key of `STYLES`.
        signed: Whether it is a difference.
    """
    if interval is None:
        return ABSENT
    form = f"{'+' if signed else ''}.{STYLES[measure].digits}f"
    return f"{interval.mean:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def score_table(summary: Summary, region: str) -> Table | None:
    """Every method's means with their intervals over one region; None where nothing was taken.

    Args:
        summary: Of the experiment.
        region: "whole", "body" or "heart".
    """
    methods = [BICUBIC, LINEAR, *summary.names]
    measures = [
        measure
        for measure in STYLES
        if any(summary.interval(method, region, measure) for method in methods)
    ]
    if not measures:
        return None
    whole = region == "whole"
    factors = tuple(summary.config.grid)
    facts = ("parameters", "multiply-adds per output pixel", "time per epoch") if whole else ()
    rows = []
    for method in methods:
        network = summary.networks.get(method)
        levels = [_level(network, factor) for factor in factors]
        costs = _costs(network) if whole else []
        values = [
            interval_text(summary.interval(method, region, measure), measure)
            for measure in measures
        ]
        rows.append((method, *levels, *costs, *values))
    heads = [STYLES[measure].name + STYLES[measure].unit.replace(" ", ", ") for measure in measures]
    return Table(
        f"{REGION_WORDS[region].capitalize()}: mean over {len(summary.people)} persons, 95 % "
        "interval in brackets.",
        ("method", *factors, *facts, *heads),
        tuple(rows),
    )


def _level(network: NetworkFacts | None, factor: str) -> str:
    return ABSENT if network is None else level_name(network.levels[factor])


def _costs(network: NetworkFacts | None) -> list[str]:
    if network is None:
        return [ABSENT] * 3
    parameters, cost = network.card.get("parameters"), network.card.get(COST_KEY)
    return [
        ABSENT if parameters is None else f"{parameters:,}",
        ABSENT if cost is None else f"{cost:,.0f}",
        f"{network.training.seconds_per_epoch:.1f} s",
    ]


def pair_table(summary: Summary) -> Table | None:
    """The paired tests between every two networks; None where there is one network alone."""
    if not summary.tests:
        return None
    rows = [
        (
            f"{test.first} minus {test.second}",
            f"{STYLES[test.measure].name}, {REGION_WORDS[test.region]}",
            interval_text(test.difference, test.measure, signed=True),
            f"{test.p:.3g}",
            f"{test.p_holm:.3g}",
        )
        for test in summary.tests
    ]
    return Table(
        "Differences of the same persons, 95 % interval in brackets; p of the exact Wilcoxon "
        "signed-rank test, and corrected by Holm for all pairs in this measure.",
        ("networks", "measure", "difference", "p", "p, corrected"),
        tuple(rows),
    )


def effect_table(summary: Summary) -> Table | None:
    """What each key of the grid does; None where no key has two values."""
    if not summary.effects:
        return None
    rows = [
        (
            f"{effect.factor}: {effect.first} minus {effect.second}",
            f"{STYLES[effect.measure].name}, {REGION_WORDS[effect.region]}",
            effect.setting or "mean over all",
            interval_text(effect.difference, effect.measure, signed=True),
        )
        for effect in summary.effects
    ]
    return Table(
        "Effect of one setting, over all values of the others and at each of them, 95 % interval "
        "in brackets.",
        ("setting", "measure", "others", "difference"),
        tuple(rows),
    )


def margin_table(summary: Summary) -> Table:
    """Each network against the best linear filter."""
    measures = [("whole", "psnr"), ("body", "psnr"), ("heart", "psnr"), ("whole", "lpips")]
    rows = [
        (
            name,
            *(
                interval_text(
                    summary.margins[name].get(region, {}).get(measure), measure, signed=True
                )
                for region, measure in measures
            ),
        )
        for name in summary.networks
    ]
    heads = (f"{STYLES[measure].name}, {REGION_WORDS[region]}" for region, measure in measures)
    return Table(
        "Each network minus the linear filter, the same persons, 95 % interval in brackets.",
        ("network", *heads),
        tuple(rows),
    )


def training_table(summary: Summary) -> Table:
    """How each training went."""
    rows = []
    for name, network in summary.networks.items():
        training = network.training
        gain = ABSENT if training.late_gain_db is None else f"{training.late_gain_db:+.3f} dB"
        verdict = "flat" if training.flat else "not flat"
        verdict = ABSENT if training.late_gain_db is None else verdict
        rows.append(
            (
                name,
                str(network.seed),
                f"{training.steps[-1]:,}",
                f"{len(training.steps)} of {training.planned_epochs}",
                f"{training.psnr[-1]:.2f} dB",
                gain,
                "cut short" if training.cut_short else verdict,
                f"{training.seconds_per_epoch:.1f} s",
            )
        )
    return Table(
        f"Training. A curve is flat where the last fifth of the steps gained less than "
        f"{FLAT_GAIN_DB:g} dB of validation PSNR.",
        (
            *("network", "seed", "steps", "epochs", "validation PSNR", "gain of the last fifth"),
            *("curve", "time per epoch"),
        ),
        tuple(rows),
    )


def constant_table(summary: Summary) -> Table:
    """The largest deviations from a constant image."""
    return Table(
        "Largest deviation of the response to a constant image, as a share of the intensity scale.",
        ("network", "inside", "at the border"),
        tuple(
            (name, f"{network.constant['inside']:.1e}", f"{network.constant['at_border']:.1e}")
            for name, network in summary.networks.items()
        ),
    )


def repeat_table(summary: Summary) -> Table | None:
    """The repeated network against the first; None where none was repeated."""
    repeated = summary.config.repeat
    if repeated is None:
        return None
    rows = [
        (
            f"{STYLES[measure].name}, {REGION_WORDS[region]}",
            interval_text(
                summary.interval(summary.config.evaluation.repeat.network, region, measure), measure
            ),
            interval_text(summary.interval(repeated.name, region, measure), measure),
            interval_text(interval, measure, signed=True),
        )
        for region, measures in summary.repeat.items()
        for measure, interval in measures.items()
    ]
    return Table(
        f"{summary.config.evaluation.repeat.network} trained once more, with seed {repeated.seed}.",
        ("measure", "first", "repeated", "difference"),
        tuple(rows),
    )


def settings_table(summary: Summary) -> Table:
    """Data, training, software and hardware."""
    first = summary.config.networks[0]
    recipe = summary.config.recipe
    card = summary.networks[first.name].card
    counts = card.get("data", {})
    varied = ", ".join(summary.config.grid)
    rows = [
        (
            "scored on",
            f"{summary.config.evaluation.split} split: {', '.join(summary.people)}; "
            f"{summary.slices} slices",
        ),
        ("learned from", _counted(counts.get("train"))),
        ("validated on", _counted(counts.get("validation"))),
        ("split, sha256", summary.split_sha256),
        ("input", f"{recipe.method} degradation, x{recipe.scale}, without noise"),
        ("varied", varied),
        ("network, unless varied", _listed(asdict(first.network))),
        ("loss, unless varied", _listed(asdict(first.loss))),
        ("optimisation, unless varied", _listed(asdict(first.optimisation))),
        ("seed", str(first.seed)),
        ("trained with", _listed(card.get("versions", {}))),
        ("evaluated with", _listed(summary.versions)),
        ("evaluated on", _listed(summary.machine)),
    ]
    return Table("Data, settings, versions, hardware.", ("what", "value"), tuple(rows))


def _counted(counts: dict[str, int] | None) -> str:
    return ABSENT if not counts else f"{counts['people']} people, {counts['slices']} slices"


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value != "") or ABSENT
