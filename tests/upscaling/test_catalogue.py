"""Models are found by name or path, and what is not one is refused in words."""

import hashlib
import json
from pathlib import Path

import pytest

from cinesr.errors import ModelError
from cinesr.upscaling import catalogue
from cinesr.upscaling.catalogue import find_model, models, read_model, user_models
from model_cases import card, write_model, write_model_without_card


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, with one of scale 2 and one of scale 3."""
    monkeypatch.setenv("CINESR_MODELS", str(tmp_path / "mine"))
    write_model(tmp_path / "mine" / "b-x3.onnx", scale=3)
    write_model(tmp_path / "mine" / "a-x2.onnx", scale=2)
    return tmp_path / "mine"


def of_user(folder: Path) -> list[str]:
    return [model.name for model in models() if model.path.parent == folder]


def test_the_users_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CINESR_MODELS", str(tmp_path / "a"))
    assert user_models() == tmp_path / "a"
    monkeypatch.delenv("CINESR_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    assert user_models() == tmp_path / "b" / "cinesr" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "c")
    assert user_models() == tmp_path / "c" / ".local" / "share" / "cinesr" / "models"


def test_models_are_listed_by_name_shipped_ones_first(folder: Path) -> None:
    assert of_user(folder) == ["a-x2", "b-x3"]
    shipped = [model.path.parent == catalogue.SHIPPED_MODELS for model in models()]
    assert shipped == sorted(shipped, reverse=True)


def test_models_in_the_xdg_folder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CINESR_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    write_model(tmp_path / "cinesr" / "models" / "mine.onnx", scale=2)
    assert find_model("mine").scale == 2


def test_a_folder_that_does_not_exist_holds_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CINESR_MODELS", str(tmp_path / "nowhere"))
    assert of_user(tmp_path / "nowhere") == []


def test_a_broken_file_of_the_user_is_passed_over_in_the_list(folder: Path) -> None:
    (folder / "broken.onnx").write_text("words")
    write_model_without_card(folder / "foreign.onnx")
    assert of_user(folder) == ["a-x2", "b-x3"]
    with pytest.raises(ModelError, match=r"broken\.onnx: is not an ONNX model"):
        find_model("broken")


def test_a_model_tells_what_its_card_and_its_file_say(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", scale=3, says={**card(3, "mine", 17), "loss": "mae"})
    model = read_model(path)
    assert (model.name, model.scale, model.receptive_field) == ("mine", 3, 17)
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    plain = json.loads(json.dumps(model.to_dict()))
    assert plain["loss"] == "mae"
    assert plain["path"] == str(path)
    assert plain["sha256"] == model.sha256


@pytest.mark.parametrize("as_text", [True, False])
def test_a_path_is_taken_as_it_is(tmp_path: Path, as_text: bool) -> None:
    path = write_model(tmp_path / "deep" / "m.onnx", scale=2)
    assert find_model(str(path) if as_text else path).path == path


def test_a_name_goes_before_a_file_of_that_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-x2").mkdir()
    assert find_model("a-x2").path == folder / "a-x2.onnx"


def test_a_model_is_found_by_the_name_that_the_list_shows(folder: Path) -> None:
    write_model(folder / "file.onnx", scale=2, says=card(2, "shown"))
    assert find_model("shown").path == folder / "file.onnx"
    assert find_model("file").name == "shown"


def test_an_unknown_name_is_answered_with_what_is_at_hand(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'c-x9'; at hand: .*a-x2 \(x2\), b-x3 \(x3\)"):
        find_model("c-x9")
    with pytest.raises(ModelError) as error:
        find_model("c-x9")
    assert str(folder) in str(error.value.hint)


def test_a_scale_alone_chooses_a_model(folder: Path) -> None:
    assert find_model(scale=2).name == "fidelity-x2"  # Shipped ones come first.
    assert find_model(scale=3).name == "b-x3"
    with pytest.raises(ModelError, match=r"no model of scale 7; at hand: .*a-x2 \(x2\)"):
        find_model(scale=7)


def test_the_default_is_chosen_before_others_of_its_scale(folder: Path) -> None:
    for scale, name in catalogue.DEFAULT_MODELS.items():
        write_model(folder / f"aaa-x{scale}.onnx", scale=scale)
        assert find_model(scale=scale).name == name
        assert find_model(name).is_default
        assert not find_model(f"aaa-x{scale}").is_default
    assert find_model().name == catalogue.DEFAULT_MODELS[2]


@pytest.mark.parametrize("name", ["a-x2", "path"])
def test_a_model_of_another_scale_is_refused(folder: Path, name: str) -> None:
    wanted = str(folder / "a-x2.onnx") if name == "path" else name
    assert find_model(wanted, scale=2).scale == 2
    with pytest.raises(ModelError, match=r"a-x2\.onnx: upscales by 2, not by 4") as error:
        find_model(wanted, scale=4)
    assert "b-x3 (x3)" in str(error.value.hint)


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "words.onnx").write_text("these are only words")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "folder").mkdir()
    whole = write_model(tmp_path / "cut.onnx", "conv").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    write_model_without_card(tmp_path / "foreign.onnx")
    for name, words in {
        "words.onnx": "is not an ONNX model",
        "empty.onnx": "is not an ONNX model",
        "cut.onnx": "is not an ONNX model",
        "foreign.onnx": "without a cinesr card",
        "folder": "cannot be read: Is a directory",
        "absent.onnx": "cannot be read: No such file",
    }.items():
        with pytest.raises(ModelError, match=f"{name}: .*{words}") as error:
            find_model(tmp_path / name)
        assert "cinesr export" in str(error.value.hint)


@pytest.mark.parametrize(
    ("says", "lacking"),
    [
        ({"name": "n", "scale": 4}, "receptive_field"),
        ({"scale": 4, "receptive_field": 4}, "name"),
        ({"name": "n", "scale": "four", "receptive_field": 4}, "scale"),
        ("not json", "name, scale, receptive_field"),
        ("5", "name, scale, receptive_field"),
    ],
)
def test_cards_that_say_too_little_are_refused(tmp_path: Path, says, lacking: str) -> None:
    path = write_model(tmp_path / "m.onnx", says=says)
    with pytest.raises(ModelError, match=rf"m\.onnx: its card lacks {lacking}\."):
        read_model(path)


def test_a_model_with_another_input_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", input_name="image")
    with pytest.raises(
        ModelError, match=r"m\.onnx: its inputs are image; expected low, or that and told"
    ):
        read_model(path)


def test_a_summary_says_what_the_card_says(tmp_path: Path) -> None:
    says = card(4, "mine") | {
        "intended_use": "Research.",
        "parameters": 812_600,
        "degradation": {"methods": ["kspace"]},
        "validation": {"psnr": 30.126},
    }
    summary = read_model(write_model(tmp_path / "m.onnx", says=says)).summary()
    assert summary == {
        "for": "Research.",
        "network": "813 k parameters",
        "degradations": "kspace",
        "PSNR": "30.13 dB on the validation people, all degradations",
    }
    assert read_model(write_model(tmp_path / "n.onnx")).summary() == {}
