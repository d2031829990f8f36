"""What the coordinator knows of its agents from moment to moment: who was heard of when, and who wants work.

Kept in memory and measured with the monotonic clock. After a restart everything counts as heard of just then, so that
nobody is given up because the coordinator was away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bough_server.service.eligible import Free, Machine, machine


@dataclass
class Presence:
    """One agent, as last heard of.

    Args:
        name: Its name.
        slots: How many jobs it runs at once.
        epoch: Which process of it.
        heard_at: Monotonic time of the last message.
        listed_at: Monotonic time of the last one that said which attempts it holds, once it was handled.
        wanted: How many jobs it would have taken at that time.
        is_closed: It is to take nothing more: it drains, or is in quarantine.
        bell: Rises when something is wanted of it.
        row: Its row in the store.
        saved_at: Monotonic time at which the store last learned that it was heard of.
        usage: How busy its machine was when it last said so.
        free: What it had left for jobs then; None: it did not say.
    """

    name: str
    slots: int
    epoch: str
    heard_at: float
    wanted: int = 0
    is_closed: bool = False
    bell: int = 0
    saved_at: float = 0.0
    row: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    free: Free | None = None
    listed_at: float = float("-inf")


@dataclass
class Fleet:
    """All agents that were heard of since the coordinator started."""

    started_at: float
    lease_ttl_s: float
    agents: dict[str, Presence] = field(default_factory=dict)
    held: dict[tuple[str, int], float] = field(default_factory=dict)  # (job, attempt) → last seen held
    noticed: dict[tuple[str, int], float] = field(default_factory=dict)  # (job, attempt) → first asked about
    passed_over: dict[str, float] = field(default_factory=dict)  # job → since when a less busy agent is awaited

    def is_online(self, agent_id: str, now: float) -> bool:
        """Return whether the agent was heard of within its lease."""
        presence = self.agents.get(agent_id)
        return presence is not None and now - presence.heard_at <= self.lease_ttl_s

    def online(self, now: float) -> dict[str, Presence]:
        """Return the agents that were heard of within their lease."""
        return {key: found for key, found in self.agents.items() if now - found.heard_at <= self.lease_ttl_s}

    def takers(self, now: float) -> list[Machine]:
        """Return the agents that may take work."""
        return [machine(found.row) for found in self.online(now).values() if found.row and not found.is_closed]

    def renew(self, held: Iterable[tuple[str, int]], now: float) -> None:
        """Note that these attempts were just reported as held."""
        for job_attempt in held:
            self.held[job_attempt] = now

    def silent_for(self, job_id: str, attempt: int, now: float) -> float:
        """Return for how long nothing was heard of that attempt, in seconds; at most since the coordinator started.

        One that was claimed a moment ago counts as heard of when it is first asked about: its agent could not yet say
        that it holds it, and another coordinator may have granted it.
        """
        key = job_id, attempt
        return now - max(self.held.get(key, self.noticed.setdefault(key, now)), self.started_at)

    def forget(self, job_id: str) -> None:
        """Drop what is known of the attempts of an ended job."""
        for times in (self.held, self.noticed):
            for key in [key for key in times if key[0] == job_id]:
                del times[key]
        self.passed_over.pop(job_id, None)
