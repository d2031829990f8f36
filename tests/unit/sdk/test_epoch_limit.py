"""When the epoch limit is taken: after the last epoch's KPI, whichever of the two lines comes first."""

from __future__ import annotations

import pytest

from bough._limits import Control, EpochLimit

K = "kpi"


def _taken_at(limit: EpochLimit, events: list[float | str]) -> int | None:
    """Return the index of the event at which the limit is taken."""
    for index, event in enumerate(events):
        if limit.kpi() if event == K else limit.progress(float(event)):
            return index
    return None


@pytest.mark.parametrize(
    ("events", "at"),
    [
        ([K, 1, K, 2, K, 3, K, 4], 5),  # KPI first: in the progress call that reaches it
        ([1, K, 2, K, 3, K, 4], 5),  # progress first: after the KPI of epoch 3
        ([0, K, 1, K, 2, K, 3, K], 6),  # progress(0) says nothing about the order
        ([1, K, 2, K, 3, 4, K], 5),  # no KPI for epoch 3: in the next progress call
        ([K, 1, 2, 3, K, 4], 4),  # a KPI now and then: it is waited for
        ([K, 1, 2, 3, 4, K], 4),  # … until the next progress call at the latest
        ([1, 2], None),
        ([K, 1, K, 2, K], None),
        ([float("nan"), float("nan")], None),
        ([K, 7], 1),  # beyond the limit at once: a script that resumed
    ],
)
def test_the_limit_of_three_epochs_is_taken_where_no_kpi_is_lost(events: list[float | str], at: int | None) -> None:
    limit = EpochLimit(3)
    limit.has_kpi = True

    assert _taken_at(limit, events) == at


def test_a_process_without_a_kpi_takes_the_limit_at_once() -> None:
    assert _taken_at(EpochLimit(2), [1, 2, 3]) == 1


def test_a_follower_without_a_kpi_leaves_rank_0_time_for_the_kpi_of_that_epoch() -> None:
    assert _taken_at(EpochLimit(2, is_follower=True), [1, 2, 3]) == 2


def test_one_epoch_is_a_limit_too() -> None:
    first, second = EpochLimit(1), EpochLimit(1)
    first.has_kpi = second.has_kpi = True

    assert _taken_at(first, [K, 1]) == 1
    assert _taken_at(second, [1, K]) == 1


def test_without_a_limit_nothing_is_ever_taken() -> None:
    assert _taken_at(EpochLimit(None), [K, 1, K, 10_000]) is None


def test_the_limit_is_begun_once_and_from_then_on_the_script_should_stop() -> None:
    control = Control(None)

    assert not control.should_stop(now=0.0)
    assert control.begin()
    assert not control.begin()
    assert control.should_stop(now=0.0)
