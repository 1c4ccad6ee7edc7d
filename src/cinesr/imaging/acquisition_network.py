"""The small network that reads an acquisition from the features of a spectrum, in numpy alone.

Its numbers travel in the package, `acquisition_reader.npz`; `experiments/acquisition_reader.py`
trained it. Each of a picture's axes is looked at by the same network, with the other one at hand:
convolutions along the profiles find where the spectrum falls, dense layers see everything else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.imaging.spectral_features import BINS, CHANNELS

METHODS = ("scanner", "thesis", "johnson", "bicubic", "hamming")
"""What low resolution may come from; `kspace` is a scanner that keeps everything. A scanner with a
Hamming window stands by itself, because that does not fall to nothing as a cosine does: whoever
undoes the one where the other was is wrong twelvefold at the edge."""
CENTRES = {"keep": (0.8, 5.0), "taper": (0.4, 2.5), "noise": (0.01, 80.0)}
"""Of each number that is read: what the network calls 0, and how many of its steps make 1."""
WIDEST = 6.0
"""Features further than this many standard deviations from usual ones are taken for that far."""
MOST_STRANGE = 0.2
"""Share of the features that may lie further: five times that of any example it learned from."""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """What the network says of some pictures.

    Args:
        keep: Shares of k-space, for rows and columns.
        taper: Width of the cosine taper; about 0 for none.
        noise: As a share of the pictures' range, before the window.
        ellipse: Probability that k-space is elliptical.
        methods: Probability of each of `METHODS`.
    """

    keep: tuple[float, float]
    taper: float
    noise: float
    ellipse: float
    methods: dict[str, float]

    @property
    def method(self) -> str:
        """The likeliest of them."""
        return max(self.methods, key=lambda name: self.methods[name])


def read(features: Values) -> Reading | None:
    """Reads the acquisition; None where the pictures are like none that the network learned from.

    Args:
        features: (2, features), as `spectral_features.features` gives them.
    """
    numbers = _numbers()
    if np.mean(np.abs(_usual(numbers, features)) > WIDEST) > MOST_STRANGE:
        return None
    outputs = _outputs(numbers, features).astype(np.float64)
    keep = outputs[:, 0] / CENTRES["keep"][1] + CENTRES["keep"][0]
    taper, noise, ellipse, *methods = outputs[:, 1:].mean(axis=0)
    shares = np.exp(np.array(methods) - max(methods))
    shares /= shares.sum()
    return Reading(
        (float(keep[0]), float(keep[1])),
        float(taper / CENTRES["taper"][1] + CENTRES["taper"][0]),
        float(noise / CENTRES["noise"][1] + CENTRES["noise"][0]),
        float(1.0 / (1.0 + np.exp(-ellipse))),
        dict(zip(METHODS, map(float, shares), strict=True)),
    )


@cache
def reader_digest() -> str:
    """sha256 of the network's numbers, for whatever depends on what it reads."""
    return hashlib.sha256(_stored()).hexdigest()


def _stored() -> bytes:
    return files("cinesr.imaging").joinpath("acquisition_reader.npz").read_bytes()


@cache
def _numbers() -> dict[str, Values]:
    with np.load(BytesIO(_stored())) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _usual(numbers: dict[str, Values], features: Values) -> Values:
    """Features in standard deviations from usual ones."""
    return np.asarray((features - numbers["mean"]) / numbers["spread"])


def _outputs(numbers: dict[str, Values], features: Values) -> Values:
    """The last layer's (axes, 9): keep; taper; noise; ellipse; methods."""

    def dense(name: str, x: Values) -> Values:
        return np.asarray(x @ numbers[f"{name}.weight"].T + numbers[f"{name}.bias"])

    def convolution(name: str, x: Values) -> Values:
        weight = numbers[f"{name}.weight"]
        reach = weight.shape[2] // 2
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2], axis=2)
        result = np.einsum("bilk,oik->bol", windows, weight)
        return np.asarray(result + numbers[f"{name}.bias"][:, None])

    x = np.clip(_usual(numbers, features), -WIDEST, WIDEST)
    profiles = x[:, : CHANNELS * BINS].reshape(-1, CHANNELS, BINS)
    context = _positive(dense("context2", _positive(dense("context1", x))))
    gain, shift = np.split(dense("film", context)[:, :, None], 2, axis=1)
    seen = _positive(convolution("conv1", profiles))
    seen = convolution("conv2", seen) * (1.0 + gain) + shift + numbers["position"]
    seen = _positive(convolution("conv3", _positive(seen)))
    where = _softmax(convolution("edge", seen)[:, 0])
    grid = ((np.arange(BINS) + 0.5) / BINS).astype(np.float32)
    place = (where * grid).sum(axis=1, keepdims=True)
    spread = (where * (grid - place) ** 2).sum(axis=1, keepdims=True)
    at_edge = (seen * where[:, None]).sum(axis=2)
    parts = [context, seen.mean(axis=2), at_edge, place * 4.0 - 3.0, spread * 50.0]
    result = dense("head2", _positive(dense("head1", np.concatenate(parts, axis=1))))
    result[:, :1] += (place - CENTRES["keep"][0]) * CENTRES["keep"][1]
    return result


def _positive(x: Values) -> Values:
    return np.maximum(x, 0)


def _softmax(x: Any) -> Values:
    shares = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
