"""Runs a network on one slice after another, whole or in tiles that meet exactly."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from cinesr.cores import available_cores
from cinesr.degradation import Degradation
from cinesr.errors import ModelError, refuse_for_memory
from cinesr.upscaling.catalogue import TOLD_NAME, Model, is_whole_number
from cinesr.upscaling.runtime import openvino

Image = NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]

FEATURE_BYTES = 2**29
"""A tile is so large that what the network holds at once takes this much memory. Smaller tiles cost
time, because each is run with a margin as wide as the network looks."""
MOST_THREADS = 1024
MOST_SIZES = 2
"""Networks made ready for one image size each that are kept, each with the memory that it takes. A
study seldom has more sizes by turns, and making one ready anew takes a tenth of a second."""


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def most_bytes_held(graph: openvino.Model) -> int:
    """How much memory a network's values take at most, if each is kept until its last use.

    Args:
        graph: For one image size. Its weights do not count.
    """
    nodes = [
        node
        for node in graph.get_ordered_ops()
        if node.get_type_name() not in ("Constant", "Result")
    ]
    last_use = {
        source.get_source_output().get_node().get_friendly_name(): place
        for place, node in enumerate(nodes)
        for source in node.inputs()
    }
    freed = [0] * len(nodes)
    held = most = 0
    for place, node in enumerate(nodes):
        made = sum(output.get_tensor().size for output in node.outputs())
        freed[last_use.get(node.get_friendly_name(), place)] += made
        held += made
        most = max(most, held)
        held -= freed[place]
    return most


def _told(model: Model, recipe: Degradation | None) -> openvino.Model:
    """A model's network with what it is told as a constant, all that depends on it computed.

    Args:
        model: Which one.
        recipe: How its inputs were acquired; not asked for where the model is not told.
    """
    if not model.is_told or recipe is None:
        return model.graph
    graph = model.graph.clone()
    told = graph.input(TOLD_NAME).get_node()
    constant = openvino.opset13.constant(recipe.described()[None])
    told.output(0).replace(constant.output(0))
    graph.remove_parameter(told)
    graph.validate_nodes_and_infer_types()
    return graph


def _check_settings(threads: Any, precision: Any) -> None:
    if threads is not None and not (is_whole_number(threads) and 1 <= threads <= MOST_THREADS):
        raise ModelError(
            f"threads is {threads!r}; expected a whole number from 1 to {MOST_THREADS}.",
            hint="Leave it out to take all that this process may use.",
        )
    if precision not in get_args(Precision):
        raise ModelError(
            f"precision is {precision!r}; expected one of {', '.join(get_args(Precision))}."
        )


class _Tile(NamedTuple):
    """One axis of a tile: the pixels that it sees, which of its result is kept, and for where."""

    seen: slice
    kept: slice
    target: slice


class Engine:
    """A network ready to run. It may be used from several threads, which wait for one another.

    Args:
        model: Which one.
        threads: Processor threads to use; all that this process may use where not given.
        precision: Of the multiplications. bfloat16 is about twice as fast where the processor has
            it, and changes pixels, at hard edges by a tenth of the range.
        recipe: How its inputs were acquired, for a model that is told; `Degradation("kspace")`, all
            of k-space and no noise, where not given. It is folded into the kernels, so that it
            costs nothing per slice.
        tile: Largest side of what goes through the network at once, in input pixels; by default
            so large that it takes `FEATURE_BYTES`.

    Raises:
        ModelError: The threads or the precision are none that there are, or the processor cannot
            multiply in this precision.
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int | None = None,
        precision: Precision = "float32",
        recipe: Degradation | None = None,
        tile: int | None = None,
    ) -> None:
        _check_settings(threads, precision)
        if precision == "bfloat16" and not multiplies_bfloat16():
            raise ModelError(
                "This processor does not multiply in bfloat16.",
                hint="Leave out the precision: float32 runs everywhere, and is more exact.",
            )
        self.model = model
        self.threads = int(threads or available_cores())
        self.precision = precision
        self._core = openvino.Core()
        self._recipe = recipe
        if self._recipe is None and model.is_told:
            self._recipe = Degradation("kspace", model.scale)
        self._graph = _told(model, self._recipe)
        self._tile = tile or self._tile_side()
        self._requests: OrderedDict[tuple[int, int], openvino.InferRequest] = OrderedDict()
        self._lock = threading.Lock()

    def told(self, recipe: Degradation) -> Engine:
        """One whose inputs were acquired so; this one where that was known."""
        if not self.model.is_told or recipe == self._recipe:
            return self
        options: dict[str, Any] = {"threads": self.threads, "precision": self.precision}
        return Engine(self.model, recipe=recipe, tile=self._tile, **options)

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
        for row in self._tiles(rows):
            for column in self._tiles(columns):
                piece = self._run_whole(image[row.seen, column.seen])
                result[row.target, column.target] = piece[row.kept, column.kept]
        return result

    def _tiles(self, size: int) -> Iterator[_Tile]:
        """Cuts an axis into tiles that see equally many pixels: the network is made ready once."""
        scale, margin = self.model.scale, self.model.receptive_field
        count = -(-size // self._tile)
        length = -(-size // count)
        # The first and the last tile need a margin on one side only.
        seen = min(length + min(count - 1, 2) * margin, size)
        for start in range(0, size, length):
            end = min(start + length, size)
            first = min(max(start - margin, 0), size - seen)
            yield _Tile(
                slice(first, first + seen),
                slice((start - first) * scale, (end - first) * scale),
                slice(start * scale, end * scale),
            )

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
        """Input pixels per side at which the network holds `FEATURE_BYTES` at once."""
        side = 32
        graph = self._sized((side, side))
        with self._naming_failure((side, side)):
            bytes_per_pixel = max(most_bytes_held(graph), 1) / side**2
        return max(int(math.sqrt(FEATURE_BYTES / bytes_per_pixel)), 1)

    def _sized(self, size: tuple[int, int]) -> openvino.Model:
        """The network for one image size: nothing about shapes is left to run time."""
        graph = self._graph.clone()
        with self._naming_failure(size):
            graph.reshape([1, 1, *size])
        return graph

    @contextmanager
    def _naming_failure(self, size: tuple[int, int]) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
            refuse_for_memory(error)
            raise ModelError(
                f"{self.model.path}: fails on an image of {size[1]} x {size[0]} pixels: {error}",
                hint="Choose another model with --model.",
            ) from error
