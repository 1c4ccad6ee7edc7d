"""Each fast layer is the plain one that it stands for: values, gradients, borders, any backend."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as plain

from cinesr.learning import kernels
from cinesr.learning.layers import (
    BatchNormalization,
    Convolution,
    DifferenceConvolution,
    EdgePadding,
    MaxPooling,
    NearestConvolution,
    PixelShuffle,
    Rescaling,
    TransposedConvolution,
    WideConvolution,
)
from helpers.backends import repeat_on_torch

Layer = keras.layers.Layer
Arrays = list[np.ndarray]

SIZES = ((1, 1), (5, 7))


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def array(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def traced(layer: Any, images: np.ndarray, **options: Any) -> tuple[np.ndarray, Arrays]:
    """Outputs, and gradients of a random linear functional of them.

    Those of the images come first, then the trainable weights', then the statistics as they are
    left behind.
    """

    def direction(outputs: Any) -> np.ndarray:
        return pixels(*outputs.shape, seed=9)

    if keras.backend.backend() == "torch":
        import torch

        inputs = torch.tensor(images, requires_grad=True)
        outputs = layer(inputs, **options)
        (outputs * torch.tensor(direction(outputs))).sum().backward()
        slopes = [inputs.grad, *(weight.value.grad for weight in layer.trainable_variables)]
        left = [weight.value for weight in layer.non_trainable_variables]
        return array(outputs), [array(it) for it in (*slopes, *left)]
    import jax

    def functional(weights: Any, images: Any, statistics: Any) -> Any:
        outputs, left = layer.stateless_call(weights, statistics, images, **options)
        return (outputs * direction(outputs)).sum(), (outputs, left)

    weights, statistics = (
        [weight.value for weight in group]
        for group in (layer.trainable_variables, layer.non_trainable_variables)
    )
    slopes, (outputs, left) = jax.jit(jax.grad(functional, (0, 1), has_aux=True))(
        weights, images, statistics
    )
    return array(outputs), [array(it) for it in (slopes[1], *slopes[0], *left)]


def stands_for(ours: Layer, theirs: Layer, images: np.ndarray, **options: Any) -> None:
    """Gives our layer the weights of theirs, random ones, and compares all that can be seen."""
    theirs.build(images.shape)
    ours.build(images.shape)
    weights = [
        pixels(*weight.shape, seed=seed) for seed, weight in enumerate(theirs.get_weights(), 3)
    ]
    for layer in (ours, theirs):
        layer.set_weights(weights)
    compare(traced(ours, images, **options), traced(theirs, images, **options))
    assert ours.compute_output_shape(images.shape) == theirs.compute_output_shape(images.shape)


def compare(
    found: tuple[np.ndarray, Arrays],
    expected: tuple[np.ndarray, Arrays],
    *,
    tolerance: float = 2e-5,
) -> None:
    assert len(found[1]) == len(expected[1])
    for ours, theirs in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
        assert ours.shape == theirs.shape
        assert ours == pytest.approx(theirs, abs=tolerance * max(1.0, float(np.abs(theirs).max())))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("taps", "options"),
    [
        (3, {"padding": "same", "activation": "relu"}),
        (1, {"padding": "same", "use_bias": False}),
        (9, {"padding": "same"}),
        ((3, 5), {"padding": "same"}),
    ],
)
def test_a_convolution(size: tuple[int, int], taps: Any, options: dict[str, Any]) -> None:
    ours, theirs = Convolution(3, taps, **options), plain.Conv2D(3, taps, **options)
    stands_for(ours, theirs, pixels(2, *size, 2))


def test_a_convolution_without_padding() -> None:
    stands_for(Convolution(3, (3, 5)), plain.Conv2D(3, (3, 5)), pixels(2, 6, 7, 2))


@pytest.mark.parametrize("on_gpu", [False, True], ids=["processor", "gpu"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("taps", "scale"), [(4, 2), (3, 3), (6, 2), (2, 2)])
def test_a_transposed_convolution(
    size: tuple[int, int], taps: int, scale: int, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "trains_on_gpu", lambda: on_gpu)
    options = {"strides": scale, "padding": "same"}
    images = pixels(2, *size, 2)
    ours = TransposedConvolution(3, taps, **options)
    if keras.backend.backend() == "jax":
        stands_for(ours, plain.Conv2DTranspose(3, taps, **options), images)
    else:  # Keras's own is not the same on all backends.
        ours.build(images.shape)
    # By hand, each input pixel spreads its kernel.
    kernel, bias = (pixels(*weight.shape) for weight in ours.get_weights())
    ours.set_weights([kernel, bias])
    rows, columns = (length * scale for length in size)
    margin = (taps - scale) // 2
    spread = np.zeros((2, rows + 2 * margin, columns + 2 * margin, 3))
    for row, column in np.ndindex(size):
        at = np.s_[:, row * scale :, column * scale :]
        spread[at][:, :taps, :taps] += np.einsum("bi,rcoi->brco", images[:, row, column], kernel)
    expected = spread[:, margin : margin + rows, margin : margin + columns] + bias
    assert array(ours(images)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [2, 3])
def test_nearest_neighbour_interpolation_and_a_convolution(
    size: tuple[int, int], scale: int
) -> None:
    two = keras.Sequential(
        [
            plain.UpSampling2D(scale, interpolation="nearest"),
            plain.Conv2D(3, 3, padding="same"),
        ]
    )
    stands_for(NearestConvolution(3, scale), two, pixels(2, *size, 2))


@pytest.mark.parametrize("blocks", [(1, 1), (3, 2)])
@pytest.mark.parametrize(("taps", "block"), [(9, 2), (9, 3), (3, 4)])
def test_a_convolution_to_one_channel(blocks: tuple[int, int], taps: int, block: int) -> None:
    images = pixels(2, *(block * length for length in blocks), 3)
    stands_for(WideConvolution(taps, block), plain.Conv2D(1, taps, padding="same"), images)


@pytest.mark.parametrize("size", [(2, 2), (5, 7), (6, 3)])
def test_max_pooling(size: tuple[int, int]) -> None:
    stands_for(MaxPooling(), plain.MaxPooling2D(), pixels(2, *size, 3))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
def test_batch_normalization(training: bool, trainable: bool) -> None:
    images = 3 * pixels(2, 5, 7, 3) + 2
    ours, theirs = BatchNormalization(momentum=0.9), plain.BatchNormalization(momentum=0.9)
    for layer in (ours, theirs):
        layer.build(images.shape)
        layer.set_weights([np.abs(pixels(3, seed=seed)) + 0.5 for seed in range(4)])
        layer.trainable = trainable
    found, expected = (traced(layer, images, training=training) for layer in (ours, theirs))
    compare(found, expected, tolerance=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_difference_convolution_sees_no_level(padding: str) -> None:
    options = {"padding": padding, "use_bias": False}
    images = pixels(2, 6, 7, 2)
    ours, theirs = DifferenceConvolution(3, 5, **options), plain.Conv2D(3, 5, **options)
    ours.build(images.shape)
    theirs.build(images.shape)
    (kernel,) = (pixels(*weight.shape) for weight in ours.get_weights())
    ours.set_weights([kernel])
    theirs.set_weights([kernel - kernel.mean(axis=(0, 1))])
    assert array(ours.effective_kernel()).sum(axis=(0, 1)) == pytest.approx(
        np.zeros((2, 3)), abs=1e-5
    )
    outputs, (images_slope, kernel_slope) = traced(theirs, images)
    # What moves all taps of a kernel alike moves nothing.
    kernel_slope = kernel_slope - kernel_slope.mean(axis=(0, 1))
    compare(traced(ours, images), (outputs, [images_slope, kernel_slope]))
    if padding == "valid":
        level = np.full((1, 5, 5, 2), 1000, np.float32)
        assert array(ours(level)) == pytest.approx(np.zeros((1, 1, 1, 3)), abs=1e-2)


MIXED: list[Callable[..., Layer]] = [
    lambda **options: Convolution(8, 3, padding="same", **options),
    lambda **options: TransposedConvolution(8, 4, strides=2, padding="same", **options),
    lambda **options: NearestConvolution(8, 2, **options),
    lambda **options: WideConvolution(9, 2, **options),
    lambda **options: BatchNormalization(**options),
    lambda **options: MaxPooling(**options),
]


@pytest.mark.parametrize("make", MIXED)
def test_mixed_precision_is_the_same_to_its_rounding(make: Callable[..., Layer]) -> None:
    images = pixels(2, 6, 8, 4)
    single, mixed = make(dtype="float32"), make(dtype="mixed_bfloat16")
    for layer in (single, mixed):
        layer.build(images.shape)
    mixed.set_weights(single.get_weights())
    options = {"training": True} if isinstance(single, BatchNormalization) else {}
    expected, found = single(images, **options), mixed(images, **options)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert {weight.dtype for weight in mixed.weights} <= {"float32"}
    found, expected = array(keras.ops.cast(found, "float32")), array(expected)
    # Eight bits, rounded a few times on the way.
    assert found == pytest.approx(expected, abs=0.02 * float(np.ptp(expected)))
    for ours, theirs in zip(mixed.get_weights(), single.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=0.02)


def test_pixel_shuffle_known_answer() -> None:
    numbers = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
    layer = PixelShuffle(2)
    assert array(layer(numbers))[0, ..., 0].tolist() == [
        [0, 1, 4, 5, 8, 9],
        [2, 3, 6, 7, 10, 11],
        [12, 13, 16, 17, 20, 21],
        [14, 15, 18, 19, 22, 23],
    ]
    assert layer.compute_output_shape((None, 2, None, 4)) == (None, 4, None, 1)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_edge_padding_equals_numpy(size: int) -> None:
    images = pixels(2, 3, 4, 2)
    layer = EdgePadding(size)
    widths = ((0, 0), (size, size), (size, size), (0, 0))
    assert np.array_equal(array(layer(images)), np.pad(images, widths, mode="edge"))
    assert layer.compute_output_shape((2, None, 4, 1)) == (2, None, 4 + 2 * size, 1)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_rescaling_equals_kerass_own(offset: float) -> None:
    images = pixels(2, 3, 4, 2)
    ours, theirs = Rescaling(0.2, offset)(images), plain.Rescaling(0.2, offset)(images)
    assert array(ours) == pytest.approx(array(theirs), abs=1e-7)
    assert array(ours) == pytest.approx(0.2 * images + offset, abs=1e-6)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (NearestConvolution(5, 3), (2, None, 12, 5)),
        (WideConvolution(9, 2), (2, None, 4, 1)),
        (PixelShuffle(2), (2, None, 8, 1)),
        (EdgePadding(3), (2, None, 10, 4)),
        (MaxPooling(), (2, None, 2, 4)),
        (Convolution(6, 3, padding="same"), (2, None, 4, 6)),
        (DifferenceConvolution(6, 3, use_bias=False), (2, None, 2, 6)),
        (TransposedConvolution(6, 4, strides=2, padding="same"), (2, None, 8, 6)),
        (BatchNormalization(), (2, None, 4, 4)),
        (Rescaling(0.2), (2, None, 4, 4)),
    ],
    ids=lambda it: type(it).__name__,
)
def test_layers_tell_their_shape_and_are_rebuilt_from_their_configuration(
    layer: Layer, expected: tuple[int | None, ...]
) -> None:
    assert tuple(layer.compute_output_shape((2, None, 4, 4))) == expected
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def test_all_of_this_holds_on_torch() -> None:
    repeat_on_torch(__file__)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Convolution(4, 3, strides=2), r"strides = \(1, 1\) alone, not \(2, 2\)"),
        (lambda: Convolution(4, 3, dilation_rate=2), "dilation_rate"),
        (lambda: Convolution(4, 3, groups=2), "groups = 1 alone, not 2"),
        (lambda: Convolution(4, 4), r"odd kernels alone, not \(4, 4\)"),
        (lambda: Convolution(4, 3, data_format="channels_first"), "data_format"),
        (lambda: DifferenceConvolution(4, 3), "use_bias = False alone"),
        (lambda: DifferenceConvolution(4, 3, use_bias=False, activation="relu"), "activation"),
        (lambda: MaxPooling(3), r"pool_size = \(2, 2\) alone, not \(3, 3\)"),
        (lambda: MaxPooling(2, strides=1), "strides"),
        (lambda: MaxPooling(2, padding="same"), "padding"),
        (lambda: TransposedConvolution(4, 4, strides=2), "padding = 'same' alone, not 'valid'"),
        (lambda: TransposedConvolution(4, 3, strides=2, padding="same"), "square kernels"),
        (
            lambda: TransposedConvolution(4, 4, strides=2, padding="same", activation="relu"),
            "activation",
        ),
        (lambda: BatchNormalization(scale=False), "scale = True alone, not False"),
        (lambda: BatchNormalization(axis=1), "axis = -1 alone"),
    ],
)
def test_what_a_fast_layer_has_not_is_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
