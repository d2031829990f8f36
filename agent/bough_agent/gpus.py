"""The GPUs of this machine, as NVIDIA's own `nvidia-smi` tells of them; none where there is no such program.

A program and no library: it comes with every driver, and what it does to memory and files ends with it. It takes a
tenth of a second or more, so it is asked now and then, beside the main loop.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bough.errors import UsageError

TIMEOUT_S = 20.0
EVERY_S = 15.0
_FIELDS = "index,name,memory.total,memory.used,utilization.gpu"
_MIB = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """One GPU, as last seen.

    Attributes:
        index: Its number, as in CUDA_VISIBLE_DEVICES with PCI order.
        name: What its maker calls it.
        memory_bytes: What it has.
        used_bytes: What is in use, by whomever.
        percent: How busy it is; None where the driver does not tell.
    """

    index: int
    name: str
    memory_bytes: int
    used_bytes: int
    percent: float | None


def look() -> list[Gpu]:
    """Return the GPUs of this machine, by index; none where nothing can be learned."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return [] if done.returncode else read(done.stdout)


def read(text: str) -> list[Gpu]:
    """Return what a table of `nvidia-smi` says; rows that are not understood are left out."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        try:
            index, total, used = int(fields[0]), int(float(fields[-3])), int(float(fields[-2]))
        except (ValueError, IndexError):
            continue
        name = ", ".join(fields[1:-3])
        found.append(Gpu(index, name, total * _MIB, used * _MIB, _percent(fields[-1])))
    return sorted(found, key=lambda gpu: gpu.index)


def choose(found: list[Gpu], wanted: str) -> list[Gpu]:
    """Return the GPUs that jobs may use.

    Args:
        found: Those of the machine.
        wanted: ``all``, ``none``, how many (``2``), or which: ``0,1``, and ``0,`` for the first alone.

    Raises:
        UsageError: It is none of these, or there are no such GPUs.
    """
    text = wanted.strip().lower()
    if text in ("all", "none"):
        return list(found) if text == "all" else []
    there = f"This machine has {len(found)}" + (f": {', '.join(str(gpu.index) for gpu in found)}." if found else ".")
    numbers = [part.strip() for part in text.split(",") if part.strip()]
    if not numbers or not all(number.isdigit() for number in numbers):
        raise UsageError(f"--gpus {wanted!r} is not understood.", "Use all, none, a number of GPUs, or a list: 0,1.")
    if "," not in text:
        if int(numbers[0]) > len(found):
            raise UsageError(f"there are no {numbers[0]} GPUs.", there)
        return found[: int(numbers[0])]
    by_index = {gpu.index: gpu for gpu in found}
    missing = [number for number in numbers if int(number) not in by_index]
    if missing:
        raise UsageError(f"there is no GPU {missing[0]}.", there)
    return [by_index[index] for index in sorted({int(number) for number in numbers})]


class Watch(threading.Thread):
    """Looks at some GPUs again and again, beside the main loop.

    Attributes:
        seen: How they were found last.
        seen_at: When that was, on the monotonic clock; 0 before the first look.
    """

    def __init__(self, gpus: Sequence[Gpu], every_s: float = EVERY_S) -> None:
        super().__init__(name="gpus", daemon=True)
        self._indexes = {gpu.index for gpu in gpus}
        self._every_s = every_s
        self.seen = tuple(gpus)
        self.seen_at = 0.0

    def of(self, indexes: Sequence[int]) -> list[Gpu]:
        """Return those of these indexes, as they were found last."""
        return [gpu for gpu in self.seen if gpu.index in indexes]

    def run(self) -> None:
        """Look until the agent ends."""
        while True:
            found = tuple(gpu for gpu in look() if gpu.index in self._indexes)
            if found:
                self.seen, self.seen_at = found, time.monotonic()
            time.sleep(self._every_s)


def _percent(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A]
        return None
