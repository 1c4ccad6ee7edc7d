"""The engine gives what the network gives, whatever the size and the tiles."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesr.cores import available_cores
from cinesr.degradation import resize_bicubic
from cinesr.errors import ModelError
from cinesr.upscaling import engine as engines
from cinesr.upscaling.catalogue import find_model, read_model
from cinesr.upscaling.engine import Engine, most_bytes_held, multiplies_bfloat16
from cinesr.upscaling.runtime import openvino
from model_cases import CONV_REACH, card, write_model


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng([rows, columns]).random((rows, columns))


@pytest.fixture(scope="module")
def conv_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "conv.onnx"
    return write_model(path, "conv", scale=2, says=card(2, "conv", CONV_REACH))


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (7, 5), (64, 48), (33, 301)])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_any_size_and_scale_gives_the_known_answer(
    tmp_path: Path, size: tuple[int, int], scale: int
) -> None:
    engine = Engine(read_model(write_model(tmp_path / "m.onnx", scale=scale)), threads=1)
    image = noise(*size)
    expected = resize_bicubic(image, (size[0] * scale, size[1] * scale))
    result = engine.run(image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(2, 60), columns=st.integers(2, 60), tile=st.integers(1, 24))
def test_tiled_equals_untiled(conv_path: Path, rows: int, columns: int, tile: int) -> None:
    model, image = read_model(conv_path), noise(rows, columns)
    whole = Engine(model, threads=1, tile=10_000).run(image)
    tiled = Engine(model, threads=1, tile=tile).run(image)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


def test_tiles_need_the_whole_receptive_field(tmp_path: Path) -> None:
    """Otherwise the property above would hold for any margin and show nothing."""
    path = write_model(tmp_path / "m.onnx", "conv", scale=2, says=card(2, "m", CONV_REACH - 1))
    model, image = read_model(path), noise(40, 40)
    whole = Engine(model, threads=1).run(image)
    tiled = Engine(model, threads=1, tile=8).run(image)
    assert np.abs(tiled - whole).max() > 1e-2


def test_a_slice_whose_layers_take_too_much_memory_is_run_in_tiles(
    conv_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = read_model(conv_path), noise(90, 70)
    whole = Engine(model, threads=1)
    held_per_pixel = most_bytes_held(whole._sized((32, 32))) / 32**2
    monkeypatch.setattr(engines, "FEATURE_BYTES", held_per_pixel * 24.5**2)
    tiled = Engine(model, threads=1)
    np.testing.assert_allclose(tiled.run(image), whole.run(image), rtol=0, atol=1e-5)
    assert set(whole._requests) == {image.shape}
    # 4 by 3 tiles of at most 24 pixels, all as large, each with what lies around it.
    assert set(tiled._requests) == {(23 + 2 * CONV_REACH, 24 + 2 * CONV_REACH)}


def test_bytes_held_are_those_of_the_values_that_are_still_needed() -> None:
    pixels = openvino.op.Parameter(openvino.Type.f32, openvino.Shape([1, 1, 5, 3]))
    first = openvino.opset13.relu(pixels)
    second = openvino.opset13.exp(first)
    chain = openvino.Model([openvino.opset13.tanh(second)], [pixels])
    image = 4 * 5 * 3
    assert most_bytes_held(chain) == 2 * image
    fork = openvino.Model([openvino.opset13.add(openvino.opset13.tanh(second), first)], [pixels])
    assert most_bytes_held(fork) == 3 * image


def test_sizes_that_come_again_are_made_ready_once(conv_path: Path) -> None:
    engine = Engine(read_model(conv_path), threads=1)
    for size in range(2, 40):
        engine.run(noise(size, size))
    request = engine._requests[39, 39]
    engine.run(noise(39, 39))
    assert engine._requests[39, 39] is request
    assert len(engine._requests) <= engines.MOST_SIZES


def test_several_threads_share_an_engine(conv_path: Path) -> None:
    engine = Engine(read_model(conv_path), threads=1)
    images = [noise(20 + index % 3, 30) for index in range(24)]
    expected = [engine.run(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(engine.run, images), expected, strict=True):
            np.testing.assert_array_equal(found, right)


@pytest.mark.skipif(not multiplies_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_is_close_and_another_picture(tmp_path: Path) -> None:
    model, image = find_model("fidelity-x4"), noise(24, 24)
    exact, fast = (Engine(model, precision=it) for it in ("float32", "bfloat16"))
    difference = np.abs(exact.run(image) - fast.run(image)).max()
    assert 1e-5 < difference < 0.05
    assert (exact.precision, fast.precision) == ("float32", "bfloat16")


def test_a_processor_without_bfloat16_says_so(
    conv_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "multiplies_bfloat16", lambda: False)
    with pytest.raises(ModelError, match="does not multiply in bfloat16") as caught:
        Engine(read_model(conv_path), precision="bfloat16")
    assert "Leave out the precision" in caught.value.hint


def test_threads_are_as_asked_and_do_not_change_the_result(conv_path: Path) -> None:
    model, image = read_model(conv_path), noise(40, 30)
    assert Engine(model).threads == available_cores()
    assert Engine(model, threads=2).threads == 2
    np.testing.assert_allclose(
        Engine(model, threads=2).run(image), Engine(model, threads=1).run(image), atol=1e-6
    )


def test_a_network_that_does_not_do_what_its_card_says_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "liar.onnx", scale=2, says=card(4))
    with pytest.raises(ModelError, match=r"liar\.onnx: makes \(1, 1, 20, 24\) of an image of"):
        Engine(read_model(path), threads=1).run(noise(10, 12))


def test_a_network_that_fails_is_named(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    path = write_model(tmp_path / "bad.onnx", "large")
    with pytest.raises(ModelError, match=r"bad\.onnx: fails on an image of 12 x 10 pixels"):
        Engine(read_model(path), threads=1, tile=64).run(noise(10, 12))
    with pytest.raises(ModelError, match=r"bad\.onnx: fails on an image of 32 x 32 pixels"):
        Engine(read_model(path), threads=1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, 5000])
def test_threads_that_there_are_not_are_refused(conv_path: Path, threads) -> None:
    with pytest.raises(ModelError, match=r"threads is .*; expected a whole number from 1 to 1024"):
        Engine(read_model(conv_path), threads=threads)


@pytest.mark.parametrize("precision", ["float16", "fp32", None, 32])
def test_a_precision_that_there_is_not_is_refused(conv_path: Path, precision) -> None:
    with pytest.raises(ModelError, match=r"precision is .*; expected one of float32, bfloat16"):
        Engine(read_model(conv_path), precision=precision)


def test_numbers_of_numpy_are_numbers(conv_path: Path) -> None:
    assert Engine(read_model(conv_path), threads=np.int64(2)).threads == 2
    assert find_model(scale=np.int64(4)).scale == 4
    for scale in ("4", 4.0, True):
        with pytest.raises(ModelError, match="expected a whole number, such as 4"):
            find_model(scale=scale)
