"""Results go into a card and change nothing else."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from cinesr.errors import ModelError
from cinesr.learning.stamp import stamp_results
from cinesr.upscaling.catalogue import read_model
from cinesr.upscaling.engine import Engine
from model_cases import card, write_model, write_model_without_card


def test_the_card_gains_results_and_the_network_stays(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", "conv", says=card(name="älter") | {"seed": 3})
    before, graph = read_model(path), onnx.load(path).graph.SerializeToString()
    image = np.random.default_rng(0).random((9, 7), dtype=np.float32)
    expected = Engine(before, threads=1).run(image)
    stamp_results(path, {"psnr": 1.0})
    stamp_results(path, {"psnr": 30.5, "people": ["a"]})
    after = read_model(path)
    assert after.card == before.card | {"results": {"psnr": 30.5, "people": ["a"]}}
    assert onnx.load(path).graph.SerializeToString() == graph
    np.testing.assert_array_equal(Engine(after, threads=1).run(image), expected)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]


def test_other_facts_in_the_file_stay(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.metadata_props.add(key="licence", value="CC0")
    onnx.save(model, path)
    stamp_results(path, {})
    assert {entry.key: entry.value for entry in onnx.load(path).metadata_props}["licence"] == "CC0"


def test_what_is_no_model_of_ours_is_refused_and_kept(tmp_path: Path) -> None:
    foreign = write_model_without_card(tmp_path / "foreign.onnx")
    words = tmp_path / "words.onnx"
    words.write_text("these are words")
    spoilt = write_model(tmp_path / "spoilt.onnx", says="{")
    for path, said in [
        (foreign, r"foreign\.onnx: is an ONNX file without a cinesr card"),
        (spoilt, r"spoilt\.onnx: is an ONNX file without a cinesr card"),
        (words, r"words\.onnx: is not an ONNX model"),
        (tmp_path / "none.onnx", r"none\.onnx: cannot be read: No such file"),
    ]:
        content = path.read_bytes() if path.exists() else b""
        with pytest.raises(ModelError, match=said):
            stamp_results(path, {"psnr": 1.0})
        assert (path.read_bytes() if path.exists() else b"") == content


def test_a_failure_leaves_the_model_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "m.onnx")
    content = path.read_bytes()
    monkeypatch.setattr(onnx, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        stamp_results(path, {})
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]
