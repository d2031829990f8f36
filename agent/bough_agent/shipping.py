"""Journals and logs, and after them the contents of files, on their way to the coordinator: what is sent is what lies
beyond the acknowledged offset.

Nothing is remembered on disk: the coordinator says what it has, and sending again is harmless. The files belong to the
trial, so they are opened without following links or waiting, and looked at before they are read. A file that was cut,
replaced or hidden is a fault of that attempt: what came before it is kept, and the agent goes on.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bough import _layout
from bough_agent.contents import Contents
from bough_agent.messages import Json, Key
from bough_agent.parts import PART_BYTES, READ, Part, open_below

WRITERS_MOST = 1000  # journals of one attempt; a job of more processes than that has gone astray
_JOURNAL = re.compile(r"((?:[0-9]{1,10}|stdout|output)-[0-9a-f]{8})\.jsonl")


class _Tampered(Exception):
    """The end of a sentence about a stream: "was cut short"."""


@dataclass
class _Stream:
    """One file: ``acked`` bytes are with the coordinator, ``crc`` is theirs, or None when unknown."""

    acked: int = 0
    crc: int | None = 0
    identity: tuple[int, int] | None = None  # device and inode
    seen: int = 0  # size when it was last looked at
    fruitless: int = 0  # size at which nothing could be sent: the rest of a line is missing
    final: int | None = None  # how many bytes are to be sent in all; None as long as the attempt runs


class Shipment:
    """What one attempt reports: its journals and its log.

    Attributes:
        fault: Why what the attempt reported cannot be trusted; None when it can.
    """

    def __init__(self, folder: Path, key: Key, limits: Mapping[str, int] = _layout.LIMITS) -> None:
        self.key = key
        self.fault: str | None = None
        self._folder = folder
        self._streams: dict[str, _Stream] = {_LOG: _Stream()}
        self._sent: dict[str, Part] = {}
        self._contents = Contents(folder, key, limits)

    def grown(self) -> bool:
        """Tell whether there may be something to send; what only tells of usage can wait for the next heartbeat."""
        self._look()
        has_lines = any(
            self._left(stream) > 0 and stream.seen > stream.fruitless
            for name, stream in self._streams.items()
            if not name.startswith(_SYSTEM)
        )
        return has_lines or self._contents.grown()

    def take(self, budget: int) -> list[Part]:
        """Return parts of at most ``budget`` bytes in all, from the acknowledged offsets on."""
        self._look()
        self._sent = {}
        for name, stream in sorted(self._streams.items(), key=lambda item: self._left(item[1]), reverse=True):
            size = min(self._left(stream), PART_BYTES, budget)
            if size <= 0:
                continue
            part = self._read(name, stream, size)
            if part is not None:
                self._sent[name] = part
                budget -= len(part.data)
        return [*self._sent.values(), *self._contents.take(budget)]

    def acknowledge(self, name: str, offset: int) -> bool:
        """Note how much of a stream the coordinator has, be it less than was thought; return whether it is more."""
        if name.startswith(_layout.FILE_STREAM):
            return self._contents.acknowledge(name, offset)
        stream = self._streams.setdefault(name, _Stream())
        part = self._sent.get(name)
        if part is not None and offset == part.end and part.offset == stream.acked and stream.crc is not None:
            stream.crc = zlib.crc32(part.data, stream.crc)
        elif offset != stream.acked:
            stream.crc = 0 if offset == 0 else None
        if offset < stream.acked:
            stream.fruitless = 0
        before, stream.acked = stream.acked, offset
        return offset > before

    def rewind(self) -> None:
        """Begin anew: the coordinator has less than it had acknowledged, since it was restored from a backup."""
        for stream in self._streams.values():
            stream.acked, stream.crc, stream.fruitless = 0, 0, 0
        self._contents.rewind()

    def close(self, exit: Json) -> Json:
        """Take the final sizes from exit.json and return the exit to report.

        That is the same one, unless the files are no longer what the supervisor saw: then its cause is ``journal``.
        """
        self._look()
        journals: Json = dict(exit.get("journals") or {})
        finals = {_LAYOUT_JOURNAL + writer: row for writer, row in journals.items()}
        finals[_LOG] = exit.get("log") or {"bytes": 0, "crc": 0}
        for name, row in finals.items():
            self._finish(name, self._streams.setdefault(name, _Stream()), int(row["bytes"]), int(row["crc"]))
        self._streams = {name: stream for name, stream in self._streams.items() if name in finals}
        exit = {**exit, "files": self._contents.close()}
        return exit if self.fault is None else self._spoiled(exit, journals)

    def is_covered(self, parts: Iterable[Part]) -> bool:
        """Tell whether all bytes of an ended attempt are acknowledged or among these parts."""
        ends = {part.stream: part.end for part in parts if part.key == self.key}
        has_lines = all(max(s.acked, ends.get(name, 0)) >= (s.final or 0) for name, s in self._streams.items())
        return has_lines and self._contents.is_covered(ends)

    # -- files ----------------------------------------------------------------------------------------------
    def _left(self, stream: _Stream) -> int:
        return (stream.seen if stream.final is None else stream.final) - stream.acked

    def _look(self) -> None:
        """Find new journals and new bytes."""
        if self.fault is not None:
            return
        try:
            for name in self._journals():
                self._streams.setdefault(name, _Stream())
            for name, stream in self._streams.items():
                self._measure(name, stream)
        except _Tampered as tampered:
            self._spoil(str(tampered))

    def _journals(self) -> list[str]:
        folder = self._folder / _layout.JOURNALS
        try:
            descriptor = os.open(folder, READ | os.O_DIRECTORY)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _Tampered(f"the folder of its journals cannot be read ({error.strerror})") from None
        try:
            found = [match.group(1) for match in map(_JOURNAL.fullmatch, os.listdir(descriptor)) if match]
        finally:
            os.close(descriptor)
        if len(found) > WRITERS_MOST:
            raise _Tampered(f"it has more than {WRITERS_MOST} journals")
        return [_LAYOUT_JOURNAL + writer for writer in sorted(found)]

    def _measure(self, name: str, stream: _Stream) -> None:
        descriptor = self._open(name, stream)
        if descriptor is not None:
            os.close(descriptor)

    def _open(self, name: str, stream: _Stream) -> int | None:
        """Return a descriptor of the file after having looked at it; None when it is not there yet."""
        try:
            descriptor = open_below(self._folder, _file(name))
        except FileNotFoundError:
            if stream.identity is not None:
                raise _Tampered(f"{_file(name)} was removed") from None
            return None
        except OSError as error:
            raise _Tampered(f"{_file(name)} cannot be read ({error.strerror})") from None
        try:
            self._check(name, stream, os.fstat(descriptor))
        except _Tampered:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, name: str, stream: _Stream, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise _Tampered(f"{_file(name)} is no ordinary file")
        if stream.identity not in (None, (found.st_dev, found.st_ino)):
            raise _Tampered(f"{_file(name)} was replaced")
        if found.st_size < max(stream.acked, stream.seen):
            raise _Tampered(f"{_file(name)} was cut short")
        stream.identity = found.st_dev, found.st_ino
        stream.seen = found.st_size

    def _read(self, name: str, stream: _Stream, size: int) -> Part | None:
        try:
            descriptor = self._open(name, stream)
        except _Tampered as tampered:
            self._spoil(str(tampered))
            return None
        if descriptor is None:
            return None
        try:
            data = os.pread(descriptor, size, stream.acked)
        finally:
            os.close(descriptor)
        is_last = stream.final is not None and stream.acked + len(data) >= stream.final
        if name != _LOG and not is_last:
            # Whole lines only, except where a line is longer than a part: then it is no line of ours.
            data = data[: data.rfind(b"\n") + 1] or (data if size == PART_BYTES and len(data) == size else b"")
        if not data:
            if size == self._left(stream):  # else there was no room for its next line, and more is left
                stream.fruitless = stream.seen
            return None
        return Part(self.key, name, stream.acked, data, zlib.crc32(data))

    def _finish(self, name: str, stream: _Stream, size: int, crc: int) -> None:
        stream.final = size
        if self.fault is not None or (size == 0 and stream.identity is None):
            return
        try:
            found = self._checksum(name, stream, size)
        except _Tampered as tampered:
            self._spoil(str(tampered))
            return
        if found != crc:
            self._spoil(f"{_file(name)} is not what its supervisor saw")

    def _checksum(self, name: str, stream: _Stream, size: int) -> int:
        descriptor = self._open(name, stream)
        if descriptor is None or stream.seen < size:
            raise _Tampered(f"{_file(name)} was {'removed' if descriptor is None else 'cut short'}")
        crc, left = 0, size
        with os.fdopen(descriptor, "rb") as file:
            while left and (chunk := file.read(min(left, PART_BYTES))):
                crc = zlib.crc32(chunk, crc)
                left -= len(chunk)
        return crc

    # -- faults ---------------------------------------------------------------------------------------------
    def _spoil(self, fault: str) -> None:
        """From now on nothing more is sent: what was acknowledged is all there is."""
        self.fault = fault
        for stream in self._streams.values():
            stream.final = stream.acked

    def _spoiled(self, exit: Json, journals: Json) -> Json:
        def kept(name: str) -> Json:
            stream = self._streams.get(name, _Stream())
            stream.final = stream.acked
            return {"bytes": stream.acked, "crc": stream.crc or 0}

        return {
            **exit,
            "cause": "journal",
            "error": f"What the job reported was changed while it ran: {self.fault}.",
            "log": kept(_LOG),
            "journals": {writer: {**row, **kept(_LAYOUT_JOURNAL + writer)} for writer, row in journals.items()},
        }


_LOG = _layout.LOG_STREAM
_LAYOUT_JOURNAL = _layout.JOURNAL_STREAM
_SYSTEM = _LAYOUT_JOURNAL + _layout.SYSTEM_WRITER


def collect(shipments: list[Shipment], budget: int, start: int) -> list[Part]:
    """Return parts of at most ``budget`` bytes, dealt round-robin beginning with number ``start``."""
    parts: list[Part] = []
    for shipment in shipments[start:] + shipments[:start]:
        taken = shipment.take(budget) if budget > 0 else []
        parts += taken
        budget -= sum(len(part.data) for part in taken)
    return parts


def read_json(folder: Path, name: str, limit: int = 1 << 20) -> Json | None:
    """Return a JSON object that another process wrote into an attempt's folder; None when there is none."""
    try:
        descriptor = open_below(folder, name)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = os.read(descriptor, limit)
    finally:
        os.close(descriptor)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _file(stream: str) -> str:
    if stream == _LOG:
        return _layout.LOG
    return f"{_layout.JOURNALS}/{stream.removeprefix(_LAYOUT_JOURNAL)}.jsonl"
