"""Puts what was measured of a finished model into its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from cinesr.errors import ModelError
from cinesr.imaging.files import staged
from cinesr.upscaling.catalogue import CARD_KEY


def stamp_results(path: Path, results: dict[str, Any]) -> None:
    """Writes results into a model's card, under "results"; the network stays as it is, bit for bit.

    A card travels inside its model, so that nobody has to look for a report to know how good the
    model is. Earlier results are replaced. The file's sha256 changes with its card.

    Args:
        path: The .onnx file.
        results: Plain values, as JSON holds them.

    Raises:
        ModelError: The file is absent, not an ONNX model, or has no card of cinesr.
        OutputError: It cannot be written.
    """
    hint = "Make a model with `cinesr export`."
    try:
        model = onnx.load(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.", hint=hint) from error
    except DecodeError as error:
        raise ModelError(f"{path}: is not an ONNX model.", hint=hint) from error
    entries = [entry for entry in model.metadata_props if entry.key == CARD_KEY]
    try:
        card = json.loads(entries[0].value) if entries else None
    except ValueError:
        card = None
    if not isinstance(card, dict):
        raise ModelError(f"{path}: is an ONNX file without a cinesr card.", hint=hint)
    entries[0].value = json.dumps(card | {"results": results})
    with staged(path, overwrite=True) as part:
        onnx.save(model, part)
