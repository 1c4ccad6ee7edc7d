"""Puts the tables of finished benchmarks into docs/performance.md.

    python benchmarks/page.py

Each benchmark leaves NAME.md in docs/benchmarks when it is run with `--output docs/benchmarks`;
its table stands on the page between <!-- NAME --> and <!-- end of NAME -->.
"""

from __future__ import annotations

import re
from pathlib import Path

from cinesr.imaging.staging import staged

DOCS = Path(__file__).parents[1] / "docs"


def with_tables(text: str, folder: Path) -> str:
    """The page's text with every table as it stands in its file.

    Args:
        text: Of the page.
        folder: Where the benchmarks left their tables.
    """

    def block(found: re.Match[str]) -> str:
        name = found[1]
        table = (folder / f"{name}.md").read_text(encoding="utf-8").strip()
        return f"<!-- {name} -->\n\n{table}\n\n<!-- end of {name} -->"

    return re.sub(r"<!-- (\w+) -->.*?<!-- end of \1 -->", block, text, flags=re.DOTALL)


def main() -> None:
    page = DOCS / "performance.md"
    text = with_tables(page.read_text(encoding="utf-8"), DOCS / "benchmarks")
    with staged(page, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
