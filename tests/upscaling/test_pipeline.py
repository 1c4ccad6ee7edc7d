"""Stages run beside each other, in order, no further ahead than allowed, and stop when told."""

import threading
from collections.abc import Iterator

import pytest

from cinesr.upscaling.pipeline import AHEAD, overlapped

LONG = 10.0
"""Seconds, after which a test has failed."""


def test_every_item_passes_every_stage_in_order() -> None:
    results = overlapped(range(20), lambda item: item + 1, lambda item: 10 * item)
    assert [result() for result in results] == [10 * (item + 1) for item in range(20)]


def test_nothing_in_nothing_out() -> None:
    assert list(overlapped([], str)) == []


def test_a_stage_works_on_the_next_item_while_the_one_behind_it_works() -> None:
    meeting = threading.Barrier(2)

    def first(item: int) -> int:
        if item == 1:
            meeting.wait(LONG)  # Only passed if the second stage is busy with item 0 meanwhile.
        return item

    def second(item: int) -> int:
        if item == 0:
            meeting.wait(LONG)
        return item

    assert [result() for result in overlapped(range(3), first, second)] == [0, 1, 2]


def test_no_item_is_taken_before_there_is_room() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = overlapped(items(), lambda item: item)
    for done in range(1, 50):
        next(results)()
        assert len(taken) <= done + AHEAD + 1
    results.close()
    assert len(taken) < 100


def test_one_item_at_a_time_is_in_a_stage() -> None:
    busy = threading.Lock()

    def alone(item: int) -> int:
        assert busy.acquire(blocking=False)
        busy.release()
        return item

    assert len([result() for result in overlapped(range(50), alone)]) == 50


def test_what_a_stage_raises_comes_at_its_place() -> None:
    def fails(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = overlapped(range(10), fails, lambda item: item)
    assert [next(results)() for _ in range(3)] == [0, 1, 2]
    fourth = next(results)
    with pytest.raises(ValueError, match="three"):
        fourth()
    assert next(results)() == 4


def test_closing_it_ends_its_threads_and_drops_what_has_not_begun() -> None:
    before = threading.active_count()
    begun = []
    gate = threading.Event()

    def slow(item: int) -> int:
        begun.append(item)
        gate.wait(LONG)
        return item

    results = overlapped(range(100), slow, lambda item: item)
    gate.set()
    next(results)()
    gate.clear()
    threading.Timer(0.05, gate.set).start()
    results.close()
    assert len(begun) <= AHEAD + 2
    for thread in threading.enumerate():
        if thread.name.startswith("upscaling"):
            thread.join(LONG)
    assert threading.active_count() <= before + 1
