"""However a command ends, and wherever it runs, it says so in words and leaves nothing behind."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dicom_cases
from cinesr.errors import CinesrError, OutOfMemoryError, UnreadableFileError, refuse_for_memory
from cinesr.imaging import archive, files, scratch
from model_cases import write_model

CINESR = (sys.executable, "-B", "-c", "from cinesr.cli import main; main()")
FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("models") / "bicubic.onnx"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for temporary files that is a test's alone."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    scratch._shared.cache_clear()
    yield place
    scratch._shared.cache_clear()


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archived:
        for name, content in members.items():
            archived.writestr(name.replace("_", "/"), content)
    return path


def cinesr(*line: object, **options: object) -> subprocess.CompletedProcess[str]:
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.run([*CINESR, *map(str, line)], check=False, **settings)  # type: ignore[call-overload]


class TestScratch:
    def test_a_failed_unzip_leaves_nothing(self, tmp_path: Path, temporary: Path) -> None:
        broken = [
            zipped(tmp_path / "a.zip", one=b"1", two=b"2" * 1000),
            zipped(tmp_path / "c.zip", **{"n" * 300: b"a name too long"}),
        ]
        broken[0].write_bytes(broken[0].read_bytes().replace(b"2222", b"3333"))
        for path in broken:
            with pytest.raises(UnreadableFileError, match=f"{path.name} is not a whole zip"):
                archive.unpacked(path)
            assert [list(run.glob("[!.]*")) for run in temporary.iterdir()] == [[]]

    def test_a_file_and_a_folder_of_one_name_are_both_kept(
        self, tmp_path: Path, temporary: Path
    ) -> None:
        path = zipped(tmp_path / "b.zip", **{"a": b"a file", "a/b": b"and a folder"})
        folder = archive.unpacked(path)
        kept = {file.read_bytes() for file in folder.rglob("[!.]*") if file.is_file()}
        assert kept == {b"a file", b"and a folder"}

    def test_an_archive_without_a_scan_leaves_nothing(
        self, tmp_path: Path, temporary: Path
    ) -> None:
        np.save(tmp_path / "speck.npy", np.ones((1, 1), "uint8"))
        speck = (tmp_path / "speck.npy").read_bytes()
        for content in (b"only words", speck):
            zipped(tmp_path / "a.zip", **{"a.npy": content})
            with pytest.raises(CinesrError, match=r"a\.zip"):
                files.open_cines(tmp_path / "a.zip")
            assert [list(run.glob("[!.]*")) for run in temporary.iterdir()] == [[]]

    def test_only_their_owner_can_read_unpacked_scans(
        self, tmp_path: Path, temporary: Path
    ) -> None:
        umask = os.umask(0)
        try:
            folder = archive.unpacked(zipped(tmp_path / "a.zip", one=b"1"))
        finally:
            os.umask(umask)
        for place in (
            folder,
            *list(folder.parents)[: len(folder.relative_to(temporary).parts) - 1],
        ):
            assert stat.S_IMODE(place.stat().st_mode) == 0o700

    def test_what_a_killed_run_unpacked_goes_with_the_next(
        self, tmp_path: Path, temporary: Path
    ) -> None:
        zipped(tmp_path / "a.zip", one=b"1")
        program = (
            "import os, signal, sys; from pathlib import Path; from cinesr.imaging import archive\n"
            "print(archive.unpacked(Path(sys.argv[1])), flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "a.zip"],
            env={**os.environ, "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        left = Path(run.stdout.strip())
        assert (left / "one").read_text() == "1"
        (temporary / "cinesr-notes").mkdir()
        (temporary / "cinesr-notes" / "mine").touch()
        with scratch.scratch_folder("test") as folder:
            assert not left.exists()
            assert sorted(temporary.iterdir()) == sorted([temporary / "cinesr-notes", folder])
        assert [path.name for path in temporary.iterdir()] == ["cinesr-notes"]

    def test_it_comes_back_when_somebody_tidied_up(self, temporary: Path) -> None:
        for each in (scratch.scratch_until_exit("a"), scratch.scratch_until_exit("b")):
            assert each.is_dir()
        assert len(list(temporary.iterdir())) == 1
        shutil.rmtree(next(temporary.iterdir()))
        assert scratch.scratch_until_exit("c").is_dir()

    @pytest.mark.parametrize("sent", ["SIGTERM", "SIGHUP", "SIGINT"])
    def test_a_signal_takes_unpacked_scans_with_it(
        self, model: str, tmp_path: Path, sent: str
    ) -> None:
        (tmp_path / "tmp").mkdir()
        (tmp_path / "out").mkdir()
        np.save(tmp_path / "a.npy", np.random.default_rng(0).random((400, 64, 64)))
        zipped(tmp_path / "a.zip", **{"a.npy": (tmp_path / "a.npy").read_bytes()})
        # The signal comes while the result is being written, whenever that is.
        program = (
            "import os, signal, sys; from cinesr.cli import main\n"
            "from cinesr.upscaling import upscale\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "def stop(*_): os.kill(os.getpid(), signal.Signals[sys.argv.pop()])\n"
            "upscale._Run.record = stop; main(sys.argv[1:-1])"
        )
        line = ["upscale", tmp_path / "a.zip", "-o", tmp_path / "out" / "a.npy", "--model", model]
        run = subprocess.run(
            [sys.executable, "-B", "-c", program, *line, sent],
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stderr.endswith("Stopped. Nothing is left half written.\n"), run.stderr
        assert run.returncode == 128 + signal.Signals[sent]
        assert not list((tmp_path / "tmp").glob("cinesr-*"))
        assert not list((tmp_path / "out").iterdir())


def test_nohup_is_heeded(tmp_path: Path) -> None:
    program = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from cinesr import demo; from cinesr.cli import main\n"
        "def hang_up(*_, **__):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return {'scores': {}, 'pictures': []}\n"
        "demo.run_demo = hang_up; main(['demo', '-q'])"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert run.returncode == 0


class TestSurroundings:
    @pytest.mark.parametrize("line", ["upscale a.npy", "models", "info a.npy"])
    def test_a_user_without_a_name_and_a_home(self, tmp_path: Path, line: str) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0))
        program = (
            "import os, pwd\n"
            "def nobody(*_): raise KeyError('getpwuid(): uid not found: 54321')\n"
            "pwd.getpwuid = pwd.getpwnam = nobody; os.environ.pop('HOME', None)\n"
        )
        run = subprocess.run(
            [*CINESR[:-1], program + CINESR[-1], *line.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert ("the folder that CINESR_MODELS names" in run.stderr) is (line == "models")
        assert (tmp_path / "a_x2.npy").exists() is line.startswith("upscale")

    @pytest.mark.parametrize("absolute", [True, False])
    def test_the_folder_one_is_in_was_removed(
        self, model: str, tmp_path: Path, absolute: bool
    ) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0))
        (tmp_path / "gone").mkdir()
        output = tmp_path / "o.npy" if absolute else "o.npy"
        program = f"import os, sys; sys.path.remove(''); os.rmdir(os.getcwd())\n{CINESR[-1]}"
        line = ["upscale", tmp_path / "a.npy", "-o", output, "--model", model, "-q"]
        run = subprocess.run(
            [*CINESR[:-1], program, *map(str, line)],
            cwd=tmp_path / "gone",
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == (0 if absolute else 3), run.stderr
        assert ("older you are in was removed" in run.stderr) is not absolute
        assert (tmp_path / "o.npy").exists() is absolute
        assert "Traceback" not in run.stderr

    @pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
    @pytest.mark.parametrize("line", ["info a.npy", "models --json", "--help", "info --help"])
    def test_a_stdout_that_takes_nothing(self, tmp_path: Path, line: str) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0))
        with FULL.open("w") as full:
            run = cinesr(*line.split(), cwd=tmp_path, stdout=full)
        assert run.returncode == 3
        message, _ = run.stderr.splitlines()
        assert message.startswith("Error: What this command prints could not be written: No space")

    @pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
    def test_closed_streams(self, tmp_path: Path, closed: tuple[int, ...], model: str) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0))
        words = " ".join(f"{number}>&-" for number in closed)
        line = f'"$@" upscale a.npy -o b.npy --model {model} {words}'
        run = subprocess.run(
            ["sh", "-c", line, "sh", *CINESR], cwd=tmp_path, capture_output=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert files.load(tmp_path / "b.npy").shape == (1, 1, 80, 96)
        assert b"Traceback" not in run.stderr

    def test_too_little_memory_is_said(self, model: str, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0, 4000, 4000))
        # The shell sets the limit: this process may have threads, and cannot be forked then.
        line = f'ulimit -v 390625; exec "$@" upscale a.npy -o b.npy --model {model} --threads 1'
        run = subprocess.run(
            ["sh", "-c", line, "sh", *CINESR],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode in (1, 3)
        assert "memory" in run.stderr.lower()
        assert "Traceback" not in run.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("x.so: failed to map segment from shared object"),
    ],
)
def test_libraries_say_in_many_words_that_there_is_no_memory(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="too little memory"):
        refuse_for_memory(error)


def test_other_errors_are_not_about_memory() -> None:
    for error in (ValueError("1"), OSError(2, "No such file"), CinesrError("no")):
        refuse_for_memory(error)
