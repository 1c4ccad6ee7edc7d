"""Docs cannot lie: every command and configuration in them is one that the program accepts."""

import re
import shlex
from pathlib import Path

import click
import pytest

import cinesr
from cinesr.cli import main
from cinesr.experiment.config import read_experiment
from cinesr.learning.config import read_config
from dicom_cases import write_cine_series

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("cinesr ")
    }
)


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_in_the_docs_parse(line):
    name, *arguments = shlex.split(line)[1:]
    command = main.commands[name]
    # With the settings of the real one: click keeps the help option that it makes here.
    with click.Context(main, **main.context_settings) as parent:
        context = command.make_context(name, arguments, parent=parent)
    assert context.params


@pytest.mark.parametrize("block", blocks("toml"))
def test_configurations_in_the_docs_are_read(block, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(block, encoding="utf-8")
    if "[grid]" in block:
        assert read_experiment(path, output=tmp_path / "out").networks
    else:
        assert read_config(path).name


def test_the_python_example_of_the_readme_runs(tmp_path, monkeypatch):
    write_cine_series(tmp_path / "scan", slices=1, phases=2, rows=40, columns=48)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    result = cinesr.load(tmp_path / "scan_x2")
    assert result.shape == (2, 1, 80, 96)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} points to {target}"
