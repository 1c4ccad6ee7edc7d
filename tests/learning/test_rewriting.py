"""Each rewriting is the same function, at any size and at the borders, but for rounding."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesr.learning.layers import DifferenceConvolution, TransposedConvolution, WideConvolution
from cinesr.learning.rewriting import (
    fold_batch_norm,
    fold_factor,
    merge_bias,
    merge_mean,
    merge_nearest,
    merge_transposed,
    nearest_taps,
    share_products,
    split_wide,
    stride_wide,
    wide_phase,
)

LARGEST_DIFFERENCE = 1e-5
"""Of the range."""

seeds = st.integers(0, 10_000)
sides = st.integers(1, 9)


def randomly(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.normal(0, 1, shape).astype(np.float32)


def convolved(image: np.ndarray, kernel: np.ndarray, **options: object) -> np.ndarray:
    options = {"padding": "same"} | options
    return np.asarray(keras.ops.conv(image, kernel, **options))


def transposed(image: np.ndarray, kernel: np.ndarray, stride: int, cropped: int) -> np.ndarray:
    """By its definition: every pixel adds its kernel, `stride` apart; then the border is cut."""
    batch, rows, columns, _ = image.shape
    size, _, filters, _ = kernel.shape
    shape = (rows - 1) * stride + size, (columns - 1) * stride + size
    result = np.zeros((batch, *shape, filters))
    for row in range(rows):
        for column in range(columns):
            place = (
                slice(row * stride, row * stride + size),
                slice(column * stride, column * stride + size),
            )
            result[:, place[0], place[1]] += np.einsum(
                "ni,abmi->nabm", image[:, row, column].astype(np.float64), kernel
            )
    return result[:, cropped : shape[0] - cropped, cropped : shape[1] - cropped]


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    if expected.size:
        bound = LARGEST_DIFFERENCE * max(1.0, float(np.ptp(expected)))
        assert np.abs(found - expected).max() < bound


@settings(max_examples=10, deadline=None)
@given(seed=seeds, size=st.sampled_from([1, 3, 5]), rows=sides, columns=sides)
def test_a_folded_batch_norm_does_the_work_of_both(
    seed: int, size: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    kernel, bias = randomly(generator, size, size, 2, 3), randomly(generator, 3)
    norm = keras.layers.BatchNormalization(epsilon=float(generator.uniform(1e-5, 1e-2)))
    norm.build((None, rows, columns, 3))
    norm.set_weights(
        [
            generator.uniform(-2, 2, 3),
            generator.normal(0, 1, 3),
            generator.normal(0, 1, 3),
            generator.uniform(0.01, 4, 3),
        ]
    )
    image = randomly(generator, 1, rows, columns, 2)
    expected = np.asarray(norm(convolved(image, kernel) + bias, training=False))
    kernel, bias = fold_batch_norm(kernel, bias, norm)
    assert_same(convolved(image, kernel) + bias, expected)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, factor=st.floats(-3, 3), rows=sides, columns=sides)
def test_a_folded_factor_scales_kernel_and_bias(
    seed: int, factor: float, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    kernel, bias = randomly(generator, 3, 3, 2, 2), randomly(generator, 2)
    image = randomly(generator, 1, rows, columns, 2)
    expected = factor * (convolved(image, kernel) + bias)
    kernel, bias = fold_factor(kernel, bias, factor)
    assert_same(convolved(image, kernel) + bias, expected)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, rows=sides, columns=sides)
def test_a_merged_mean_is_what_the_difference_layer_computes(
    seed: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    layer = DifferenceConvolution(3, 5, padding="same", use_bias=False)
    image = randomly(generator, 1, rows, columns, 2)
    layer.build(image.shape)
    layer.set_weights([randomly(generator, 5, 5, 2, 3)])
    merged = merge_mean(layer.get_weights()[0])
    assert_same(convolved(image, merged), np.asarray(layer(image)))
    assert merged.sum(axis=(0, 1)) == pytest.approx(0, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, scale=st.integers(2, 4), rows=sides, columns=sides)
def test_a_merged_interpolation_is_interpolation_and_convolution(
    seed: int, scale: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    kernel = randomly(generator, 3, 3, 2, 3)
    image = randomly(generator, 1, rows, columns, 2)
    expected = convolved(image.repeat(scale, axis=1).repeat(scale, axis=2), kernel)
    assert_same(transposed(image, merge_nearest(kernel, scale), scale, 1), expected)


def test_at_scale_two_each_tap_of_the_merged_kernel_is_a_sum_of_taps() -> None:
    known = [[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert nearest_taps(2).tolist() == known


@settings(max_examples=20, deadline=None)
@given(seed=seeds, rows=sides, columns=sides)
def test_products_that_are_shared_are_interpolation_and_convolution(
    seed: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    kernel = randomly(generator, 3, 3, 2, 3)
    image = randomly(generator, 1, rows, columns, 2)
    expected = convolved(image.repeat(2, axis=1).repeat(2, axis=2), kernel)
    steps = np.diff(np.pad(image, [(0, 0), (1, 1), (0, 0), (0, 0)]), axis=1)
    for column in (0, 1):
        sides = [(0, 0), (0, 0), (1 - column, column), (0, 0)]
        whole, above, below = share_products(kernel, column)
        shared, even, odd = (
            convolved(np.pad(part, sides), taps, padding="valid")
            for part, taps in ((image, whole), (steps[:, :-1], above), (steps[:, 1:], below))
        )
        assert_same(shared + even, expected[:, 0::2, column::2])
        assert_same(shared + odd, expected[:, 1::2, column::2])


@settings(max_examples=20, deadline=None)
@given(seed=seeds, stride=st.sampled_from([2, 3]), rows=sides, columns=sides)
def test_a_merged_transposed_convolution_is_both_inside_the_frame(
    seed: int, stride: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    size = stride if stride % 2 else stride + 2
    first, second = randomly(generator, size, size, 2, 3), randomly(generator, 3, 3, 2, 4)
    bias, second_bias = randomly(generator, 2), randomly(generator, 4)
    image = randomly(generator, 1, rows, columns, 3)
    layer = TransposedConvolution(2, size, strides=stride, padding="same")
    layer.build(image.shape)
    layer.set_weights([first, bias])
    expected = convolved(np.asarray(layer(image)), second) + second_bias
    cropped = (size - stride) // 2 + 1
    merged = transposed(image, merge_transposed(first, second), stride, cropped)
    merged += merge_bias(bias, second, second_bias)
    inside = slice(None), slice(1, -1), slice(1, -1)
    assert_same(merged[inside], expected[inside])


def test_at_the_frame_a_merged_transposed_convolution_differs() -> None:
    """Otherwise the pixels of the frame would not have to be computed apart."""
    generator = np.random.default_rng(0)
    first, second = randomly(generator, 4, 4, 2, 2), randomly(generator, 3, 3, 2, 2)
    image = randomly(generator, 1, 4, 4, 2)
    both = convolved(transposed(image, first, 2, 1).astype(np.float32), second)
    merged = transposed(image, merge_transposed(first, second), 2, 2)
    assert np.abs(both - merged)[:, 0].max() > 0.1


@settings(max_examples=20, deadline=None)
@given(
    seed=seeds, size=st.sampled_from([3, 5, 9]), block=st.integers(2, 4), rows=sides, columns=sides
)
def test_a_strided_convolution_shuffled_is_the_wide_one(
    seed: int, size: int, block: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    kernel = randomly(generator, size, size, 2, 1)
    image = randomly(generator, 1, rows * block, columns * block, 2)
    margin = size // 2
    padded = np.pad(image, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    wide = stride_wide(kernel, block)
    blocks = convolved(padded, wide, strides=block, padding="valid")
    pixels = blocks.reshape(1, rows, columns, block, block).transpose(0, 1, 3, 2, 4)
    expected = convolved(image, kernel)
    assert_same(pixels.reshape(expected.shape), expected)
    layer = WideConvolution(size, block)
    layer.build(image.shape)
    layer.set_weights([kernel, np.zeros(1)])
    assert_same(pixels.reshape(expected.shape), np.asarray(layer(image)))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, size=st.sampled_from([1, 3, 5, 7, 9]), rows=sides, columns=sides)
def test_the_phases_of_a_strided_convolution_add_up_to_it(
    seed: int, size: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    wide = stride_wide(randomly(generator, size, size, 2, 1), 4)
    image = randomly(generator, 1, 4 * rows, 4 * columns, 2)
    margin = size // 2
    padded = np.pad(image, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    expected = convolved(padded, wide, strides=4, padding="valid")
    total = np.zeros_like(expected)
    for phase in np.ndindex(2, 2):
        kernel, (top, left, bottom, right) = wide_phase(wide, margin, phase)
        part = np.pad(
            image[:, phase[0] :: 2, phase[1] :: 2], [(0, 0), (top, bottom), (left, right), (0, 0)]
        )
        total += convolved(part, kernel, strides=2, padding="valid")
    assert_same(total, expected)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, size=st.sampled_from([3, 5, 9]), rows=sides, columns=sides)
def test_a_split_convolution_is_the_wide_one(seed: int, size: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    kernel = randomly(generator, size, size, 3, 1)
    image = randomly(generator, 1, rows, columns, 3)
    first, second = split_wide(kernel)
    assert_same(convolved(convolved(image, first), second), convolved(image, kernel))
