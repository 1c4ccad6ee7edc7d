"""High resolution to low resolution: five named recipes.

A network learns to invert exactly the recipe that it was trained on, so a recipe has a name, is
recorded with everything made by it, and puts its pixels where the geometry says: all keep the
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
`scanner`
    What scanners do after that: noise in k-space, a smaller measured matrix than the picture's own,
    a taper at its edge, zeros around it, the magnitude (`cinesr.imaging.acquisition`).

The first four are separable linear maps; `scanner` is one too, but for the magnitude, where its
k-space is rectangular.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.acquisition import Acquisition, measured
from cinesr.imaging.cine import Cine, Derivation, IntensityRule, LazyFrames, require_cine
from cinesr.imaging.filters import gaussian_taps
from cinesr.imaging.padding import filled, shrunk_back

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
    "scanner": _kspace_matrix,
}

METHODS = tuple(_AXIS_MATRICES)
PAPER_METHODS = tuple(method for method in METHODS if method != "scanner")
"""Those of papers, which have no settings of their own."""

_BINS, _SAMPLES, _HIGHEST, _USUAL_NOISE = 24, 8, 1.5, 0.0125
DESCRIPTION = 2 * _BINS + 3
"""Numbers in `Degradation.described`."""


@lru_cache(maxsize=64)
def _axis_transfer(method: str, scale: int, frequencies: bytes) -> Matrix:
    """What a linear recipe leaves of waves along one axis, far from the border.

    Args:
        method: One of `METHODS`.
        scale: Of the recipe.
        frequencies: float64 numbers; 1 is the highest frequency of the low-resolution pixels.
    """
    pixels = 64
    middle = pixels // 2
    taps = _AXIS_MATRICES[method](pixels * scale, pixels)[middle]
    distance = (np.arange(pixels * scale) + 0.5) / scale - 0.5 - middle
    return _read_only(np.cos(np.pi * np.outer(np.frombuffer(frequencies), distance)) @ taps)


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


def _number(value: float) -> str:
    """As short as may be, and yet the same number when it is read again."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Degradation:
    """One recipe for making low resolution, as it is recorded in cards, logs and files.

    Args:
        method: One of `METHODS`.
        scale: How many high-resolution pixels make one low-resolution pixel, per axis, 2 to 8.
        noise: Standard deviation of the Gaussian noise in each of the two receiver channels, as a
            share of the tissue's range; their magnitude is Rician (Gudbjartsson and Patz 1995).
        seed: Of the noise.
        keep: Of `scanner`: the shares of the low-resolution picture's k-space that are measured.
        shape: Of `scanner`: of what is measured, "rectangular" or "elliptical".
        window: Of `scanner`: the taper, such as "cosine:0.4"; see `Acquisition`.

    Raises:
        UnfitImageError: An unknown method, a value out of range, or a setting of `scanner` with
            another method.
    """

    method: str = "thesis"
    scale: int = 4
    noise: float = 0.0
    seed: int = 0
    keep: tuple[float, float] = (1.0, 1.0)
    shape: str = "rectangular"
    window: str = "none"

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
        acquisition = self.acquisition  # Refuses what is out of range.
        if self.method != "scanner" and acquisition != Acquisition(noise=self.noise):
            raise UnfitImageError(
                f"keep, shape and window were given for the degradation {self.method!r}; they "
                "belong to scanner.",
                hint="Leave them out, or choose the method scanner.",
            )

    @property
    def acquisition(self) -> Acquisition:
        """How the low-resolution picture is acquired, as a scanner's settings."""
        return Acquisition(self.keep, self.shape, self.window, self.noise)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)

    def words(self) -> str:
        """Everything that repeats it, in one line."""
        acquired = ""
        if self.method == "scanner":
            kept = ",".join(map(_number, self.keep))
            acquired = f", keep {kept}, {self.shape}, window {self.window}"
        return (
            f"{self.method} degradation, scale {self.scale}{acquired}, "
            f"noise {_number(self.noise)}, seed {self.seed}"
        )

    def described(self) -> NDArray[np.float32]:
        """What a network is told of it: (DESCRIPTION,) numbers, most of them from -1 to 1.

        What is left of the frequencies along the rows' index and the columns', from zero to one and
        a half times the highest of the low-resolution pixels (what lies beyond is folded back by
        recipes that let it pass), in equal bins; whether k-space is elliptical; whether the noise
        came last; and the noise. None of it changes with the scale or offset of intensities.
        """
        frequency = (np.arange(_BINS * _SAMPLES) + 0.5) * (_HIGHEST / (_BINS * _SAMPLES))
        scanned = self.method in ("scanner", "kspace")
        if scanned:
            sides = [self.acquisition.axis_transfer(frequency, axis) for axis in (0, 1)]
        else:
            sides = [_axis_transfer(self.method, self.scale, frequency.tobytes())] * 2
        bins = [side.reshape(_BINS, _SAMPLES).mean(axis=1) * 2.0 - 1.0 for side in sides]
        rest = [
            float(self.shape == "elliptical"),
            float(not scanned),
            self.noise / _USUAL_NOISE - 1.0,
        ]
        return np.concatenate([*bins, rest]).astype(np.float32)

    def turned(self) -> Degradation:
        """The recipe of the same picture turned by a right angle."""
        return replace(self, keep=self.keep[::-1])

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
        """The linear part of the recipe: no noise, no magnitude.

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
        low = np.asarray(left @ image.astype(dtype, copy=False) @ right.T)
        if self.acquisition.transfer_is_one:
            return low
        window = self.acquisition.transfer(*low.shape[-2:]).astype(dtype)
        return np.fft.ifft2(np.fft.fft2(low) * window).real.astype(dtype)

    def measure(
        self, image: NDArray[Any], *, generator: np.random.Generator, range_: float = 1.0
    ) -> NDArray[Any]:
        """The low-resolution magnitude picture, with noise.

        Args:
            image: (row, column); a magnitude picture with air at zero, rows and columns divisible
                by the scale.
            generator: Source of the noise.
            range_: The tissue's range on the picture's scale, of which the noise is a share.
        """
        sigma = self.noise * range_
        if self.method == "scanner":
            low = Degradation("kspace", self.scale).apply(image)
            return measured(low, self.acquisition, sigma=sigma, generator=generator)
        low = self.apply(image)
        return add_rician_noise(low, sigma=sigma, generator=generator) if sigma else low


def random_scanner(generator: np.random.Generator, *, scale: int, varied: bool) -> Degradation:
    """A `scanner` recipe whose settings are drawn at random from what scanners do.

    Args:
        generator: Source of the settings.
        scale: Of the recipe.
        varied: False for the settings by which models are compared: 0.55 to 1 kept along each axis,
            a cosine taper over 0.1 to 1 of it (none in a quarter), noise up to 2.5 % (none in a
            fifth). True for training: some of these settings with another window, with elliptical
            k-space, and a tenth with all of k-space kept along an axis.
    """
    keep = generator.uniform(0.55, 1.0, 2)
    window = f"cosine:{generator.uniform(0.1, 1.0):.4f}" if generator.random() >= 0.25 else "none"
    noise = generator.uniform(0.0, 0.025) if generator.random() < 0.8 else 0.0
    shape = "rectangular"
    if varied:
        keep = np.where(generator.random(2) < 0.1, 1.0, generator.uniform(0.5, 1.0, 2))
        if generator.random() < 0.2:
            shape = "elliptical"
        other = generator.random()
        if other < 0.1:
            window = f"fermi:{generator.uniform(0.02, 0.12):.4f}"
        elif other < 0.15:
            window = "hamming"
    kept = (round(float(keep[0]), 4), round(float(keep[1]), 4))
    return Degradation("scanner", scale, round(noise, 5), 0, kept, shape, window)


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
    cine: Cine,
    *,
    method: str = "thesis",
    scale: int = 4,
    noise: float = 0.0,
    seed: int = 0,
    keep: tuple[float, float] = (1.0, 1.0),
    shape: str = "rectangular",
    window: str = "none",
) -> Cine:
    """Makes the low-resolution twin of a cine, frame by frame as it is read.

    Rows and columns that the scale does not divide are cut off at the end. Stored type, intensity
    scale and physical position stay.

    Args:
        cine: The high-resolution cine.
        method: One of `METHODS`.
        scale: Whole number from 2 to 8.
        noise: Receiver noise; standard deviation as a share of the cine's intensity range.
        seed: Of the noise; every frame draws its own from it.
        keep: Of the method `scanner`, as `shape` and `window`: see `Degradation`.
        shape: Of the k-space that is measured.
        window: The taper at its edge.

    Raises:
        UnfitImageError: A wrong method or setting; an image smaller than the scale, not finite, or
            constant.
    """
    from cinesr import __version__

    require_cine(cine)
    recipe = Degradation(method, scale, noise, seed, keep, shape, window)
    time, slices, rows, columns = cine.shape
    rows, columns = recipe.cropped_shape(rows, columns)
    rule = IntensityRule.of(cine)
    zero = min(0.0, rule.minimum)

    def read(time_index: int, slice_index: int) -> NDArray[Any]:
        frame = cine.frame(time_index, slice_index)[:rows, :columns]
        high = filled(frame, cine.padding, empty=zero).astype(np.float64) - zero
        generator = np.random.default_rng([recipe.seed, time_index, slice_index])
        low = recipe.measure(high, generator=generator, range_=rule.high - rule.low)
        return shrunk_back(cine.to_stored(low + zero, lowest=zero), frame, cine.padding)

    frames = LazyFrames((time, slices, rows // scale, columns // scale), cine.dtype, read)
    return cine.with_frames(
        frames,
        cine.geometry.downscaled(scale),
        Derivation(
            f"low resolution 1/{scale} ({method})", f"cinesr {__version__}: {recipe.words()}."
        ),
    )
