"""Measures the whole path: `cinesr upscale` from DICOM to DICOM and from NIfTI to NIfTI.

    python benchmarks/workflow.py --output DIR

Beside each run, before and after it, the network alone upscales frames of the same cine. What is
measured is a process of its own; so is the network alone, because this one has to stay small for
the memory of the other to be told (see `commands.run`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import commands
import harness
from worker import Worker

FORMATS = ("dicom", "nifti")
MEBIBYTE = 2**20


@dataclass
class Case:
    """A scan in one format, and what was measured on it.

    Args:
        kind: Of the files.
        phases: Of the scan.
        frames: In all.
    """

    kind: str
    phases: int
    frames: int
    seconds: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)


def main() -> None:
    options = _options()
    threads = harness.use_cores(options.threads)
    cases = [
        Case(kind, phases, phases * options.slices)
        for kind in options.formats
        for phases in options.phases
    ]
    with TemporaryDirectory() as folder:
        rates = measure(cases, Path(folder), options, threads=threads)
    keys = ("size", "slices", "phases", "model", "repeats", "network_frames")
    result = {
        "machine": harness.machine(statistics.median(rates)),
        "settings": {**{key: getattr(options, key) for key in keys}, "threads": threads},
        "runs": [_summary(case) for case in cases],
    }
    harness.write(options.output, "workflow", result, _table(result))


def _options() -> argparse.Namespace:
    parser = harness.arguments(__doc__ or "", repeats=1)
    parser.add_argument("--model", help="a name or an .onnx file; by default the default model")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--size", type=int, default=256, help="rows and columns")
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--phases", type=int, nargs="+", default=(5, 20), help="of each scan")
    parser.add_argument(
        "--network-frames", type=int, default=10, help="by the network alone, around each run"
    )
    return parser.parse_args()


def measure(
    cases: Sequence[Case], folder: Path, options: argparse.Namespace, *, threads: int
) -> list[float]:
    """Makes the scans and runs every case in turn, as often as is asked for.

    Args:
        cases: What to run; takes what is measured.
        folder: For the scans and the results.
        options: Of the command line.
        threads: Processor cores to use.

    Returns:
        The machine's GFLOP/s in a matrix product, measured around each run.
    """
    rates = []
    with Worker(_scans, folder, options.size, options.slices, options.phases) as scans:
        scans.call("ready", options.model, threads)
        for _ in range(options.repeats):
            for case in cases:
                case.network += scans.call("network", options.network_frames)
                rates.append(scans.call("product"))
                _upscale(case, folder, model=options.model, threads=threads)
                rates.append(scans.call("product"))
                case.network += scans.call("network", options.network_frames)
    return rates


def _scans(*arguments: Any) -> Any:
    from scans import Scans

    return Scans(*arguments)


def _upscale(case: Case, folder: Path, *, model: str | None, threads: int) -> None:
    suffix = {"dicom": "", "nifti": ".nii.gz"}[case.kind]
    source, results = folder / f"{case.phases}{suffix}", folder / "results"
    target = results / f"high{suffix}"
    chosen = [] if model is None else ["--model", model]
    line = ["upscale", str(source), "-o", str(target), "--threads", str(threads), *chosen]
    finished = commands.run([*commands.CINESR, *line])
    record = target / "run.json" if case.kind == "dicom" else results / "high.run.json"
    case.stages.append(json.loads(record.read_text(encoding="utf-8"))["seconds"])
    case.seconds.append(finished.seconds)
    case.peaks.append(finished.peak_bytes)
    shutil.rmtree(results)


def _summary(case: Case) -> dict[str, Any]:
    whole, network = harness.Timing.of(case.seconds), harness.Timing.of(case.network)
    return {
        "format": case.kind,
        "phases": case.phases,
        "frames": case.frames,
        "seconds": whole.to_dict(),
        "stages": {
            stage: statistics.median(run[stage] for run in case.stages) for stage in case.stages[0]
        },
        "network_ms_per_frame": network.to_dict(unit=1e-3),
        "network_seconds": network.median * case.frames,
        "ratio_to_network": whole.median / (network.median * case.frames),
        "peak_mib": max(case.peaks) / MEBIBYTE,
    }


def _table(result: dict[str, Any]) -> str:
    def words(stages: dict[str, float]) -> str:
        return ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items())

    return harness.table(
        ("format", "frames", "seconds", "network alone", "ratio", "peak MiB", "seconds by stage"),
        (
            (
                run["format"],
                str(run["frames"]),
                "{median:.1f} ({low:.1f} to {high:.1f})".format(**run["seconds"]),
                f"{run['network_seconds']:.1f}",
                f"{run['ratio_to_network']:.2f}",
                f"{run['peak_mib']:.0f}",
                words(run["stages"]),
            )
            for run in result["runs"]
        ),
    )


if __name__ == "__main__":
    harness.run(main)
