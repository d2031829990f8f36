"""The decisions of the kill ladder, with the clock as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bough_agent.ladder import LOOKS, Rung, Stage, Times, Want, climb

TIMES = Times(grace_s=30.0, term_s=10.0, unkillable_s=60.0)


def stages(want: Want, *looks: tuple[float, bool]) -> list[str]:
    """Return the stage after each look, given as (now, is_empty)."""
    rung = Rung()
    seen = []
    for now, is_empty in looks:
        rung = climb(rung, now, want, is_empty, TIMES)
        seen.append(rung.stage.name)
    return seen


def test_nothing_happens_while_the_attempt_shall_run() -> None:
    assert stages(Want.RUN, (0.0, False), (1e9, False), (2e9, True)) == ["RUNNING"] * 3


def test_a_stop_interrupts_then_terminates_then_kills() -> None:
    looks = [(5.0, False), (34.9, False), (35.0, False), (44.9, False), (45.0, False), (104.9, False), (105.0, False)]

    seen = stages(Want.STOP, *looks)

    assert seen == ["INTERRUPTED", "INTERRUPTED", "TERMINATED", "TERMINATED", "KILLING", "KILLING", "UNKILLABLE"]


def test_survivors_of_a_natural_end_are_terminated_at_once() -> None:
    assert stages(Want.END, (5.0, False), (14.9, False), (15.0, False)) == ["TERMINATED", "TERMINATED", "KILLING"]


def test_a_kill_skips_every_courtesy() -> None:
    assert stages(Want.KILL, (5.0, False)) == ["KILLING"]


def test_a_kill_during_a_stop_takes_effect_at_the_next_look() -> None:
    rung = climb(Rung(), 5.0, Want.STOP, False, TIMES)

    assert climb(rung, 5.1, Want.KILL, False, TIMES).stage is Stage.KILLING


def test_the_tree_is_empty_only_after_three_empty_looks_in_a_row() -> None:
    looks = [(0.0, False), (0.1, True), (0.2, True), (0.3, False), (0.4, True), (0.5, True), (0.6, True)]

    assert stages(Want.STOP, *looks) == ["INTERRUPTED"] * 6 + ["OVER"]


def test_an_empty_tree_is_not_climbed_on() -> None:
    assert stages(Want.STOP, (0.0, False), (31.0, True)) == ["INTERRUPTED", "INTERRUPTED"]


LOOK_LISTS = st.lists(st.tuples(st.floats(0, 50), st.booleans(), st.sampled_from(Want)), max_size=60)


@given(LOOK_LISTS)
def test_the_ladder_only_goes_up_and_never_early(looks: list[tuple[float, bool, Want]]) -> None:
    rung, now, wanted, empty_in_a_row = Rung(), 0.0, Want.RUN, 0
    for wait_s, is_empty, want in looks:
        now += wait_s
        wanted = max(wanted, want)
        before = rung
        rung = climb(before, now, wanted, is_empty, TIMES)
        empty_in_a_row = empty_in_a_row + 1 if is_empty else 0

        assert rung.stage >= before.stage
        if before.is_over:
            assert rung is before
        elif rung.stage is Stage.OVER:
            assert empty_in_a_row >= LOOKS
        elif rung.stage is not before.stage:
            due = {Stage.INTERRUPTED: 30.0, Stage.TERMINATED: 10.0, Stage.KILLING: 60.0}.get(before.stage, 0.0)
            assert now - before.since >= due or wanted is Want.KILL


@given(st.sampled_from([Want.STOP, Want.END, Want.KILL]), st.floats(0.01, 20))
def test_every_ladder_has_an_end_though_nobody_dies(want: Want, step_s: float) -> None:
    rung, now = Rung(), 0.0
    while not rung.is_over:
        rung = climb(rung, now, want, False, TIMES)
        now += step_s

    assert rung.stage is Stage.UNKILLABLE
    assert now <= 30 + 10 + 60 + 5 * step_s
