"""The whole job on a synthetic heart: make it, degrade it, upscale it, score it, draw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cinesr.degradation import degrade, resize_bicubic
from cinesr.evaluation.metrics import evaluate
from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.files import RECORD, load, save, staged_result
from cinesr.imaging.phantom import make_phantom
from cinesr.imaging.records import files_within
from cinesr.upscaling.preview import write_preview
from cinesr.upscaling.upscale import Upscaler, upscale_path, write_record

METHOD = "kspace"
"""What a faster scan of the phantom would measure."""
SCALE = 4


def run_demo(
    output: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs the demo.

    Args:
        output: Folder to make: `truth.nii.gz`, `low.nii.gz`, `low_x4.nii.gz` with its preview,
            `comparison.png`, and `run.json` with the record of the run and the scores.
        overwrite: Replace an earlier demo.
        progress: Called with frames done and frames in all.

    Returns:
        "scores" (bicubic and the model) and "pictures" (paths).

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    upscaler = Upscaler(scale=SCALE)
    with staged_result(output, overwrite=overwrite) as part:
        truth = make_phantom(slices=2, phases=6)
        low = degrade(truth, method=METHOD, scale=SCALE).in_memory()
        save(truth, part / "truth.nii.gz")
        save(low, part / "low.nii.gz")
        target = part / f"low_x{SCALE}.nii.gz"
        record = upscale_path(part / "low.nii.gz", target, upscaler, progress=progress)
        results = {"bicubic": _bicubic(low, SCALE), upscaler.model.name: load(target)}
        scores = {name: _scores(truth, result) for name, result in results.items()}
        # The first record names the folder as it was called while it was written.
        (part / f"low_x{SCALE}.run.json").unlink()
        rule = IntensityRule.of(truth)
        panels = {"low resolution": low, **results, "truth": truth}
        write_preview(
            part / "comparison.png",
            [(name, rule.apply(cine.frame(0, 0))) for name, cine in panels.items()],
            pixel_aspect=truth.geometry.spacing_mm[1] / truth.geometry.spacing_mm[0],
        )
        names = {"input": "low.nii.gz", "output": target.name}
        places = {key: str(output.resolve() / name) for key, name in names.items()}
        drawn = ["comparison.png", f"low_x{SCALE}.preview.png"]
        left = {"files": files_within(part), "pictures": drawn}
        write_record(part / RECORD, {**record, **places, **left, "scores": scores})
    pictures = [output / name for name in drawn]
    return {"scores": scores, "pictures": [str(path.resolve()) for path in pictures]}


def _bicubic(low: Cine, scale: int) -> Cine:
    rows, columns = (size * scale for size in low.shape[2:])
    frames = resize_bicubic(np.asarray(low.frames, dtype=np.float64), (rows, columns))
    return replace(low, frames=low.to_stored(frames), geometry=low.geometry.upscaled(scale))


def _scores(truth: Cine, result: Cine) -> dict[str, float | None]:
    mean = evaluate(truth, result).to_dict()["mean"]
    return {
        "PSNR (dB)": mean["whole"]["psnr"],
        "body PSNR (dB)": mean["body"]["psnr"],
        "SSIM": mean["whole"]["ssim"],
        "LPIPS": mean["lpips"],
    }
