"""The tables of docs/performance.md are those that the benchmarks left."""

import json
from pathlib import Path

from page import DOCS, with_tables


def test_a_table_replaces_what_stood_between_its_marks(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("| new |\n")
    text = "before\n<!-- a -->\n| old |\n<!-- end of a -->\nafter <!-- b -->"
    expected = "before\n<!-- a -->\n\n| new |\n\n<!-- end of a -->\nafter <!-- b -->"
    assert with_tables(text, tmp_path) == expected
    assert with_tables(expected, tmp_path) == expected


def test_the_page_shows_the_newest_tables() -> None:
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert with_tables(text, DOCS / "benchmarks") == text
    for table in (DOCS / "benchmarks").glob("*.md"):
        assert f"<!-- {table.stem} -->" in text
        found = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
        assert found["machine"]["cores"] > 0
