"""Ends commands at random moments: no half output, inputs intact, nothing left after the next run.

    python tools/kills.py --count 200 --seed 0 --out kills     # into kills.json and kills.md

`upscale` of a zip, `train` and `export` are ended by SIGTERM or SIGKILL at a moment drawn over the
time that a whole run takes. After SIGTERM nothing may be left; after SIGKILL the next run has to
work and to remove what the killed one left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

CINESR = (sys.executable, "-B", "-c", "from cinesr.cli import main; main()")
CONFIG = """
name = "tiny"
output = "run"
[data]
folder = "people"
[network]
architecture = "residual"
scale = 2
filters = 4
blocks = 1
[loss]
name = "mae"
[optimisation]
epochs = 3
steps_per_epoch = 3
batch_size = 2
crop = 16
warmup_steps = 1
validation_slices = 2
"""


@dataclass(frozen=True)
class Command:
    """A command to be ended.

    Args:
        name: Of it.
        line: Its arguments, in the folder of a case.
        again: How it is run after it was ended.
        output: What it makes.
    """

    name: str
    line: tuple[str, ...]
    again: tuple[str, ...]
    output: str


COMMANDS = (
    Command(
        "upscale",
        ("upscale", "scan.zip", "-o", "out", "-q", "--model", "model.onnx"),
        ("upscale", "scan.zip", "-o", "out", "-q", "--model", "model.onnx"),
        "out",
    ),
    Command("train", ("train", "mine.toml", "-q"), ("train", "mine.toml", "-q", "--resume"), "run"),
    Command(
        "export",
        ("export", "trained", "-o", "new.onnx", "-q"),
        ("export", "trained", "-o", "new.onnx", "-q"),
        "new.onnx",
    ),
)


def prepare(place: Path) -> None:
    """The inputs of all commands, in a folder that is copied for each case."""
    import dicom_cases
    import model_cases
    from cinesr.imaging.files import save
    from cinesr.imaging.phantom import make_phantom

    scan = dicom_cases.write_cine_series(place / "scan", slices=3, phases=8, rows=64, columns=64)
    with zipfile.ZipFile(place / "scan.zip", "w") as archive:
        for path in sorted(scan.iterdir()):
            archive.write(path, path.name)
    shutil.rmtree(scan)
    model_cases.write_model(place / "model.onnx")
    for seed in range(3):
        phantom = make_phantom(size=48, slices=2, phases=1, seed=seed)
        save(phantom, place / "people" / f"p{seed}.nii.gz")
    (place / "mine.toml").write_text(CONFIG, encoding="utf-8")
    run = _run(("train", "mine.toml", "-q"), place)
    if run.returncode:
        raise RuntimeError(f"The network to export could not be trained: {run.stderr}")
    (place / "run").rename(place / "trained")


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(place / "tmp")}


def _run(line: tuple[str, ...], place: Path) -> subprocess.CompletedProcess[str]:
    (place / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [*CINESR, *line],
        cwd=place,
        env=_environment(place),
        capture_output=True,
        text=True,
        check=False,
    )


def contents(place: Path) -> dict[str, str]:
    """The digest of every file, but for what is temporary."""
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.relative_to(place).parts[0] != "tmp"
    }


def left_behind(place: Path) -> list[str]:
    """Partial outputs and temporary files."""
    found = [path for path in place.rglob(".*") if path.name != ".cinesr"]
    found += list((place / "tmp").glob("cinesr-*"))
    return sorted(path.relative_to(place).as_posix() for path in found)


def whole(command: Command, place: Path) -> str | None:
    """What is wrong with an output that stands under its name."""
    output = place / command.output
    if not output.exists():
        return None
    if command.name == "upscale":
        names = set(json.loads((output / "run.json").read_text())["files"])
        there = {path.relative_to(output).as_posix() for path in output.rglob("*")}
        return None if names == there and len(there) == 26 else f"half an output: {sorted(there)}"
    if command.name == "export":
        from cinesr.upscaling.catalogue import read_model

        read_model(output)
        return None
    import numpy as np

    for path in output.glob("*.npz"):
        with np.load(path) as arrays:
            _ = [arrays[name] for name in arrays.files]
    for path in output.glob("*.json"):
        json.loads(path.read_text())
    return None


def one(command: Command, source: Path, sent: str, delay: float, place: Path) -> dict[str, Any]:
    """One command that is ended, and the next run."""
    shutil.copytree(source, place, dirs_exist_ok=True)
    (place / "tmp").mkdir(exist_ok=True)
    before, faults = contents(place), []
    run = subprocess.Popen(
        [*CINESR, *command.line],
        cwd=place,
        env=_environment(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        run.wait(delay)
    except subprocess.TimeoutExpired:
        run.send_signal(getattr(signal, sent))
        run.wait()
    code = run.returncode
    # A signal that comes before the program listens ends it as it ends any program.
    if code not in (0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM):
        faults.append(f"exit code {code}")
    left = left_behind(place)
    if left and code != -signal.SIGKILL:
        faults.append(f"left behind: {left}")
    after = contents(place)
    if {name: after.get(name) for name in before} != before:
        faults.append("an input changed")
    try:
        faults += filter(None, [whole(command, place)])
    except Exception as error:  # Whatever is wrong with it is what is looked for.
        faults.append(f"half an output: {error!r:.200}")
    is_done = (place / command.output).exists() and command.name != "train"
    again = _run((*command.again, *(["--overwrite"] if is_done else [])), place)
    if again.returncode != 0:
        faults.append(f"the next run ended with {again.returncode}: {again.stderr[-300:]}")
    if left := left_behind(place):
        faults.append(f"the next run left: {left}")
    if not (place / command.output).exists():
        faults.append("the next run made nothing")
    return {"command": command.name, "sent": sent, "code": code, "delay": delay, "faults": faults}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="For OUT.json and OUT.md.")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    results = []
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        source.mkdir()
        prepare(source)
        takes = {}
        for command in COMMANDS:
            place = Path(name) / command.name
            shutil.copytree(source, place)
            start = time.monotonic()
            run = _run(command.line, place)
            takes[command.name] = time.monotonic() - start
            if run.returncode:
                sys.exit(f"{command.name} fails by itself: {run.stderr}")
        for number in range(options.count):
            command = chance.choice(COMMANDS)
            sent = chance.choice(("SIGTERM", "SIGKILL"))
            delay = chance.uniform(0.2, 1.05) * takes[command.name]
            place = Path(name) / "case"
            results.append({"case": number, **one(command, source, sent, delay, place)})
            shutil.rmtree(place)
            if results[-1]["faults"]:
                print(results[-1], flush=True)
            _write(results, options)
    sys.exit(any(result["faults"] for result in results))


def _write(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    lines = [f"Seed {options.seed}.", "", "| command | signal | ended | done before | faults |"]
    lines.append("|---|---|---|---|---|")
    for command in COMMANDS:
        for sent in ("SIGTERM", "SIGKILL"):
            some = [it for it in results if (it["command"], it["sent"]) == (command.name, sent)]
            done = sum(it["code"] == 0 for it in some)
            faults = sum(bool(it["faults"]) for it in some)
            lines.append(f"| {command.name} | {sent} | {len(some) - done} | {done} | {faults} |")
    if options.out:
        options.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        options.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    if len(results) == options.count:
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
