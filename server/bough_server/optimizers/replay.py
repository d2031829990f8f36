"""Asks a stored search again and compares: is each trial what the optimizer answers to what it was told by then?

Everything here is plain data, so that a search can be replayed on another machine than the one that keeps it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bough_server.optimizers.again import ask_again, counted_point
from bough_server.optimizers.base import Ask, OptimizerFailed, Outcome, Value

_LAST_BITS = 1e-9  # relative: what other versions of the same arithmetic may differ by

Values = Mapping[str, Value]


class Asked(Protocol):
    """Who answers: `bough_server.optimizers.client.OptimizerProcess`."""

    versions: dict[str, str]

    async def ask(self, ask: Ask) -> dict[str, Value]:
        """Return the values for an ask; raise `OptimizerFailed`."""
        ...


@dataclass(frozen=True)
class Trial:
    """A trial whose values came from an ask.

    Attributes:
        number: Of the trial, from 1.
        ask: Number of its ask, from 0.
        seen: How many entries of the history the ask saw.
        values: Flat, as the trial has them.
        told: Its values as the history has them; None if it is not in there.
        again: Which try of the ask gave them, from 0 (`again.ask_again`).
    """

    number: int
    ask: int
    seen: int
    values: Values
    told: Values | None
    again: int = 0


@dataclass(frozen=True)
class Entry:
    """What was told at one moment.

    Attributes:
        seq: Its number in the history of the optimization, rising.
        place: Which trial it is of, from 0 in the order in which they were first heard of; a later entry of the same
            trial takes the place of the earlier one.
        outcome: What was told.
    """

    seq: int
    place: int
    outcome: Outcome


@dataclass(frozen=True)
class Search:
    """A search as it is stored.

    Attributes:
        id: Of the optimization.
        made_with: Entries ``{"from_ask", "algorithm", "seed", "initial_random", "space_version", "versions"}``, each
            for the asks from ``from_ask`` on until the next.
        spaces: `Space.to_json()` by version.
        trials: In the order of their asks.
        history: In the order of ends.
    """

    id: str
    made_with: Sequence[Mapping[str, Any]]
    spaces: Mapping[int, Mapping[str, Any]]
    trials: Sequence[Trial]
    history: Sequence[Entry]

    def made(self, ask: int) -> Mapping[str, Any]:
        """Return the entry that holds for that ask."""
        return next((one for one in reversed(self.made_with) if one["from_ask"] <= ask), self.made_with[0])

    def ask_of(self, trial: Trial) -> Ask:
        """Return the ask that the trial's values answered."""
        made = self.made(trial.ask)
        space = self.spaces[made["space_version"]]
        ask = Ask(
            self.id, made["algorithm"], space, self.seen(trial.seen), trial.ask, made["seed"], made["initial_random"]
        )
        return ask_again(ask, trial.again)

    def seen(self, seq: int) -> list[Outcome]:
        """Return what an optimizer had been told when the history ended with entry ``seq``."""
        told: dict[int, Outcome] = {}
        for entry in self.history:
            if entry.seq > seq:
                break
            told[entry.place] = entry.outcome
        return list(told.values())

    def to_json(self) -> dict[str, Any]:
        """Return JSON data from which `from_json` makes the same."""
        return {
            "id": self.id,
            "made_with": [dict(one) for one in self.made_with],
            "spaces": [[version, dict(space)] for version, space in self.spaces.items()],
            "trials": [[one.number, one.ask, one.seen, one.values, one.told, one.again] for one in self.trials],
            "history": [
                [one.seq, one.place, one.outcome.number, one.outcome.values, one.outcome.loss] for one in self.history
            ],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Search:
        """Return the search that `to_json` described."""
        trials = [Trial(*one) for one in data["trials"]]
        history = [Entry(seq, place, Outcome(*one)) for seq, place, *one in data["history"]]
        return Search(data["id"], data["made_with"], dict(data["spaces"]), trials, history)


async def replay(search: Search, optimizer: Asked) -> AsyncGenerator[dict[str, Any]]:
    """Yield ``{"checked", "total"}`` after each trial, and at last the verdict; it stops at the first difference.

    The verdict is ``{"optimization", "equal", "checked", "total", "first", "recorded", "replayed", "explanation"}``:
    ``first`` is None or ``{"trial", "ask", "parameter", "stored", "replayed", "what"}``, ``recorded`` and
    ``replayed`` are versions, ``explanation`` is a sentence or None.
    """
    first, checked = None, 0
    for trial in search.trials:
        first = await _difference(search, trial, optimizer)
        if first is not None:
            break
        checked += 1
        yield {"checked": checked, "total": len(search.trials)}
    yield _verdict(search, first, checked, optimizer.versions)


async def _difference(search: Search, trial: Trial, optimizer: Asked) -> dict[str, Any] | None:
    """Return how the trial differs from what is answered now, or from what the history holds of it."""
    try:
        ask = search.ask_of(trial)
        again = counted_point(ask, trial.again) or await optimizer.ask(ask)
    except OptimizerFailed as error:
        return _named(trial, None, None, None, f"the optimizer does not answer its ask now: {error}")
    path = first_difference(trial.values, again)
    if path is not None:
        return _named(trial, path, trial.values.get(path), again.get(path), "its ask is answered otherwise now")
    path = None if trial.told is None else first_difference(trial.values, trial.told)
    if path is not None and trial.told is not None:
        what = "the history that later asks saw holds another value of it"
        return _named(trial, path, trial.told.get(path), again.get(path), what)
    return None


def first_difference(one: Values, other: Values) -> str | None:
    """Return the first path whose values are not exactly the same; None if there is none. 1, 1.0 and true differ."""
    for path in dict.fromkeys((*one, *other)):
        if path not in one or path not in other or not _same(one[path], other[path]):
            return path
    return None


def _same(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other


def _named(trial: Trial, path: str | None, stored: Any, replayed: Any, what: str) -> dict[str, Any]:
    found = {"trial": trial.number, "ask": trial.ask, "parameter": path}
    return {**found, "stored": stored, "replayed": replayed, "what": what}


def _verdict(search: Search, first: dict[str, Any] | None, checked: int, versions: Mapping[str, str]) -> dict[str, Any]:
    recorded = dict(search.made(first["ask"] if first else 0).get("versions") or {}) if search.made_with else {}
    return {
        "optimization": search.id,
        "equal": first is None,
        "checked": checked,
        "total": len(search.trials),
        "first": first,
        "recorded": recorded,
        "replayed": dict(versions),
        "explanation": _explanation(first, recorded, versions),
    }


def _explanation(
    first: Mapping[str, Any] | None, recorded: Mapping[str, str], versions: Mapping[str, str]
) -> str | None:
    others = [name for name in recorded if name in versions and recorded[name] != versions[name]]
    before, now = (_listed({name: found[name] for name in others}) for found in (recorded, versions))
    said = f"Recorded with {before}, replayed with {now}." if others else None
    if first is None:
        return said
    if not recorded:
        said = "Which versions it was recorded with is not known."
    elif said is None:
        said = f"Recorded and replayed with the same versions ({_listed(recorded)}): what is stored was changed."
    bits = " The two differ in their last bits only." if _is_close(first["stored"], first["replayed"]) else ""
    return said + bits


def _is_close(one: Any, other: Any) -> bool:
    are_numbers = isinstance(one, float) and isinstance(other, float)
    return are_numbers and one != other and math.isclose(one, other, rel_tol=_LAST_BITS)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
