"""What may take a name: never over what appeared or changed, one run alone, all parts or none."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cinesr.errors import OutputError
from cinesr.imaging import claims, renaming
from cinesr.imaging.staging import staged, staged_together

HOLD = (
    "import sys; from cinesr.imaging.staging import staged\n"
    "with staged(sys.argv[1]) as part:\n"
    "    part.mkdir(); (part / 'half').write_text('half'); print('ready', flush=True)\n"
    "    sys.stdin.read()"
)


@pytest.fixture(params=["in one step", "in two steps"])
def system(request, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system's own call for a new name, and without it, as on other systems."""
    if request.param == "in two steps":
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    return request.param


@contextmanager
def other_run(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that is at work on a target, to be killed or ended."""
    run = subprocess.Popen(
        [sys.executable, "-B", "-c", HOLD, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def make(part: Path, kind: str) -> None:
    if kind == "folder":
        part.mkdir()
        part = part / "new"
    part.write_text("new")


def run_while(paths: list[Path], during: Callable[[], object], kind: str, **options: bool) -> None:
    """A run that makes its parts while something else happens."""
    with staged_together(*paths, **options) as parts:
        for part in parts:
            make(part, kind)
        during()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("system")
class TestNames:
    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("kind", ["file", "folder"])
    @pytest.mark.parametrize("theirs", ["file", "folder"])
    def test_what_appears_meanwhile_is_kept(
        self, tmp_path: Path, kind: str, theirs: str, overwrite: bool
    ) -> None:
        target = tmp_path / "out"
        note = target / "new" if theirs == "folder" else target

        def appear() -> None:
            make(target, theirs)
            note.write_text("precious")

        with pytest.raises(OutputError, match="out appeared while it was being made; it is kept"):
            run_while([target], appear, kind, overwrite=overwrite)
        assert note.read_text() == "precious"
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_what_changes_meanwhile_is_kept(self, tmp_path: Path, kind: str) -> None:
        target = tmp_path / "out"
        make(target, kind)
        note = target / "notes" if kind == "folder" else target
        with pytest.raises(OutputError, match="was changed by someone else"):
            run_while([target], lambda: note.write_text("precious"), kind, overwrite=True)
        assert note.read_text() == "precious"
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_what_is_not_approved_is_kept(self, tmp_path: Path, kind: str) -> None:
        def refuse(path: Path) -> None:
            raise OutputError(f"{path.name} is yours")

        make(tmp_path / "out", kind)
        with (
            pytest.raises(OutputError, match="out is yours"),
            staged(tmp_path / "out", overwrite=True, approve=refuse),
        ):
            pytest.fail("the work was done")
        with staged(tmp_path / "new", overwrite=True, approve=refuse) as part:
            make(part, kind)
        assert names(tmp_path) == ["new", "out"]

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_the_old_goes_when_the_new_is_there(self, tmp_path: Path, kind: str) -> None:
        target = tmp_path / "out"
        make(target, kind)
        note = target / "new" if kind == "folder" else target
        note.write_text("old")
        with staged(target, overwrite=True) as part:
            make(part, kind)
            assert note.read_text() == "old"
        assert note.read_text() == "new"
        assert names(tmp_path) == ["out"]

    def test_all_files_take_their_names_or_none_does(self, tmp_path: Path) -> None:
        paths = [tmp_path / name for name in "abc"]
        with pytest.raises(OutputError, match="b appeared"):
            run_while(paths, lambda: paths[1].write_text("theirs"), "file")
        assert names(tmp_path) == ["b"]
        assert paths[1].read_text() == "theirs"


def test_several_files_go_back_together(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths[:2]:
        path.write_text("old")
    with pytest.raises(OutputError, match="c appeared"):
        run_while(paths, lambda: paths[2].write_text("theirs"), "file", overwrite=True)
    assert [path.read_text() for path in paths] == ["old", "old", "theirs"]
    assert names(tmp_path) == ["a", "b", "c"]


def test_a_file_system_without_links_and_exchanges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    monkeypatch.setattr(os, "link", no_links)
    for text in ("old", "new"):
        with staged(tmp_path / "a", overwrite=True) as part:
            part.write_text(text)
    with pytest.raises(OutputError, match="b appeared"):
        run_while([tmp_path / "b"], lambda: (tmp_path / "b").write_text("theirs"), "file")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "b").read_text() == "theirs"
    assert names(tmp_path) == ["a", "b"]


class TestRuns:
    def test_one_of_two_runs_has_the_name_and_the_other_says_so(self, tmp_path: Path) -> None:
        with (
            other_run(tmp_path / "out"),
            pytest.raises(OutputError, match="out is being made by another run"),
            staged(tmp_path / "out"),
        ):
            pytest.fail("the work was done")

    def test_within_one_program_too(self, tmp_path: Path) -> None:
        with staged(tmp_path / "out") as part:
            with (
                pytest.raises(OutputError, match="is being made by another run"),
                staged(tmp_path / "out"),
            ):
                pytest.fail("the work was done")
            part.write_text("first")
        assert (tmp_path / "out").read_text() == "first"

    def test_a_living_run_is_left_alone(self, tmp_path: Path) -> None:
        with other_run(tmp_path / "theirs") as run:
            with staged(tmp_path / "ours") as part:
                part.write_text("ours")
            assert (tmp_path / ".theirs.cinesr-partial" / "theirs" / "half").exists()
            run.communicate("")
        assert names(tmp_path) == ["ours", "theirs"]

    @pytest.mark.parametrize("name", ["out", "another", "x" * 250])
    def test_what_a_killed_run_left_goes_with_the_next(self, tmp_path: Path, name: str) -> None:
        with other_run(tmp_path / name) as run:
            run.kill()
            run.wait()
        assert len(names(tmp_path)) == 1, "nothing was left, so nothing is shown"
        with staged(tmp_path / "out") as part:
            part.write_text("new")
        assert names(tmp_path) == ["out"]

    def test_only_what_was_made_so_is_swept(self, tmp_path: Path) -> None:
        mine = tmp_path / ".mine.cinesr-partial"
        mine.mkdir()
        (mine / "notes.txt").write_text("precious")
        (tmp_path / ".file.cinesr-partial").write_text("precious")
        with staged(tmp_path / "mine") as part:
            part.write_text("new")
        assert (mine / "notes.txt").read_text() == "precious"
        assert (tmp_path / ".file.cinesr-partial").read_text() == "precious"
        assert (tmp_path / "mine").read_text() == "new"

    def test_another_machine_s_traces_are_swept_when_they_are_old(self, tmp_path: Path) -> None:
        left = tmp_path / ".a.cinesr-partial"
        left.mkdir()
        (left / claims.MARK).write_text("another machine")
        with staged(tmp_path / "a") as part:
            part.write_text("new")
        assert left.is_dir()
        old = time.time() - claims.FOREIGN_AFTER_S - 1
        for path in (left / claims.MARK, left):
            os.utime(path, (old, old))
        assert claims.sweep(left)
        assert names(tmp_path) == ["a"]

    def test_another_user_s_traces_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = tmp_path / ".a.cinesr-partial"
        left.mkdir()
        (left / claims.MARK).touch()
        monkeypatch.setattr(claims, "_user", lambda: os.geteuid() + 1)
        with staged(tmp_path / "a") as part:
            part.write_text("new")
        assert names(tmp_path) == [".a.cinesr-partial", "a"]
