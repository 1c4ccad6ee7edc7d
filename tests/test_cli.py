"""The commands: names, options, exit codes, what goes to stdout and what to stderr."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cinesr
import dicom_cases
from cinesr.cli import main
from cinesr.degradation import degrade
from cinesr.imaging.files import load, save
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.catalogue import DEFAULT_MODELS
from model_cases import write_model

CINESR = (sys.executable, "-B", "-c", "from cinesr.cli import main; main()")

COMMANDS = {
    "demo": ["--output", "--overwrite", "--quiet"],
    "upscale": [
        *("--output", "--model", "--scale", "--threads", "--label-maps", "--spacing", "--axes"),
        "--overwrite",
        *("--json", "--quiet"),
    ],
    "degrade": [
        *("--output", "--method", "--scale", "--noise", "--seed", "--keep", "--shape"),
        *("--window", "--series", "--spacing", "--axes", "--overwrite", "--quiet"),
    ],
    "evaluate": ["--mask", "--no-lpips", "--series", "--spacing", "--axes", "--json", "--quiet"],
    "info": ["--spacing", "--axes", "--json"],
    "models": ["--json", "--quiet"],
    "view": ["--port", "--no-browser", "--spacing", "--axes", "--quiet"],
    "train": ["--resume", "--quiet"],
    "export": ["--output", "--overwrite", "--quiet"],
    "experiment": ["--output", "--resume", "--only", "--as-is", "--quiet"],
    "benchmark": [
        *("--data", "--output", "--parts", "--split", "--people", "--every", "--jobs", "--finer"),
        *("--pictures", "--page", "--stamp", "--spacing", "--quiet"),
    ],
}


def cli(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "bicubic.onnx")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return dicom_cases.write_cine_series(tmp_path / "scan", slices=2, phases=2)


@pytest.fixture(scope="session")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame whose size no scale divides."""
    path = tmp_path_factory.mktemp("heart") / "heart.nii.gz"
    whole = make_phantom(size=128, slices=1, phases=1)
    return save(whole.with_frames(whole.frames[..., :117, :126], whole.geometry, None), path)


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_lists_its_options(self, name: str) -> None:
        result = cli(name, "--help")
        assert result.exit_code == 0
        for option in COMMANDS[name]:
            assert option in result.stdout
        assert cli(name, "-h").stdout == result.stdout

    def test_the_commands_stand_in_the_order_of_need(self) -> None:
        listed = cli("--help").stdout.split("Commands:")[1].splitlines()
        found = [line.split()[0] for line in listed if line.startswith("  ")]
        assert [name for name in found if name in COMMANDS] == list(COMMANDS)

    def test_the_version_is_told(self) -> None:
        assert cli("--version").stdout.strip().endswith(cinesr.__version__)

    def test_help_loads_nothing_heavy(self) -> None:
        program = (
            "import sys, cinesr.cli\n"
            "try: cinesr.cli.main(['--help'])\n"
            "except SystemExit: print(*{name.partition('.')[0] for name in sys.modules})"
        )
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        loaded = set(run.stdout.splitlines()[-1].split())
        assert "click" in loaded
        assert not loaded & {"numpy", "openvino", "keras", "pydicom", "nibabel", "PIL", "rich"}

    def test_a_picture_is_upscaled_without_what_only_others_need(self, tmp_path: Path) -> None:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)).save(
            tmp_path / "a.png"
        )
        program = (
            "import sys, cinesr.cli\n"
            f"try: cinesr.cli.main(['upscale', {str(tmp_path / 'a.png')!r}])\n"
            "except SystemExit: print(*{name.partition('.')[0] for name in sys.modules})"
        )
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        loaded = set(run.stdout.splitlines()[-1].split())
        assert "openvino" in loaded
        assert not loaded & {"scipy", "pydicom", "nibabel", "keras", "onnx"}


class TestUsage:
    @pytest.mark.parametrize(
        "line",
        [
            "upscale",
            "upscale a --nonsense",
            "upscale a --scale 1",
            "upscale a --scale 9",
            "upscale a --scale x",
            "upscale a --threads 0",
            "upscale a --spacing 1,2,3",
            "upscale a --spacing words",
            "upscale a --spacing 0,1",
            "upscale a --spacing -1",
            "upscale a --spacing nan",
            "upscale a --spacing 1,inf",
            "upscale a b -o out.nii.gz",
            "degrade a",
            "degrade a -o b --method blur",
            "degrade a -o b --scale 9",
            "degrade a -o b --noise 2",
            "degrade a -o b --seed -1",
            "degrade a -o b --keep 0.8,x",
            "degrade a -o b --keep 0.8,0.7,0.6",
            "degrade a -o b --shape round",
            "evaluate a",
            "evaluate a b --spacing ,",
            "info",
            "models extra",
            "export a",
            "train",
            "experiment",
            "experiment a",
            "experiment a -o b --only c --as-is",
            "nonsense",
        ],
    )
    def test_wrong_usage_exits_with_2_and_says_why(self, line: str) -> None:
        result = cli(*line.split())
        assert result.exit_code == 2
        assert "Usage: " in result.stderr
        assert "Error: " in result.stderr
        assert result.stdout == ""

    def test_what_is_wrong_with_a_spacing_is_told(self) -> None:
        result = cli("info", "a", "--spacing", "wide")
        assert "'wide' is not ROW,COLUMN in millimetres, such as 1.4,1.3" in result.stderr

    def test_one_number_serves_rows_and_columns(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.eye(9))
        for words, expected in {"1.5": (1.5, 1.5), "1.5, 0.75": (1.5, 0.75)}.items():
            found = json.loads(cli("info", tmp_path / "a.npy", "--spacing", words, "--json").stdout)
            spacing = found["series"][0]["spacing_mm"]
            assert (spacing["row"], spacing["column"]) == expected


class TestUpscale:
    def test_the_path_of_the_result_goes_to_stdout(self, scan: Path, model: Path) -> None:
        result = cli("upscale", scan, "--model", model)
        target = scan.with_name("scan_x4")
        assert (result.exit_code, result.stdout) == (0, f"{target}\n")
        for words in (
            "2 phases x 2 slices of 24 x 20 -> 2 phases x 2 slices of 96 x 80",
            "ok  finite: every value is finite",
            "ok  consistency: degraded again",
            "4 frames in ",
            "Research use only.",
        ):
            assert words in result.stderr
        assert load(target).shape == (2, 2, 80, 96)

    def test_quiet_says_nothing(self, scan: Path, model: Path) -> None:
        result = cli("upscale", scan, "--model", model, "-q")
        assert (result.exit_code, result.stderr) == (0, "")

    def test_json_is_the_record(self, scan: Path, model: Path, tmp_path: Path) -> None:
        result = cli("upscale", scan, "--model", model, "-o", tmp_path / "out", "--json")
        (run,) = json.loads(result.stdout)["runs"]
        assert run == json.loads((tmp_path / "out" / "run.json").read_text())
        assert json.loads(result.stdout)["failed"] == []

    def test_warnings_and_notes_are_marked(self, scan: Path, tmp_path: Path) -> None:
        dim = write_model(tmp_path / "dim.onnx", "dim")
        (scan / "report.txt").write_text("words")
        result = cli("upscale", scan, "--model", dim)
        assert result.exit_code == 0
        assert "look  consistency: degraded again" in result.stderr
        assert "note  1 files skipped that are not DICOM: report.txt" in result.stderr

    def test_a_model_by_scale_and_threads(
        self, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_model(tmp_path / "mine" / "a-x3.onnx", scale=3)
        monkeypatch.setenv("CINESR_MODELS", str(tmp_path / "mine"))
        result = cli("upscale", scan, "--scale", "3", "--threads", "2", "--json")
        (run,) = json.loads(result.stdout)["runs"]
        assert (run["model"], run["scale"], run["threads"]) == ("a-x3", 3, 2)
        assert Path(run["output"]) == scan.with_name("scan_x3")

    def test_some_fail_and_the_rest_is_done(self, scan: Path, model: Path, tmp_path: Path) -> None:
        (tmp_path / "words.dcm").write_text("only words")
        np.save(tmp_path / "b.npy", dicom_cases.expected_frame(0, 0))
        sources = (tmp_path / "words.dcm", scan, tmp_path / "absent", tmp_path / "b.npy")
        result = cli("upscale", *sources, "--model", model, "-o", tmp_path / "out", "--json")
        assert result.exit_code == 1
        found = json.loads(result.stdout)
        names = [Path(run["output"]).name for run in found["runs"]]
        assert names == ["scan_x4", "b_x4.npy"]
        assert [Path(each["input"]).name for each in found["failed"]] == ["words.dcm", "absent"]
        assert all(each["error"] and each["hint"] for each in found["failed"])
        assert result.stderr.count("Error: ") == 2
        assert not list((tmp_path / "out").glob(".*"))

    def test_all_fail(self, model: Path, tmp_path: Path) -> None:
        result = cli("upscale", tmp_path / "a", tmp_path / "b", "--model", model)
        assert (result.exit_code, result.stdout) == (3, "")

    def test_inputs_of_one_name_do_not_collide(self, model: Path, tmp_path: Path) -> None:
        for person, rows in (("p1", 20), ("p2", 12)):
            dicom_cases.write_cine_series(tmp_path / person / "scan", slices=1, rows=rows)
        out = tmp_path / "out"
        sources = (tmp_path / "p1" / "scan", tmp_path / "p2" / "scan")
        for options in ([], ["--overwrite"]):
            result = cli("upscale", *sources, "--model", model, "-o", out, *options)
            assert result.exit_code == 0, result.stderr
            assert result.stdout.split() == [str(out / p / "scan_x4") for p in ("p1", "p2")]
        assert [load(out / p / "scan_x4").shape[2] for p in ("p1", "p2")] == [80, 48]

    def test_the_shipped_model_is_the_default(self, heart: Path, tmp_path: Path) -> None:
        cli("degrade", heart, "-o", tmp_path / "low.nii.gz")
        result = cli("upscale", tmp_path / "low.nii.gz", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["runs"][0]["model"] == "fidelity-x4"


class TestInterruption:
    @pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
    def test_a_signal_leaves_no_half_written_file(
        self, model: Path, tmp_path: Path, sent: str, code: int
    ) -> None:
        still = dicom_cases.expected_frame(0, 0, 128, 128)
        np.save(tmp_path / "long.npy", np.repeat(still[None], 2000, axis=0))
        for output in ("out", "out.npy"):
            # A shell's background jobs ignore Ctrl-C, and would hand that on.
            heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            program = [*CINESR[:-1], heeding + CINESR[-1], "upscale", "long.npy", "-o", output]
            run = subprocess.Popen(
                [*program, "--model", str(model)],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            deadline = time.monotonic() + 120
            while not half_written(tmp_path) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert half_written(tmp_path), "it never began to write"
            run.send_signal(getattr(signal, sent))
            talk = run.communicate(timeout=120)
            assert run.returncode == code
            assert talk == ("", "Stopped. Nothing is left half written.\n")
            assert [path.name for path in tmp_path.iterdir()] == ["long.npy"]


def half_written(folder: Path) -> bool:
    """Whether several frames of a result lie under a name that is not final."""
    parts = [path for path in folder.glob(".*partial*/**/*") if path.is_file()]
    parts += [path for path in folder.glob(".*partial*") if path.is_file()]
    return any(path.stat().st_size > 10**6 for path in parts)


class TestTerminal:
    @pytest.mark.parametrize("no_color", [False, True])
    def test_colours_only_where_they_are_wanted(self, tmp_path: Path, no_color: bool) -> None:
        environment = {key: each for key, each in os.environ.items() if key != "NO_COLOR"}
        environment |= {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
        shown = in_terminal(["info", str(tmp_path / "absent")], environment)
        assert "Error: " in shown.replace("\x1b[0m", "")
        assert ("\x1b[31m" in shown) is not no_color
        assert ("\x1b[" in shown) is not no_color

    def test_a_bar_shows_the_way(self, model: Path, tmp_path: Path) -> None:
        still = dicom_cases.expected_frame(0, 0, 64, 64)
        np.save(tmp_path / "a.npy", np.repeat(still[None], 40, axis=0))
        line = ["upscale", str(tmp_path / "a.npy"), "--model", str(model)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        shown = in_terminal(line, environment)
        assert "Upscaling a.npy" in shown
        assert "40/40" in shown
        assert "Upscaling" not in in_terminal([*line, "--overwrite", "--quiet"], environment)


def in_terminal(line: list[str], environment: dict[str, str]) -> str:
    """What a command writes to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [*CINESR, *line],
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # How Linux says that the other end is closed.
            break
        if not part:
            break
        shown += part
    os.close(ours)
    run.wait(timeout=120)
    return shown.decode()


class TestChoices:
    def test_a_scan_is_not_replaced_by_its_own_result(self, model: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0, 32, 32))
        before = (tmp_path / "a.npy").read_bytes()
        path = str(tmp_path / "a.npy")
        for command in (["upscale", path, "--model", str(model)], ["degrade", path]):
            result = CliRunner().invoke(main, [*command, "-o", path, "--overwrite"])
            assert result.exit_code == 3
            assert "a.npy is the input itself" in result.stderr
        assert (tmp_path / "a.npy").read_bytes() == before

    def test_a_file_name_does_not_become_a_folder(self, model: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", dicom_cases.expected_frame(0, 0, 32, 32))
        arguments = ["upscale", str(tmp_path / "a.npy"), "-o", str(tmp_path / "a.jpg")]
        result = CliRunner().invoke(main, [*arguments, "--model", str(model)])
        assert result.exit_code == 3
        assert "does not write .jpg files" in result.stderr
        assert ".nii.gz" in result.stderr
        assert not (tmp_path / "a.jpg").exists()

    def test_a_series_of_several_is_scored_against_what_was_made_of_it(self, tmp_path) -> None:
        for series in (7, 8):
            folder = tmp_path / "scan" / str(series)
            dicom_cases.write_cine_series(folder, slices=1, phases=1, series=series)
        scan, low = str(tmp_path / "scan"), str(tmp_path / "low")
        for command in (
            ["degrade", scan, "-o", low, "--series", "1", "--scale", "2"],
            ["upscale", low, "-o", f"{low}_x2", "--model", str(_model_x2(tmp_path))],
            ["evaluate", scan, f"{low}_x2", "--series", "1", "--no-lpips"],
        ):
            result = CliRunner().invoke(main, command)
            assert result.exit_code == 0, result.stderr


def _model_x2(folder: Path) -> Path:
    return write_model(folder / "models" / "x2.onnx", "bicubic", scale=2)


class TestTheWayRound:
    def test_degrade_upscale_evaluate(self, heart: Path, model: Path, tmp_path: Path) -> None:
        low, back = tmp_path / "low.nii.gz", tmp_path / "back.nii.gz"
        result = cli("degrade", heart, "-o", low, "--method", "bicubic", "--scale", "4")
        assert (result.exit_code, result.stdout) == (0, f"{low}\n")
        assert "of 126 x 117 -> 1 phases x 1 slices of 31 x 29" in result.stderr
        assert cli("upscale", low, "-o", back, "--model", model).exit_code == 0
        assert load(back).shape == (1, 1, 116, 124)

        result = cli("evaluate", heart, back, "--no-lpips")
        assert result.exit_code == 0
        table = result.stdout.splitlines()
        assert table[0].startswith("1 frames; range 0 to ")
        assert table[1].split() == ["PSNR", "dB", "SSIM", "NRMSE"]
        assert table[2].split()[0] == "whole"
        assert 20 < float(table[2].split()[1]) < 40
        assert table[3].split()[0] == "body"
        assert "LPIPS -" in table
        assert any(line.startswith("shift +0.0") or "-0.0" in line for line in table)
        assert "was cut at its lower and right edge to 116 rows" in result.stderr

        scores = json.loads(cli("evaluate", heart, back, "--json").stdout)["mean"]
        assert scores["whole"]["psnr"] == pytest.approx(float(table[2].split()[1]), abs=0.01)
        assert scores["lpips"] > 0
        assert max(map(abs, scores["shift_px"])) < 0.05
        quiet = cli("evaluate", heart, back, "--no-lpips", "--quiet")
        assert (quiet.stderr, quiet.stdout) == ("", result.stdout)

    @pytest.mark.parametrize("dimensions", ["picture", "stack", "cine"])
    def test_a_mask_adds_the_heart(self, tmp_path: Path, dimensions: str) -> None:
        reference = make_phantom(size=64, slices=2, phases=2)
        noise = np.random.default_rng(0).normal(0, 30, reference.shape)
        noisy = reference.to_stored(reference.frames + noise)
        save(reference, tmp_path / "a.nii.gz")
        save(reference.with_frames(noisy, reference.geometry, None), tmp_path / "b.nii.gz")
        mask = np.zeros(reference.shape, np.uint8)
        mask[..., 20:40, 24:44] = 1
        name = {"picture": mask[0, 0], "stack": mask[:1], "cine": mask}[dimensions]
        np.save(tmp_path / "mask.npy", name)
        line = (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--mask", tmp_path / "mask.npy")
        result = cli("evaluate", *line, "--no-lpips", "--json")
        found = json.loads(result.stdout)["mean"]["heart"]
        inside = np.s_[..., 20:40, 24:44]
        errors = noisy[inside].astype(float) - reference.frames[inside]
        mean = np.mean(errors**2, axis=(2, 3))
        expected = np.mean(10 * np.log10(reference.frames.max().astype(float) ** 2 / mean))
        assert found["psnr"] == pytest.approx(expected, abs=1e-6)
        table = cli("evaluate", *line, "--no-lpips").stdout
        assert any(row.startswith("heart ") for row in table.splitlines())

    def test_identical_images_have_no_psnr_to_tell(self, heart: Path) -> None:
        result = cli("evaluate", heart, heart, "--no-lpips", "--json")
        assert json.loads(result.stdout, parse_constant=pytest.fail)["mean"]["whole"]["ssim"] == 1

    def test_sizes_that_do_not_fit_are_refused(self, heart: Path, tmp_path: Path) -> None:
        cli("degrade", heart, "-o", tmp_path / "low.nii.gz")
        result = cli("evaluate", heart, tmp_path / "low.nii.gz")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "upscale it by 4 first" in result.stderr

    def test_one_of_several_series_is_scored(self, tmp_path: Path) -> None:
        for series in (3, 4):
            dicom_cases.write_cine_series(tmp_path / "scan", series=series, slices=1, phases=1)
        refused = cli("evaluate", tmp_path / "scan", tmp_path / "scan", "--no-lpips")
        assert refused.exit_code == 3
        assert "--series 0" in refused.stderr
        line = ("evaluate", tmp_path / "scan", tmp_path / "scan", "--no-lpips", "--series", 1)
        assert cli(*line).exit_code == 0

    def test_noise_is_seeded_and_recorded(self, heart: Path, tmp_path: Path) -> None:
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            target = tmp_path / f"{name}.nii.gz"
            cli("degrade", heart, "-o", target, "--noise", "0.05", "--seed", seed, "-q")
        one, same, other = (load(tmp_path / f"{name}.nii.gz").frames for name in "abc")
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)

    def test_degrade_as_a_scanner_does(self, heart: Path, tmp_path: Path) -> None:
        low = tmp_path / "low.nii.gz"
        words = "--method scanner --keep 0.8,0.65 --window cosine:0.4 --noise 0.01 --scale 2"
        line = ("degrade", heart, "-o", low, *words.split())
        assert cli(*line, "--seed", "5").exit_code == 0
        how = {"keep": (0.8, 0.65), "window": "cosine:0.4", "noise": 0.01, "seed": 5}
        expected = degrade(load(heart), method="scanner", scale=2, **how)
        assert np.array_equal(load(low).frames, np.asarray(expected.frames))
        line = ("degrade", heart, "-o", low, "--overwrite", "--method", "scanner")
        assert cli(*line, "--keep", "0.7", "--shape", "elliptical", "--scale", "2").exit_code == 0
        how = {"keep": (0.7, 0.7), "shape": "elliptical"}
        expected = degrade(load(heart), method="scanner", scale=2, **how)
        assert np.array_equal(load(low).frames, np.asarray(expected.frames))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--method scanner --keep 0.3", "share of k-space of 0.3, 0.3"),
            ("--method scanner --window cosine:2", "A window 'cosine:2' was asked for"),
            ("--method bicubic --keep 0.8", "choose the method scanner"),
        ],
    )
    def test_settings_of_a_scanner_that_do_not_go(
        self, heart: Path, tmp_path: Path, options: str, words: str
    ) -> None:
        result = cli("degrade", heart, "-o", tmp_path / "low.nii.gz", *options.split())
        assert (result.exit_code, result.stdout) == (3, "")
        assert words in result.stderr
        assert not (tmp_path / "low.nii.gz").exists()

    def test_degrade_keeps_what_exists(self, heart: Path, tmp_path: Path) -> None:
        line = ("degrade", heart, "-o", tmp_path / "low.nii.gz")
        assert cli(*line).exit_code == 0
        assert cli(*line).exit_code == 3
        assert cli(*line, "--overwrite").exit_code == 0


class TestInfo:
    def test_what_is_in_there(self, scan: Path) -> None:
        result = cli("info", scan)
        assert result.stdout.splitlines() == [
            "0: cine SAX 7",
            "   2 phases x 2 slices of 24 x 20, uint16",
            "   1.5 x 0.75 mm (row x column), slices 8 mm apart",
            "   40.0 ms between phases",
            "   acquired about 1.5 x 0.75 mm, shown as 1.5 x 0.75 mm (header)",
            "   note: There is too little to see in the pictures to read taper and noise.",
        ]
        (series,) = json.loads(cli("info", scan, "--json").stdout)["series"]
        assert series["shape"] == [2, 2, 20, 24]
        assert series["spacing_mm"] == pytest.approx({"row": 1.5, "column": 0.75, "slice": 8.0})
        affine = np.array(series["affine_lps"])
        np.testing.assert_allclose(affine[:3, 3], dicom_cases.ORIGIN, atol=1e-4)
        np.testing.assert_allclose(affine[:3, 0], dicom_cases.ROW_AXIS * 0.75, atol=1e-6)

    def test_what_is_not_known_is_said(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros((3, 8, 9)))
        (tmp_path / "b.txt").write_text("words")
        result = cli("info", tmp_path)
        assert "pixel spacing not known; name it with --spacing" in result.stdout
        assert "note: 1 files skipped that are not images: b.txt" in result.stdout
        (series,) = json.loads(cli("info", tmp_path, "--json").stdout)["series"]
        assert series["spacing_mm"] is None
        assert series["frame_time_ms"] is None


class TestModels:
    def test_models_at_hand(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CINESR_MODELS", str(tmp_path))
        path = write_model(
            tmp_path / "mine.onnx",
            scale=2,
            says={
                "name": "mine",
                "scale": 2,
                "receptive_field": 4,
                "network": {"architecture": "residual"},
                "parameters": 12_345,
                "degradation": {"methods": ["thesis", "kspace"]},
                "purpose": "Tests.",
                "results": {
                    "split": "test",
                    "people": ["a", "b", "c"],
                    "slices": {
                        method: {"psnr": {"model": {"mean": psnr}}}
                        for method, psnr in (("thesis", 31.0), ("bicubic", 9.0), ("kspace", 33.333))
                    },
                },
            },
        )
        result = cli("models")
        lines = result.stdout.splitlines()
        start = lines.index(f"  {'mine':24} x2")
        assert lines[start + 1 : start + 5] == [
            "    for          Tests.",
            "    network      residual, 12 k parameters",
            "    degradations thesis, kspace",
            "    PSNR         31.00 (thesis), 33.33 (kspace) dB on 3 test people",
        ]
        assert any(line.startswith(f"* {DEFAULT_MODELS[2]} ") for line in lines)
        assert str(tmp_path) in result.stderr
        assert cli("models", "--quiet").stderr == ""
        assert cli("models", "--quiet").stdout == result.stdout
        listed = json.loads(cli("models", "--json").stdout)
        mine = next(model for model in listed if model["name"] == "mine")
        assert mine["path"] == str(path)
        assert mine["results"]["slices"]["kspace"]["psnr"]["model"]["mean"] == 33.333
        assert f"    sha256       {mine['sha256']}" in lines

    def test_a_card_that_says_little_is_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CINESR_MODELS", str(tmp_path))
        write_model(tmp_path / "plain.onnx")
        lines = cli("models").stdout.splitlines()
        assert "sha256" in lines[lines.index(f"  {'plain':24} x4") + 1]


class TestTraining:
    CONFIG = """
        name = "tiny"
        output = "run"
        [data]
        folder = "people"
        [degradation]
        methods = ["bicubic"]
        [network]
        architecture = "residual"
        scale = 2
        filters = 4
        blocks = 1
        [loss]
        name = "mae"
        [optimisation]
        epochs = 1
        steps_per_epoch = 2
        batch_size = 2
        crop = 16
        warmup_steps = 1
        validation_slices = 1
    """

    def test_from_a_folder_of_scans_to_a_scan_upscaled(self, tmp_path: Path) -> None:
        for seed in range(3):
            person = make_phantom(size=48, slices=1, phases=1, seed=seed)
            save(person, tmp_path / "people" / f"{seed}.nii.gz")
        (tmp_path / "mine.toml").write_text(self.CONFIG)

        trained = cli("train", tmp_path / "mine.toml")
        assert (trained.exit_code, trained.stdout) == (0, f"{tmp_path / 'run'}\n")
        assert "Validation: PSNR " in trained.stderr
        assert f"Next: cinesr export {tmp_path / 'run'} -o tiny.onnx" in trained.stderr

        model = tmp_path / "tiny.onnx"
        exported = cli("export", tmp_path / "run", "-o", model)
        assert (exported.exit_code, exported.stdout) == (0, f"{model}\n")
        assert "tiny: largest difference to Keras " in exported.stderr
        assert cli("export", tmp_path / "run", "-o", model).exit_code == 3

        scan = tmp_path / "people" / "0.nii.gz"
        # Two steps of training: the network still gives about what bilinear interpolation does.
        result = cli("upscale", scan, "--model", model, "-o", tmp_path / "out.nii.gz", "--json")
        assert result.exit_code == 0, result.stderr
        (run,) = json.loads(result.stdout)["runs"]
        assert (run["model"], run["series"][0]["result_shape"]) == ("tiny", [1, 1, 96, 96])

    def test_a_wrong_configuration_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "mine.toml").write_text("name = 5\nspeed = 3\n")
        for name, words in {"mine.toml": "speed", "absent.toml": "absent.toml"}.items():
            result = cli("train", tmp_path / name)
            assert (result.exit_code, result.stdout) == (3, "")
            assert words in result.stderr


def test_axes_that_a_file_does_not_name_are_named_in_the_shell(tmp_path):
    frames = np.random.default_rng(0).integers(0, 200, (20, 24, 3)).astype("uint8")
    np.save(tmp_path / "a.npy", frames)
    refused = cli("info", tmp_path / "a.npy")
    assert refused.exit_code == 3
    assert "--axes yxt" in refused.stderr
    told = json.loads(cli("info", tmp_path / "a.npy", "--axes", "yxz", "--json").stdout)
    assert told["series"][0]["shape"] == [1, 3, 20, 24]
    model = write_model(tmp_path / "m.onnx", scale=2)
    for command in (
        ("upscale", tmp_path / "a.npy", "-o", tmp_path / "b.npy", "--model", model),
        ("degrade", tmp_path / "a.npy", "-o", tmp_path / "c.npy", "--scale", "2"),
        ("evaluate", tmp_path / "a.npy", tmp_path / "a.npy", "--no-lpips"),
    ):
        assert cli(*command, "--axes", "yxt").exit_code == 0
    assert np.load(tmp_path / "b.npy").shape == (40, 48, 3)
    assert np.load(tmp_path / "c.npy").shape == (10, 12, 3)
    wrong = cli("info", tmp_path / "a.npy", "--axes", "abc")
    assert wrong.exit_code == 2
    assert "expected the letters t (time), z (slice)" in wrong.stderr
