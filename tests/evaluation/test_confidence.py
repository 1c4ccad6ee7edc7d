import numpy as np
import pytest
from scipy import stats

from cinesr.errors import CinesrError
from cinesr.evaluation.confidence import Interval, bootstrap_interval


def test_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).normal(30, 2, 12)
    interval = bootstrap_interval(values.tolist())
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_persons_count_not_slices() -> None:
    # One person with a thousand slices weighs as much as one with two.
    by_person = {"a": [1.0] * 1000, "b": [3.0, 5.0], "c": [4.0]}
    assert bootstrap_interval(by_person) == bootstrap_interval([1.0, 4.0, 4.0])
    assert bootstrap_interval(by_person).mean == pytest.approx(3.0)


def test_seed_decides() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 9.0]
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5, resamples=50) != bootstrap_interval(
        values, seed=6, resamples=50
    )


def test_persons_who_agree_leave_no_width() -> None:
    assert bootstrap_interval([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.inf], {"a": [1.0], "b": []}])
def test_too_little_to_go_on(values: object) -> None:
    with pytest.raises(CinesrError, match="at least two persons"):
        bootstrap_interval(values)  # type: ignore[arg-type]
