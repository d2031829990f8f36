"""A piece of a stream on its way to the coordinator, and how files that belong to a trial are opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bough_agent.messages import Json, Key

PART_BYTES = 1 << 20
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Part:
    """Some bytes of one stream of one attempt, beginning at ``offset``."""

    key: Key
    stream: str
    offset: int
    data: bytes
    crc: int

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)

    def header(self) -> Json:
        """Return what the coordinator is told about it."""
        job, attempt = self.key
        size = len(self.data)
        return {
            "job": job,
            "attempt": attempt,
            "stream": self.stream,
            "offset": self.offset,
            "bytes": size,
            "crc": self.crc,
        }


def open_below(folder: Path, name: str) -> int:
    """Open ``folder/name`` for reading; no link is followed on the way, and no pipe is waited for."""
    parent, _, last = name.rpartition("/")
    directory = os.open(folder / parent, READ | os.O_DIRECTORY)
    try:
        return os.open(last, READ, dir_fd=directory)
    finally:
        os.close(directory)
