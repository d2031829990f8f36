"""TensorBoard's event files as channels, for a script that writes them: live while it runs, and afterwards.

By a line in the script, ``bough.read_tensorboard("logs")``, or around a program that knows nothing of bough::

    command: python -m bough.tensorboard logs -- python train.py

Around it is the way that survives: the reader is a process of its own, which also reads what a killed program left.

Promises: a scalar becomes a point of the channel of its tag, ``<run>/<tag>`` where the file is in a folder below; x is
the step; each point once, in the order of the file; what is not finished waits, what is damaged ends that file with
one line in the log. The format: TFRecord (length, masked CRC-32C, data) around `Event` messages, of which step,
wall time, tag and value are read (tensorflow/core/lib/io/record_writer.cc, util/event.proto, framework/summary.proto).
"""

from __future__ import annotations

import os
import struct
import sys

from bough._journal import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

    from bough._job import Job

    Field = Tuple[int, int, Any]  # number, wire type, value

POLL_S = 1.0
MAX_RECORD = 64 << 20  # bytes; scalars have a few dozen, images their size
READ_BYTES = 4 << 20
FLOAT, DOUBLE, INT32, INT64 = 1, 2, 3, 9  # of tensorflow/core/framework/types.proto


class Damaged(Exception):
    """The file is no event file any more from here on."""


# -- records --------------------------------------------------------------------------------------------------


class EventFile:
    """One file, read from where the last read ended.

    Args:
        path: Of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0
        self.is_damaged = False

    def records(self) -> Iterator[bytes]:
        """Yield the records that are whole by now and were not yielded before.

        Raises:
            Damaged: A checksum or a length is wrong.
        """
        while True:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(READ_BYTES)
                needed = _length(data) + 16 if len(data) >= 12 else 16
                if needed > len(data) == READ_BYTES:
                    data += file.read(needed - len(data))
            at, before = 0, self.offset
            while len(data) - at >= 12:
                end = at + 12 + _length(data[at : at + 12])
                if len(data) < end + 4:
                    break
                record = data[at + 12 : end]
                if masked_crc(record) != struct.unpack("<I", data[end : end + 4])[0]:
                    raise Damaged("the checksum of a record is wrong")
                at = end + 4
                self.offset = before + at
                yield record
            if at == 0:
                return


def _length(head: bytes) -> int:
    length: int = struct.unpack("<Q", head[:8])[0]
    if masked_crc(head[:8]) != struct.unpack("<I", head[8:12])[0]:
        raise Damaged("the checksum of a length is wrong")
    if length > MAX_RECORD:
        raise Damaged("a record has " + str(length) + " bytes")
    return length


def _crc_table() -> List[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901  (Castagnoli, reflected)
        table.append(value)
    return table


_TABLE: List[int] = []


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of data, masked as TFRecord has it: rotated right by 15 bits, plus 0xa282ead8."""
    if not _TABLE:
        _TABLE.extend(_crc_table())
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# -- messages -------------------------------------------------------------------------------------------------


def fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of a protocol-buffer message: number, wire type, and an int or bytes.

    Raises:
        Damaged: It ends in the middle, or holds a wire type that nobody uses.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, kind, value
            continue
        size = 8 if kind == 1 else 4 if kind == 5 else -1
        if kind == 2:
            size, at = _varint(data, at)
        if size < 0 or at + size > len(data):
            raise Damaged("a message ends in its middle")
        yield key >> 3, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Damaged("a message ends in its middle")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def scalars(record: bytes) -> Iterator[Tuple[str, int, float]]:
    """Yield (tag, step, value) for each scalar of an event.

    Raises:
        Damaged: It is no event.
    """
    step, values = 0, []
    for number, kind, value in fields(record):
        if number == 2 and kind == 0:
            step = value - (1 << 64) if value >= 1 << 63 else value
        elif number == 5 and kind == 2:
            values += [inner for at, wire, inner in fields(value) if at == 1 and wire == 2]
    for value in values:
        found = _scalar(value)
        if found is not None:
            yield found[0], step, found[1]


def _scalar(value: bytes) -> Optional[Tuple[str, float]]:
    tag, number = "", None
    for at, kind, inner in fields(value):
        if at == 1 and kind == 2:
            tag = inner.decode("utf-8", "replace")
        elif at == 2 and kind == 5:  # simple_value
            number = struct.unpack("<f", inner)[0]
        elif at == 8 and kind == 2:  # tensor
            number = _of_tensor(inner)
    return None if number is None else (tag, number)


def _of_tensor(data: bytes) -> Optional[float]:
    """Return the number in a tensor that holds one, None for any other."""
    formats = {FLOAT: "<f", DOUBLE: "<d", INT32: "<i", INT64: "<q"}
    packed = {5: "<f", 6: "<d"}  # float_val, double_val; 7 and 10 (int_val, int64_val) are varints
    kind, content, number = 0, b"", None
    for at, wire, inner in fields(data):
        if at == 1 and wire == 0:
            kind = inner
        elif at == 4 and wire == 2:
            content = inner
        elif at in packed and wire != 0 and len(inner) == struct.calcsize(packed[at]):
            number = struct.unpack(packed[at], inner)[0]
        elif at in (7, 10):
            whole = inner if wire == 0 else _varint(inner, 0)[0]
            number = float(whole - (1 << 64) if whole >= 1 << 63 else whole)
    form = formats.get(kind)
    if number is None and form is not None and len(content) == struct.calcsize(form):
        number = struct.unpack(form, content)[0]
    return number if form is not None else None


# -- a folder -------------------------------------------------------------------------------------------------


class Reader:
    """Reads what is new in all event files below a folder.

    Args:
        folder: It need not exist yet.
        send: Called with channel, x and y of each scalar.
    """

    def __init__(self, folder: str, send: Callable[[str, int, float], None]) -> None:
        self.folder = folder
        self._send = send
        self._files: Dict[str, EventFile] = {}

    def read(self) -> int:
        """Send what is new; return how many points."""
        return sum(self._read(path) for path in self._paths())

    def _paths(self) -> List[str]:
        found = []
        for folder, folders, names in os.walk(self.folder):
            folders.sort()
            found += [os.path.join(folder, name) for name in sorted(names) if ".tfevents." in name]
        return found

    def _read(self, path: str) -> int:
        file = self._files.setdefault(path, EventFile(path))
        if file.is_damaged:
            return 0
        run = os.path.relpath(os.path.dirname(path), self.folder).replace(os.sep, "/")
        count = 0
        try:
            for record in file.records():
                for tag, step, value in scalars(record):
                    self._send(tag if run == "." else run + "/" + tag, step, value)
                    count += 1
        except Damaged as error:
            file.is_damaged = True
            say(path + " is damaged at byte " + str(file.offset) + " (" + str(error) + "): the rest of it is left out.")
        except OSError as error:
            file.is_damaged = True
            say(path + " cannot be read: " + str(error) + ".")
        return count


def read_tensorboard(
    folder: str, job: Optional[Job] = None, kpi: Optional[str] = None, maximize: Optional[bool] = None,
    follow: bool = True,
) -> int:  # fmt: skip
    """Report the scalars of TensorBoard's event files below a folder; see `bough.read_tensorboard`."""
    from bough.integrations.reporting import Metrics

    metrics = Metrics(job, kpi, maximize)
    reader = Reader(os.path.abspath(folder), lambda name, x, y: metrics.send(x, {name: y}))
    if not follow:
        return reader.read()
    import atexit
    import threading

    is_over = threading.Event()
    lock = threading.Lock()

    def read() -> None:
        with lock:
            reader.read()

    def run() -> None:
        while not is_over.wait(POLL_S):
            read()

    def end() -> None:
        is_over.set()
        read()

    threading.Thread(target=run, name="bough-tensorboard", daemon=True).start()
    atexit.register(end)
    return 0


# -- around a program -----------------------------------------------------------------------------------------

USAGE = "python -m bough.tensorboard FOLDER [--kpi NAME] [--maximize|--minimize] [-- COMMAND …]"


def main(arguments: List[str]) -> int:
    """Run a command and report what it writes for TensorBoard; without one, report what is there. Returns its code."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    command = arguments[len(own) + 1 :]
    kpi = None
    if "--kpi" in own[:-1]:
        at = own.index("--kpi")
        kpi = own[at + 1]
        own = own[:at] + own[at + 2 :]
    maximize = True if "--maximize" in own else False if "--minimize" in own else None
    rest = [word for word in own if word not in ("--maximize", "--minimize")]
    if len(rest) != 1 or rest[0].startswith("-"):
        sys.stderr.write("bough: it is not clear what to read. Write: " + USAGE + ".\n")
        return 2
    return _around(rest[0], kpi, maximize, command)


def _around(folder: str, kpi: Optional[str], maximize: Optional[bool], command: List[str]) -> int:
    import signal
    import subprocess

    from bough.integrations.reporting import Metrics

    metrics = Metrics(None, kpi, maximize)
    reader = Reader(os.path.abspath(folder), lambda name, x, y: metrics.send(x, {name: y}))
    if not command:
        reader.read()
        return 0
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write("bough: " + command[0] + " cannot be started: " + str(error.strerror) + ". Check its path.\n")
        return 127
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole job; what is left of it is read all the same
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            code = process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            reader.read()
            continue
        reader.read()
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
