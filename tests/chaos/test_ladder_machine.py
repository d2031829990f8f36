"""The kill ladder against a made-up table of processes, in any order of starts, deaths, wishes and looks.

Whatever the tree does, it gets SIGINT at most once and first, SIGTERM not before its grace, SIGKILL not before its
time; nobody is believed to be gone who is there; and every ladder has an end.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.chaos.conftest import IS_FULL

from bough_agent.ladder import LOOKS, Rung, Stage, Times, Want, climb

TIMES = Times(grace_s=30.0, term_s=10.0, unkillable_s=60.0)
SIGNALS = {Stage.INTERRUPTED: "INT", Stage.TERMINATED: "TERM", Stage.KILLING: "KILL"}


@dataclass
class Process:
    """One process: what ends it, whether it is in the leader's group, and how often it still forks when looked at."""

    dies_of: frozenset[str]
    is_in_group: bool
    forks: int


class Climbing(RuleBasedStateMachine):
    """A supervisor's view, one look after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.tree: list[Process] = []
        self.now = 0.0
        self.want = Want.RUN
        self.rung = Rung()
        self.sent: list[tuple[str, float]] = []
        self.empty_looks = 0

    @precondition(lambda self: not self.rung.is_over and len(self.tree) < 12)
    @rule(
        dies_of=st.frozensets(st.sampled_from(["INT", "TERM"])),
        is_killable=st.sampled_from([True, True, True, False]),
        is_in_group=st.booleans(),
        forks=st.integers(0, 3),
    )
    def start(self, dies_of: frozenset[str], is_killable: bool, is_in_group: bool, forks: int) -> None:
        if self.tree or not self.rung.empty_looks:  # nothing starts where nothing is
            self.tree.append(Process(dies_of | ({"KILL"} if is_killable else set()), is_in_group, forks))

    @precondition(lambda self: self.tree)
    @rule(which=st.integers(0, 11))
    def end_by_itself(self, which: int) -> None:
        self.tree.pop(which % len(self.tree))

    @rule(want=st.sampled_from(Want))
    def wish(self, want: Want) -> None:
        self.want = max(self.want, want)

    @rule(seconds=st.sampled_from([0.005, 0.1, 1.0, 9.9, 10.0, 29.9, 30.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def look(self) -> None:
        is_empty = not self.tree
        before, self.rung = self.rung, climb(self.rung, self.now, self.want, is_empty, TIMES)
        self.empty_looks = self.empty_looks + 1 if is_empty else 0
        assert self.rung.stage >= before.stage
        if before.is_over:
            assert self.rung is before
        elif self.rung.stage is Stage.OVER:
            assert is_empty
            assert self.rung.empty_looks >= LOOKS
            assert self.empty_looks >= LOOKS
        elif self.rung.stage is not before.stage and self.rung.stage in SIGNALS:
            self._send(SIGNALS[self.rung.stage])
        elif self.rung.stage is Stage.KILLING:
            self._send("KILL")  # again at every look that finds somebody

    def _send(self, name: str) -> None:
        self.sent.append((name, self.now))
        born = [Process(one.dies_of, one.is_in_group, one.forks - 1) for one in self.tree if one.forks]
        hit = [one for one in self.tree if name != "INT" or one.is_in_group]
        self.tree = [one for one in self.tree if one not in hit or name not in one.dies_of] + born
        for one in self.tree:
            one.forks = max(0, one.forks - 1)

    @invariant()
    def signals_come_in_order_and_in_time(self) -> None:
        names = [name for name, _ in self.sent]
        assert names == sorted(names, key=["INT", "TERM", "KILL"].index)
        assert names.count("INT") <= 1
        assert names.count("TERM") <= 1
        times = dict(reversed(self.sent))  # the first of each
        if self.want < Want.END and "TERM" in times:
            assert times["TERM"] - times["INT"] >= TIMES.grace_s
        if self.want < Want.KILL and "KILL" in times:
            assert times["KILL"] - times["TERM"] >= TIMES.term_s

    @invariant()
    def nothing_is_sent_that_nobody_wants(self) -> None:
        assert self.want is not Want.RUN or not self.sent

    def teardown(self) -> None:
        """However it stands, a kill brings it to its end."""
        self.want = Want.KILL
        began = self.now
        while not self.rung.is_over:
            self.look()
            self.now += 0.5
        assert self.now - began <= TIMES.unkillable_s + 5
        immortal = [one for one in self.tree if "KILL" not in one.dies_of]
        assert self.rung.stage is (Stage.UNKILLABLE if immortal else Stage.OVER)


TestClimbing = Climbing.TestCase
TestClimbing.settings = settings(
    max_examples=2000 if IS_FULL else 100, stateful_step_count=40, deadline=None, derandomize=not IS_FULL
)
