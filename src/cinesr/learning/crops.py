"""Which pixels a step learns from: crops, varied and degraded."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from cinesr.degradation import Degradation, add_rician_noise, resize_bicubic
from cinesr.learning.config import TrainingConfig
from cinesr.learning.dataset import Image, SliceSet
from cinesr.learning.dead_leaves import dead_leaves


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
        self._recipes = [
            Degradation(method, config.network.scale) for method in config.degradation.methods
        ]
        self.pictures = slices.images
        if self._variation.synthetic:
            generator = np.random.default_rng([config.seed, self.SYNTHETIC_IMAGES])
            size = max(256, 2 * config.optimisation.crop)
            size -= size % config.network.scale
            leaves = (dead_leaves(generator, size) for _ in range(self.SYNTHETIC_IMAGES))
            self.pictures = (*self.pictures, *leaves)

    def batch(self, step: int) -> tuple[Image, Image]:
        """The batch of a step: low (batch, row, column, 1) and high resolution, float32."""
        generator = np.random.default_rng([self._config.seed, step])
        pairs = [self._pair(generator) for _ in range(self._config.optimisation.batch_size)]
        low, high = (np.stack(side)[..., None] for side in zip(*pairs, strict=True))
        return low, high

    def _pair(self, generator: np.random.Generator) -> tuple[Image, Image]:
        scale, size = self._config.network.scale, self._config.optimisation.crop
        image = self._picture(generator)
        recipe = self._recipes[generator.integers(len(self._recipes))]
        image, margin = self._varied(image, generator)
        for _ in range(self.TRIES):
            row, column = (
                int(generator.integers(margin, (length - size) // scale - margin + 1))
                for length in image.shape
            )
            high = image[row * scale : row * scale + size, column * scale : column * scale + size]
            if self._shows_body(high):
                break
        low = self._blurred(recipe.apply(image), generator)
        low = low[row : row + size // scale, column : column + size // scale]
        dimmest, brightest = self._variation.intensity
        gain = generator.uniform(dimmest, brightest)
        low, high = low * np.float32(gain), high * np.float32(gain)
        if self._config.degradation.noise and generator.random() < self.VARIED_SHARE:
            sigma = generator.uniform(0.0, self._config.degradation.noise) * gain
            low = add_rician_noise(low, sigma=sigma, generator=generator)
        turns, flip = int(generator.integers(4)), bool(generator.integers(2))
        low, high = (np.rot90(side, turns) for side in (low, high))
        return (low[:, ::-1], high[:, ::-1]) if flip else (low, high)

    def _picture(self, generator: np.random.Generator) -> Image:
        share = self._variation.synthetic
        if share and generator.random() < share:
            return self.pictures[generator.integers(self._slices, len(self.pictures))]
        return self.pictures[generator.integers(self._slices)]

    def _varied(self, image: Image, generator: np.random.Generator) -> tuple[Image, int]:
        """A picture as it is cropped, and how many low-resolution pixels of its border are not."""
        variation = self._variation
        if variation.contrast > 1.0 and generator.random() < self.VARIED_SHARE:
            power = variation.contrast ** generator.uniform(-1.0, 1.0)
            image = np.maximum(image, 0) ** np.float32(power)
        if variation.zoom == 1.0 or generator.random() >= self.VARIED_SHARE:
            return image, 0
        image = self._magnified(image, variation.zoom ** generator.random(), generator)
        spare = (min(image.shape) - self._config.optimisation.crop) // self._config.network.scale
        return image, min(self.ZOOMED_MARGIN, spare // 2)

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
