"""The whole job on a synthetic heart: make it, degrade it, upscale it, score it, draw it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cinesr.degradation import degrade, resize_bicubic
from cinesr.evaluation.metrics import evaluate
from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.files import save, staged_result
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.preview import write_preview
from cinesr.upscaling.upscale import Upscaler, upscale_path

METHOD = "kspace"
"""What a faster scan of the phantom would measure."""


def run_demo(
    output: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs the demo.

    Args:
        output: Folder to make: `truth.nii.gz`, `low.nii.gz`, `low_x4.nii.gz` with its record and
            preview, `comparison.png`, `scores.json`.
        overwrite: Replace an earlier demo.
        progress: Called with frames done and frames in all.

    Returns:
        "scores" (bicubic and the model) and "pictures" (paths).

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    upscaler = Upscaler()
    scale = upscaler.model.scale
    with staged_result(output, overwrite=overwrite) as part:
        truth = make_phantom(slices=2, phases=6)
        low = degrade(truth, method=METHOD, scale=scale).in_memory()
        save(truth, part / "truth.nii.gz")
        save(low, part / "low.nii.gz")
        target = part / f"low_x{scale}.nii.gz"
        record = upscale_path(part / "low.nii.gz", target, upscaler, progress=progress)
        from cinesr.imaging.files import load

        results = {"bicubic": _bicubic(low, scale), upscaler.model.name: load(target)}
        scores = {name: _scores(truth, result) for name, result in results.items()}
        # The record was written within a folder that takes its name only now.
        record |= {
            "input": str(output.resolve() / "low.nii.gz"),
            "output": str(output.resolve() / target.name),
        }
        (part / f"low_x{scale}.run.json").write_text(json.dumps(record, indent=1) + "\n")
        (part / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        rule = IntensityRule.of(truth)
        panels = {"low resolution": low, **results, "truth": truth}
        write_preview(
            part / "comparison.png",
            [(name, rule.apply(cine.frame(0, 0))) for name, cine in panels.items()],
        )
    pictures = [output / "comparison.png", output / f"low_x{scale}.preview.png"]
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
