"""Event files become channels: those of the real libraries, damaged ones, and while they are being written."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.sdk import event_files
from tests.integration.sdk.conftest import Attempt, wait_for

from bough.tensorboard import Damaged, EventFile, Reader, fields, masked_crc, scalars


def record(data: bytes) -> bytes:
    """Return data as TFRecord has it."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def event(tag: str, step: int, value: float) -> bytes:
    """Return an event with one simple value, by the numbers of event.proto and summary.proto."""
    inner = b"\x0a" + bytes([len(tag)]) + tag.encode() + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(inner)]) + inner
    times = b"\x09" + struct.pack("<d", 1.0) + b"\x10" + bytes([step])
    return record(times + b"\x2a" + bytes([len(summary)]) + summary)


def read(folder: Path) -> list[tuple[str, int, float]]:
    found: list[tuple[str, int, float]] = []
    Reader(str(folder), lambda name, x, y: found.append((name, x, y))).read()
    return found


def test_the_scalars_of_a_torch_writer_are_read_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(event_files.BY_TORCH)

    found = read(tmp_path)

    assert found[:3] == [("loss/train", 0, 1.5), ("loss/train", 1, 1.25), ("loss/train", 2, 1.0)]
    assert found[3][:2] == ("nan", 7)
    assert math.isnan(found[3][2])
    assert len(found) == 4


def test_numbers_in_tensors_are_read_in_every_type_and_runs_have_names(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "events.out.tfevents.1.host").write_bytes(event_files.BY_TENSORBOARD)

    assert read(tmp_path) == [
        ("val/epoch_accuracy", 0, 0.5), ("val/epoch_accuracy", 1, 0.25), ("val/epoch_accuracy", 2, 7.0),
        ("val/epoch_accuracy", 3, -3.0), ("val/content", -4, 0.125),
    ]  # fmt: skip


def test_the_checksum_is_that_of_the_standard() -> None:
    """RFC 3720, B.4: 32 bytes of zeroes have the CRC-32C 0x8a9136aa."""
    crc = 0x8A9136AA

    assert masked_crc(bytes(32)) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_file_is_read_as_it_grows_each_point_once(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    whole = b"".join(event("a", i, float(i)) for i in range(5))
    found: list[float] = []
    reader = Reader(str(tmp_path), lambda name, x, y: found.append(y))
    reader.read()

    for end in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:end])
        reader.read()
    path.write_bytes(whole)
    reader.read()
    reader.read()

    assert found == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("at", [3, 9, 20, -2])
def test_a_damaged_file_is_said_once_and_the_others_are_read(
    tmp_path: Path, at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    good = event("a", 1, 1.0)
    bad = bytearray(good + event("a", 2, 2.0))
    bad[len(good) + at if at > 0 else at] ^= 0xFF
    (tmp_path / "1.tfevents.a").write_bytes(bytes(bad))
    (tmp_path / "2.tfevents.b").write_bytes(good)
    found: list[float] = []
    reader = Reader(str(tmp_path), lambda name, x, y: found.append(y))

    reader.read()
    reader.read()

    assert found == [1.0, 1.0]
    said = capsys.readouterr().err
    assert said.count("is damaged at byte") == 1
    assert "the rest of it is left out." in said


def test_a_record_of_an_impossible_length_is_damage_not_memory(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 40)
    path = tmp_path / "a.tfevents.1"
    path.write_bytes(length + struct.pack("<I", masked_crc(length)))

    with pytest.raises(Damaged, match="a record has 1099511627776 bytes"):
        list(EventFile(str(path)).records())


@given(st.binary(max_size=200))
def test_whatever_lies_in_a_record_is_read_or_called_damaged(data: bytes) -> None:
    for reading in (fields, scalars):
        try:
            list(reading(data))
        except Damaged as error:
            assert "a message ends in its middle" in str(error)  # noqa: PT017


def test_a_script_reports_what_it_writes_live_and_to_its_end(attempt: Attempt) -> None:
    (attempt.folder / "data").write_bytes(event_files.BY_TORCH)
    process = attempt.start("""
        import os, pathlib, sys, bough
        job = bough.start_job()
        bough.read_tensorboard("logs", kpi="loss/train")
        os.mkdir("logs")
        data = pathlib.Path("data").read_bytes()
        with open("logs/events.out.tfevents.1", "wb") as out:
            out.write(data[:300]); out.flush()
            sys.stdin.readline()
            out.write(data[300:])
        """, stdin=subprocess.PIPE)  # fmt: skip
    assert process.stdin is not None

    wait_for(lambda: attempt.journals() and [line for line in attempt.lines("p") if line[3] == "loss/train"])
    process.stdin.write("\n")
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    assert [line[4:] for line in attempt.lines("p") if line[3] == "loss/train"] == [[0, 1.5], [1, 1.25], [2, 1.0]]
    (definition,) = [line[4] for line in attempt.lines("c") if line[3] == "loss/train"]
    assert (definition["kpi"], definition["maximize"]) == (True, False)


def _around(attempt: Attempt, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bough.tensorboard", *arguments], cwd=attempt.folder, env=attempt.environment(),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


WRITING = "import os; os.mkdir('logs'); open('logs/a.tfevents.1', 'wb').write(open('data', 'rb').read()); "


@pytest.mark.parametrize(
    ("end", "code"), [("", 0), ("raise SystemExit(3)", 3), ("import signal; os.kill(os.getpid(), signal.SIGKILL)", 137)]
)
def test_a_program_that_knows_nothing_of_bough_is_reported_however_it_ends(
    attempt: Attempt, end: str, code: int
) -> None:
    (attempt.folder / "data").write_bytes(event_files.BY_TORCH)

    done = _around(attempt, "logs", "--kpi", "loss/train", "--minimize", "--", sys.executable, "-c", WRITING + end)

    assert (done.returncode, done.stderr) == (code, "")
    assert len([line for line in attempt.lines("p") if line[3] == "loss/train"]) == 3


def test_what_is_there_is_read_without_a_command(attempt: Attempt) -> None:
    (attempt.folder / "logs").mkdir()
    (attempt.folder / "logs" / "a.tfevents.1").write_bytes(event_files.BY_TORCH)

    assert _around(attempt, "logs").returncode == 0
    assert len(attempt.lines("p")) == 4


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("--what",), ("--kpi",)])
def test_a_call_that_is_not_clear_is_refused(attempt: Attempt, arguments: tuple[str, ...]) -> None:
    done = _around(attempt, *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("bough: it is not clear what to read. Write: python -m bough.tensorboard FOLDER")


def test_a_command_that_is_not_there_is_named(attempt: Attempt) -> None:
    done = _around(attempt, "logs", "--", "/no/such/program")

    assert done.returncode == 127
    assert "bough: /no/such/program cannot be started: No such file or directory. Check its path." in done.stderr


def test_the_format_is_read_by_the_oldest_interpreter_too(tmp_path: Path) -> None:
    """The module has 3.7 syntax and annotations that nothing evaluates."""
    from tests.integration.sdk.conftest import SDK, interpreters

    found = interpreters()
    if not found:
        pytest.skip("no other interpreter is here")
    (tmp_path / "a.tfevents.1").write_bytes(event_files.BY_TORCH)
    code = "import bough.tensorboard as t, sys; t.Reader(sys.argv[1], lambda *p: print(p[0])).read()"
    oldest = found[min(found, key=lambda version: int(version.split(".")[1]))]

    done = subprocess.run(
        [oldest, "-c", code, str(tmp_path)], env={"PYTHONPATH": str(SDK)}, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["loss/train"] * 3 + ["nan"], done.stderr
