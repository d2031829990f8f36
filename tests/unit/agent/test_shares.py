"""Who gets which GPU, and how much is left: by hand, and for any order of jobs that come and go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough_agent import shares
from bough_agent.shares import Stock
from bough_server.service.eligible import Free

GIB = 1 << 30
TWO = Stock(8.0, 32 * GIB, ((0, 16 * GIB), (1, 80 * GIB)))


@pytest.mark.parametrize(
    ("taken", "needs", "gets"),
    [
        ([], {}, ()),
        ([], {"gpu": 1}, (0,)),
        ([], {"gpu": 2}, (0, 1)),
        ([], {"gpu": 3}, None),
        ([], {"gpu": 1, "gpu_memory_bytes": 40 * GIB}, (1,)),
        ([], {"gpu": 1, "gpu_memory_bytes": 100 * GIB}, None),
        ([({"gpu": 1}, (0,))], {"gpu": 1}, (1,)),
        ([({"gpu": 1}, (0,))], {"gpu": 2}, None),
        ([({"gpu": 0.5}, (1,))], {"gpu": 0.5}, (1,)),
        ([({"gpu": 0.5}, (1,))], {"gpu": 1}, (0,)),
        ([({"gpu": 0.7}, (0,))], {"gpu": 0.5}, (1,)),
        ([({"cpu": 6}, ())], {"cpu": 3}, None),
        ([({"cpu": 6}, ())], {"cpu": 2}, ()),
        ([({"memory_bytes": 30 * GIB}, ())], {"memory_bytes": 4 * GIB}, None),
    ],
)
def test_a_job_gets_what_is_free_and_no_more(taken: Any, needs: dict[str, Any], gets: Any) -> None:
    assert shares.pick(TWO, taken, needs) == gets


NEEDS = st.fixed_dictionaries(
    {},
    optional={
        "gpu": st.sampled_from([0.2, 0.25, 0.5, 0.7, 1, 2, 3]),
        "cpu": st.sampled_from([0.5, 1, 4]),
        "memory_bytes": st.integers(1, 40) .map(lambda n: n * GIB),
        "gpu_memory_bytes": st.sampled_from([8 * GIB, 40 * GIB]),
    },
)  # fmt: skip


@given(st.lists(st.tuples(NEEDS, st.booleans()), max_size=30))
def test_no_gpu_is_ever_given_twice_and_the_coordinator_counts_in_the_same_way(
    history: list[tuple[dict[str, Any], bool]],
) -> None:
    taken: list[tuple[dict[str, Any], tuple[int, ...]]] = []
    for needs, ends in history:
        if ends and taken:
            taken.pop(0)
        told = Free.read(shares.rest(TWO, taken))
        gets = shares.pick(TWO, taken, needs)
        assert told.take(needs) is (gets is not None)
        if gets is None:
            continue
        taken.append((needs, gets))

        for index, _ in TWO.gpus:
            asked = [job["gpu"] for job, gpus in taken if index in gpus]
            assert len(asked) == 1 or all(share < 1 for share in asked)
            assert sum(min(1.0, share) for share in asked) <= 1 + 1e-6
        assert sum(job.get("cpu", 0) for job, _ in taken) <= 8
        assert sum(job.get("memory_bytes", 0) for job, _ in taken) <= 32 * GIB
