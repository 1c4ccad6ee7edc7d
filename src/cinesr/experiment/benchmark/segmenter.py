"""A small network that finds the left ventricle's blood pool, to see whether measuring suffers.

A U-Net (Ronneberger, Fischer and Brox, MICCAI 2015) of four levels, trained on the train split's
slices as they are, with their masks. It knows nothing of low resolution or of upscaling.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinesr.errors import UnfitImageError
from cinesr.experiment.benchmark.bench import Bench, Image, people_of, slices_of
from cinesr.imaging.files import staged
from cinesr.learning import require_training_packages

FILTERS = (16, 32, 64, 64)
BATCH, CROP = 8, 128
LEARNING_RATE = 2e-3
NEAR_SHARE = 0.75
"""Of the crops; they lie around the ventricle, the others anywhere."""
SEED = 0
VERSION = 1

Mask = NDArray[np.bool_]
Example = tuple[Image, Mask]


class Segmenter:
    """Finds the blood pool.

    Args:
        network: Gives the logit of each pixel, (1, 1, row, column).
    """

    def __init__(self, network: Any) -> None:
        self._network = network

    def find(self, image: Image) -> Mask:
        """The blood pool: the largest connected part of what the network takes for it.

        Args:
            image: (row, column), of any scale.
        """
        rows, columns = image.shape
        step = 2 ** (len(FILTERS) - 1)
        padded = np.pad(_normal(image), ((0, -rows % step), (0, -columns % step)), mode="edge")
        logits = np.asarray(self._network.predict_on_batch(padded[None, None]))[0, 0]
        labels, count = ndimage.label(logits[:rows, :columns] > 0)
        if count == 0:
            return np.zeros(image.shape, bool)
        sizes = np.bincount(labels.ravel())[1:]
        return np.asarray(labels == 1 + int(np.argmax(sizes)))


@lru_cache(maxsize=1)
def segmenter(bench: Bench) -> Segmenter:
    """The network of a benchmark, trained if it was not before.

    Raises:
        UnfitImageError: No slice of the train split has a mask.
    """
    require_training_packages()
    people = people_of(bench.data, "train")
    facts = [VERSION, FILTERS, BATCH, CROP, SEED, bench.segmenter_steps]
    facts += [str(bench.data.resolve()), people]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    path = bench.cache / f"segmenter.{digest}.npz"
    network = build()
    if path.exists():
        with np.load(path) as kept:
            network.set_weights([kept[name] for name in kept.files])
        return Segmenter(network)
    examples = [
        (each.pixels, each.pool)
        for person in people
        for each in slices_of(bench.data, person)
        if each.pool is not None and each.pool.any()
    ]
    if not examples:
        raise UnfitImageError(
            f"{bench.data}: no slice of the train split has a mask; a network that finds the blood "
            "pool has to learn it from some.",
            hint="Leave the part segmentation out.",
        )
    train(network, examples, steps=bench.segmenter_steps)
    _keep(network, path)
    return Segmenter(network)


def _keep(network: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path, overwrite=True) as part, part.open("wb") as file:
        np.savez(file, *(np.asarray(weights) for weights in network.get_weights()))


def build() -> Any:
    """The network, untrained: slices (batch, 1, row, column) to logits of the same size."""
    import keras

    from cinesr.learning.hardware import fast_precision

    fast = "mixed_bfloat16" if fast_precision("auto") == "bfloat16" else "float32"
    first: dict[str, Any] = {"data_format": "channels_first", "dtype": fast}

    def block(values: Any, filters: int) -> Any:
        for _ in range(2):
            layer = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, **first)
            values = keras.layers.BatchNormalization(axis=1, momentum=0.9, dtype=fast)(
                layer(values)
            )
            values = keras.layers.ReLU(dtype=fast)(values)
        return values

    keras.utils.set_random_seed(SEED)
    inputs = values = keras.Input((1, None, None))
    kept = []
    for filters in FILTERS[:-1]:
        values = block(values, filters)
        kept.append(values)
        values = keras.layers.MaxPooling2D(2, **first)(values)
    values = block(values, FILTERS[-1])
    for filters, beside in zip(FILTERS[-2::-1], reversed(kept), strict=True):
        values = keras.layers.UpSampling2D(2, **first)(values)
        values = block(keras.layers.Concatenate(axis=1, dtype=fast)([values, beside]), filters)
    logits = keras.layers.Conv2D(1, 1, data_format="channels_first", dtype="float32")(values)
    return keras.Model(inputs, logits)


def train(
    network: Any,
    examples: list[Example],
    *,
    steps: int,
    watch: Callable[[int, float], None] | None = None,
) -> None:
    """Trains on crops that are turned, mirrored, magnified and of changed contrast.

    Args:
        network: Of `build`.
        examples: Slices with their blood pools.
        steps: Of `BATCH` crops each.
        watch: Called with each step and its loss.
    """
    import keras

    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    network.compile(optimizer=keras.optimizers.Adam(rate), loss=_loss)
    generator = np.random.default_rng(SEED)
    for step in range(steps):
        drawn = [
            crop(*examples[generator.integers(len(examples))], generator) for _ in range(BATCH)
        ]
        images, masks = (
            np.stack(side)[:, None].astype(np.float32) for side in zip(*drawn, strict=True)
        )
        loss = float(network.train_on_batch(images, masks))
        if watch:
            watch(step, loss)


def _loss(truth: Any, logits: Any) -> Any:
    """Cross entropy and Dice's loss, half and half: few pixels are blood."""
    from keras import ops

    likely = ops.sigmoid(logits)
    entropy = ops.mean(ops.relu(logits) - logits * truth + ops.log1p(ops.exp(-ops.abs(logits))))
    both = 2 * ops.sum(likely * truth) + 1
    return entropy + 1 - both / (ops.sum(likely) + ops.sum(truth) + 1)


def crop(image: Image, pool: Mask, generator: np.random.Generator) -> Example:
    """A part of a slice for training.

    Args:
        image: (row, column).
        pool: (row, column).
        generator: Source of what is drawn.
    """
    if generator.random() < NEAR_SHARE:
        places = np.argwhere(pool)
        centre = places[generator.integers(len(places))] + generator.uniform(-CROP / 3, CROP / 3, 2)
    else:
        centre = generator.uniform(0, 1, 2) * pool.shape
    angle = generator.uniform(-math.pi, math.pi)
    size = np.exp(generator.uniform(-0.25, 0.25))
    mirror = generator.choice([-1.0, 1.0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn = size * turn @ np.diag([1.0, mirror])
    offset = centre - turn @ np.full(2, (CROP - 1) / 2)
    how = {"offset": offset, "output_shape": (CROP, CROP)}
    seen = ndimage.affine_transform(_normal(image), turn, order=1, **how)
    filled = ndimage.affine_transform(pool.astype(np.float32), turn, order=1, **how) > 0.5
    bent = np.clip(seen, 0, None) ** np.exp(generator.uniform(-0.3, 0.3))
    changed = bent * np.exp(generator.uniform(-0.3, 0.3)) + generator.uniform(-0.05, 0.05)
    return changed.astype(np.float32), filled


def _normal(image: Image) -> Image:
    """On one scale, whatever the scan's: the brightest percent is 1."""
    return (image / max(float(np.percentile(image, 99)), 1e-6)).astype(np.float32)
