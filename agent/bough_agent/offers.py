"""What an agent has for jobs, as it tells when it connects: CPUs, memory, GPUs, data, and whose code it runs.

Data sets are mapped once (``--data name=/path``) and kept in the agent's home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import psutil

from bough.errors import UsageError
from bough_agent.gpus import Gpu
from bough_agent.home import write_atomically
from bough_agent.messages import Claim, Json
from bough_agent.shares import Stock

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_KEPT = "data.json"


@dataclass(frozen=True)
class Offers:
    """What jobs may use here.

    Attributes:
        cpus: CPUs.
        memory_bytes: Memory.
        gpus: GPUs.
        data: Data sets by name, and where they lie.
        allow: Patterns of the models and sources whose code is run; none: all.
        manages_gpus: Whether something was said about GPUs, be it that jobs may use none.
        confinement: How CPU and memory of a job are kept to what it asked for, for people.
    """

    cpus: float
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    data: Mapping[str, Path]
    allow: tuple[str, ...]
    confinement: str
    manages_gpus: bool = False

    @property
    def stock(self) -> Stock:
        """What is shared out between jobs."""
        gpus = tuple((gpu.index, gpu.memory_bytes) for gpu in self.gpus)
        return Stock(self.cpus, self.memory_bytes, gpus)

    def wire(self) -> Json:
        """Return what the coordinator is told."""
        return {
            "cpus": self.cpus,
            "memory_bytes": self.memory_bytes,
            "gpus": [{"index": gpu.index, "name": gpu.name, "memory_bytes": gpu.memory_bytes} for gpu in self.gpus],
            "data": sorted(self.data),
            "allow": list(self.allow),
            "confinement": self.confinement,
        }

    def refusal(self, claim: Claim) -> str | None:
        """Return why the code of a claim is not run here; None if it is. The coordinator should not have granted it."""
        names = [claim.model, *([claim.source] if claim.source else [])]
        if not self.allow or any(fnmatchcase(name, pattern) for pattern in self.allow for name in names):
            return None
        return f"this agent runs only what its allow-list names ({', '.join(self.allow)})."


def of_machine(
    gpus: Sequence[Gpu],
    data: Mapping[str, Path],
    allow: Sequence[str],
    confinement: str,
    cpus: float | None = None,
    memory_bytes: int | None = None,
    manages_gpus: bool = False,
) -> Offers:
    """Return what this machine offers: all of its CPUs and memory, where nothing else is said."""
    all_cpus = float(psutil.cpu_count() or 1)
    memory = memory_bytes or psutil.virtual_memory().total
    return Offers(cpus or all_cpus, memory, tuple(gpus), dict(data), tuple(allow), confinement, manages_gpus)


def data_sets(home: Path, given: Sequence[str]) -> dict[str, Path]:
    """Return the data sets of an agent, those given now and those kept; what is given is kept from now on.

    Args:
        home: The agent's folder.
        given: ``name=/path`` each; ``name=`` forgets one.

    Raises:
        UsageError: One is not of this form, or its path does not exist.
    """
    known = _kept(home)
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise UsageError(
                f"--data {text!r} is not of the form name=/path.", "Write such as imagenet=/data/imagenet."
            )
        if not path:
            known.pop(name, None)
            continue
        place = Path(path).expanduser().absolute()
        if not place.exists():
            raise UsageError(f"there is no {place} for the data {name}.", "Check the path, or mount it first.")
        known[name] = place
    if given:
        write_atomically(home / _KEPT, json.dumps({name: str(path) for name, path in known.items()}))
    return {name: path for name, path in known.items() if path.exists()}


def _kept(home: Path) -> dict[str, Path]:
    try:
        found = json.loads((home / _KEPT).read_text())
        return {str(name): Path(path) for name, path in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
