"""Runs a network on one slice after another, whole or in tiles that meet exactly."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cinesr.errors import ModelError
from cinesr.upscaling.catalogue import INPUT_NAME, Model

Image = NDArray[np.float32]

TILE = 256
"""Largest side of what goes through the network at once, without overlap, in input pixels: at 64
channels a layer of that size takes 17 MB."""


def available_cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Engine:
    """A network ready to run.

    Args:
        model: Which one.
        threads: Processor threads to use; all that this process may use where not given.
        tile: Largest side of what goes through the network at once, in input pixels.
    """

    def __init__(self, model: Model, *, threads: int | None = None, tile: int = TILE) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # What goes wrong is told by our own error.
        self.model = model
        self.threads = options.intra_op_num_threads
        self._tile = tile
        self._session = onnxruntime.InferenceSession(
            model.path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, image: NDArray[Any]) -> Image:
        """Upscales one slice.

        Every tile is cut with as many neighbouring pixels as the network looks at, so the result is
        that of the whole slice.

        Args:
            image: (row, column) on the network's scale, of any size.

        Returns:
            (scale * row, scale * column), float32, on the same scale.

        Raises:
            ModelError: The network fails on the image, or upscales by another factor than its card
                says.
        """
        rows, columns = image.shape
        # A slice that is hardly larger than a tile costs less whole than in pieces that overlap.
        if max(rows, columns) <= self._tile + 2 * self.model.receptive_field:
            return self._run_whole(image)
        scale = self.model.scale
        result = np.empty((rows * scale, columns * scale), np.float32)
        for row in range(0, rows, self._tile):
            for column in range(0, columns, self._tile):
                self._run_tile(image, (row, column), result)
        return result

    def _run_tile(self, image: NDArray[Any], corner: tuple[int, int], result: Image) -> None:
        scale, margin = self.model.scale, self.model.receptive_field
        inner = [
            (start, min(start + self._tile, size))
            for start, size in zip(corner, image.shape, strict=True)
        ]
        outer = [
            (max(start - margin, 0), min(end + margin, size))
            for (start, end), size in zip(inner, image.shape, strict=True)
        ]
        piece = self._run_whole(image[slice(*outer[0]), slice(*outer[1])])
        source, target = (
            tuple(
                slice((start - offset) * scale, (end - offset) * scale)
                for (start, end), offset in zip(inner, offsets, strict=True)
            )
            for offsets in ([low for low, _ in outer], [0, 0])
        )
        result[target] = piece[source]

    def _run_whole(self, image: NDArray[Any]) -> Image:
        batch = np.ascontiguousarray(image, dtype=np.float32)[None, None]
        rows, columns = (size * self.model.scale for size in image.shape)
        try:
            output = np.asarray(self._session.run(None, {INPUT_NAME: batch})[0])
        except Exception as error:  # onnxruntime's errors share no base class but this one.
            raise ModelError(
                f"{self.model.path}: fails on an image of {image.shape[1]} x {image.shape[0]} "
                f"pixels: {error}",
                hint="Choose another model with --model.",
            ) from error
        if output.shape != (1, 1, rows, columns):
            raise ModelError(
                f"{self.model.path}: makes {output.shape} of an image of {image.shape}; expected "
                f"{(1, 1, rows, columns)}, as its card says.",
                hint="Make the model anew with `cinesr export`.",
            )
        return np.asarray(output[0, 0], dtype=np.float32)
