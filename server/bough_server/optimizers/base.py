"""What an optimizer is, and what it is told: `Outcome`, `Ask`, `Optimizer`, `OptimizerFailed`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bough.definition import Space
from bough.errors import BoughError

Value = bool | int | float | str


class OptimizerFailed(BoughError):
    """An optimizer could not answer; the reason is one line."""

    code = "optimizer_failed"


@dataclass(frozen=True)
class Outcome:
    """A trial that ended.

    Attributes:
        number: Number of the ask that gave its values, 0-based. Below 0 for values that no ask gave (set by hand, or of
            an earlier optimization): they count as older than ask ``-number - 1`` and newer than the one before it.
        values: Flat, active values it ran with.
        loss: What is minimized (the KPI, negated when it is to be maximized); None: it failed.
    """

    number: int
    values: Mapping[str, Value]
    loss: float | None


@dataclass(frozen=True)
class Ask:
    """A question for the next values, with everything that decides the answer.

    Attributes:
        optimization: Id; only a key for caches.
        algorithm: A name in `registry.ALGORITHMS`.
        space: `Space.to_json()`.
        history: In the order of ends, append-only.
        number: How many asks of this optimization came before, 0-based. Enqueued points are no asks.
        seed: Seed of the optimization; the ask uses draw `number` of it (`seeds.seed_of_ask`).
        initial_random: tpe draws at random while number < initial_random; the others do not look at it.
    """

    optimization: str
    algorithm: str
    space: Mapping[str, Any]
    history: Sequence[Outcome]
    number: int
    seed: int
    initial_random: int


class Optimizer(Protocol):
    """One algorithm over one space. Its answer depends on the arguments alone; what it keeps is a cache."""

    def ask(self, history: Sequence[Outcome], number: int, seed: int) -> dict[str, Value]:
        """Return the searched active values to try next.

        Args:
            history: Outcomes in the order of ends. Between calls it only grows.
            number: As in `Ask`.
            seed: Seed of this ask alone, 0 <= seed < 2**31 - 1.

        Raises:
            OptimizerFailed: There is nothing (more) to try.
        """
        ...


Maker = Callable[[Space, int], Optimizer]  # (space, initial_random) → optimizer
