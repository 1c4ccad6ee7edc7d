"""Writes an experiment's report: one page that needs nothing else, and the same in Markdown."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cinesr.experiment.answer import answer, question, training_answer
from cinesr.experiment.pictures import Picture
from cinesr.experiment.scoring import REGIONS
from cinesr.experiment.summary import CONSTANT, Summary
from cinesr.experiment.tables import (
    Table,
    constant_table,
    effect_table,
    margin_table,
    pair_table,
    repeat_table,
    score_table,
    settings_table,
    training_table,
)

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --soft: #f3f5f7;
  --line: #d5dae0; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --back: #14171a; --soft: #1e2328;
  --line: #3a4149; --link: #8ab8f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: var(--text);
  background: var(--back); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { font-size: 1.25rem; margin-top: 2.4rem; border-bottom: 1px solid var(--line); }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
a { color: var(--link); }
nav { font-size: 0.9rem; } nav a { margin-right: 0.9rem; white-space: nowrap; }
.notice { background: var(--soft); border-left: 4px solid #c77700; padding: 0.6rem 0.9rem;
  max-width: 46rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.3rem 0; max-width: 46rem; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
thead th { background: var(--soft); }
tbody th { font-weight: 600; white-space: nowrap; } td.line { white-space: nowrap; }
small { opacity: 0.8; }
figure { margin: 1.2rem 0; }
figure div { overflow-x: auto; }
figure img { display: block; width: 100%; min-width: 36rem; max-width: 70rem; height: auto;
  background: #ffffff; border: 1px solid var(--line); border-radius: 4px; }
figcaption { font-size: 0.88rem; max-width: 46rem; padding-top: 0.3rem; }
"""

NOTICE = (
    "Research use only. The detail that a network adds is predicted from other people's scans, not "
    "measured; nothing here may be used for diagnosis."
)
MEANING = (
    "Slices of a person are averaged first; the intervals resample persons, 95 %. PSNR, SSIM and "
    "LPIPS take as range the largest stored value of the person's slices at one time (the "
    "volume's maximum; files that hold one slice each count as one volume). Body: truth above 5 "
    "% of that range. Heart: the box of 24 pixels around the left ventricle's blood pool. LPIPS: "
    "version 0.1, AlexNet. Checkerboard index: amplitude at multiples of 1/4 cycles per pixel "
    "beyond the neighbouring frequencies, less the truth's own, in percent of the picture; below "
    "zero where the picture is smoother than the truth. Time per epoch is the median, measured "
    "where it was trained."
)


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Args:
        title: Its heading.
        paragraphs: Text.
        tables: Below the text.
        pictures: Below the tables.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table | None] = ()
    pictures: Sequence[Picture] = ()

    @property
    def anchor(self) -> str:
        """For links."""
        return self.title.lower().replace(" ", "-")


def sections(summary: Summary, pictures: dict[str, Sequence[Picture]]) -> list[Section]:
    """The parts of the report in their order.

    Args:
        summary: What was found.
        pictures: Under "comparison", "spectrum", "training" and "constant".
    """
    curves = [training_answer(network.training, name) for name, network in summary.networks.items()]
    found = [
        Section("What was asked", [question(summary)]),
        Section("Answer", answer(summary)),
        Section("Scores", [MEANING], [score_table(summary, region) for region in REGIONS]),
        Section("Differences", (), [pair_table(summary), effect_table(summary)]),
        Section("Against the linear filter", [_linear_words(summary)], [margin_table(summary)]),
        Section("Pictures", (), (), pictures["comparison"]),
        Section("Spectrum", (), (), pictures["spectrum"]),
        Section("Training", curves, [training_table(summary)], pictures["training"]),
        Section(
            "Constant image",
            [
                f"Every network was asked to upscale an image of {CONSTANT:g} everywhere. The "
                "border is as wide as the network sees."
            ],
            [constant_table(summary)],
            pictures["constant"],
        ),
    ]
    if summary.config.repeat is not None:
        found.append(Section("Another seed", [_repeat_words(summary)], [repeat_table(summary)]))
    found.append(Section("Data and settings", (), [settings_table(summary)]))
    return found


def _linear_words(summary: Summary) -> str:
    scale = summary.config.recipe.scale
    return (
        "The linear filter is the best that a filter without a network can do: least squares on "
        "the train split, a window of 9 x 9 low-resolution pixels, one filter for each of the "
        f"{scale * scale} places of an output pixel in its input pixel."
    )


def _repeat_words(summary: Summary) -> str:
    apart = summary.repeat["whole"]["psnr"].mean
    return (
        f"The same configuration with another seed lands {abs(apart):.2f} dB "
        f"{'above' if apart > 0 else 'below'} the first in whole-frame PSNR. Differences between "
        "networks that are not larger than this may be the seed's."
    )


def html_report(summary: Summary, parts: Sequence[Section]) -> str:
    """The page, with its pictures inside.

    Args:
        summary: For the title.
        parts: Of the report.
    """
    title = html.escape(f"Experiment {summary.config.name}")
    links = " ".join(f'<a href="#{part.anchor}">{html.escape(part.title)}</a>' for part in parts)
    body = "".join(_section_html(part) for part in parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{title}</h1>\n<p class="notice">{html.escape(NOTICE)}</p>\n<nav>{links}</nav>\n'
        f"{body}</main>\n</body>\n</html>\n"
    )


def _section_html(part: Section) -> str:
    pieces = [f'<section id="{part.anchor}">\n<h2>{html.escape(part.title)}</h2>\n']
    pieces += [f"<p>{html.escape(text)}</p>\n" for text in part.paragraphs]
    pieces += [table.to_html() for table in part.tables if table is not None]
    pieces += [_figure_html(picture) for picture in part.pictures]
    return "".join(pieces) + "</section>\n"


def _figure_html(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return (
        f'<figure><div><img alt="{html.escape(picture.alt)}" src="data:image/png;base64,{data}">'
        f"</div><figcaption>{html.escape(picture.caption)}</figcaption></figure>\n"
    )


def markdown_report(summary: Summary, parts: Sequence[Section], *, folder: Path) -> str:
    """The same text, tables and pictures in Markdown.

    Args:
        summary: For the title.
        parts: Of the report.
        folder: In which the Markdown will lie; pictures are linked from there.
    """
    pieces = [f"# Experiment {summary.config.name}\n", f"{NOTICE}\n"]
    for part in parts:
        pieces.append(f"## {part.title}\n")
        pieces += [f"{text}\n" for text in part.paragraphs]
        pieces += [table.to_markdown() for table in part.tables if table is not None]
        pieces += [
            f"![{picture.alt}]({picture.path.relative_to(folder).as_posix()})\n\n"
            f"{picture.caption}\n"
            for picture in part.pictures
        ]
    return "\n".join(pieces)
