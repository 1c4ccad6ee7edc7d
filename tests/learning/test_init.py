"""What is missing is named, with the extra that brings it."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from cinesr.errors import CinesrError
from cinesr.learning import require_training_packages


def test_nothing_is_missing_here() -> None:
    require_training_packages()


def test_missing_packages_are_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in ("onnx", "tensorboardX") else found(name, package)

    monkeypatch.setattr("cinesr.learning.find_spec", without)
    with pytest.raises(CinesrError, match="needs onnx, tensorboardX, which") as caught:
        require_training_packages()
    assert 'pip install "cinesr[train]"' in str(caught.value)


def test_the_backend_is_jax_unless_the_user_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("KERAS_BACKEND")
    require_training_packages()
    assert os.environ["KERAS_BACKEND"] == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "absent_backend")
    with pytest.raises(CinesrError, match="Training needs absent_backend"):
        require_training_packages()
