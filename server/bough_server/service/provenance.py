"""What the asks of an optimization were made with: versions, algorithm, seed, space. A replay needs it.

It is noted before anyone can take an ask's values, as a list (column `versions`) whose entries hold for the asks from
their ``from_ask`` on until the next entry: settings, space and libraries may change while an optimization lives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, update

from bough_server.store.schema import optimizations

_SETTINGS = ("algorithm", "seed", "initial_random", "space_version")
Entry = dict[str, Any]


def entry(optimization: Mapping[str, Any], number: int, versions: Mapping[str, str]) -> Entry:
    """Return what ask ``number`` of an optimization (its row) is made with now."""
    return {"from_ask": number, **{name: optimization[name] for name in _SETTINGS}, "versions": dict(versions)}


def noted(entries: Sequence[Entry], new: Entry) -> list[Entry]:
    """Return the entries with ``new``: later ones, of asks that were thrown away, go; one that says the same stays."""
    kept = [one for one in entries if one["from_ask"] < new["from_ask"]]
    is_known = bool(kept) and {**kept[-1], "from_ask": new["from_ask"]} == new
    return kept if is_known else [*kept, new]


def save(tx: Connection, optimization: Mapping[str, Any], entries: Sequence[Entry]) -> None:
    """Keep the entries, unless the optimization (its row as it was) was edited or restarted meanwhile."""
    same = ("id", "generation", "space_version")
    mine = and_(*(optimizations.c[name] == optimization[name] for name in same))
    tx.execute(update(optimizations).where(mine).values(versions=list(entries)))
