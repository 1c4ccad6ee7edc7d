"""The network of `cinesr.imaging.acquisition_network` in torch, and its training."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from cinesr.imaging.acquisition_network import CENTRES, METHODS, WIDEST
from cinesr.imaging.spectral_features import BINS, CHANNELS

WIDTH = 24
BATCH = 128
RATE = 2e-3
DECAY = 0.01
JITTER = 0.05
"""Noise on the features, in their standard deviations: so that none is relied upon alone."""
Arrays = tuple[NDArray[Any], NDArray[Any]]


class Reader(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(CHANNELS, WIDTH, 5, padding=2)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
        self.conv3 = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
        self.edge = nn.Conv1d(WIDTH, 1, 1)
        self.context1, self.context2 = nn.Linear(features, 96), nn.Linear(96, 48)
        self.film = nn.Linear(48, 2 * WIDTH)
        self.position = nn.Parameter(torch.zeros(WIDTH, BINS))
        self.head1 = nn.Linear(48 + 2 * WIDTH + 2, 64)
        self.head2 = nn.Linear(64, 4 + len(METHODS))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, axes, features) to (batch, axes, 9), as the package's numpy does it."""
        both = x.reshape(-1, x.shape[-1])
        profiles = both[:, : CHANNELS * BINS].reshape(-1, CHANNELS, BINS)
        context = torch.relu(self.context2(torch.relu(self.context1(both))))
        gain, shift = self.film(context)[:, :, None].chunk(2, 1)
        seen = torch.relu(self.conv1(profiles))
        seen = torch.relu(self.conv2(seen) * (1 + gain) + shift + self.position)
        seen = torch.relu(self.conv3(seen))
        where = torch.softmax(self.edge(seen)[:, 0], 1)
        grid = (torch.arange(BINS) + 0.5) / BINS
        place = (where * grid).sum(1, keepdim=True)
        spread = (where * (grid - place) ** 2).sum(1, keepdim=True)
        at_edge = (seen * where[:, None]).sum(2)
        parts = [context, seen.mean(2), at_edge, place * 4 - 3, spread * 50]
        result = self.head2(torch.relu(self.head1(torch.cat(parts, 1))))
        keep = result[:, :1] + (place - CENTRES["keep"][0]) * CENTRES["keep"][1]
        return torch.cat([keep, result[:, 1:]], 1).reshape(*x.shape[:2], -1)


def losses(outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Mean absolute errors in the network's steps, and entropies.

    What was kept, and how, is asked of scanners alone, and a taper where the window is none but a
    cosine or near one; labels that are NaN are not known.
    """
    has_cosine = labels[:, 5] == METHODS.index("scanner")
    is_scanner = has_cosine | (labels[:, 5] == METHODS.index("hamming"))
    both = outputs[..., 1:].mean(1)

    def error(values: Tensor, name: str, true: Tensor, asked: Tensor) -> Tensor:
        centre, scale = CENTRES[name]
        asked = asked & ~true.isnan()
        distance = (values - (true.nan_to_num() - centre) * scale).abs()
        return (distance * asked).sum() / asked.sum().clamp(min=1)

    shape = labels[:, 4].nan_to_num()
    ellipse = functional.binary_cross_entropy_with_logits(both[:, 2], shape, reduction="none")
    asked = is_scanner & ~labels[:, 4].isnan()
    keep = [error(outputs[:, axis, 0], "keep", labels[:, axis], is_scanner) for axis in (0, 1)]
    return {
        "keep": (keep[0] + keep[1]) / 2,
        "taper": error(both[:, 0], "taper", labels[:, 2], has_cosine),
        "noise": error(both[:, 1], "noise", labels[:, 3], torch.ones_like(is_scanner)),
        "ellipse": (ellipse * asked).sum() / asked.sum().clamp(min=1),
        "method": functional.cross_entropy(both[:, 3:], labels[:, 5].long()),
    }


WEIGHTS = {"keep": 1.0, "taper": 1.0, "noise": 0.5, "ellipse": 0.1, "method": 0.2}


def train(examples: Arrays, validation: Arrays, path: Path, *, seed: int, epochs: int) -> None:
    """Trains, prints the errors on the validation people, and writes the package's file.

    Args:
        examples: Features (n, 2, features) and labels (n, 6).
        validation: As well; only looked at.
        path: The .npz that is written.
        seed: Of weights, order and jitter.
        epochs: Passes over the examples.
    """
    torch.manual_seed(seed)
    mean = examples[0].astype(np.float64).mean((0, 1)).astype(np.float32)
    spread = examples[0].astype(np.float64).std((0, 1)).astype(np.float32) + np.float32(1e-3)

    def tensors(arrays: Arrays) -> tuple[Tensor, Tensor]:
        x = np.clip((arrays[0].astype(np.float32) - mean) / spread, -WIDEST, WIDEST)
        return torch.from_numpy(x), torch.from_numpy(arrays[1].astype(np.float32))

    (x, labels), (held_x, held_labels) = tensors(examples), tensors(validation)
    network = Reader(x.shape[-1])
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    step, steps, started = 0, epochs * math.ceil(len(x) / BATCH), time.time()
    warm_up = max(1, min(200, steps // 10))
    for epoch in range(epochs):
        for chosen in torch.randperm(len(x)).split(BATCH):
            share = min(1.0, step / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = RATE * share
            batch = x[chosen]
            found = losses(network(batch + JITTER * torch.randn_like(batch)), labels[chosen])
            loss = sum(WEIGHTS[name] * value for name, value in found.items())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        if epoch % 5 == 4 or epoch == epochs - 1:
            with torch.no_grad():
                held = losses(network(held_x), held_labels)
            scales = {name: CENTRES[name][1] if name in CENTRES else 1.0 for name in held}
            words = ", ".join(f"{k} {float(v) / scales[k]:.4f}" for k, v in held.items())
            done = f"epoch {epoch + 1} of {epochs}, {time.time() - started:.0f} s"
            print(f"{done}: validation {words}", flush=True)
    arrays = {name: value.detach().numpy() for name, value in network.named_parameters()}
    arrays |= {"mean": mean, "spread": spread}
    np.savez_compressed(path, **{name: value.astype(np.float16) for name, value in arrays.items()})
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
