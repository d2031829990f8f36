"""Which agent may run which job: by name or label, by what the job needs and the agent has, by whose code it runs.

Everything here is decided from arguments. A job is anything with the columns ``agents``, ``needs``, ``model`` and
``source``: a row of a job or of an optimization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import RowMapping

LABEL = "label:"
IN_PROCESS = "in-process:"  # how the names of agents begin that run one function and no commands: `bough.minimize`
_GIB = float(1 << 30)
Row = Mapping[str, Any] | RowMapping


@dataclass(frozen=True)
class Machine:
    """An agent, as far as it decides what it may run.

    Args:
        id: Its id.
        name: Its name.
        slots: How many jobs it runs at a time.
        labels: What it is marked with: ``gpu`` or ``gpu=a100``.
        offers: What it has for jobs, as it registered; what is not in it is not limited, but data and GPUs.
    """

    id: str
    name: str
    slots: int
    labels: Sequence[str] = ()
    offers: Row = field(default_factory=dict)


def machine(row: Row) -> Machine:
    """Return the machine of an agent's row."""
    return Machine(row["id"], row["name"], slots_of(row), tuple(row["labels"] or ()), row["offers"] or {})


def slots_of(row: Row) -> int:
    """Return how many jobs the agent of this row runs at a time: as somebody set it since, or as it registered."""
    return int(row["slots"] if row["slots_set"] is None else row["slots_set"])


def may_use(chosen: Sequence[str] | None, found: Machine) -> bool:
    """Return whether the agent is among the chosen ones; None chooses all that run commands."""
    if chosen is None:
        return not found.name.startswith(IN_PROCESS)
    return any(_is_meant(text, found) for text in chosen)


def may_run(job: Row, found: Machine) -> bool:
    """Return whether the agent could ever run the job."""
    return refusal(job, found) is None


def refusal(job: Row, found: Machine) -> str | None:
    """Return why the agent can never run the job, as the end of a sentence about it; None if it can."""
    if not may_use(job["agents"], found):
        return f"is not among the chosen ones ({', '.join(job['agents'] or ['those that run commands'])})"
    allowed = found.offers.get("allow")
    if allowed and not is_allowed(allowed, job["model"], (job["source"] or {}).get("url")):
        return f"runs only what its allow-list names ({', '.join(map(str, allowed))})"
    needs = job["needs"] or {}
    missing = [name for name in needs.get("data", ()) if name not in (found.offers.get("data") or ())]
    if missing:
        return f"has no data {', '.join(missing)} (give it with --data {missing[0]}=/path)"
    return _too_much(needs, found.offers)


def is_allowed(patterns: Sequence[str], model: str, url: Any) -> bool:
    """Return whether an allow-list names the model (``me/*``) or where its code comes from (``https://host/*``)."""
    names = [model, *([url] if isinstance(url, str) else [])]
    return any(fnmatchcase(name, str(pattern)) for pattern in patterns for name in names)


def _is_meant(text: str, found: Machine) -> bool:
    if not text.startswith(LABEL):
        return text == found.name
    wanted = text.removeprefix(LABEL)
    return any(fnmatchcase(label, wanted) or label.partition("=")[0] == wanted for label in found.labels)


def _too_much(needs: Row, offers: Row) -> str | None:
    if needs.get("gpu"):
        fit = [gpu for gpu in offers.get("gpus") or () if gpu["memory_bytes"] >= needs.get("gpu_memory_bytes", 0)]
        if len(fit) < needs["gpu"]:
            size = needs.get("gpu_memory_bytes")
            kind = f" with {size / _GIB:.1f} GiB" if size else ""
            return f"has {len(fit)} GPUs{kind}, {needs['gpu']:g} are needed"
    for name, unit, share in (("cpu", "CPUs", 1.0), ("memory_bytes", "GiB of memory", _GIB)):
        has = offers.get("cpus" if name == "cpu" else name)
        if has is not None and needs.get(name, 0) > has:
            return f"offers {has / share:.3g} {unit}, {needs[name] / share:.3g} are needed"
    return None


@dataclass
class Free:
    """What an agent has left for jobs at this moment; None where it does not count.

    Args:
        cpus: CPUs.
        memory_bytes: Memory.
        gpus: For each GPU, which share of it is left, 0 to 1, and its memory in bytes.
    """

    cpus: float | None = None
    memory_bytes: float | None = None
    gpus: list[tuple[float, int]] | None = None

    @classmethod
    def read(cls, told: Any) -> Free:
        """Return what the header of a sync says; nothing counts where it says nothing that is understood."""
        try:
            gpus = None if told.get("gpus") is None else [(float(share), int(size)) for share, size in told["gpus"]]
            return cls(_number(told.get("cpus")), _number(told.get("memory_bytes")), gpus)
        except (AttributeError, TypeError, ValueError, OverflowError):
            return cls()

    def take(self, needs: Row | None) -> bool:
        """Take what a job needs if it is there; False, and nothing is taken, if it is not."""
        needs = needs or {}
        cpus, memory = needs.get("cpu", 0), needs.get("memory_bytes", 0)
        if (self.cpus is not None and cpus > self.cpus) or (
            self.memory_bytes is not None and memory > self.memory_bytes
        ):
            return False
        if self.gpus is not None and needs.get("gpu"):
            chosen = pick([share for share, _ in self.gpus], needs["gpu"], self._fit(needs))
            if chosen is None:
                return False
            share = min(1.0, needs["gpu"])
            self.gpus = [(left - share * (n in chosen), size) for n, (left, size) in enumerate(self.gpus)]
        self.cpus = None if self.cpus is None else self.cpus - cpus
        self.memory_bytes = None if self.memory_bytes is None else self.memory_bytes - memory
        return True

    def _fit(self, needs: Row) -> list[bool]:
        return [size >= needs.get("gpu_memory_bytes", 0) for _, size in self.gpus or ()]


def pick(left: Sequence[float], wanted: float, fit: Sequence[bool]) -> list[int] | None:
    """Return which GPUs a job gets; None where there are not enough.

    Whole GPUs must be free as a whole. A share goes where the least is left that suffices, so that whole ones stay
    free. The agent, which hands them out, decides in the same way (`bough_agent.shares`).
    """
    if wanted >= 1:
        free = [n for n, share in enumerate(left) if share >= 1 - 1e-9 and fit[n]]
        return free[: int(wanted)] if len(free) >= wanted else None
    some = [n for n, share in enumerate(left) if share >= wanted - 1e-9 and fit[n]]
    return [min(some, key=lambda n: left[n])] if some else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
