"""What a cine is: frames over time and slice, where they lie, when they were taken."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.acquisition import MeasuredMatrix
from cinesr.imaging.axes import arranged, axes_of, require_grey
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.padding import Padding, without_padding

Frame = NDArray[Any]


class LazyFrames:
    """Frames that are read or computed one at a time: memory does not grow with their number.

    Behaves as a read-only array of shape (time, slice, row, column) that is indexed by
    `[time, slice]`; `numpy.asarray` brings all of it into memory.

    Args:
        shape: (time, slice, row, column).
        dtype: Of every frame.
        read: Gives the frame (row, column) of a time and a slice index.
        read_all: Gives all of them in the order of files, slices fastest, where that is faster than
            one by one.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dtype: DTypeLike,
        read: Callable[[int, int], Frame],
        read_all: Callable[[], Iterator[Frame]] | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._read, self._read_all = read, read_all

    def __getitem__(self, index: tuple[int, int]) -> Frame:
        return self._checked(index, self._read(*index))

    def __iter__(self) -> Iterator[tuple[int, int, Frame]]:
        """Every frame as (time, slice, frame), slices fastest."""
        places = list(np.ndindex(self.shape[:2]))
        frames = self._read_all() if self._read_all else itertools.starmap(self._read, places)
        for (time, slice_index), frame in zip(places, frames, strict=True):
            yield time, slice_index, self._checked((time, slice_index), frame)

    def _checked(self, index: tuple[int, int], frame: Frame) -> Frame:
        if frame.shape != self.shape[2:] or frame.dtype != self.dtype:
            raise ValueError(
                f"frame {index} is {frame.shape} {frame.dtype}, not {self.shape[2:]} {self.dtype}"
            )
        return frame

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Frame:
        if copy is False:
            raise ValueError("frames that are read one at a time cannot be viewed without a copy")
        whole = np.empty(self.shape, self.dtype)
        for time, slice_index, frame in self:
            whole[time, slice_index] = frame
        return whole if dtype is None else whole.astype(dtype)


@dataclass(frozen=True)
class Derivation:
    """How an image was made from another, for the file formats that keep a record of it.

    Args:
        label: A few words for a list of series: "super-resolved x4".
        description: What was done, with tool, version, model, its sha256 and the scale.
    """

    label: str
    description: str


@dataclass(frozen=True, eq=False)
class Cine:
    """A moving image of a stack of slices. A still image is a cine of one frame.

    Args:
        frames: (time, slice, row, column), in the stored dtype; an array or `LazyFrames`.
        geometry: Where the voxels lie.
        times_ms: (time,); when each phase was taken, in milliseconds from the first; NaN where the
            file does not say, and by default.
        source: What the format's own writer needs to write the same kind of file back; its
            `description` is what the file says of itself, its `rescaling` slope and intercept.
        name: Of the file or series, for messages and output names.
        value_range: Lowest and highest value that may be stored (BitsStored can be fewer than the
            dtype holds). Taken from the dtype where not given.
        derivation: How the image was made, where it is not an original.
        notes: What was noticed while reading: what was dropped, joined or assumed.
        padding: Stored values that fill the rectangle and are no picture; None where the file names
            none.
        measured: What the file says of the k-space behind its pictures; None where it says nothing.
    """

    frames: NDArray[Any] | LazyFrames
    geometry: Geometry
    times_ms: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    source: Any = None
    name: str = "cine"
    value_range: tuple[float, float] | None = None
    derivation: Derivation | None = None
    notes: tuple[str, ...] = ()
    padding: Padding | None = None
    measured: MeasuredMatrix | None = None

    def __post_init__(self) -> None:
        if len(self.frames.shape) != 4:
            raise ValueError(f"frames are (time, slice, row, column), not {self.frames.shape}")
        if self.geometry.slices != self.frames.shape[1]:
            raise ValueError(
                f"{self.frames.shape[1]} slices with the geometry of {self.geometry.slices}"
            )
        times = np.asarray(self.times_ms, dtype=np.float64)
        if not times.size:
            times = np.full(self.frames.shape[0], np.nan)
        if times.shape != self.frames.shape[:1]:
            raise ValueError(f"{self.frames.shape[0]} phases with {times.shape} times")
        object.__setattr__(self, "times_ms", times)
        if self.value_range is None:
            object.__setattr__(self, "value_range", _dtype_range(self.frames.dtype))

    @classmethod
    def from_array(
        cls,
        array: ArrayLike,
        *,
        axes: str | None = None,
        spacing_mm: float | tuple[float, float] | None = None,
        slice_spacing_mm: float = 1.0,
        times_ms: ArrayLike | None = None,
        name: str = "array",
    ) -> Cine:
        """A cine of an array that some other program read.

        Args:
            array: Whole numbers or floats: (row, column), (time, row, column) or
                (time, slice, row, column), or as `axes` says. It is not copied.
            axes: What the axes are, by letter in the array's order, such as "yxt" for an array of
                (row, column, time): t time, z slice, y row, x column.
            spacing_mm: Pixel spacing, (row, column) or one number for both; taken for unknown, and
                for 1 mm, where not given.
            slice_spacing_mm: From one slice to the next.
            times_ms: (time,); when each phase was taken.
            name: For messages and output names.

        Raises:
            UnfitImageError: Values that are no grey picture, axes that are not clear, or numbers of
                millimetres or times that make no sense.
        """
        values = np.asarray(array)
        require_grey(values.dtype, name=name)
        frames = arranged(values, axes_of(values.shape, name=name, axes=axes))
        geometry = replace(
            Geometry.assumed(),
            positions_mm=_millimetres(slice_spacing_mm, 1, "slice_spacing_mm")[0]
            * np.arange(frames.shape[1])[:, None]
            * [0.0, 0.0, 1.0],
            spacing_mm=(1.0, 1.0, float(slice_spacing_mm)),
        )
        if spacing_mm is not None:
            geometry = geometry.with_in_plane_spacing(*_millimetres(spacing_mm, 2, "spacing_mm"))
        times = np.empty(0) if times_ms is None else np.asarray(times_ms, dtype=np.float64)
        if times_ms is not None and times.shape != frames.shape[:1]:
            raise UnfitImageError(
                f"{name}: times_ms has the shape {times.shape}; expected one for each of the "
                f"{frames.shape[0]} phases."
            )
        return cls(np.asarray(frames, frames.dtype.newbyteorder("=")), geometry, times, name=name)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(time, slice, row, column)."""
        time, slices, rows, columns = self.frames.shape
        return time, slices, rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored frames."""
        return self.frames.dtype

    @property
    def rescaling(self) -> tuple[float, float]:
        """Slope and intercept that make real values of stored ones; 1 and 0 where none are told."""
        slope, intercept = getattr(self.source, "rescaling", (1.0, 0.0))
        return float(slope), float(intercept)

    def frame(self, time: int, slice_index: int) -> Frame:
        """One frame, (row, column), in the stored dtype."""
        return np.asarray(self.frames[time, slice_index])

    def real_frame(self, time: int, slice_index: int) -> NDArray[np.float64]:
        """One frame in real values: slope and intercept applied, float64.

        Raises:
            UnfitImageError: The frame holds NaN or Inf.
        """
        require_grey(self.dtype, name=self.name)
        frame = self.frame(time, slice_index)
        self.require_finite(frame, time, slice_index)
        slope, intercept = self.rescaling
        return frame.astype(np.float64) * slope + intercept

    def iter_frames(self) -> Iterator[tuple[int, int, Frame]]:
        """Every frame as (time, slice, frame), slices fastest: the order in which files go."""
        if isinstance(self.frames, LazyFrames):
            yield from self.frames
            return
        for time, slice_index in np.ndindex(self.shape[:2]):
            yield time, slice_index, self.frame(time, slice_index)

    def require_finite(self, frame: Frame, time: int, slice_index: int) -> None:
        """Refuses a frame of this cine that is no picture.

        Raises:
            UnfitImageError: The frame holds NaN or Inf.
        """
        if not np.isfinite(frame).all():
            raise UnfitImageError(
                f"{self.name}: the frame at phase {time}, slice {slice_index} holds "
                f"{int((~np.isfinite(frame)).sum())} values that are NaN or infinite; "
                "every pixel must be a finite number.",
                hint="Replace them first, for example with numpy.nan_to_num.",
            )

    def with_frames(
        self, frames: NDArray[Any] | LazyFrames, geometry: Geometry, derivation: Derivation
    ) -> Cine:
        """The same cine with other pixels on another grid, as a derived image."""
        return replace(self, frames=frames, geometry=geometry, derivation=derivation, measured=None)

    def in_memory(self) -> Cine:
        """The same cine with all frames read."""
        return replace(self, frames=np.asarray(self.frames))

    def to_stored(self, values: NDArray[np.floating[Any]], *, lowest: float | None = None) -> Frame:
        """Brings computed values back to the stored dtype: clipped once, rounded once.

        Args:
            values: Any shape, on the scale of the stored values.
            lowest: A lower bound within the stored range: 0 for a signed magnitude image.
        """
        low, high = self.value_range or _dtype_range(self.dtype)
        if np.issubdtype(self.dtype, np.floating):
            # What is beyond the largest number of the type would become infinite.
            info = np.finfo(self.dtype)
            low, high = max(low, float(info.min)), min(high, float(info.max))
        clipped = np.clip(values, low if lowest is None else max(low, lowest), high)
        if np.issubdtype(self.dtype, np.integer):
            clipped = np.rint(clipped)
        stored: Frame = clipped.astype(self.dtype)
        return stored


def _millimetres(value: float | tuple[float, float], count: int, what: str) -> list[float]:
    try:
        numbers = [float(number) for number in np.broadcast_to(value, count)]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(np.isfinite(number) and number > 0 for number in numbers):
        raise UnfitImageError(
            f"{what} is {value!r}; expected {'one number' if count == 1 else 'one or two numbers'} "
            "of millimetres, above 0."
        )
    return numbers


def require_cine(thing: Any) -> None:
    """Refuses what a user hands over in the place of a cine, and says how to make one of it.

    Raises:
        UnfitImageError: It is no cine.
    """
    if isinstance(thing, Cine):
        return
    what, hint = f"a {type(thing).__name__}", "Read a scan with cinesr.load, which gives a Cine."
    if isinstance(thing, str | Path):
        what, hint = f"the path {str(thing)!r}", f"Read it first: cinesr.load({str(thing)!r})."
    elif isinstance(thing, list | tuple) and thing and all(isinstance(it, Cine) for it in thing):
        what, hint = f"{len(thing)} cines", "Hand them over one by one."
    elif hasattr(thing, "shape") and hasattr(thing, "dtype"):
        what = f"an array of shape {tuple(thing.shape)}"
        hint = "Make a cine of it: cinesr.Cine.from_array(array, spacing_mm=(1.4, 1.4))."
    raise UnfitImageError(f"Expected a Cine, and {what} came.", hint=hint)


def _dtype_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        high = float(info.max)
        # The largest 64-bit whole numbers have no float64 of their own: the next one down has.
        return float(info.min), high if high <= info.max else float(np.nextafter(high, 0))
    return -np.inf, np.inf


def _roomy(frame: Frame) -> Frame:
    """Numbers whose differences fit their type: numpy's percentile takes them in it."""
    has_room = frame.dtype.kind == "u" or frame.dtype.name in ("float32", "float64")
    return frame if has_room else frame.astype(np.float64)


@dataclass(frozen=True)
class IntensityRule:
    """The one linear map between a cine's stored values and what a network sees, about [0, 1].

    One rule serves the whole cine, so that neither slices nor phases flicker, and its inverse
    brings the stored scale back.

    Args:
        low: Stored value that becomes 0.
        high: Stored value that becomes 1.
        minimum: Smallest stored value of the cine.
        maximum: Largest stored value of the cine.
    """

    low: float
    high: float
    minimum: float
    maximum: float

    PERCENTILE = 99.9
    """A few bright pixels (flow, spikes) must not squeeze the tissue into a part of the range."""

    @classmethod
    def of(cls, cine: Cine) -> IntensityRule:
        """Measures the rule in one pass over the frames.

        Raises:
            UnfitImageError: A frame holds NaN or Inf, the whole cine is one constant value, or its
                values are of a kind that is no picture.
        """
        require_grey(cine.dtype, name=cine.name)
        minimum, maximum, high = np.inf, -np.inf, -np.inf
        for time, slice_index, frame in cine.iter_frames():
            cine.require_finite(frame, time, slice_index)
            frame = without_padding(frame, cine.padding)
            if not frame.size:
                continue
            minimum = min(minimum, float(frame.min()))
            maximum = max(maximum, float(frame.max()))
            high = max(high, float(np.percentile(_roomy(frame), cls.PERCENTILE)))
        if maximum <= minimum:
            value = f"{minimum:g}" if np.isfinite(minimum) else "padding"
            raise UnfitImageError(
                f"{cine.name}: every pixel of the image is {value}; expected a picture.",
                hint="Check that the export of the scan was complete.",
            )
        if high <= minimum:
            high = maximum
        return cls(low=minimum, high=high, minimum=minimum, maximum=maximum)

    def apply(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Stored values to the network's scale, float32."""
        scaled = (np.asarray(stored, dtype=np.float64) - self.low) / (self.high - self.low)
        return scaled.astype(np.float32)

    def invert(self, scaled: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The network's scale back to stored values, float64, neither clipped nor rounded."""
        return np.asarray(scaled, dtype=np.float64) * (self.high - self.low) + self.low
