"""Contents of files that a job handed in, on their way to the coordinator.

A content lies in the attempt's folder as ``files/<sha256>-<bytes>``, whole from the moment it has that name. It is less
dear than a journal: one that was cut, replaced or hidden is given up alone, and the coordinator, which knows its
checksum, finds out. Contents are sent after journals and logs, with what they leave of a message.
"""

from __future__ import annotations

import os
import re
import stat
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from bough import _layout
from bough_agent.messages import Key
from bough_agent.parts import PART_BYTES, READ, Part, open_below

_NAME = re.compile(r"[0-9a-f]{64}-([0-9]{1,15})")
_SETTLED_NS = 2_000_000_000  # a folder that changed longer ago has no change that its time does not show


class Contents:
    """The contents of one attempt.

    Args:
        folder: The attempt's folder.
        key: The attempt.
        limits: How many there may be, and of how many bytes in all (`_layout.LIMITS`); what is beyond is not sent.
    """

    def __init__(self, folder: Path, key: Key, limits: Mapping[str, int]) -> None:
        self._folder = folder
        self._key = key
        self._most, self._most_bytes = limits["files"], limits["files_bytes"]
        self._sizes: dict[str, int] = {}  # by stream
        self._acked: dict[str, int] = {}  # of those that are not yet delivered
        self._bytes = 0
        self._seen_ns = -1

    def grown(self) -> bool:
        """Tell whether there is something to send."""
        self._look()
        return bool(self._acked)

    def left(self) -> int:
        """Return how many bytes of contents are known and not delivered."""
        return sum(self._sizes[name] - acked for name, acked in self._acked.items())

    def take(self, budget: int) -> list[Part]:
        """Return parts of at most ``budget`` bytes in all, from the acknowledged offsets on."""
        self._look()
        parts: list[Part] = []
        for name, acked in list(self._acked.items()):
            if budget <= 0:
                break
            data = self._read(name, acked, min(PART_BYTES, budget))
            if data is not None:
                parts.append(Part(self._key, name, acked, data, zlib.crc32(data)))
                budget -= max(1, len(data))
        return parts

    def acknowledge(self, name: str, offset: int) -> bool:
        """Note how much of a content the coordinator has; return whether it is more than was thought."""
        size = self._sizes.get(name)
        if size is None:
            return False
        before = self._acked.pop(name, size)
        if offset < size:
            self._acked[name] = max(0, offset)
        return offset > before or size == 0

    def rewind(self) -> None:
        """Begin anew with all of them."""
        self._acked = dict.fromkeys(self._sizes, 0)

    def close(self) -> list[str]:
        """Return the names of all contents that the coordinator can have; nothing new comes after that."""
        self._seen_ns = -1
        self._look()
        return [name.removeprefix(_layout.FILE_STREAM) for name in self._sizes]

    def is_covered(self, ends: Mapping[str, int]) -> bool:
        """Tell whether every content is delivered, or so by parts with these ends."""
        return all(name in ends and ends[name] >= self._sizes[name] for name in self._acked)

    def _look(self) -> None:
        """Find new contents; the folder is read only when it has changed."""
        try:
            changed_ns = os.stat(self._folder / _layout.FILES, follow_symlinks=False).st_mtime_ns
        except OSError:
            return
        if changed_ns == self._seen_ns and time.time_ns() - changed_ns > _SETTLED_NS:
            return
        self._seen_ns = changed_ns
        for name in self._names():
            stream, size = _layout.FILE_STREAM + name, int(name.partition("-")[2])
            if stream in self._sizes or len(self._sizes) >= self._most or self._bytes + size > self._most_bytes:
                continue
            if self._is_whole(stream, size):
                self._sizes[stream], self._acked[stream] = size, 0
                self._bytes += size

    def _names(self) -> list[str]:
        try:
            descriptor = os.open(self._folder / _layout.FILES, READ | os.O_DIRECTORY)
        except OSError:
            return []
        try:
            return sorted(name for name in os.listdir(descriptor) if _NAME.fullmatch(name))
        finally:
            os.close(descriptor)

    def _is_whole(self, stream: str, size: int) -> bool:
        try:
            descriptor = open_below(self._folder, stream)
        except OSError:
            return False
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def _read(self, stream: str, offset: int, size: int) -> bytes | None:
        """Return bytes of a content; one that can no longer be read is given up."""
        left = self._sizes[stream] - offset
        try:
            descriptor = open_below(self._folder, stream)
            try:
                data = os.pread(descriptor, min(size, left), offset)
            finally:
                os.close(descriptor)
        except OSError:
            data = b""
        if data or left == 0:
            return data
        del self._sizes[stream], self._acked[stream]
        return None
