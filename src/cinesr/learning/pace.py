"""How fast an epoch goes, and whether its input keeps up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

BUSY_ENOUGH = 0.9
FEWEST_STEPS = 50
"""Shorter epochs are not judged. A device may be given some thirty steps before it has done the
first; they are taken as fast as they are prepared, which is waiting, and yet nothing waits."""


@dataclass(frozen=True)
class Pace:
    """How fast an epoch goes.

    Args:
        epoch: Which one, from 1.
        steps: How many of its steps were timed.
        steps_per_second: Of these.
        device_busy: Share of their time in which the training did not wait for a batch, 0 to 1.
            Steps are handed to a GPU before it has done the earlier ones, so that some of this
            waiting is hidden behind its work: the share of time in which the GPU does not lack
            input is at least this.
        epoch_done: Whether that was the whole epoch.
    """

    epoch: int
    steps: int
    steps_per_second: float
    device_busy: float
    epoch_done: bool

    @property
    def advice(self) -> str:
        """What to say to a user, once an epoch is done whose input did not keep up; else empty."""
        if not self.epoch_done or self.device_busy >= BUSY_ENOUGH or self.steps < FEWEST_STEPS:
            return ""
        return (
            f"Epoch {self.epoch}: for {1 - self.device_busy:.0%} of its time the training waited "
            "for crops. They are prepared on the processor: give the run more cores, or end what "
            "else runs on them."
        )


class PaceMeter:
    """Times the steps of one epoch after the other.

    The first step of an epoch does not count: in the first epoch it compiles the network.

    Args:
        waited: Gives the seconds for which batches were waited for so far.
        clock: Gives seconds.
    """

    def __init__(
        self, waited: Callable[[], float], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._waited, self._clock = waited, clock
        self.begin_epoch(1)

    def begin_epoch(self, epoch: int) -> None:
        """Starts anew.

        Args:
            epoch: Which one, from 1.
        """
        self._epoch = epoch
        self._begin_at(0)

    def _begin_at(self, step: int) -> None:
        self._first, self._started, self._waited_before = step, self._clock(), self._waited()

    def pace(self, steps: int, *, epoch_done: bool = False) -> Pace:
        """How fast it goes.

        Args:
            steps: Of the epoch, that were done.
            epoch_done: Whether these are all.
        """
        seconds = max(self._clock() - self._started, 1e-9)
        waited = self._waited() - self._waited_before
        timed = steps - self._first
        found = Pace(
            self._epoch, timed, timed / seconds, min(1.0, 1 - waited / seconds), epoch_done
        )
        if steps == 1:
            self._begin_at(1)
        return found
