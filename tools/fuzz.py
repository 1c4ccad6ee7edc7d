"""Spoils files of every format and reads, enlarges and writes them: no traceback, hang or leftover.

    python tools/fuzz.py --count 20000 --seed 0 --out fuzz     # all formats, into fuzz.json and .md
    python tools/fuzz.py nifti --count 1 --seed 0 --first 1234 --keep DIR     # one case again

Each batch runs in a process of its own, with 2 GB of address space more than it has when it begins.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

SECONDS = 10.0
LONGEST_WAIT = 600.0
MEMORY = 2 * 2**30
BATCH = 500
MOST_SHOWN = 20


def attempt(kind: str, place: Path, source: Path) -> str:
    """What `info` and `upscale` do with a file, but for the network.

    Returns:
        "read", "refused", or "unfit" where it was refused after it had been opened.
    """
    from cinesr.errors import CinesrError
    from cinesr.imaging.cine import Derivation, IntensityRule
    from cinesr.imaging.files import natural_suffix, open_cines, save

    refusal = "refused"
    try:
        if kind == "model":
            return _run_model(source)
        cines = open_cines(source)
        refusal = "unfit"
        for cine in cines:
            rule = IntensityRule.of(cine)
            frames = [rule.apply(frame) for _, _, frame in cine.iter_frames()]
            assert len(frames) == cine.shape[0] * cine.shape[1]
            doubled = cine.in_memory().frames.repeat(2, axis=2).repeat(2, axis=3)
            made = cine.with_frames(
                doubled, cine.geometry.upscaled(2), Derivation("super-resolved x2", "fuzz")
            )
            suffix = natural_suffix(cine)
            save(made, place / "out" / f"made{suffix}", overwrite=True)
            shutil.rmtree(place / "out")
    except CinesrError as error:
        return refusal if error.message.strip() else "refused without a word"
    return "read"


def _run_model(source: Path) -> str:
    import numpy as np

    from cinesr.upscaling.catalogue import read_model
    from cinesr.upscaling.engine import Engine

    model = read_model(source)
    model.summary()
    Engine(model, threads=1).run(np.random.default_rng(0).random((20, 24), dtype=np.float32))
    return "read"


def work(kind: str, seed: int, first: int, count: int) -> None:
    """A batch: one line of JSON before and after each case."""
    import fuzz_seeds

    warnings.simplefilter("ignore")
    fuzz_seeds.seeds(kind)
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    tempfile.tempdir = str(place / "tmp")
    (place / "tmp").mkdir()
    for warm in (True, False):
        if not warm:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        for index in [-1] if warm else range(first, first + count):
            files = fuzz_seeds.mutant(kind, seed, index)
            if warm:
                files = [fuzz_seeds.seeds(kind)[0]]
            _one(kind, place, index, files)
    shutil.rmtree(place, ignore_errors=True)


def _one(kind: str, place: Path, index: int, files: list[tuple[str, bytes]]) -> None:
    folder = place / "in"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files:
        (folder / name).write_bytes(content)
    source = folder if len(files) > 1 else folder / files[0][0]
    print(json.dumps({"begin": index}), flush=True)
    start, told = time.process_time(), ""
    try:
        how = attempt(kind, place, source)
    except BaseException as error:  # Whatever comes is what is looked for.
        how = "traceback"
        at = traceback.extract_tb(error.__traceback__)
        ours = [each for each in at if "cinesr" in each.filename] or at
        told = f"{type(error).__name__}: {error!s:.120} at {Path(ours[-1].filename).name}"
        told += f":{ours[-1].lineno}, from {Path(at[-1].filename).name}:{at[-1].lineno}"
    seconds = time.process_time() - start
    left = sorted(path.name for path in place.iterdir() if path.name not in ("in", "tmp"))
    for run in (place / "tmp").iterdir():
        # An archive that was read lies there until the program ends.
        unpacked = [path for path in run.iterdir() if path.is_dir()]
        left += ["an unpacked archive" for _ in unpacked if how == "refused"]
        for path in unpacked:
            shutil.rmtree(path)
    left += [path.name for path in folder.iterdir() if path.name not in {name for name, _ in files}]
    if left:
        told += f" left behind: {left}"
        for path in place.iterdir():
            if path.name not in ("in", "tmp"):
                shutil.rmtree(path, ignore_errors=True)
    print(json.dumps({"end": index, "how": how, "seconds": seconds, "told": told}), flush=True)


def run(kind: str, *, seed: int, first: int, count: int) -> dict[str, Any]:
    """All batches of a format.

    Args:
        kind: Of `fuzz_seeds.FORMATS`.
        seed: Of the mutants.
        first: Number of the first.
        count: How many.

    Returns:
        How many were read and refused, the longest time, the largest memory, and what went wrong.
    """
    found: dict[str, Any] = {"format": kind, "count": 0, "read": 0, "refused": 0}
    found |= {"slowest_s": 0.0, "peak_mb": 0, "faults": []}
    at, last = first, first + count
    while at < last:
        at = _batch(kind, seed, at, min(BATCH, last - at), found)
    return found


def _batch(kind: str, seed: int, first: int, count: int, found: dict[str, Any]) -> int:
    """Runs a batch to its end, or to the case at which the process ended; gives the next case."""
    with tempfile.TemporaryDirectory(prefix="fuzz-batch-") as place:
        line = [sys.executable, __file__, kind, "--work", "--seed", seed]
        worker = subprocess.Popen(
            [*map(str, line), "--first", str(first), "--count", str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": place},
        )
        assert worker.stdout is not None
        current, is_over, heard = first, False, time.monotonic()
        with selectors.DefaultSelector() as selector:
            os.set_blocking(worker.stdout.fileno(), False)
            selector.register(worker.stdout, selectors.EVENT_READ)
            rest, begun, since = b"", False, _seconds(worker.pid)
            while True:
                if not selector.select(1.0):
                    # Processor time: on a busy machine nothing hangs that only has to wait. What
                    # waits for ever is told too.
                    spent, waited = _seconds(worker.pid), time.monotonic() - heard
                    if begun and (spent - since > SECONDS or waited > LONGEST_WAIT):
                        worker.kill()
                        _fault(found, current, f"still going on after {SECONDS:.0f} s")
                        is_over = True
                        break
                    continue
                part = worker.stdout.read()
                if not part:
                    break
                *lines, rest = (rest + part).split(b"\n")
                for text in lines:
                    current = _take(json.loads(text), found, current)
                begun, since, heard = True, _seconds(worker.pid), time.monotonic()
        _, status, usage = os.wait4(worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
        worker.stdout.close()
        found["peak_mb"] = max(found["peak_mb"], usage.ru_maxrss // 1024)
        if not begun:
            raise RuntimeError(f"The batch of {kind} did not begin: {worker.returncode}.")
        if not is_over and current < first + count:
            _fault(found, current, f"the process ended with {worker.returncode}")
            is_over = True
        return current + 1 if is_over else first + count


def _seconds(process: int) -> float:
    """Of processor time that a process has spent."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _take(line: dict[str, Any], found: dict[str, Any], current: int) -> int:
    if "begin" in line:
        return max(current, int(line["begin"]))
    if line["end"] < 0:
        if line["how"] != "read":
            _fault(found, -1, f"a whole file was not read: {line['told']}")
        return current
    found["count"] += 1
    found["slowest_s"] = max(found["slowest_s"], line["seconds"])
    if line["how"] in ("read", "refused", "unfit"):
        found["read" if line["how"] == "read" else "refused"] += 1
    elif not line["told"]:
        line["told"] = line["how"]
    if line["told"]:
        _fault(found, line["end"], line["told"], counted=True)
    return int(line["end"]) + 1


def _fault(found: dict[str, Any], index: int, told: str, *, counted: bool = False) -> None:
    found["count"] += not counted
    found["faults"].append({"index": index, "told": told.strip()})


def markdown(results: list[dict[str, Any]], seed: int) -> str:
    """A table, and what went wrong."""
    lines = [
        f"Seed {seed}.",
        "",
        "| format | mutants | read | refused | faults | longest (s) | peak memory (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {it['format']} | {it['count']} | {it['read']} | {it['refused']} | {len(it['faults'])} "
        f"| {it['slowest_s']:.1f} | {it['peak_mb']} |"
        for it in results
    ]
    for it in results:
        kinds: dict[str, list[int]] = {}
        for fault in it["faults"]:
            kinds.setdefault(fault["told"], []).append(fault["index"])
        lines += [
            f"- {it['format']}: {len(numbers)} x {told} (cases {numbers[:3]})"
            for told, numbers in sorted(kinds.items(), key=lambda each: -len(each[1]))[:MOST_SHOWN]
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    import fuzz_seeds

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(fuzz_seeds.FORMATS))
    parser.add_argument("--count", type=int, default=1000, help="Mutants of each format.")
    parser.add_argument("--first", type=int, default=0, help="Number of the first mutant.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="For OUT.json and OUT.md.")
    parser.add_argument("--keep", type=Path, help="Only write the files of the first mutant here.")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    formats = options.formats or list(fuzz_seeds.FORMATS)
    if options.work:
        work(formats[0], options.seed, options.first, options.count)
        return
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        for name, content in fuzz_seeds.mutant(formats[0], options.seed, options.first):
            (options.keep / name).write_bytes(content)
        return
    results = []
    for kind in formats:
        results.append(run(kind, seed=options.seed, first=options.first, count=options.count))
        text = markdown(results, options.seed)
        if options.out:
            options.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
            options.out.with_suffix(".md").write_text(text)
        print(markdown(results[-1:], options.seed), flush=True)
    sys.exit(any(result["faults"] for result in results))


if __name__ == "__main__":
    main()
