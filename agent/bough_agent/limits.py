"""Keeping a job to the CPUs and the memory that it asked for.

Where this agent's cgroup (version 2) is its own to divide, as under systemd with ``Delegate=yes``, each job gets one of
its own: the kernel then holds ``cpu.max`` and ``memory.max``. Elsewhere a job that asks for CPUs is started nicer
(`NICE`) and told their number by OMP_NUM_THREADS, and one that asks for memory gets a limit on its data (RLIMIT_DATA),
unless it has GPUs, whose drivers reserve far more than they use. Which of the two it is is said at the start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bough_agent import processes
from bough_agent.messages import Json, Key

NICE = 5
_PERIOD_US = 100_000
_MOUNT = Path("/sys/fs/cgroup")
_NEEDED = {"cpu", "memory"}
BY_CGROUP = "cgroup v2"
BY_NICE = "nice and rlimits (no cgroup v2 that this agent may divide)"


class Confinement:
    """How jobs are confined on this machine.

    Args:
        cgroup: A folder in which cgroups for jobs may be made; None where there is none.
        may_gain: Whether jobs may use sudo and other programs that give them more rights than the agent's user has.
    """

    def __init__(self, cgroup: Path | None, may_gain: bool = False) -> None:
        self._cgroup = cgroup
        self._may_gain = may_gain

    @property
    def description(self) -> str:
        """For people: by what it is done."""
        return BY_NICE if self._cgroup is None else BY_CGROUP

    def of_job(self, key: Key, needs: Mapping[str, Any]) -> Json:
        """Return the limits of a job as spec.json holds them: ``cgroup``, ``nice``, ``data_bytes``, each maybe None."""
        limits: Json = {"cgroup": None, "nice": None, "data_bytes": None, "may_gain": self._may_gain}
        cpus, memory = needs.get("cpu"), needs.get("memory_bytes")
        if self._cgroup is not None and (cpus or memory):
            limits["cgroup"] = str(self._make(key, cpus, memory))
        elif self._cgroup is None:
            limits["nice"] = NICE if cpus else None
            limits["data_bytes"] = int(memory) if memory and not needs.get("gpu") else None
        return limits

    def forget(self, key: Key) -> None:
        """Remove the cgroup of a job that is over; one that is still in use stays."""
        if self._cgroup is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self._cgroup / _name(key))

    def _make(self, key: Key, cpus: float | None, memory: float | None) -> Path:
        assert self._cgroup is not None
        folder = self._cgroup / _name(key)
        folder.mkdir(exist_ok=True)
        if cpus:
            (folder / "cpu.max").write_text(f"{int(cpus * _PERIOD_US)} {_PERIOD_US}")
        if memory:
            (folder / "memory.max").write_text(str(int(memory)))
        return folder


def find(mount: Path = _MOUNT, own: str | None = None, may_gain: bool = False) -> Confinement:
    """Return how jobs can be confined here, and make this agent's cgroup ready for it.

    A cgroup that is divided may hold no process itself, so the agent moves into a leaf of it first. Where somebody
    else's processes are in it, or it is that of the whole machine, it is not ours to divide.

    Args:
        mount: Where version 2 is mounted.
        own: This process's line in /proc/self/cgroup; None reads it.
        may_gain: As for `Confinement`.
    """
    try:
        lines = (Path("/proc/self/cgroup").read_text() if own is None else own).splitlines()
        path = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        top = mount / path
        if not set((top / "cgroup.controllers").read_text().split()) >= _NEEDED or not os.access(top, os.W_OK):
            return Confinement(None, may_gain)
        pids = {int(pid) for pid in (top / "cgroup.procs").read_text().split()}
        if not path or not pids <= {os.getpid(), *processes.below(os.getpid())}:
            return Confinement(None, may_gain)
        leaf = top / "bough-agent"
        leaf.mkdir(exist_ok=True)
        for pid in sorted(pids):
            (leaf / "cgroup.procs").write_text(str(pid))
        (top / "cgroup.subtree_control").write_text("+cpu +memory")
    except (OSError, StopIteration):
        return Confinement(None, may_gain)
    return Confinement(top, may_gain)


def _name(key: Key) -> str:
    return f"job-{key[0]}.{key[1]}"
