"""What an attempt uses, as channels of its job: CPU, memory, reading and writing of its process tree, and its GPUs.

The supervisor samples, because it outlives the agent and is the tree's ancestor: it reads a few files of /proc for each
process of the tree, never the whole machine. Standard library only. The samples are a journal of their own, of a
writer that is no process (`0-…`), so that they are shipped, measured and checked like any other; the coordinator
marks what comes from it as system channels, which no KPI, limit or table of trials ever looks at.

==================  ==========================================================================================
``system/cpu``      percent of one CPU, since the last sample: two busy ones are 200
``system/memory``   MiB that are resident; what processes share is counted once
``system/read``     MiB read from disks so far; what had been cached is not read
``system/written``  MiB written so far
``system/gpu``      percent of its GPUs that are busy, their mean; only with GPUs
``system/gpu_memory``   MiB of their memory in use
==================  ==========================================================================================

x is the time that the job has run, in seconds, without pauses. A sample is taken `FIRST_S` after the start, then every
`AGE_SHARE` of the job's age, at least every minute: a day makes some 1,500 samples.
"""

from __future__ import annotations

import json
import os
import time

from bough import _layout as layout
from bough_agent import closing, processes

FIRST_S = 2.0
AGE_SHARE = 1 / 60
MOST_S = 60.0
STALE_S = 60.0  # what the agent said of the GPUs that long ago is no longer true
MIB = float(1 << 20)
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_UNITS = {"cpu": "%", "memory": "MiB", "read": "MiB", "written": "MiB", "gpu": "%", "gpu_memory": "MiB"}


class Sampler:
    """Samples one attempt; whatever goes wrong with it is the attempt's no concern.

    Args:
        folder: The attempt's folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._due_s = FIRST_S
        self._at_s = 0.0
        self._used: dict[int, tuple[int, int, int, int]] = {}  # pid → start, CPU ticks, bytes read, bytes written
        self._totals = [0, 0, 0]  # ticks, bytes read, bytes written, of all that ever were
        self._journal: int | None = None
        self._lines = 0
        self._declared: set[str] = set()
        self._is_torn = False

    def perhaps(self, running_s: float) -> None:
        """Take a sample if it is time; ``running_s`` is for how long the attempt has run."""
        if running_s < self._due_s:
            return
        self._due_s = running_s + min(MOST_S, max(FIRST_S, running_s * AGE_SHARE))
        try:
            self._write(running_s, self._sample(running_s) | self._gpus())
        except (OSError, ValueError):  # a full disk, or a trial that removed the folder of its journals
            return

    def _sample(self, running_s: float) -> dict[str, float]:
        ticks_before, own, shared = self._totals[0], 0, 0
        seen: dict[int, tuple[int, int, int, int]] = {}
        for pid in processes.below(os.getpid()):
            used = _used(pid)
            if used is None:
                continue
            seen[pid] = used
            before = self._used.get(pid, (used[0], 0, 0, 0))
            if before[0] == used[0]:
                for index in range(3):
                    self._totals[index] += max(0, used[index + 1] - before[index + 1])
            resident, common = _memory(pid)
            own += resident - common
            shared = max(shared, common)
        self._used = seen
        elapsed_s, self._at_s = max(running_s - self._at_s, 0.001), running_s
        return {
            "cpu": round((self._totals[0] - ticks_before) / _TICKS / elapsed_s * 100, 1),
            "memory": round((own + shared) * _PAGE / MIB, 1),
            "read": round(self._totals[1] / MIB, 2),
            "written": round(self._totals[2] / MIB, 2),
        }

    def _gpus(self) -> dict[str, float]:
        """Return what the agent last said of the attempt's GPUs."""
        try:
            with closing.open_regular(os.path.join(self._folder, layout.GPUS)) as file:
                row = json.loads(file.read(1 << 12))
            if not 0 <= time.time() - row["at"] < STALE_S:
                return {}
            return {"gpu": float(row["percent"]), "gpu_memory": round(row["memory_bytes"] / MIB, 1)}
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return {}

    # -- the journal ----------------------------------------------------------------------------------------------

    def _write(self, running_s: float, sample: dict[str, float]) -> None:
        if self._journal is None:
            writer = f"{layout.SYSTEM_WRITER}{os.urandom(4).hex()}"
            self._journal = os.open(closing.journal_path(self._folder, writer), _CREATE, 0o600)
            self._lines = 0
        now, x, first = time.time(), round(running_s, 1), self._lines
        rows: list[list[object]] = [] if first else [["h", {"pid": 0, "system": True}]]
        rows += [["c", f"system/{name}", _declaration(name)] for name in sample if name not in self._declared]
        rows += [["p", f"system/{name}", x, y] for name, y in sample.items()]
        text = "".join(
            json.dumps([kind, first + n, round(now, 3), *rest], separators=(",", ":")) + "\n"
            for n, (kind, *rest) in enumerate(rows)
        )
        data = (b"\n" if self._is_torn else b"") + text.encode()
        self._is_torn = True  # until it is written whole
        self._is_torn = os.write(self._journal, data) != len(data)
        if not self._is_torn:
            self._lines += len(rows)
            self._declared.update(sample)


def _declaration(name: str) -> dict[str, object]:
    traces = [f"system/{name}"]
    return {"traces": traces, "type": "number", "xaxis": {"title": "s"}, "yaxis": {"title": _UNITS[name]}}


def _used(pid: int) -> tuple[int, int, int, int] | None:
    """Return when a process started, its CPU ticks, and the bytes it read and wrote; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    read, written = _bytes(pid)
    return int(fields[19]), int(fields[11]) + int(fields[12]), read, written


def _bytes(pid: int) -> tuple[int, int]:
    """Return the bytes that a process caused to be read from and written to storage; 0 where nobody may look."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            rows = dict(line.split(b": ") for line in file.read().splitlines())
        return int(rows[b"read_bytes"]), int(rows[b"write_bytes"])
    except (OSError, KeyError, ValueError):
        return 0, 0


def _memory(pid: int) -> tuple[int, int]:
    """Return the resident pages of a process, and how many of them it may share with others."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            fields = file.read().split()
        return int(fields[1]), int(fields[2])
    except (OSError, IndexError, ValueError):
        return 0, 0
