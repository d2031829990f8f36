"""A schedule of kills, made from a seed before anything runs, and how it is carried out."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.lab import Lab

VICTIM_S = 60.0  # how long a kill waits for somebody of its kind


@dataclass(frozen=True)
class Kill:
    """One kill: how long after the one before, of what kind, which of them (0 to 1), and how long it stays away."""

    after_s: float
    kind: str
    which: float
    away_s: float


def schedule(rng: random.Random, kills: Mapping[str, int], mean_s: float, away_s: float) -> list[Kill]:
    """Return as many kills of each kind as are wanted, in any order, at the times of a Poisson process."""
    kinds = [kind for kind, n in kills.items() for _ in range(n)]
    rng.shuffle(kinds)
    return [Kill(rng.expovariate(1 / mean_s), kind, rng.random(), rng.uniform(0, away_s)) for kind in kinds]


def rage(lab: Lab, kills: list[Kill]) -> Counter[str]:
    """Carry out the schedule; return how many of each kind were killed. In the end everything runs again.

    Raises:
        AssertionError: There was nobody of a kind to be killed: the trials were over too soon, or hang.
    """
    done: Counter[str] = Counter()
    due = time.monotonic()
    for kill in kills:
        due = max(due + kill.after_s, time.monotonic() - 5.0)  # a machine that lags is not made to catch up for ever
        while time.monotonic() < due:
            lab.bring_back(time.monotonic())
            time.sleep(0.02)
        deadline = time.monotonic() + VICTIM_S
        while not lab.kill(kill.kind, kill.which, time.monotonic() + kill.away_s):
            assert time.monotonic() < deadline, f"there is no {kill.kind} to be killed, after {dict(done)}"
            lab.bring_back(time.monotonic())
            time.sleep(0.05)
        done[kill.kind] += 1
    lab.bring_back(float("inf"))
    return done
