"""The agent's decisions, without an agent: single steps by hand, whole lives at random."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.agent.claims import claim

from bough_agent import brain
from bough_agent.brain import Forget, Launch, Mind, Mirror, Phase, Prepare, step
from bough_agent.messages import Key, Reply

KEY = ("k3f9a2bq", 1)


def told(mind: Mind) -> list[str]:
    return [event["event"] for _, event in mind.outbox]


def reply(**fields: Any) -> brain.Replied:
    return brain.Replied(Reply("i1", **fields), sent=0, now=0.0, asked=True)


def running(slots: int = 1) -> Mind:
    mind = Mind(slots)
    for event in (reply(granted=(claim(),)), brain.Prepared(KEY, "/usr/bin/python"), brain.Started(KEY, 1.0)):
        mind, _ = step(mind, event)
    return mind


def test_a_grant_is_prepared_then_launched_then_reported_running() -> None:
    mind, actions = step(Mind(1), reply(granted=(claim(),)))
    assert actions == [Prepare(claim(), 0)]

    mind, actions = step(mind, brain.Prepared(KEY, "/usr/bin/python"))
    assert actions == [Launch(KEY)]

    mind, _ = step(mind, brain.Started(KEY, 1.0))
    assert told(mind) == ["preparing", "running"]


def test_an_exit_frees_the_slot_before_it_is_delivered() -> None:
    mind, _ = step(running(), brain.Exited(KEY, "exit code 0"))

    assert brain.free_slots(mind, now=0.0) == 1
    assert mind.held[KEY].phase is Phase.EXITED


def test_what_was_said_is_said_again_until_a_sync_was_answered() -> None:
    mind = running()

    mind, _ = step(mind, brain.Replied(Reply("i1"), sent=1, now=0.0))

    assert told(mind) == ["running"]


def test_the_same_grant_twice_is_one_attempt() -> None:
    mind, _ = step(Mind(2), reply(granted=(claim(),)))
    mind, actions = step(mind, reply(granted=(claim(),)))

    assert actions == []
    assert len(mind.held) == 1


def test_a_fenced_attempt_is_killed_and_nothing_more_is_said_of_it() -> None:
    mind, actions = step(running(), reply(fenced=frozenset({KEY})))
    assert Mirror(KEY, "kill", "fenced") in actions
    assert mind.outbox == ()

    mind, actions = step(mind, brain.Exited(KEY, "killed"))
    assert actions == [Forget(KEY, keep=True)]
    assert mind.outbox == ()


def test_an_attempt_fenced_while_it_is_prepared_is_never_launched() -> None:
    mind, _ = step(Mind(1), reply(granted=(claim(),)))
    mind, _ = step(mind, reply(fenced=frozenset({KEY})))
    mind, actions = step(mind, brain.Prepared(KEY, None))

    assert actions == [Forget(KEY, keep=False)]


def test_a_wish_is_mirrored_once_and_taken_back_when_it_is_gone() -> None:
    wish = reply(desired={KEY: ("stop", "user")})

    mind, first = step(running(), wish)
    mind, second = step(mind, wish)
    mind, third = step(mind, reply())

    assert [first, second, third] == [[Mirror(KEY, "stop", "user")], [], [Mirror(KEY, "run", None)]]


def test_a_wish_that_comes_before_the_launch_is_written_before_it() -> None:
    mind, _ = step(Mind(1), reply(granted=(claim(),)))
    mind, _ = step(mind, reply(desired={KEY: ("stop", "user")}))
    _, actions = step(mind, brain.Prepared(KEY, None))

    assert actions == [Mirror(KEY, "stop", "user"), Launch(KEY)]


def test_after_a_failure_of_the_machinery_claims_pause_longer_and_longer() -> None:
    mind = Mind(1)
    pauses = []
    for _ in range(8):
        mind, _ = step(mind, reply(granted=(claim(),)))
        mind, _ = step(mind, brain.PrepareFailed(KEY, "infra", "no network.", now=100.0))
        pauses.append(mind.claim_after - 100.0)

    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert brain.free_slots(mind, 100.0) == 0
    assert brain.free_slots(mind, 160.0) == 1


def test_a_missing_commit_ends_the_attempt_and_does_not_pause() -> None:
    mind, _ = step(Mind(1), reply(granted=(claim(),)))
    mind, _ = step(mind, brain.PrepareFailed(KEY, "checkout", "commit aaaaaaa is not in me/digits.", now=1.0))

    assert mind.outbox[-1][1]["reason"] == "checkout"
    assert brain.free_slots(mind, 1.0) == 1


def test_a_draining_agent_offers_no_slot() -> None:
    mind, _ = step(Mind(2), reply(drain=True))

    assert brain.free_slots(mind, 0.0) == 0


def test_an_agent_with_few_jobs_left_offers_no_more_than_those() -> None:
    mind, _ = step(Mind(4, jobs_left=2), reply(granted=(claim(),)))

    assert brain.free_slots(mind, 0.0) == 1


def test_detaching_gives_back_what_was_not_launched_and_leaves_the_rest() -> None:
    mind, _ = step(running(2), reply(granted=(claim(job_id="other"),)))
    mind, actions = step(mind, brain.Quit("detach"))

    assert list(mind.held) == [KEY]
    assert told(mind)[-1] == "released"
    assert not any(isinstance(action, Mirror) for action in actions)
    assert brain.is_finished(mind)


def test_requeueing_stops_what_runs_and_gives_it_back_when_it_has_ended() -> None:
    mind, actions = step(running(), brain.Quit("requeue"))
    assert actions == [Mirror(KEY, "stop", "user")]
    assert not brain.is_finished(mind)

    mind, _ = step(mind, brain.Exited(KEY, "stopped"))
    assert told(mind)[-1] == "released"
    assert brain.is_finished(mind)


def test_a_grant_that_arrives_while_stopping_is_given_back() -> None:
    mind, _ = step(Mind(1), brain.Quit("detach"))
    mind, actions = step(mind, reply(granted=(claim(),)))

    assert actions == []
    assert mind.outbox[-1][1]["message"] == "the agent is stopping"


def test_a_claim_that_is_not_understood_ends_with_a_sentence() -> None:
    mind, _ = step(Mind(1), reply(refused=((KEY, "there is no command."),)))

    assert mind.outbox[-1][1]["event"] == "prepare_failed"


class World:
    """Plays everything outside the brain, as the drawn numbers say, and counts."""

    def __init__(self, slots: int) -> None:
        self.mind = Mind(slots)
        self.preparing: list[Key] = []
        self.launched: list[Key] = []
        self.alive: list[Key] = []
        self.jobs = 0
        self.granted: list[Key] = []
        self.launches: Counter[Key] = Counter()
        self.ends: Counter[Key] = Counter()

    def do(self, event: brain.Event) -> None:
        self.mind, actions = step(self.mind, event)
        for action in actions:
            match action:
                case Prepare(granted, _):
                    self.preparing.append(granted.key)
                    self.granted.append(granted.key)
                case Launch(key):
                    self.launches[key] += 1
                    self.launched.append(key)
                case Forget(key, _):
                    self.ends[key] += 1
        busy = [held.slot for held in self.mind.held.values() if held.takes_slot]
        assert len(busy) == len(set(busy)) <= self.mind.slots

    def grant(self, number: int) -> None:
        free = min(number, brain.free_slots(self.mind, 1e9))
        claims = []
        for _ in range(free):
            self.jobs += 1
            claims.append(claim(job_id=f"j{self.jobs}"))
        self.do(brain.Replied(Reply("i1", granted=tuple(claims)), self.mind.sequence, 1e9, asked=True))

    def play(self, choice: int, which: int) -> None:
        held = sorted(self.mind.held)
        one = held[which % len(held)] if held else None
        if choice <= 1:
            self.grant(which)
        elif choice == 2 and self.preparing:
            self.do(brain.Prepared(self.preparing.pop(), None))
        elif choice == 3 and self.preparing:
            self.do(brain.PrepareFailed(self.preparing.pop(), "infra", "x", 0.0))
        elif choice == 4 and self.launched:
            key = self.launched.pop()
            self.alive.append(key)
            self.do(brain.Started(key, 0.0))
        elif choice == 5 and self.launched:
            self.do(brain.PrepareFailed(self.launched.pop(), "infra", "x", 0.0))
        elif choice == 6 and self.alive:
            self.do(brain.Exited(self.alive.pop(), "x"))
        elif choice == 7 and self.alive:
            self.do(brain.Lost(self.alive.pop(), "x"))
        elif choice == 8 and one:
            self.do(brain.Replied(Reply("i1", fenced=frozenset({one})), 0, 0.0))
        elif choice == 9:
            ended = frozenset(key for key in held if self.mind.held[key].phase is Phase.EXITED)
            self.do(brain.Replied(Reply("i1", ended=ended), self.mind.sequence, 0.0))
        elif choice == 10 and one:
            self.do(brain.Replied(Reply("i1", desired={one: ("stop", "user")}), 0, 0.0))
        elif choice == 11:
            self.do(brain.Quit("requeue" if which % 2 else "detach"))

    def finish(self) -> None:
        """Let everything that was begun come to its end."""
        while self.preparing or self.launched or self.alive:
            for choice in (2, 4, 6):
                self.play(choice, 0)
        self.play(9, 0)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 5)), max_size=60))
def test_every_attempt_that_was_taken_on_ends_once_and_slots_are_never_exceeded(
    slots: int, plays: list[tuple[int, int]]
) -> None:
    world = World(slots)

    for choice, which in plays:
        world.play(choice, which)
    world.finish()

    assert world.mind.held == {}
    assert world.ends == Counter(world.granted)
    assert max(world.launches.values(), default=1) == 1
    assert set(world.launches) <= set(world.granted)


def test_more_than_was_offered_is_given_back() -> None:
    mind, _ = step(replace(running(), outbox=()), reply(granted=(claim(job_id="other"),)))

    assert mind.outbox[-1][1]["message"] == "the agent has no free slot"
    assert list(mind.held) == [KEY]
