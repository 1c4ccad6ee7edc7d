"""Every benchmark from its command line to its files, as small as it goes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness
import pytest

from model_cases import write_model

BENCHMARKS = Path(harness.__file__).parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", "bicubic", scale=2)


def run(script: str, output: Path, *arguments: object) -> dict[str, Any]:
    line = [BENCHMARKS / f"{script}.py", "--output", output, "--threads", 1, *arguments]
    ended = subprocess.run([sys.executable, *map(str, line)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (output / f"{script}.md").read_text() in ended.stdout
    found: dict[str, Any] = json.loads((output / f"{script}.json").read_text())
    assert found["machine"]["float32_product_gflops"] > 0.1
    assert found["settings"]["threads"] == 1
    return found


def require_ordered(timing: dict[str, float]) -> None:
    assert 0 < timing["low"] <= timing["median"] <= timing["high"]


def test_engine(tmp_path: Path) -> None:
    small = ("--filters", 4, "--size", 16, "--slices", 1, "--repeats", 1)
    rivals = ["engine", "onnxruntime", "opencv"]
    chosen = ("--networks", "mse-nearest", "--only", ",".join(rivals))
    found = run("engine", tmp_path, *chosen, *small)
    installed = [name for name in rivals if name not in found["left_out"]]
    assert installed[0] == "engine"
    network = found["networks"]["mse-nearest"]
    assert list(network["rivals"]) == installed
    ours = network["rivals"]["engine"]
    assert ours["ratio_to_engine"] == 1
    for name in {"engine", "onnxruntime"} & set(installed):
        assert network["rivals"][name]["largest_difference"] < 1e-4
    for rival in network["rivals"].values():
        require_ordered(rival["ms_per_slice"])
    work, layers = network["arithmetic"], network["layers"]
    seconds = ours["ms_per_slice"]["median"] / 1e3
    rate = 2 * work["multiply_adds"] / seconds / 1e9
    assert work["share_of_product"] == pytest.approx(rate / network["product_gflops"])
    # Every multiplication of the file is found in a layer that ran, whatever was fused into it.
    assert sum(layer["multiply_adds"] for layer in layers) == work["multiply_adds"]
    assert sum(layer["share"] for layer in layers) == pytest.approx(1)
    shares = [layer["share"] for layer in layers]
    assert shares == sorted(shares, reverse=True)


def test_workflow(tmp_path: Path, model: Path) -> None:
    small = ("--size", 32, "--slices", 2, "--phases", 2, "--network-frames", 2)
    found = run("workflow", tmp_path, "--model", model, *small)
    told = [(it["format"], it["phases"], it["frames"]) for it in found["runs"]]
    assert told == [("dicom", 2, 4), ("nifti", 2, 4)]
    for it in found["runs"]:
        require_ordered(it["seconds"])
        require_ordered(it["network_ms_per_frame"])
        alone = it["network_ms_per_frame"]["median"] / 1e3 * it["frames"]
        assert it["network_seconds"] == pytest.approx(alone)
        assert it["ratio_to_network"] == pytest.approx(it["seconds"]["median"] / alone)
        assert {"read", "network", "write", "total"} <= set(it["stages"])
        # The process starts before its own clock and ends after it.
        assert it["stages"]["total"] < it["seconds"]["median"]
        assert 20 < it["peak_mib"] < 2000


def test_scaling(tmp_path: Path, model: Path) -> None:
    small = ("--sizes", 16, 32, "--frames", 1, 3, "--repeats", 2)
    found = run("scaling", tmp_path, "--model", model, *small)
    assert [it["of"] for it in found["sizes"]] == [16, 32]
    assert [it["of"] for it in found["frames"]] == [1, 3]
    pixels = {"sizes": [32**2, 64**2], "frames": [128**2, 3 * 128**2]}
    for part, counts in pixels.items():
        for it, count in zip(found[part], counts, strict=True):
            require_ordered(it["seconds"])
            cost = it["ns_per_output_pixel"]["median"]
            assert cost == pytest.approx(it["seconds"]["median"] / count * 1e9)
        assert min(it["ratio_to_cheapest"] for it in found[part]) == 1
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_start_up(tmp_path: Path, model: Path) -> None:
    found = run("start_up", tmp_path, "--model", model, "--sizes", 16, "--repeats", 1)
    names = ["python", "import cinesr", "cinesr --help", "cinesr upscale 16 x 16"]
    assert list(found["commands"]) == names
    for it in found["commands"].values():
        require_ordered(it["seconds"])
        assert it["first_seconds"] > 0


def test_runtimes(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    found = run(
        "runtimes", tmp_path, "--models", model, "--sizes", 8, "--large", 72, "--repeats", 1
    )
    (measured,) = found["models"].values()
    assert set(measured["ms_per_slice"]) == {"8 x 8", "72 x 72, in tiles"}
    for timings in measured["ms_per_slice"].values():
        for timing in timings.values():
            require_ordered(timing)
    if (changed := measured["bfloat16"]) is not None:
        assert 0 <= changed["largest_change"] < 0.1
