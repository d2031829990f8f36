"""How busy each agent's machine was: kept for a day, the last hour in more detail, as channels of the agent.

A table of means, bounded by its steps: `STEPS` times what they are kept, for each agent. Times are the coordinator's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from bough_server.service import agents
from bough_server.store.dialects import upsert
from bough_server.store.schema import agent_usage

STEPS = {10: 3600.0, 300: 86400.0}  # seconds of a step → for how many seconds it is kept
_UNITS = {"cpu": "%", "memory": "%", "disk_free": "GiB"}
_MOST_GPUS = 32
_GIB = float(1 << 30)


def numbers_of(usage: Mapping[str, Any]) -> dict[str, float]:
    """Return what an agent says of its machine as numbers by name; what is not understood is left out."""
    found: dict[str, Any] = {"cpu": usage.get("cpu_percent"), "memory": usage.get("memory_percent")}
    free: Any = usage.get("disk_free_bytes")
    found["disk_free"] = free / _GIB if _is_number(free) else None
    gpus = usage.get("gpus")
    for gpu in gpus[:_MOST_GPUS] if isinstance(gpus, list) else []:
        if isinstance(gpu, dict) and isinstance(gpu.get("index"), int):
            found[f"gpu{gpu['index']}"] = gpu.get("percent")
            found[f"gpu{gpu['index']}_memory"] = gpu.get("memory_percent")
    return {name: round(float(value), 2) for name, value in found.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def note(tx: Connection, agent_id: str, usage: Mapping[str, Any], now: float) -> None:
    """Take a look at an agent's machine into its history; what is too old goes."""
    seen = numbers_of(usage)
    if not seen:
        return
    rows = []
    for step_s, kept_s in STEPS.items():
        mine = (agent_usage.c.agent == agent_id) & (agent_usage.c.step_s == step_s)
        at = int(now // step_s) * step_s
        before = tx.execute(select(agent_usage.c.n, agent_usage.c.usage).where(mine, agent_usage.c.at == at)).first()
        n, known = (0, {}) if before is None else before
        means = {name: round(known.get(name, value) + (value - known.get(name, value)) / (n + 1), 2)
                 for name, value in seen.items()}  # fmt: skip
        rows.append({"agent": agent_id, "step_s": step_s, "at": at, "n": n + 1, "usage": {**known, **means}})
        if before is None:
            tx.execute(delete(agent_usage).where(mine, agent_usage.c.at < now - kept_s))
    upsert(tx, agent_usage, rows, replace=("n", "usage"))


def history(tx: Connection, agent_id: str) -> dict[str, Any]:
    """Return the channels of an agent, whose id or name is given: x is the time, seconds since the epoch.

    Raises:
        NotFound: There is no such agent.
        Conflict: Several have this name.
    """
    row = agents.find(tx, agent_id)
    mine = select(agent_usage).where(agent_usage.c.agent == row["id"]).order_by(agent_usage.c.at)
    by_step: dict[int, list[Any]] = {step_s: [] for step_s in STEPS}
    for found in tx.execute(mine).mappings():
        by_step.setdefault(found["step_s"], []).append(found)
    fine = by_step[min(STEPS)]
    begin = fine[0]["at"] if fine else float("inf")
    rows = [found for found in by_step[max(STEPS)] if found["at"] + max(STEPS) <= begin] + fine
    names = dict.fromkeys(name for found in rows for name in found["usage"])
    return {"agent": row["id"], "name": row["name"], "channels": [_channel(name, rows) for name in names]}


def _channel(name: str, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    own = [found for found in rows if name in found["usage"]]
    x, y = [found["at"] for found in own], [found["usage"][name] for found in own]
    return {"name": name, "unit": _UNITS.get(name, "%"), "x": x, "y": y}
