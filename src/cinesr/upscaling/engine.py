"""Runs a network on one slice after another, whole or in tiles that meet exactly."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cinesr.cores import available_cores
from cinesr.errors import ModelError
from cinesr.upscaling.catalogue import Model
from cinesr.upscaling.runtime import openvino

Image = NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]

FEATURE_BYTES = 2**28
"""A tile is so large that the network's widest layer takes this much memory. Smaller tiles cost
time, because each is run with a margin as wide as the network looks."""
MOST_SIZES = 12
"""Networks made ready for one image size each that are kept: the tiles of a slice have up to 9."""


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


class Engine:
    """A network ready to run. It may be used from several threads, which wait for one another.

    Args:
        model: Which one.
        threads: Processor threads to use; all that this process may use where not given.
        precision: Of the multiplications. bfloat16 is about twice as fast where the processor has
            it, and changes pixels, at hard edges by a tenth of the range.
        tile: Largest side of what goes through the network at once, in input pixels; by default
            so large that a layer takes `FEATURE_BYTES`.

    Raises:
        ModelError: The processor cannot multiply in this precision.
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int | None = None,
        precision: Precision = "float32",
        tile: int | None = None,
    ) -> None:
        if precision == "bfloat16" and not multiplies_bfloat16():
            raise ModelError(
                "This processor does not multiply in bfloat16.",
                hint="Leave out the precision: float32 runs everywhere, and is more exact.",
            )
        self.model = model
        self.threads = threads or available_cores()
        self.precision = precision
        self._core = openvino.Core()
        self._tile = tile or self._tile_side()
        self._requests: OrderedDict[tuple[int, int], openvino.InferRequest] = OrderedDict()
        self._lock = threading.Lock()

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
        size = image.shape[0], image.shape[1]
        rows, columns = (length * self.model.scale for length in size)
        with self._lock, self._naming_failure(size):
            request = self._request(size)
            request.infer([batch], share_inputs=True)
            output = np.array(request.get_output_tensor().data)
        if output.shape != (1, 1, rows, columns):
            raise ModelError(
                f"{self.model.path}: makes {output.shape} of an image of {image.shape}; expected "
                f"{(1, 1, rows, columns)}, as its card says.",
                hint="Make the model anew with `cinesr export`.",
            )
        return np.asarray(output[0, 0], dtype=np.float32)

    def _request(self, size: tuple[int, int]) -> openvino.InferRequest:
        """The network compiled for one image size."""
        if size not in self._requests:
            compiled = self._core.compile_model(
                self._sized(size),
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": self.threads,
                    "NUM_STREAMS": 1,
                    "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
                    # Alone on its cores, a thread stays on one; others would be pinned to the same.
                    "ENABLE_CPU_PINNING": self.threads == available_cores(),
                },
            )
            self._requests[size] = compiled.create_infer_request()
            if len(self._requests) > MOST_SIZES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(size)
        return self._requests[size]

    def _tile_side(self) -> int:
        """Input pixels per side at which the widest layer takes `FEATURE_BYTES`."""
        side = 32
        nodes = self._sized((side, side)).get_ordered_ops()
        widest = max(math.prod(output.shape) for node in nodes for output in node.outputs())
        bytes_per_pixel = 4 * widest / side**2
        return max(int(math.sqrt(FEATURE_BYTES / bytes_per_pixel)), 1)

    def _sized(self, size: tuple[int, int]) -> openvino.Model:
        """The network for one image size: nothing about shapes is left to run time."""
        graph = self.model.graph.clone()
        with self._naming_failure(size):
            graph.reshape([1, 1, *size])
        return graph

    @contextmanager
    def _naming_failure(self, size: tuple[int, int]) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise ModelError(
                f"{self.model.path}: fails on an image of {size[1]} x {size[0]} pixels: {error}",
                hint="Choose another model with --model.",
            ) from error
