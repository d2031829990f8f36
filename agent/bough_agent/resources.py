"""What this machine has, what is left of it, and when that is too little to take on another job."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from bough_agent.gpus import Gpu
from bough_agent.messages import Json

DISK_LEAST_BYTES = 1 << 30
DISK_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Usage:
    """A look at the machine; percentages are 0 to 100, of all CPUs and of all memory. ``gpus``: those that jobs use."""

    cpu_percent: float
    memory_percent: float
    disk_free_bytes: int
    disk_total_bytes: int
    gpus: tuple[Gpu, ...] = ()

    def wire(self) -> Json:
        """Return what the coordinator is told."""
        return {
            "cpu_percent": self.cpu_percent,
            "memory_percent": self.memory_percent,
            "disk_free_bytes": self.disk_free_bytes,
            "disk_percent": round(100 - 100 * self.disk_free_bytes / max(1, self.disk_total_bytes), 1),
            "gpus": [
                {
                    "index": gpu.index,
                    "name": gpu.name,
                    "percent": gpu.percent,
                    "memory_percent": round(100 * gpu.used_bytes / max(1, gpu.memory_bytes), 1),
                }
                for gpu in self.gpus
            ],
        }


def system() -> Json:
    """Return what the machine is: ``cpus``, ``memory_bytes``, ``python``, ``platform``."""
    return {
        "cpus": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
    }


def usage(home: Path, gpus: tuple[Gpu, ...] = ()) -> Usage:
    """Return how busy the machine is since the last call, and how full the disk of ``home`` is."""
    disk = psutil.disk_usage(str(home))
    memory = psutil.virtual_memory().percent
    return Usage(psutil.cpu_percent(interval=None), memory, disk.free, disk.total, gpus)


def refusal(seen: Usage) -> str | None:
    """Return why no job should be taken on now, or None when nothing speaks against it.

    A job on a full disk loses its log and its journal; 1 GiB, or 5 % of a small disk, must be free.
    """
    least = min(DISK_LEAST_BYTES, int(seen.disk_total_bytes * DISK_LEAST_SHARE))
    if seen.disk_free_bytes >= least:
        return None
    return (
        f"only {seen.disk_free_bytes / 2**20:.0f} MiB of disk are free, {least / 2**20:.0f} MiB are needed: "
        "no new jobs are taken. Free some space."
    )
