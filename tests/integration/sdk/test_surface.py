"""What a script may report besides points, in real processes: files, actions, and what a kill leaves."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import random
import signal
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sdk.conftest import Attempt, interpreters, wait_for

PYTHONS = interpreters()


def documents(attempt: Attempt, kind: str) -> dict[str, Any]:
    """Return the newest documents of a kind by name, of all journals."""
    lines = [line for journal in attempt.journals().values() for line in journal if line[0] == "d" and line[3] == kind]
    return {line[4]: line[5] for line in sorted(lines, key=lambda line: line[2])}


def call(attempt: Attempt, *calls: tuple[str, str, dict[str, Any]]) -> None:
    """Put calls where the agent does."""
    beside = attempt.folder / "control" / "beside"
    beside.write_text(json.dumps([{"id": key, "name": name, "args": args} for key, name, args in calls]))
    beside.rename(attempt.folder / "control" / "actions.json")


# -- a kill -----------------------------------------------------------------------------------------------------


def test_no_point_of_a_hundred_thousand_is_lost_by_a_sigkill_right_after_send(attempt: Attempt) -> None:
    done = attempt.run("""
        import os, signal
        import bough
        channel = bough.start_job().create_channel("a")
        for x in range(100_000):
            channel.send(x, 0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    """)

    assert done.returncode == -signal.SIGKILL
    assert [line[4] for line in attempt.lines("p")] == list(range(100_000))


def test_every_point_whose_send_returned_survives_a_sigkill_at_any_moment(tmp_path: Path) -> None:
    """The script notes each send that returned in shared memory; a kill may come between any two instructions."""
    rng = random.Random(5)
    for run in range(6):
        attempt = Attempt(tmp_path / f"attempt{run}")
        counter = attempt.folder / "counter"
        counter.write_bytes(bytes(8))
        process = attempt.start(f"""
            import mmap, struct
            import bough
            channel = bough.start_job().create_channel("a")
            with open({str(counter)!r}, "r+b") as file:
                noted = mmap.mmap(file.fileno(), 8)
            for x in range(1, 10_000_000):
                channel.send(x, 0.5)
                struct.pack_into("q", noted, 0, x)
        """)
        with counter.open("r+b") as file, mmap.mmap(file.fileno(), 8) as noted:
            target = rng.randrange(1, 20_000)
            _await(noted, target)
            process.kill()
            process.communicate()
            returned = struct.unpack_from("q", noted)[0]

        xs = [line[4] for line in attempt.lines("p")]
        assert xs == list(range(1, len(xs) + 1))
        assert returned <= len(xs) <= returned + 1


def _await(noted: mmap.mmap, target: int) -> None:
    """Wait until the script has noted that many sends."""
    wait_for(lambda: struct.unpack_from("q", noted)[0] >= target)


# -- files ------------------------------------------------------------------------------------------------------


def test_the_content_of_a_file_is_that_of_the_moment(attempt: Attempt) -> None:
    attempt.run("""
        import bough
        job = bough.start_job()
        for text in ("first", "second", "second"):
            with open("weights", "w") as file:
                file.write(text)
            assert job.commit_file("weights", title=text) == 1
        open("weights", "w").close()
        assert job.file_list() == ["weights"]
    """)

    facts = [line[4] for line in attempt.lines("f")]
    assert [one["title"] for one in facts] == ["first", "second", "second"]
    assert [one["sha256"] for one in facts[:2]] == [hashlib.sha256(text).hexdigest() for text in (b"first", b"second")]
    kept = {path.name: path.read_bytes() for path in (attempt.folder / "files").iterdir()}
    assert kept == {f"{hashlib.sha256(text).hexdigest()}-{len(text)}": text for text in (b"first", b"second")}


def test_a_folder_is_handed_in_without_what_does_not_belong_to_it(attempt: Attempt) -> None:
    done = attempt.run(r"""
        import os
        import bough
        job = bough.start_job()
        os.makedirs("out/deep/.git")
        for name in ("out/a", "out/deep/b", "out/deep/.git/config", "out/line\nbreak", "out/latin\udcff", "outside"):
            with open(name, "w") as file:
                file.write(name.encode("utf-8", "replace").decode())
        os.symlink("deep/b", "out/inner")
        os.symlink("../outside", "out/leaves")
        os.symlink("/etc", "out/etc")
        os.mkfifo("out/pipe")
        print(job.add_files("out"), job.commit_file("../attempt/outside", "../../x/y"))
        print(job.commit_file("/etc/hostname"))
    """)

    assert done.stdout.split() == ["3", "1", "1"], done.stderr
    names = [line[3] for line in attempt.lines("f")]
    assert names[:4] == ["out/a", "out/inner", "out/deep/b", "x/y"]
    assert names[4].endswith("etc/hostname")
    for sentence in (
        "out/leaves was not handed in: it is a link that leaves its folder.",
        "out/pipe was not handed in: it is no ordinary file.",
        r"out/line\nbreak' was not handed in: its name holds characters that cannot be printed.",
        r"out/latin\udcff' was not handed in: its name holds characters that cannot be printed.",
    ):
        assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 4


@pytest.mark.parametrize(
    ("limits", "script", "sentence"),
    [
        ({"file_bytes": 10}, "open('big', 'w').write('x' * 11)", "it has 11 bytes, a file may have 10."),
        ({"files_bytes": 15}, "open('big', 'w').write('x' * 11)", "the job may hand in 15 bytes in all."),
        ({"files": 1}, "open('big', 'w').write('x')", "the job has handed in as many files as it may (1)."),
        ({}, "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); open('big', 'w').write('x' * 5000); "
             "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))", "it cannot be copied to "),
        ({}, "", "No such file or directory."),
        ({}, "os.mkdir('big'); os.chmod('big', 0)", None),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_handed_in_is_one_line_and_the_training_goes_on(
    attempt: Attempt, limits: dict[str, int], script: str, sentence: str | None
) -> None:
    facts = json.loads((attempt.folder / "job.json").read_text())
    (attempt.folder / "job.json").write_text(json.dumps({**facts, "limits": limits}))

    done = attempt.run(f"""
        import os, resource, signal
        import bough
        job = bough.start_job()
        with open("small", "w") as file:
            file.write("small")
        assert job.commit_file("small") == 1
        {script or "pass"}
        assert job.commit_file("big") == 0
        job.create_channel("a").send(1, 0.5)
    """)

    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("bough:")]
    if sentence is not None:
        assert len(lines) == 1
        assert "big was not handed in: " + sentence in lines[0]
    assert [line[0] for line in attempt.lines("f", "p")] == ["f", "p"]
    assert [path.name[64:] for path in (attempt.folder / "files").iterdir()] == ["-5"]


def test_a_file_that_changes_while_it_is_read_is_kept_whole_and_that_is_said(attempt: Attempt) -> None:
    """A thread appends to it all the time: whatever is kept is what its checksum says."""
    done = attempt.run("""
        import threading
        import bough
        job = bough.start_job()
        file = open("log", "w")
        file.write("x" * 5_000_000)
        stop = []
        def grow():
            while not stop:
                file.write("y" * 1000)
                file.flush()
        thread = threading.Thread(target=grow)
        thread.start()
        assert job.commit_file("log") == 1
        stop.append(1)
        thread.join()
        file.close()
    """)

    assert done.returncode == 0, done.stderr
    assert "log was changed while it was handed in: it is kept as it was read." in done.stderr
    (line,) = attempt.lines("f")
    kept = (attempt.folder / "files" / f"{line[4]['sha256']}-{line[4]['bytes']}").read_bytes()
    assert hashlib.sha256(kept).hexdigest() == line[4]["sha256"]


# -- actions ----------------------------------------------------------------------------------------------------

LISTENING = """
    import os, sys, threading, time
    import bough
    before = threading.active_count()
    job = bough.start_job()
    job.create_channel("a").send(1, 1)
    assert threading.active_count() == before, "something started a thread"
    def double(value: int, times=1, **others):
        return {"result": value * 2 * times, "others": others}
    def fails():
        raise ValueError("two\\nlines")
    def leaves():
        sys.exit("gone")
    def later(done, text="x"):
        threading.Timer(0.1, done, [text]).start()
    for one in (double, fails, leaves, later):
        job.register_action(one)
    job.register_action(lambda: os.getpid(), name="pid")
    job.register_action(5, name="no function")
    job.register_action(double, name="a\\0b")
    assert threading.active_count() == before + 1
    print("listening", flush=True)
    channel = job.create_channel("b")
    deadline = time.monotonic() + 60
    while not os.path.exists("end") and time.monotonic() < deadline:
        channel.send(time.monotonic(), 1)
        time.sleep(0.001)
"""


def test_actions_answer_while_the_training_goes_on(attempt: Attempt) -> None:
    process = attempt.start(LISTENING)
    wait_for(lambda: "pid" in documents(attempt, "action"))

    call(
        attempt,
        ("c1", "double", {"value": "4", "more": 1}),
        ("c2", "fails", {}),
        ("c3", "leaves", {}),
        ("c4", "later", {"text": "y"}),
        ("c5", "double", {}),
        ("c6", "double", {"value": "four"}),
        ("c7", "nobody", {}),
        ("../c8", "fails", {}),
    )
    wait_for(lambda: len(documents(attempt, "result")) == 6)
    call(attempt, ("c1", "double", {"value": 1}), ("c9", "pid", {}))
    wait_for(lambda: "c9" in documents(attempt, "result"))
    (attempt.folder / "end").touch()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert documents(attempt, "result") == {
        "c1": {"value": {"result": 8, "others": {"more": 1}}},
        "c2": {"error": "ValueError: two\nlines"},
        "c3": {"error": "SystemExit: gone"},
        "c4": {"value": "y"},
        "c5": {"error": "action double needs value. Send it."},
        "c6": {"error": "value of action double is 'four'. Send a integer."},
        "c9": {"value": process.pid},
    }
    assert "bough: the action fails failed: ValueError: two lines" in err
    assert "cannot be printed" in err
    (main,) = attempt.journals().values()
    assert [line[1] for line in main] == list(range(len(main)))
    assert set(documents(attempt, "action")) == {"double", "fails", "leaves", "later", "pid"}
    assert documents(attempt, "action")["double"]["args"] == [
        {"name": "value", "type": "integer", "default": None, "required": True},
        {"name": "times", "type": "integer", "default": 1, "required": False},
    ]


def test_of_several_processes_with_the_same_action_one_runs_each_call(attempt: Attempt) -> None:
    """Forked before they register, and spawned: each has a thread and a journal of its own."""
    process = attempt.start("""
        import multiprocessing, os, time
        import bough

        def work():
            job = bough.start_job()
            job.register_action(os.getpid, name="pid")
            deadline = time.monotonic() + 60
            while not os.path.exists("end") and time.monotonic() < deadline:
                time.sleep(0.005)

        if __name__ == "__main__":
            bough.start_job()
            workers = [multiprocessing.get_context(how).Process(target=work) for how in ("fork", "spawn", "fork")]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
    """)
    wait_for(lambda: sum(line[0] == "d" for lines in attempt.journals().values() for line in lines) == 3)

    keys = [f"call{index}" for index in range(20)]
    call(attempt, *[(key, "pid", {}) for key in keys])
    wait_for(lambda: set(documents(attempt, "result")) == set(keys))
    (attempt.folder / "end").touch()
    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    results = [
        line for lines in attempt.journals().values() for line in lines if line[0] == "d" and line[3] == "result"
    ]
    assert len(results) == len(keys)


# -- every interpreter ------------------------------------------------------------------------------------------

EVERYTHING = r"""
    import os, struct, zlib
    import bough

    job = bough.start_job()
    with open("vectors.txt", "w") as file:
        file.write("cat 1 2\ndog 3 4\n")
    with open("vectors.bin", "wb") as file:
        file.write(struct.pack("<4f", 1, 2, 3, 4))
    job.commit_file("vectors.txt")
    job.set_system_info("gpu", {"n": 1})
    job.job_add_status("phase", 2)
    job.set_status("LOAD", add_section=True)
    job.set_graph({"big": "x" * 60000})
    job.batch(5, 5, 8)
    job.sample(5, 5)
    job.step(1, 1)
    job.report_speed(3.5, label="ROWS/S")
    bar = job.create_progress("download", 2)
    assert job.create_progress("download") is bar
    bar.start(); bar.advance(); bar.label("half"); bar.advance(-1); bar.advance(); bar.stop()
    pixels = [b"\0\x10\x20"]
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) & 0xffffffff)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)) \
        + chunk(b"IDAT", zlib.compress(b"\0\x10\x20")) + chunk(b"IEND", b"")
    job.create_channel("shots", type="image").send(1, png)
    job.job_add_insight(1, [bough.JobImage("one", png)], {"all": [[1]]})
    job.add_embedding_word2vec(1, "vectors.txt", header_with_dimensions=False)
    job.add_embedding_path(1, 2, "vectors.bin", "vectors.txt")
    job.register_action(lambda value=1: value, name="same")
"""


@pytest.mark.parametrize("version", [f"3.{minor}" for minor in range(7, 14)])
def test_everything_works_on(version: str, tmp_path: Path) -> None:
    if version not in PYTHONS:
        pytest.skip(f"there is no Python {version} on PATH or in pyenv")
    attempt = Attempt(tmp_path / "attempt")

    done = attempt.run(EVERYTHING, python=PYTHONS[version])

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("## LOAD\t")
    assert sorted({line[3] for line in attempt.lines("d")}) == [
        "action", "confusion_matrix", "embedding", "graph", "image", "section", "step", "system",
    ]  # fmt: skip
    assert documents(attempt, "graph") == {"": {"file": "documents/graph/_.json"}}
    assert documents(attempt, "step")["download"]["stopped"] is not None
    names = [line[3] for line in attempt.lines("f")]
    assert "embedding/1/vectors.bin/tensor.bytes" in names
    assert len(os.listdir(attempt.folder / "files")) == len({line[4]["sha256"] for line in attempt.lines("f")})
