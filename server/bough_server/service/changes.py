"""What a transaction changed, noted while it runs and told to everyone who waits once it is committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bough_server.store.points import Chunk


@dataclass
class Changes:
    """Ids of what changed, and what arrived.

    Args:
        jobs: Jobs whose row changed.
        optimizations: Optimizations whose row or trials changed.
        counted: Optimizations of which no more than the counts of trials by state changed.
        models: Models whose revisions or marks of jobs changed.
        agents: Agents whose row changed.
        rung: Agents that should sync soon: something is wanted of them.
        ended: Jobs that reached a terminal state.
        points: (job, channel, points) that arrived.
        logs: (job, offset, bytes) of log that arrived.
    """

    jobs: set[str] = field(default_factory=set)
    optimizations: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    rung: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    points: list[tuple[str, str, Chunk]] = field(default_factory=list)
    logs: list[tuple[str, int, bytes]] = field(default_factory=list)

    def of_job(self, job: Any) -> None:
        """Note that ``job`` (a row) changed, and its optimization with it."""
        self.jobs.add(job["id"])
        if job["optimization"] is not None:
            self.optimizations.add(job["optimization"])

    def of_state(self, job: Any) -> None:
        """Note that the state of ``job`` (a row) changed, and nothing that decides what is started next."""
        self.jobs.add(job["id"])
        if job["optimization"] is not None:
            self.counted.add(job["optimization"])
