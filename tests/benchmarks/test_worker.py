"""An object in another process answers, fails in words, and has its own environment."""

import os
from collections import Counter

import pytest
from worker import Worker, WorkerError

MADE_OF_EVAL = "__import__('types').SimpleNamespace(leave=__import__('os')._exit)"


def test_the_object_keeps_its_state_between_calls() -> None:
    with Worker(Counter, "abca") as counter:
        counter.call("update", "aa")
        assert counter.call("most_common", 1) == [("a", 4)]


def test_it_has_its_own_process_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINESR_TEST_BOTH", "here")
    values = {"CINESR_TEST_BOTH": "there", "CINESR_TEST_ONE": "there"}
    with Worker(eval, "dict(__import__('os').environ)", environment=values) as environment:
        assert {name: environment.call("get", name) for name in values} == values
    assert os.environ["CINESR_TEST_BOTH"] == "here"
    assert "CINESR_TEST_ONE" not in os.environ


def test_what_fails_there_is_told_here_and_ends_nothing() -> None:
    with Worker(Counter, "ab") as counter:
        with pytest.raises(WorkerError, match="AttributeError"):
            counter.call("no_such_method")
        assert counter.call("total") == 2


def test_an_object_that_cannot_be_made() -> None:
    with pytest.raises(WorkerError, match="invalid literal for int"):
        Worker(int, "no number")


def test_a_process_that_ends_by_itself() -> None:
    with (
        Worker(eval, MADE_OF_EVAL) as worker,
        pytest.raises(WorkerError, match="ended by itself, with code 3"),
    ):
        worker.call("leave", 3)
