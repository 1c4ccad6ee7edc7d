"""Markdown tables of what a benchmark measured, and of what the models' cards say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinesr.errors import UnreadableFileError
from cinesr.evaluation.edges import NARROW_MM
from cinesr.experiment.benchmark.candidates import BICUBIC, LINEAR
from cinesr.experiment.benchmark.parts import Row
from cinesr.imaging.files import staged
from cinesr.upscaling.catalogue import SHIPPED_MODELS, read_model

MARKS = ("<!-- tables -->", "<!-- end of tables -->")
"""Between which a page holds the tables."""

Results = dict[str, Any]

PUBLIC_BASELINE = {"bicubic": (31.61, 28.28, 0.303), "johnson": (31.04, 27.71, 0.321)}
"""Bicubic interpolation at x4, on the test people: PSNR whole and body, LPIPS."""
PUBLIC_NETWORKS = {
    "RFDN, 433 k parameters": {"bicubic": (33.61, 29.81, 0.151), "johnson": (33.82, 30.50, 0.190)},
    "IMDN, 715 k": {"bicubic": (34.87, 31.29, 0.149), "johnson": (33.77, 30.48, 0.198)},
    "SRGAN generator, 734 k": {
        "bicubic": (34.09, 30.40, 0.097),
        "johnson": (33.43, 29.98, 0.124),
    },
}
"""Networks for photographs, as published, on the same 39 slices."""
PUBLIC_MEASURES = ("psnr", "psnr_body", "lpips")
TOLERANCE = 0.01
MEASURES = {
    "psnr": ("PSNR, whole frame (dB)", 2),
    "psnr_body": ("PSNR, body (dB)", 2),
    "psnr_heart": ("PSNR, heart (dB)", 2),
    "ssim": ("SSIM", 3),
    "lpips": ("LPIPS", 3),
    "checkerboard": ("Checkerboard index beyond the truth's own (%)", 2),
}
POOL_MEASURES = (("dice", 3), ("area_error", 1), ("area_bias", 1))
NATIVE_MEASURES = (("edge_mm", 2), ("overshoot", 1))
GAINS = ("psnr", "psnr_body", "psnr_heart")
CROSS_PARTS = {
    "scanner": "As scanners make them",
    "slices": "8-bit slices, recipes of papers",
    "dicom": "16-bit DICOM, recipes of papers",
}
BASELINES = {BICUBIC: "bicubic", LINEAR: "best linear filter"}


def write_tables(folder: Path, split: str, *, page: Path | None) -> None:
    """Writes `tables.<split>.md` of all results in a folder, and the same into a page.

    Args:
        folder: Holds `<model>.<split>.json`.
        split: Whose results.
        page: Holds `MARKS`.

    Raises:
        UnreadableFileError: The page has no marks.
    """
    found = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(f"*.{split}.json"))]
    ours = [results for results in found if results["model"] != BICUBIC]
    text = "\n\n".join([cards(), *(table for table in tables(ours) if table)])
    with staged(folder / f"tables.{split}.md", overwrite=True) as part:
        part.write_text(text + "\n", encoding="utf-8")
    if page:
        put_tables(page, text)


def put_tables(page: Path, text: str, marks: tuple[str, str] = MARKS) -> None:
    """Writes tables between a page's marks, in place of what stands there.

    Args:
        page: Holds the marks.
        text: The tables.
        marks: Where they begin and end.

    Raises:
        UnreadableFileError: The page has no marks.
    """
    before, after = around_tables(page, marks)
    with staged(page, overwrite=True) as part:
        text = f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}"
        part.write_text(text, encoding="utf-8")


def around_tables(page: Path, marks: tuple[str, str] = MARKS) -> tuple[str, str]:
    """What stands before and after the tables of a page.

    Args:
        page: Holds the marks.
        marks: Where the tables begin and end.

    Raises:
        UnreadableFileError: It has no marks.
    """
    before, start, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (start and end):
        raise UnreadableFileError(
            f"{page}: has no marks to put the tables between; expected {' and '.join(marks)}.",
            hint="Put them in, or leave out --page.",
        )
    return before, after


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def cards() -> str:
    """What each shipped model is, by its card."""
    rows = []
    for path in sorted(SHIPPED_MODELS.glob("*.onnx")):
        model = read_model(path)
        card = model.card
        spacing = card.get("input_spacing_mm")
        cost = card.get("multiply_adds_per_output_pixel")
        rows.append(
            [
                f"`{model.name}`",
                f"x{model.scale}",
                f"{card['loss']['name']}",
                ", ".join(card["degradation"]["methods"]),
                f"{card['parameters'] / 1000:.0f} k",
                "-" if cost is None else f"{cost:,.0f}",
                "-" if spacing is None else " to ".join(f"{end:.2f}" for end in spacing),
                f"{card['steps']:,}",
                f"{card['training_seconds'] / 3600:.1f}",
            ]
        )
    head = ["model", "scale", "loss", "degradations", "parameters", "multiply-adds per pixel"]
    return table([*head, "input pixels (mm)", "steps", "hours"], rows)


def tables(results: list[Results]) -> list[str]:
    """Every table: a scale, a part and a measure each."""
    found = []
    for scale in sorted({each["scale"] for each in results}):
        fitting = [each for each in results if each["scale"] == scale]
        for part, title in CROSS_PARTS.items():
            cross = [cross_table(fitting, part, measure) for measure in MEASURES]
            if any(cross):
                found += [f"### {title}, x{scale}", *cross]
                found += [gain_table(fitting, part, measure) for measure in GAINS]
        found += [drawn_table(fitting), segmentation_table(fitting)]
        found += [native_table(fitting), public_table(fitting)]
    found.append(constant_table(results))
    return found


def cross_table(results: list[Results], part: str, measure: str) -> str:
    """Models and bicubic down, degradations across: means over persons with 95 % intervals."""
    having = [each for each in results if part in each]
    if not having or not all(measure in found for found in having[0][part].values()):
        return ""
    title, digits = MEASURES[measure]

    def row(name: str, each: Results, who: str, key: str) -> list[str]:
        cells = [cell(found[key][who], digits) for found in each[part].values()]
        return [name, *cells]

    known = next(iter(having[0][part].values()))[measure]
    rows = [row(words, having[0], who, measure) for who, words in BASELINES.items() if who in known]
    rows += [row(f"`{each['model']}`", each, "model", measure) for each in having]
    if measure == "checkerboard":
        rows.insert(0, row("the truth's own", having[0], "model", "checkerboard_truth"))
    counted = next(iter(having[0][part].values()))
    methods = [f"`{method}`" for method in having[0][part]]
    number = f"{counted['people']} people, {counted['slices']} frames"
    note = f"**{title}**; {having[0]['split']} split, {number}"
    return f"{note}\n\n{table(['', *methods], rows)}"


def gain_table(results: list[Results], part: str, measure: str) -> str:
    """What the models have over the baselines, and over bicubic for the worst person."""
    having = [each for each in results if part in each]
    known = next(iter(having[0][part].values())).get(measure, {})
    if "worst" not in known:
        return ""
    rows = []
    for each in having:
        for key, words in (("margin", "bicubic"), ("margin_over_linear", "the linear filter")):
            if key in known:
                cells = [gain(found[measure][key]) for found in each[part].values()]
                rows.append([f"`{each['model']}` over {words}", *cells])
        worst = [found[measure].get("worst") for found in each[part].values()]
        cells = [f"{person['mean']:+.2f}" if person else "-" for person in worst]
        rows.append([f"`{each['model']}` over bicubic, worst person", *cells])
    methods = [f"`{method}`" for method in having[0][part]]
    return f"**Gain in {MEASURES[measure][0]}**\n\n{table(['', *methods], rows)}"


def gain(found: dict[str, Any], digits: int = 2) -> str:
    """A difference with its interval, where there is one."""
    text = f"{found['mean']:+.{digits}f}"
    if found.get("low") is None:
        return text
    return f"{text} ({found['low']:+.{digits}f} to {found['high']:+.{digits}f})"


def segmentation_table(results: list[Results]) -> str:
    """What a network that finds the blood pool makes of slices that were brought back."""
    having = [each for each in results if "segmentation" in each]
    if not having:
        return ""
    scale, rows = having[0]["scale"], []
    for setting, known in having[0]["segmentation"].items():
        for who, words in {"native": "as they are", **BASELINES}.items():
            cells = [cell(known[measure][who], digits) for measure, digits in POOL_MEASURES]
            rows.append([setting, words, *cells, "-", "-"])
        for each in having:
            found = each["segmentation"][setting]
            cells = [cell(found[measure]["model"], digits) for measure, digits in POOL_MEASURES]
            cells += [gain(found["dice"]["margin"], 4), gain(found["area_error"]["margin"], 2)]
            rows.append([setting, f"`{each['model']}`", *cells])
    counted = next(iter(having[0]["segmentation"].values()))
    head = ["setting", "brought back by", "Dice", "area error (%)", "bias of the area (%)"]
    head += ["Dice over bicubic", "area error over bicubic (points)"]
    return (
        f"### The blood pool found by a U-Net, x{scale}\n\n{having[0]['split']} split, "
        f"{counted['people']} people, {counted['slices']} slices; areas in percent of the person's "
        f"mean\n\n{table(head, rows)}"
    )


def native_table(results: list[Results]) -> str:
    """Borders on scans as they are, where nobody knows the truth."""
    having = [each for each in results if "native" in each]
    if not having:
        return ""
    rows = []
    for scans, known in having[0]["native"].items():
        counted = f"{scans}, {known['people']} people, {known['slices']} slices"
        cells = [cell(known[measure][BICUBIC], digits) for measure, digits in NATIVE_MEASURES]
        rows.append([counted, "bicubic", *cells, "-", "-"])
        for each in having:
            found = each["native"][scans]
            cells = [cell(found[measure]["model"], digits) for measure, digits in NATIVE_MEASURES]
            cells += [
                gain(found[measure]["model"], 1) if measure in found else "-"
                for measure in ("edge_change", "narrow_change")
            ]
            rows.append(["", f"`{each['model']}`", *cells])
    head = ["", "", "10-90 % width (mm)", "overshoot (% of the step)", "width against bicubic (%)"]
    head.append(f"of borders up to {NARROW_MM:g} mm")
    return f"### Borders on native scans, x{having[0]['scale']}\n\n{table(head, rows)}"


def drawn_table(results: list[Results]) -> str:
    """A setting drawn for every slice, which is all that a model is told from."""
    having = [each for each in results if "drawn" in each]
    if not having:
        return ""
    scale, split = having[0]["scale"], having[0]["split"]

    def measured(each: Results, who: str) -> str:
        found = each["drawn"]["drawn"]
        return triple([found[measure][who]["mean"] for measure in PUBLIC_MEASURES])

    rows = [["bicubic", measured(having[0], BICUBIC), "-"]]
    for each in having:
        margins = [each["drawn"]["drawn"][name]["margin"]["mean"] for name in PUBLIC_MEASURES[:2]]
        words = " / ".join(f"{margin:+.2f}" for margin in margins)
        rows.append([f"`{each['model']}`", measured(each, "model"), words])
    counted = having[0]["drawn"]["drawn"]["slices"]
    head = ["", "PSNR whole / body / LPIPS", "PSNR over bicubic"]
    return (
        f"### One slice at a time, each acquired in a way of its own, x{scale}\n\nMeans over "
        f"{counted} slices of the {split} split\n\n{table(head, rows)}"
    )


def cell(found: dict[str, Any], digits: int) -> str:
    """A mean with its interval, where there is one."""
    text = f"{found['mean']:.{digits}f}"
    if found.get("low") is None:
        return text
    return f"{text} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def public_table(results: list[Results]) -> str:
    """Beside public networks, measured as they are."""
    having = [each for each in results if "public" in each]
    if not having:
        return ""
    methods = list(having[0]["public"])
    scale, split = having[0]["scale"], having[0]["split"]

    def measured(each: Results, who: str) -> list[str]:
        return [
            triple([each["public"][method][measure][who]["mean"] for measure in PUBLIC_MEASURES])
            for method in methods
        ]

    rows = [["bicubic", *measured(having[0], "bicubic")]]
    if scale == 4 and split == "test":
        rows += [
            [name, *(triple(found[method]) if method in found else "-" for method in methods)]
            for name, found in PUBLIC_NETWORKS.items()
        ]
    rows += [[f"`{each['model']}`", *measured(each, "model")] for each in having]
    counted = having[0]["public"][methods[0]]["slices"]
    head = ["", *(f"`{method}`" for method in methods)]
    return (
        f"### As public networks are measured, x{scale}\n\nPSNR whole / PSNR body / LPIPS, means "
        f"over {counted} slices of the {split} split\n\n{table(head, rows)}"
    )


def triple(values: Sequence[float]) -> str:
    """Three measures as they are published."""
    return " / ".join(
        f"{value:.{digits}f}" for value, digits in zip(values, (2, 2, 3), strict=True)
    )


def constant_table(results: list[Results]) -> str:
    """How far each model strays from a constant image."""
    rows = [
        [
            f"`{each['model']}`",
            f"{each['constant']['largest_deviation']:.1e}",
            f"{each['constant']['at_size']}",
        ]
        for each in results
        if "constant" in each
    ]
    if not rows:
        return ""
    head = ["", "largest deviation, share of the value", "at size (pixels)"]
    return f"### Response to a constant image, 8 to 65 pixels wide\n\n{table(head, rows)}"


def public_check(rows: Sequence[Row]) -> str:
    """Whether bicubic interpolation scores what was published, so that the rest compares."""
    lines = []
    for method, published in PUBLIC_BASELINE.items():
        mine = [
            row
            for row in rows
            if (row["part"], row["who"], row.get("scale"), row.get("degradation"))
            == ("public", "bicubic", 4, method)
        ]
        means = [float(np.mean([row[measure] for row in mine])) for measure in PUBLIC_MEASURES]
        # Published figures are rounded, which adds half a digit.
        allowed = (TOLERANCE + 0.005, TOLERANCE + 0.005, 0.0015)
        same = all(abs(a - b) <= c for a, b, c in zip(means, published, allowed, strict=True))
        verdict = "reproduces" if same else "DIFFERS FROM"
        lines.append(
            f"{method}: bicubic interpolation {triple(means)} over {len(mine)} slices {verdict} "
            f"the published {triple(published)}"
        )
    return "\n".join(lines)
