"""Stages of work that overlap: one item is written while the next is computed and read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

AHEAD = 2
"""Finished items that may wait for whoever takes them: memory does not grow with their number."""


def overlapped(
    items: Iterable[Any], *stages: Callable[[Any], Any]
) -> Generator[Callable[[], Any], None, None]:
    """Passes items through stages, each stage in a thread of its own, in their order.

    Args:
        items: What the first stage takes; one is taken only when there is room for its result.
        stages: Each takes what the one before it gives, one item after another.

    Yields:
        For each item what waits for its result and returns it, or raises what a stage raised. What
        has not begun when the generator is closed is not done; what has is waited for.
    """
    waiting: deque[Future[Any]] = deque()
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1, "upscaling")) for _ in stages]
        try:
            for item in items:
                waiting.append(_chained(item, pools, stages))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result
            while waiting:
                yield waiting.popleft().result
        finally:
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)


def _chained(
    item: Any, pools: list[ThreadPoolExecutor], stages: tuple[Callable[[Any], Any], ...]
) -> Future[Any]:
    future = pools[0].submit(stages[0], item)
    for pool, stage in zip(pools[1:], stages[1:], strict=True):

        def after(before: Future[Any], stage: Callable[[Any], Any] = stage) -> Any:
            return stage(before.result())

        future = pool.submit(after, future)
    return future
