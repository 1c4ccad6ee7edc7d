"""The pace of an epoch, by a clock that is set by hand."""

import pytest

from cinesr.learning.pace import Pace, PaceMeter


class Clock:
    """Seconds that passed, and for how many of them batches were waited for."""

    def __init__(self) -> None:
        self.now = self.waited = 0.0

    def pass_by(self, seconds: float, *, waiting: float = 0.0) -> None:
        self.now += seconds
        self.waited += waiting


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> PaceMeter:
    return PaceMeter(lambda: clock.waited, clock=lambda: clock.now)


def test_steps_and_waiting_are_those_after_the_first_step(clock: Clock, meter: PaceMeter) -> None:
    clock.pass_by(100.0, waiting=50.0)
    meter.begin_epoch(3)
    clock.pass_by(20.0, waiting=4.0)
    assert meter.pace(1) == Pace(3, 1, 1 / 20, 0.8, False)
    clock.pass_by(4.0, waiting=1.0)
    assert meter.pace(9) == Pace(3, 8, 2.0, 0.75, False)
    clock.pass_by(6.0)
    assert meter.pace(11, epoch_done=True) == Pace(3, 10, 1.0, 0.9, True)


def test_an_epoch_of_one_step_is_that_step(clock: Clock, meter: PaceMeter) -> None:
    for epoch in (1, 2):
        meter.begin_epoch(epoch)
        clock.pass_by(4.0, waiting=1.0)
        assert meter.pace(1, epoch_done=True) == Pace(epoch, 1, 0.25, 0.75, True)


def test_no_time_at_all_is_no_error(meter: PaceMeter) -> None:
    meter.begin_epoch(1)
    pace = meter.pace(2)
    assert pace.steps_per_second > 0
    assert pace.device_busy == 1.0


def test_a_starved_epoch_is_told_with_what_to_do() -> None:
    advice = Pace(7, 500, 20.0, 0.65, epoch_done=True).advice
    assert advice.startswith("Epoch 7: for 35% of its time the training waited for crops.")
    assert "give the run more cores" in advice


@pytest.mark.parametrize(
    "pace",
    [
        Pace(1, 500, 20.0, 0.9, epoch_done=True),
        Pace(1, 500, 20.0, 0.2, epoch_done=False),
        Pace(1, 49, 20.0, 0.2, epoch_done=True),
    ],
)
def test_no_advice_where_input_keeps_up_or_too_little_was_seen(pace: Pace) -> None:
    assert pace.advice == ""
