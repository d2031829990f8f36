"""C20, and the tailer as a state machine (§3.4 of its plan: what a file may do, what an agent may do, in any order).

What a trial writes is its own affair: it may cut, change, replace or hide its journal at any byte, at any moment. The
agent never stops, never waits and never sends what is not of the trial; and either what arrives is what lies there, or
the change is known. No sleeping, no processes: the real tailer, real files, and a coordinator that only keeps bytes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.chaos.conftest import IS_FULL, Tally

from bough import _layout
from bough_agent import closing
from bough_agent.parts import Part
from bough_agent.shipping import Shipment
from bough_server.service.ingest import read_lines

KEY = ("k3f9a2bq", 1)
WRITER = "4711-0a1b2c3d"
LINES = [
    b'["h",0,1.5,{"writer":"4711-0a1b2c3d","pid":4711}]\n',
    b'["p",1,1763644191123456e-6,"loss",1,0.5]\n',
    b'["p",2,1763644192123456e-6,"loss",2,"nan"]\n',
]
WHOLE = b"".join(LINES)
FOREIGN = b"root:x:0:0:a secret of somebody else\n" * 9


class Received:
    """What a coordinator has of the streams of one attempt, by the rules of docs/protocol.md §2."""

    def __init__(self) -> None:
        self.streams: dict[str, bytes] = {}

    def take(self, part: Part) -> int:
        """Store what is new of a part; return how much of its stream is here."""
        have = self.streams.get(part.stream, b"")
        if part.offset <= len(have) < part.end and zlib.crc32(part.data) == part.crc:
            self.streams[part.stream] = have + part.data[len(have) - part.offset :]
        return len(self.streams.get(part.stream, b""))


def ship(shipment: Shipment, received: Received, rounds: int = 20) -> None:
    """Send until nothing more comes."""
    for _ in range(rounds):
        parts = shipment.take(1 << 20)
        if not parts:
            return
        for part in parts:
            shipment.acknowledge(part.stream, received.take(part))
    raise AssertionError("it sends for ever")


def end(folder: Path, shipment: Shipment, received: Received) -> bool:
    """End the attempt as its supervisor and its agent do; return whether everyone believes that all is well."""
    exit_: dict[str, Any] = {
        "log": closing.measure(str(folder / _layout.LOG)),
        "journals": closing.measure_journals(str(folder), None),
        "cause": None,
    }
    told = shipment.close(exit_)
    ship(shipment, received)
    assert shipment.is_covered([])
    if shipment.fault is None and not is_complete(exit_["journals"], exit_["log"], received):
        shipment.rewind()  # as the agent does when it is told so
        ship(shipment, received)
    if shipment.fault is not None:
        assert told["cause"] == "journal"
        return False
    for writer, entry in exit_["journals"].items():  # as `bough_server.service.ends` compares
        have = received.streams.get(_layout.JOURNAL_STREAM + writer, b"")
        if (len(have), zlib.crc32(have)) != (entry["bytes"], entry["crc"]):
            return False
    return True


def is_complete(journals: dict[str, Any], log: dict[str, int], received: Received) -> bool:
    sizes = {_layout.JOURNAL_STREAM + writer: entry["bytes"] for writer, entry in journals.items()}
    sizes[_layout.LOG_STREAM] = log["bytes"]
    return all(len(received.streams.get(name, b"")) >= size for name, size in sizes.items())


def cut(path: Path, at: int) -> None:
    os.truncate(path, at)


def change(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x55]))


def replace(path: Path, at: int) -> None:
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text[:at] + b"X" + text[at + 1 :])


def link(path: Path, at: int) -> None:
    path.unlink()
    path.symlink_to(path.parents[1] / "foreign")


def hard_link(path: Path, at: int) -> None:
    path.unlink()
    os.link(path.parents[1] / "foreign", path)


def pipe(path: Path, at: int) -> None:
    path.unlink()
    os.mkfifo(path)


def folder_instead(path: Path, at: int) -> None:
    path.unlink()
    path.mkdir()


def hide(path: Path, at: int) -> None:
    path.unlink()


def hide_all(path: Path, at: int) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def link_the_folder(path: Path, at: int) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to(path.parents[1] / "foreign-folder")


def make_attempt(folder: Path) -> Path:
    """Make an attempt with a journal of no line yet; return the journal's path."""
    (folder / _layout.JOURNALS).mkdir(parents=True)
    (folder / "foreign").write_bytes(FOREIGN)
    (folder / "foreign-folder").mkdir()
    (folder / "foreign-folder" / f"{WRITER}.jsonl").write_bytes(FOREIGN)
    (folder / _layout.LOG).touch()
    return folder / _layout.JOURNALS / f"{WRITER}.jsonl"


OF_BYTES = [cut, change, replace]
OF_FILES = [link, hard_link, pipe, folder_instead, hide, hide_all, link_the_folder]


@pytest.mark.parametrize("tamper", [*OF_BYTES, *OF_FILES], ids=lambda found: found.__name__)
def test_whatever_is_done_to_a_journal_at_any_byte_is_harmless_or_known(
    tamper: Callable[[Path, int], None], tmp_path: Path
) -> None:
    places = range(len(WHOLE)) if tamper in OF_BYTES else [0]
    cases = undetected = 0
    for sent in range(len(LINES) + 1):
        for at in places:
            folder = tmp_path / f"{sent}-{at}"
            path = make_attempt(folder)
            shipment, received = Shipment(folder, KEY), Received()
            path.write_bytes(b"".join(LINES[:sent]))
            ship(shipment, received)
            path.write_bytes(WHOLE)
            tamper(path, at)
            ship(shipment, received)

            is_well = end(folder, shipment, received)

            cases += 1
            name = _layout.JOURNAL_STREAM + WRITER
            have = received.streams.get(name, b"")
            assert b"secret" not in b"".join(received.streams.values())
            if is_well:
                undetected += 1
                lies_there = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                assert have == lies_there or (not sent and tamper in OF_FILES), (sent, at)
            else:
                assert WHOLE.startswith(have) or tamper in (change, replace)
            shutil.rmtree(folder)
    assert cases == len(places) * (len(LINES) + 1)
    assert undetected < cases


def test_a_journal_that_is_torn_at_any_byte_keeps_every_whole_line_before_it() -> None:
    for at in range(len(WHOLE) + 1):
        reported = read_lines(WHOLE[:at])

        whole = WHOLE[:at].count(b"\n")
        is_torn = at not in (0, *(len(b"".join(LINES[: n + 1])) for n in range(3)))
        lacks_only_its_end = WHOLE[at : at + 1] == b"\n"
        assert sum(map(len, reported.points.values())) == max(0, whole - 1 + (lacks_only_its_end and whole > 0))
        assert reported.bad == int(is_torn and not lacks_only_its_end)


def test_a_journal_that_is_cut_and_written_on_at_any_byte_loses_that_line_alone() -> None:
    """As after a full disk: the writer begins anew with a newline."""
    for at in range(len(LINES[1])):
        torn = LINES[0] + LINES[1][:at] + b"\n" + LINES[2]
        reported = read_lines(torn)

        kept = 2 if LINES[1][:at].endswith(b"]") else 1
        assert len(reported.points["loss"]) == kept
        assert reported.bad == int(at > 0 and kept == 1)


class Tailing(RuleBasedStateMachine):
    """A trial that writes, two journals of it, an agent that dies, a coordinator that forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="bough-tail-"))
        make_attempt(self.folder)
        self.shipment, self.received = Shipment(self.folder, KEY), Received()
        self.content: dict[str, bytes] = {}
        self.n = 0
        self.is_tampered = False

    @initialize()
    def begin(self) -> None:
        self.write_line(0)

    def _path(self, writer: str) -> Path:
        return self.folder / _layout.JOURNALS / f"{writer}.jsonl"

    def _append(self, which: int, data: bytes) -> None:
        writer = f"{4711 + which % 2}-0a1b2c3d"
        self.content[writer] = self.content.get(writer, b"") + data
        if not self.is_tampered:
            with self._path(writer).open("ab") as file:
                file.write(data)

    @rule(which=st.integers(0, 1))
    def write_line(self, which: int) -> None:
        self.n += 1
        self._append(which, b'["p",%d,1.5,"loss",%d,0.5]\n' % (self.n, self.n))

    @rule(which=st.integers(0, 1), size=st.integers(1, 20))
    def write_part_of_a_line(self, which: int, size: int) -> None:
        self._append(which, b'["p",77,1.5,"loss",77,0.5]'[:size])

    @rule(which=st.integers(0, 1))
    def end_the_line(self, which: int) -> None:
        self._append(which, b"\n")

    @rule(size=st.integers(1, 3))
    def print_something(self, size: int) -> None:
        with (self.folder / _layout.LOG).open("ab") as file:
            file.write(b"x" * size)

    @rule(budget=st.sampled_from([1, 10, 100, 1 << 20]))
    def send(self, budget: int) -> None:
        for part in self.shipment.take(budget):
            self.shipment.acknowledge(part.stream, self.received.take(part))

    @rule()
    def send_and_lose_the_reply(self) -> None:
        for part in self.shipment.take(1 << 20):
            self.received.take(part)

    @rule()
    def send_and_lose_the_request(self) -> None:
        self.shipment.take(1 << 20)

    @rule()
    def start_another_agent(self) -> None:
        self.shipment = Shipment(self.folder, KEY)

    @rule(data=st.data())
    def restore_the_coordinator(self, data: st.DataObject) -> None:
        """From a backup: it has less than it had acknowledged."""
        for name, have in self.received.streams.items():
            self.received.streams[name] = have[: have.rfind(b"\n", 0, data.draw(st.integers(0, len(have)))) + 1]

    @rule()
    def look(self) -> None:
        self.shipment.grown()

    @precondition(lambda self: not self.is_tampered)
    @rule(how=st.sampled_from(OF_FILES), which=st.integers(0, 1))
    def tamper(self, how: Callable[[Path, int], None], which: int) -> None:
        path = self._path(f"{4711 + which}-0a1b2c3d")
        if path.exists():
            how(path, 0)
            self.is_tampered = True

    @invariant()
    def nothing_is_here_that_the_trial_did_not_write(self) -> None:
        for writer, written in self.content.items():
            assert written.startswith(self.received.streams.get(_layout.JOURNAL_STREAM + writer, b""))
        assert b"secret" not in b"".join(self.received.streams.values())

    def teardown(self) -> None:
        try:
            is_well = end(self.folder, self.shipment, self.received)
            if not self.is_tampered:
                assert is_well
                for writer, written in self.content.items():
                    assert self.received.streams.get(_layout.JOURNAL_STREAM + writer, b"") == written
                log = (self.folder / _layout.LOG).read_bytes()
                assert self.received.streams.get(_layout.LOG_STREAM, b"") == log
        finally:
            shutil.rmtree(self.folder)


TestTailing = Tailing.TestCase
TestTailing.settings = settings(
    max_examples=1000 if IS_FULL else 60,
    stateful_step_count=50 if IS_FULL else 30,
    deadline=None,
    derandomize=not IS_FULL,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_so_much_was_tried(tally: Tally) -> None:
    histories = TestTailing.settings.max_examples
    cases = (len(OF_BYTES) * len(WHOLE) + len(OF_FILES)) * (len(LINES) + 1)
    tally("C20 journals", bytes=len(WHOLE), cases=cases, histories=histories)
