"""The optimizers' answers, asked for before anyone needs them.

As soon as the history of an optimization changes or one of its asks is taken, the next one is prepared, so that a
claim does not wait. What an ask may be used for is decided by `is_current`: one trial at a time always sees every end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, select

from bough.definition import Space
from bough_server.optimizers.again import TRIES, ask_again, counted_point
from bough_server.optimizers.client import Ask, OptimizerFailed
from bough_server.service import definitions, duplicates, provenance
from bough_server.service.optimizations import points_of
from bough_server.service.states import CREATED, LIVE, RUNNING
from bough_server.service.told import Told
from bough_server.store.database import Database
from bough_server.store.schema import jobs, optimizations, space_versions

_log = logging.getLogger(__name__)
_RETRY_S = 1.0  # after an error of the store
_AHEAD = 4  # answers that need no history may be prepared so far ahead


class Optimizer(Protocol):
    """What answers: `bough_server.optimizers.client.OptimizerProcess`."""

    @property
    def versions(self) -> Mapping[str, str]:
        """What the values depend on, by name; known once it has answered."""
        ...

    async def ask(self, ask: Ask) -> dict[str, Any]:
        """Return the values of the next trial; raise `OptimizerFailed`."""
        ...

    async def describe(self, space: Mapping[str, Any], seed: int, samples: int) -> dict[str, Any]:
        """Return the space in hyperopt's words and some samples of it; raise `OptimizerFailed`."""
        ...


@dataclass(frozen=True)
class Prepared:
    """An answer that waits to be taken.

    Args:
        number: Of the ask, from 0.
        history_seq: How many ends it saw.
        needs_history: Whether it would be another one with more of them.
        values: Flat.
        made_with: See `made_with`.
        digest: Names the values.
        again: Which try of the ask gave them, from 0; below 0 a counted point (`optimizers.again`).
    """

    number: int
    history_seq: int
    needs_history: bool
    values: Mapping[str, Any]
    made_with: tuple[Any, ...]
    digest: str = ""
    again: int = 0


def made_with(optimization: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what else the answers depend on; an edit or a restart makes it another one."""
    names = ("generation", "space_version", "algorithm", "seed", "initial_random", "duplicates")
    return tuple(optimization[name] for name in names)


def needs_history(optimization: Mapping[str, Any], number: int) -> bool:
    """Return whether the answer to that ask depends on what ended before."""
    if optimization["algorithm"] in ("tpe", "optuna-tpe", "optuna-gp"):
        return bool(number >= optimization["initial_random"])
    return optimization["algorithm"] not in ("random", "grid")


def is_current(prepared: Prepared, optimization: Mapping[str, Any]) -> bool:
    """Return whether ``prepared`` may be the next trial's: with several at a time it may have missed one end."""
    if prepared.number != optimization["asks"] or prepared.made_with != made_with(optimization):
        return False
    missed = 0 if optimization["max_parallel"] == 1 else 1
    return not prepared.needs_history or optimization["history_seq"] - prepared.history_seq <= missed


class Asks:
    """Prepares asks of all running optimizations, one at a time, for as long as its task runs."""

    def __init__(
        self,
        store: Database,
        optimizer: Optimizer,
        on_ready: Callable[[str], None],
        on_failure: Callable[[str, str], Any],
        on_exhausted: Callable[[Mapping[str, Any], int], Any],
    ) -> None:
        self._store = store
        self._optimizer = optimizer
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._on_exhausted = on_exhausted
        self._ready: dict[str, list[Prepared]] = {}
        self._taken: dict[str, Prepared] = {}
        self._told: dict[str, Told] = {}
        self._spaces: dict[str, tuple[int, dict[str, Any]]] = {}  # the newest version of each
        self._awake: dict[str, None] = {}
        self._something = asyncio.Event()
        self._answered = asyncio.Condition()
        self.answers = 0  # how many came so far: what one waits with must be read before one looks
        self.turn = asyncio.Lock()  # of those who waited and now look: one after the other, and not in vain

    def prepared(self, optimization: Mapping[str, Any]) -> Prepared | None:
        """Return the answer that the next trial of ``optimization`` (its row) may take, if there is one."""
        found = self._ready.get(optimization["id"], [])
        return next((one for one in found if is_current(one, optimization)), None)

    def took(self, taken: Mapping[str, Prepared]) -> None:
        """Note that these answers were taken: optimization → the last one of it."""
        self._taken |= taken

    def is_there(self, optimization_id: str) -> bool:
        """Return whether there may be an answer of that optimization to take: one that nobody was seen to take."""
        last = self._taken.get(optimization_id)
        return any(
            last is None or one.number > last.number or one.made_with != last.made_with
            for one in self._ready.get(optimization_id, [])
        )

    def wake(self, optimization_id: str) -> None:
        """Look at that optimization soon: its history or its state has changed, or an ask was taken."""
        self._awake[optimization_id] = None
        self._something.set()

    async def wait_for_answer(self, seen: int, timeout_s: float) -> bool:
        """Wait until there were more than ``seen`` answers (see `answers`); False after ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._answered:
                await self._answered.wait_for(lambda: self.answers > seen)
                return True
        return False

    async def run(self) -> None:
        """Prepare asks until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._awake:
                optimization_id = next(iter(self._awake))
                del self._awake[optimization_id]
                await self._attempt(optimization_id)

    async def _attempt(self, optimization_id: str) -> None:
        """Prepare; a store that cannot be used just now (a full disk) must end neither this ask nor the others'."""
        try:
            await self._prepare(optimization_id)
        except Exception:
            _log.exception("no ask of optimization %s could be prepared; it is tried again", optimization_id)
            asyncio.get_running_loop().call_later(_RETRY_S, self.wake, optimization_id)

    async def _prepare(self, optimization_id: str) -> None:
        row = await self._store.read(lambda tx: self._needed(tx, optimization_id))
        if row is None:
            return
        number = row["asks"] + len(self._keep(row))
        try:
            answer = await self._answer(row, number)
        except OptimizerFailed as error:
            await self._on_failure(optimization_id, str(error))
            return
        except Exception as error:  # the others' asks must go on
            _log.exception("ask %d of optimization %s", number, optimization_id)
            await self._on_failure(optimization_id, f"{type(error).__name__}: {error}.")
            return
        if answer is None:
            return
        values, again = answer
        await self._note(row, number)
        digest = definitions.digest_of(values)
        found = Prepared(number, row["history_seq"], needs_history(row, number), values, made_with(row), digest, again)
        self._ready.setdefault(optimization_id, []).append(found)
        self._on_ready(optimization_id)
        await self._tell_waiting()
        if not needs_history(row, number + 1):  # else there is one, as many as there should be
            self.wake(optimization_id)

    async def _tell_waiting(self) -> None:
        async with self._answered:
            self.answers += 1
            self._answered.notify_all()

    async def _answer(self, row: Mapping[str, Any], number: int) -> tuple[dict[str, Any], int] | None:
        """Return the values of an ask and which try of it gave them; None where there is nothing left to try."""
        ask = self._ask(row, number)
        size = points_of(Space.from_json(ask.space)) if row["algorithm"] == "grid" else None
        if size is not None and number >= size:
            await self._end(row, size)
            return None
        values = await self._optimizer.ask(ask)
        if row["duplicates"] != duplicates.RESAMPLE:
            return values, 0
        known = await self._store.read(lambda tx: duplicates.tried(tx, row))
        known |= {one.digest for one in self._ready.get(row["id"], [])}
        for again in range(1, TRIES):
            if definitions.digest_of(values) not in known:
                return values, again - 1
            values = await self._optimizer.ask(ask_again(ask, again))
        return await self._last_resort(row, ask, values, known)

    async def _last_resort(
        self, row: Mapping[str, Any], ask: Ask, values: dict[str, Any], known: set[str]
    ) -> tuple[dict[str, Any], int] | None:
        """No try was new: count through the space, if it is small; else take what came last."""
        if definitions.digest_of(values) not in known:
            return values, TRIES - 1
        size = points_of(Space.from_json(ask.space))
        if size is None or size > duplicates.MOST_COUNTED:
            return values, TRIES - 1
        begin = ask.number * 7919 % size
        point = await asyncio.to_thread(duplicates.untried_point, ask.space, known, begin)
        if point is not None:
            again = -point - 1
            return counted_point(ask, again) or values, again
        await self._end(row, size)
        return None

    async def _end(self, row: Mapping[str, Any], size: int) -> None:
        """Say that all points of a space were tried."""
        if not self._ready.get(row["id"]):  # what waits to be taken comes first
            await self._on_exhausted(row, size)
            await self._tell_waiting()

    async def _note(self, row: Mapping[str, Any], number: int) -> None:
        """What an answer was made with is on the disk before anyone can take it."""
        new = provenance.entry(row, number, self._optimizer.versions)
        entries = provenance.noted(row["versions"], new)
        if entries != row["versions"]:
            await self._store.write(partial(provenance.save, optimization=row, entries=entries))

    def _keep(self, row: Mapping[str, Any]) -> list[Prepared]:
        """Return the answers in stock that may still be taken one after the other; the others are thrown away."""
        kept: list[Prepared] = []
        for one in sorted(self._ready.get(row["id"], []), key=lambda one: one.number):
            if one.number == row["asks"] + len(kept) and is_current(one, {**row, "asks": one.number}):
                kept.append(one)
        self._ready[row["id"]] = kept
        return kept

    def _needed(self, tx: Connection, optimization_id: str) -> dict[str, Any] | None:
        """Return the optimization's row if another answer of it is needed now, its history being read."""
        found = tx.execute(_ROW, {"its_id": optimization_id}).mappings().first()
        if found is None or found["state"] != RUNNING:
            for kept_of in (self._told, self._ready, self._taken):
                kept_of.pop(optimization_id, None)
            return None
        row = dict(found)
        kept = self._keep(row)
        if row["duplicates"] == duplicates.RESAMPLE:
            fresh = takewhile(lambda one: not duplicates.is_tried(tx, row, one.digest), kept)
            kept = self._ready[row["id"]] = list(fresh)
        if len(kept) >= min(_stock(tx, row, row["asks"] + len(kept)), row["max_trials"] - row["asks"]):
            return None
        self._read_history(tx, row)
        return row

    def _read_history(self, tx: Connection, row: Mapping[str, Any]) -> None:
        told = self._told.get(row["id"])
        if told is None or told.generation != row["generation"]:
            told = self._told[row["id"]] = Told(row["generation"])
        told.read(tx, row["id"])
        version = row["space_version"]
        if self._spaces.get(row["id"], (0, {}))[0] != version:
            mine = (space_versions.c.optimization == row["id"]) & (space_versions.c.version == version)
            self._spaces[row["id"]] = (version, tx.execute(select(space_versions.c.space).where(mine)).scalar_one())

    def _ask(self, row: Mapping[str, Any], number: int) -> Ask:
        seen = self._told[row["id"]].outcomes()
        _, space = self._spaces[row["id"]]
        return Ask(row["id"], row["algorithm"], space, seen, number, row["seed"], row["initial_random"])


def _stock(tx: Connection, row: Mapping[str, Any], number: int) -> int:
    """Return how many answers should be there, that of ask ``number`` among them."""
    which = {"its_id": row["id"], "its_generation": row["generation"]}
    if needs_history(row, number):
        is_free = row["max_parallel"] != 1 or tx.execute(_IN, {**which, "states": LIVE}).first() is None
        return 1 if is_free else 0
    return max(1, len(tx.execute(_IN, {**which, "states": [CREATED]}).all()))


_ROW = select(optimizations).where(optimizations.c.id == bindparam("its_id"))
_IN = (
    select(jobs.c.id)
    .where(jobs.c.optimization == bindparam("its_id"), jobs.c.generation == bindparam("its_generation"))
    .where(jobs.c.state.in_(bindparam("states", expanding=True)))
    .limit(_AHEAD)
)
