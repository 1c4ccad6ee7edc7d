"""From a trained Keras network to one self-contained .onnx file, checked against Keras."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from cinesr.degradation import random_scanner
from cinesr.errors import CheckFailedError, ModelError, OutputError, UnreadableFileError
from cinesr.imaging.files import staged
from cinesr.learning.graph import Graph
from cinesr.upscaling.catalogue import CARD_KEY, read_model
from cinesr.upscaling.engine import Engine

PARITY_SIZES = ((32, 32), (33, 47), (57, 24))
PARITY_TOLERANCE = 1e-5
"""Largest difference to Keras as a share of the output's range: float32 sums in another order."""


def export(checkpoint: Path, output: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Writes a deployable model with its card inside.

    Args:
        checkpoint: Folder of a training run, or the `model.keras` in it; its `card.json` stands
            beside it.
        output: The .onnx file.
        overwrite: Replace an existing file.

    Returns:
        The card as it stands in the file, with the receptive field and the measured parity.

    Raises:
        UnreadableFileError: The checkpoint or its card cannot be read.
        CheckFailedError: The file does not compute what Keras computes.
        OutputError: The output does not end in .onnx, exists, or cannot be written.
    """
    if output.suffix != ".onnx":
        raise OutputError(
            f"{output}: is no name for a model; expected one that ends in .onnx.",
            hint=f"Name it {output.stem}.onnx.",
        )
    source = checkpoint / "model.keras" if checkpoint.is_dir() else checkpoint
    network, card = _load(source)
    graph = Graph(network)
    card = {**card, "receptive_field": graph.receptive_field}
    with staged(output, overwrite=overwrite) as part:
        onnx.save(_stamped(graph.model(), card), str(part))
        parity = _parity(network, part)
        if not parity <= PARITY_TOLERANCE:
            raise CheckFailedError(
                f"{output}: differs from {source} by {parity:.2e} of the range; expected at most "
                f"{PARITY_TOLERANCE:g}. It was not written.",
                hint="Please report this network; its layers are translated wrongly.",
            )
        card["parity"] = parity
        onnx.save(_stamped(graph.model(), card), str(part))
    return card


def _load(source: Path) -> tuple[keras.Model, dict[str, Any]]:
    card_file = source.with_name("card.json")
    for path in (source, card_file):
        if not path.is_file():
            raise UnreadableFileError(
                f"{path}: is not there; expected the folder of a training run, with model.keras "
                "and card.json.",
                hint="`cinesr train` leaves them after every epoch.",
            )
    hint = "Name the folder of a run of `cinesr train`."
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        missing = [key for key in ("name", "scale") if key not in card]
    except (OSError, ValueError, TypeError) as error:
        raise UnreadableFileError(f"{card_file}: is not a card: {error}.", hint=hint) from error
    if missing:
        raise UnreadableFileError(f"{card_file}: lacks {', '.join(missing)}.", hint=hint)
    try:
        network = keras.saving.load_model(source, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UnreadableFileError(
            f"{source}: is not a Keras model of cinesr: {error}.", hint=hint
        ) from error
    return network, card


def _stamped(model: onnx.ModelProto, card: dict[str, Any]) -> onnx.ModelProto:
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(card)})
    return model


def _parity(network: keras.Model, path: Path) -> float:
    """Largest difference between the file, as it is run, and Keras, as a share of the range."""
    model = read_model(path)
    generator = np.random.default_rng(0)
    worst = 0.0
    for size in PARITY_SIZES:
        image = generator.random(size, dtype=np.float32)
        inputs: Any = image[None, ..., None]
        engine = Engine(model)
        if model.is_told:
            recipe = random_scanner(generator, scale=model.scale, varied=True)
            engine, inputs = engine.told(recipe), [inputs, recipe.described()[None]]
        outputs = network(inputs, training=False)
        expected = np.asarray(keras.ops.convert_to_numpy(outputs))[0, ..., 0]
        try:
            found = engine.run(image)
        except ModelError:
            return math.inf
        # Not Python's max, which loses NaN.
        range_ = np.maximum(1.0, np.ptp(found))
        worst = float(np.maximum(worst, np.abs(found - expected).max() / range_))
    return worst
