"""Which pixels a step learns from: crops, varied and degraded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from cinesr.degradation import Degradation, add_rician_noise, random_scanner, resize_bicubic
from cinesr.learning.config import TrainingConfig
from cinesr.learning.dataset import Image, SliceSet
from cinesr.learning.dead_leaves import dead_leaves

Batch = tuple[Image | tuple[Image, Image], Image]
"""What a network takes, and what it should make of it."""


def shrunk_shape(shape: tuple[int, ...], factor: float, config: TrainingConfig) -> tuple[int, int]:
    """The size of a slice that is made smaller, a multiple of the scale and no less than a crop.

    Args:
        shape: (row, column).
        factor: From 1.
        config: Says scale and crop.
    """
    scale, crop = config.network.scale, config.optimisation.crop
    rows, columns = (max(int(length / factor) // scale * scale, crop) for length in shape)
    return rows, columns


class CropStream:
    """Pairs of low- and high-resolution crops; the step number alone decides which.

    Whole slices are degraded, so that crops know nothing of borders which the scan has not.

    Args:
        slices: To draw from.
        config: Says crop, batch, degradations, variations and seed.

    Attributes:
        pictures: (row, column) each: the slices, then the synthetic pictures where there are any.
    """

    MINIMUM_BODY = 0.5
    """A crop counts as background where fewer of its pixels are brighter than `AIR`."""
    AIR = 0.05
    TRIES = 10
    VARIED_SHARE = 0.5
    """Of the crops, how many are magnified, how many get another contrast, how many get noise."""
    BLURRED_SHARE = 0.25
    ZOOMED_MARGIN = 12
    """Low-resolution pixels that are kept from the border of a magnified part: `kspace` takes the
    image for periodic, and a part of a slice is not."""
    SYNTHETIC_IMAGES = 32

    def __init__(self, slices: SliceSet, config: TrainingConfig) -> None:
        self._slices = len(slices.images)
        self._config, self._variation = config, config.variation
        self.pictures = slices.images
        if self._variation.synthetic:
            generator = np.random.default_rng([config.seed, self.SYNTHETIC_IMAGES])
            size = max(256, 2 * config.optimisation.crop)
            size -= size % config.network.scale
            leaves = (dead_leaves(generator, size) for _ in range(self.SYNTHETIC_IMAGES))
            self.pictures = (*self.pictures, *leaves)

    def batch(self, step: int) -> Batch:
        """The batch of a step, float32.

        Returns:
            Low resolution (batch, row, column, 1), or that and what the network is told of it
            (batch, number); and high resolution (batch, row, column, 1).
        """
        generator = np.random.default_rng([self._config.seed, step])
        crops = [self._crop(generator) for _ in range(self._config.optimisation.batch_size)]
        lows, highs, recipes = zip(*crops, strict=True)
        low, high = (np.stack(side)[..., None] for side in (lows, highs))
        if not self._config.network.told:
            return low, high
        return (low, np.stack([recipe.described() for recipe in recipes])), high

    def _crop(self, generator: np.random.Generator) -> tuple[Image, Image, Degradation]:
        """Low resolution, high resolution, and how one was made from the other."""
        scale, size = self._config.network.scale, self._config.optimisation.crop
        image = self._picture(generator)
        recipe = self._recipe(generator)
        image, margin = self._varied(image, recipe, generator)
        for _ in range(self.TRIES):
            row, column = (
                int(generator.integers(margin, (length - size) // scale - margin + 1))
                for length in image.shape
            )
            high = image[row * scale : row * scale + size, column * scale : column * scale + size]
            if self._shows_body(high):
                break
        if recipe.method == "scanner":
            low = recipe.measure(image, generator=generator)
        else:
            low = self._blurred(recipe.apply(image), generator)
        low = low[row : row + size // scale, column : column + size // scale]
        dimmest, brightest = self._variation.intensity
        gain = np.float32(generator.uniform(dimmest, brightest))
        low, high = low * gain, high * gain
        noise = self._config.degradation.noise
        if noise and recipe.method != "scanner" and generator.random() < self.VARIED_SHARE:
            recipe = replace(recipe, noise=generator.uniform(0.0, noise))
            low = add_rician_noise(low, sigma=recipe.noise * float(gain), generator=generator)
        turns, flip = int(generator.integers(4)), bool(generator.integers(2))
        low, high = (np.rot90(side, turns) for side in (low, high))
        if flip:
            low, high = low[:, ::-1], high[:, ::-1]
        return low, high, recipe.turned() if turns % 2 else recipe

    def _recipe(self, generator: np.random.Generator) -> Degradation:
        plan, scale = self._config.degradation, self._config.network.scale
        number = len(plan.methods)
        if plan.weights:
            chances = np.array(plan.weights) / sum(plan.weights)
            method = plan.methods[generator.choice(number, p=chances)]
        else:
            method = plan.methods[generator.integers(number)]
        if method == "scanner":
            return random_scanner(generator, scale=scale, varied=True)
        return Degradation(method, scale)

    def _picture(self, generator: np.random.Generator) -> Image:
        share = self._variation.synthetic
        if share and generator.random() < share:
            return self.pictures[generator.integers(self._slices, len(self.pictures))]
        return self.pictures[generator.integers(self._slices)]

    def _varied(
        self, image: Image, recipe: Degradation, generator: np.random.Generator
    ) -> tuple[Image, int]:
        """A picture as it is cropped, and how many low-resolution pixels of its border are not."""
        variation = self._variation
        if variation.contrast > 1.0 and generator.random() < self.VARIED_SHARE:
            power = variation.contrast ** generator.uniform(-1.0, 1.0)
            image = np.maximum(image, 0) ** np.float32(power)
        if recipe.method == "scanner":
            return self._shrunk(
                image, generator.uniform(variation.shrink[0], variation.shrink[1])
            ), 0
        if variation.zoom == 1.0 or generator.random() >= self.VARIED_SHARE:
            return image, 0
        image = self._magnified(image, variation.zoom ** generator.random(), generator)
        spare = (min(image.shape) - self._config.optimisation.crop) // self._config.network.scale
        return image, min(self.ZOOMED_MARGIN, spare // 2)

    def _shrunk(self, image: Image, factor: float) -> Image:
        """A slice with fewer pixels, but for what a crop needs."""
        rows, columns = shrunk_shape(image.shape, factor, self._config)
        if (rows, columns) == image.shape:
            return image
        return np.asarray(np.maximum(resize_bicubic(image, (rows, columns)), 0))

    def _blurred(self, low: Image, generator: np.random.Generator) -> Image:
        largest = self._config.degradation.blur
        if not largest or generator.random() >= self.BLURRED_SHARE:
            return low
        # Each axis its own: phase and frequency encoding differ in resolution.
        return np.asarray(gaussian_filter(low, generator.uniform(0.0, largest, 2), mode="nearest"))

    def _shows_body(self, image: Image) -> bool:
        return bool(np.count_nonzero(image > self.AIR) >= self.MINIMUM_BODY * image.size)

    def _magnified(self, image: Image, zoom: float, generator: np.random.Generator) -> Image:
        """A random part of a slice, magnified to the size of the slice."""
        rows, columns = (max(2, round(length / zoom)) for length in image.shape)
        for _ in range(self.TRIES):
            row = int(generator.integers(image.shape[0] - rows + 1))
            column = int(generator.integers(image.shape[1] - columns + 1))
            part = image[row : row + rows, column : column + columns]
            if self._shows_body(part):
                break
        return resize_bicubic(part, (image.shape[0], image.shape[1]))
