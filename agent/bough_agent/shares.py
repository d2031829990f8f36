"""How much of a machine its running jobs have taken, and which GPUs the next one gets. Decided from arguments alone.

A whole GPU is one job's; jobs that ask for a share below 1 share one, as far as the shares go. What a job does not ask
for is not counted, so slots alone limit jobs that say nothing. Memory of GPUs is bytes in all, not what is free just
now: who else uses the machine is not ours to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EPSILON = 1e-9
Needs = Mapping[str, Any]


@dataclass(frozen=True)
class Stock:
    """What jobs may use: CPUs, bytes of memory, and GPUs by index with the bytes of each. None: not limited."""

    cpus: float | None = None
    memory_bytes: float | None = None
    gpus: tuple[tuple[int, int], ...] = ()


Taken = Iterable[tuple[Needs, tuple[int, ...]]]  # of each running job: what it asked for, and the GPUs that it got


def gpu_shares(stock: Stock, taken: Taken) -> dict[int, float]:
    """Return which share of each GPU is left, 0 to 1, by index."""
    left = {index: 1.0 for index, _ in stock.gpus}
    for needs, gpus in taken:
        for index in gpus:
            if index in left:
                left[index] = max(0.0, left[index] - min(1.0, needs.get("gpu", 1.0)))
    return left


def rest(stock: Stock, taken: Taken) -> dict[str, Any]:
    """Return what is left, as the coordinator is told: ``cpus``, ``memory_bytes``, ``gpus`` [[share, bytes], …]."""
    jobs = list(taken)
    left = gpu_shares(stock, jobs)
    cpus, memory = (sum(needs.get(name, 0) for needs, _ in jobs) for name in ("cpu", "memory_bytes"))
    return {
        "cpus": None if stock.cpus is None else stock.cpus - cpus,
        "memory_bytes": None if stock.memory_bytes is None else stock.memory_bytes - memory,
        "gpus": [[left[index], size] for index, size in stock.gpus],
    }


def pick(stock: Stock, taken: Taken, needs: Needs) -> tuple[int, ...] | None:
    """Return the GPUs that the next job gets, none where it asks for none; None where too little is left.

    Whole GPUs must be free as a whole. A share goes where the least is left that suffices: whole ones stay free.
    """
    jobs = list(taken)
    left = rest(stock, jobs)
    for name, asked in (("cpus", needs.get("cpu", 0)), ("memory_bytes", needs.get("memory_bytes", 0))):
        if left[name] is not None and asked > left[name] + EPSILON:
            return None
    wanted = needs.get("gpu", 0)
    if not wanted:
        return ()
    shares = gpu_shares(stock, jobs)
    fit = [index for index, size in stock.gpus if size >= needs.get("gpu_memory_bytes", 0)]
    if wanted >= 1:
        free = [index for index in fit if shares[index] >= 1 - EPSILON]
        return tuple(free[: int(wanted)]) if len(free) >= wanted else None
    some = [index for index in fit if shares[index] >= wanted - EPSILON]
    return (min(some, key=lambda index: shares[index]),) if some else None
