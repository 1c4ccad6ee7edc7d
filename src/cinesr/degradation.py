"""High resolution to low resolution: four named recipes, each one separable linear map.

A network learns to invert exactly the recipe that it was trained on, so a recipe has a name, is
recorded with everything made by it, and puts its pixels where the geometry says: all four keep the
outer edges of the image, so that a low-resolution pixel covers `scale` x `scale` pixels.

`thesis`
    Bicubic downsampling with antialiasing, then a Gaussian blur of sigma 1.0 low-resolution pixels.
`johnson`
    Gaussian blur of sigma 1.0 high-resolution pixels, then bicubic downsampling
    (Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and
    super-resolution", ECCV 2016).
`bicubic`
    Bicubic downsampling alone.
`kspace`
    The centre of the Fourier transform, which is what a scan with fewer phase encodings measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames, require_cine
from cinesr.imaging.filters import gaussian_taps

SCALES = range(2, 9)
BLUR_SIGMA = 1.0
"""Of `thesis`, in low-resolution pixels, and of `johnson`, in high-resolution pixels."""

Matrix = NDArray[np.float64]


def _cubic(distance: Matrix) -> Matrix:
    """Cubic convolution with a = -0.5 (Keys 1981, eq. 15): exact for quadratic signals."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


@lru_cache(maxsize=1024)
def bicubic_matrix(size: int, new_size: int) -> Matrix:
    """Bicubic resampling of one axis as a matrix, (new_size, size).

    Pixel centres are aligned by the outer edges; the kernel widens when sizes shrink
    (antialiasing), and is cut and renormalised at the border.

    Args:
        size: Pixels along the axis.
        new_size: Pixels after resampling.
    """
    ratio = size / new_size
    centres = (np.arange(new_size)[:, None] + 0.5) * ratio - 0.5
    weights = _cubic((np.arange(size)[None, :] - centres) / max(ratio, 1.0))
    return _read_only(weights / weights.sum(axis=1, keepdims=True))


@lru_cache(maxsize=64)
def _gaussian_matrix(size: int) -> Matrix:
    """Blur of one axis as a matrix, (size, size); beyond the border the image is mirrored."""
    taps, _ = gaussian_taps(BLUR_SIGMA)
    own, reach = np.arange(size)[:, None], taps.size // 2
    seen = (own + np.arange(-reach, reach + 1)) % (2 * size)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (own, np.minimum(seen, 2 * size - 1 - seen)), taps)
    return _read_only(matrix)


@lru_cache(maxsize=64)
def _kspace_matrix(size: int, new_size: int) -> Matrix:
    # Evaluating the kept frequencies at the centres of the new pixels is the same as the inverse
    # transform after a linear phase ramp of (scale - 1) / 2 pixels, which a plain crop forgets.
    centres = (np.arange(new_size)[:, None] + 0.5) * (size / new_size) - 0.5
    frequency = np.arange(new_size // 2 + 1)
    weight = np.where(frequency == 0, 1.0, 2.0)
    if new_size % 2 == 0:
        weight[-1] = 1.0  # A centre crop keeps one of the two lines at the new Nyquist frequency.
    angle = 2.0 * np.pi / size * frequency
    new, old = centres * angle, np.arange(size)[:, None] * angle
    # The cosine of a difference, as products of each side's own: that of all pairs takes seconds.
    waves = (np.cos(new) * weight) @ np.cos(old).T + (np.sin(new) * weight) @ np.sin(old).T
    return _read_only(waves / size)


def _read_only(matrix: Matrix) -> Matrix:
    matrix.setflags(write=False)
    return matrix


_AXIS_MATRICES: dict[str, Callable[[int, int], Matrix]] = {
    "thesis": lambda size, new: _gaussian_matrix(new) @ bicubic_matrix(size, new),
    "johnson": lambda size, new: bicubic_matrix(size, new) @ _gaussian_matrix(size),
    "bicubic": bicubic_matrix,
    "kspace": _kspace_matrix,
}

METHODS = tuple(_AXIS_MATRICES)


@lru_cache(maxsize=256)
def _axis_matrix(method: str, size: int, new_size: int, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(_AXIS_MATRICES[method](size, new_size).astype(dtype))


def resize_bicubic(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Resamples the last two axes, keeping the outer edges where they are.

    Args:
        image: (..., row, column), floating point.
        shape: New (rows, columns), larger or smaller.
    """
    dtype = _float_dtype(image)
    rows = bicubic_matrix(image.shape[-2], shape[0]).astype(dtype)
    columns = bicubic_matrix(image.shape[-1], shape[1]).astype(dtype)
    return np.asarray(rows @ image.astype(dtype, copy=False) @ columns.T)


def _float_dtype(image: NDArray[Any]) -> str:
    return "float32" if image.dtype == np.float32 else "float64"


@dataclass(frozen=True)
class Degradation:
    """One recipe for making low resolution, as it is recorded in cards, logs and files.

    Args:
        method: One of `METHODS`.
        scale: How many high-resolution pixels make one low-resolution pixel, per axis, 2 to 8.
        noise: Standard deviation of the Gaussian noise in each of the two receiver channels, as a
            share of the tissue's range; their magnitude is Rician (Gudbjartsson and Patz 1995).
        seed: Of the noise.

    Raises:
        UnfitImageError: An unknown method, or a value out of range.
    """

    method: str = "thesis"
    scale: int = 4
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnfitImageError(
                f"There is no degradation {self.method!r}; expected one of {', '.join(METHODS)}."
            )
        if not isinstance(self.scale, int | np.integer) or self.scale not in SCALES:
            raise UnfitImageError(
                f"A scale of {self.scale} was asked for; expected a whole number from "
                f"{SCALES[0]} to {SCALES[-1]}."
            )
        if not 0.0 <= self.noise <= 1.0:
            raise UnfitImageError(
                f"A noise of {self.noise} was asked for; expected a share of the range, 0 to 1."
            )
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise UnfitImageError(
                f"A seed of {self.seed} was asked for; expected a whole number from 0."
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)

    def cropped_shape(self, rows: int, columns: int) -> tuple[int, int]:
        """The largest (rows, columns) that the scale divides, cut at the last rows and columns.

        Raises:
            UnfitImageError: The image is smaller than one low-resolution pixel.
        """
        if min(rows, columns) < self.scale:
            raise UnfitImageError(
                f"An image of {rows} x {columns} pixels cannot be made {self.scale} times smaller; "
                f"expected at least {self.scale} x {self.scale}."
            )
        return rows - rows % self.scale, columns - columns % self.scale

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """The linear part of the recipe, without noise.

        Args:
            image: (..., row, column); rows and columns divisible by the scale. float32 stays
                float32, everything else is computed in float64.
        """
        dtype = _float_dtype(image)
        rows, columns = image.shape[-2:]
        if rows % self.scale or columns % self.scale:
            raise ValueError(f"{rows} x {columns} is not divisible by {self.scale}")
        left = _axis_matrix(self.method, rows, rows // self.scale, dtype)
        right = _axis_matrix(self.method, columns, columns // self.scale, dtype)
        return np.asarray(left @ image.astype(dtype, copy=False) @ right.T)


def add_rician_noise(
    image: NDArray[Any], *, sigma: float, generator: np.random.Generator
) -> NDArray[Any]:
    """The magnitude of the image after complex Gaussian noise.

    Args:
        image: Any shape; a magnitude image with air at zero.
        sigma: Standard deviation per channel, on the image's scale.
        generator: Source of the noise.
    """
    real, imaginary = generator.standard_normal((2, *image.shape), dtype=np.float32) * sigma
    return np.asarray(np.hypot(image + real, imaginary), dtype=image.dtype)


def degrade(
    cine: Cine, *, method: str = "thesis", scale: int = 4, noise: float = 0.0, seed: int = 0
) -> Cine:
    """Makes the low-resolution twin of a cine, frame by frame as it is read.

    Rows and columns that the scale does not divide are cut off at the end. Stored type, intensity
    scale and physical position stay.

    Args:
        cine: The high-resolution cine.
        method: One of `METHODS`.
        scale: Whole number from 2 to 8.
        noise: Rician noise; standard deviation as a share of the cine's intensity range.
        seed: Of the noise; every frame draws its own from it.

    Raises:
        UnfitImageError: A wrong method, scale or noise; an image smaller than the scale, not
            finite, or constant.
    """
    from cinesr import __version__

    require_cine(cine)
    recipe = Degradation(method, scale, noise, seed)
    time, slices, rows, columns = cine.shape
    rows, columns = recipe.cropped_shape(rows, columns)
    rule = IntensityRule.of(cine)
    zero = min(0.0, rule.minimum)

    def read(time_index: int, slice_index: int) -> NDArray[Any]:
        frame = cine.frame(time_index, slice_index)[:rows, :columns].astype(np.float64)
        low = recipe.apply(frame)
        if noise > 0:
            generator = np.random.default_rng([seed, time_index, slice_index])
            sigma = noise * (rule.high - rule.low)
            low = zero + add_rician_noise(low - zero, sigma=sigma, generator=generator)
        return cine.to_stored(low, lowest=zero)

    words = f"cinesr {__version__}: {method} degradation, scale {scale}, noise {noise:g}"
    frames = LazyFrames((time, slices, rows // scale, columns // scale), cine.dtype, read)
    return cine.with_frames(
        frames,
        cine.geometry.downscaled(scale),
        Derivation(f"low resolution 1/{scale} ({method})", f"{words}, seed {seed}."),
    )
