"""Journals under real processes: forks, threads, signals, SIGKILL, full and read-only disks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sdk.conftest import Attempt, complete_lines, wait_for


def _is_gapless(lines: list[list[Any]]) -> bool:
    return [line[1] for line in lines] == list(range(len(lines)))


def test_eight_threads_write_every_point_once_in_one_numbering(attempt: Attempt) -> None:
    done = attempt.run("""
        import sys, threading
        import bough
        sys.setswitchinterval(1e-5)
        channel = bough.start_job().create_channel("a")
        def work(who):
            for i in range(1000):
                channel.send(who * 1000 + i, 0.5)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """)

    assert (done.returncode, done.stderr) == (0, "")
    assert _is_gapless(attempt.lines())
    assert sorted(line[4] for line in attempt.lines("p")) == list(range(8000))


def test_what_was_sent_before_sigkill_is_there(attempt: Attempt) -> None:
    process = attempt.start("""
        import os, signal
        import bough
        channel = bough.start_job().create_channel("a")
        for i in range(500):
            channel.send(i, i / 7)
        os.kill(os.getpid(), signal.SIGKILL)
    """)

    process.communicate(timeout=60)

    assert process.returncode == -signal.SIGKILL
    assert [line[5] for line in attempt.lines("p")] == [i / 7 for i in range(500)]


def test_a_fork_writes_its_own_file_with_header_and_channels(attempt: Attempt) -> None:
    done = attempt.run("""
        import os
        import bough
        channel = bough.start_job().create_channel("a", kpi=True)
        channel.send(0, 0.0)
        for rank in (1, 2):
            if os.fork() == 0:
                channel.send(rank, 0.5)
                os._exit(0)
        os.wait(); os.wait()
        channel.send(3, 0.75)
    """)

    assert (done.returncode, done.stderr) == (0, "")
    journals = attempt.journals()
    assert len(journals) == 3
    for writer, lines in journals.items():
        assert _is_gapless(lines)
        assert writer == lines[0][3]["writer"] == f"{lines[0][3]['pid']}-{writer.split('-')[1]}"
        assert lines[1][0] == "c"
    assert Counter(tuple(line[4] for line in lines if line[0] == "p") for lines in journals.values()) == {
        (0, 3): 1, (1,): 1, (2,): 1
    }  # fmt: skip


def test_a_fork_in_the_middle_of_anothers_line_does_not_hang(attempt: Attempt) -> None:
    """A thread may hold the journal's lock at the moment of the fork; the child has a lock of its own."""
    done = attempt.run("""
        import os, threading, warnings
        import bough
        warnings.simplefilter("ignore")  # 3.12 and later: forking with threads
        channel = bough.start_job().create_channel("a")
        over = threading.Event()
        def work():
            while not over.is_set():
                channel.send(0, 0.5)
        thread = threading.Thread(target=work); thread.start()
        for i in range(30):
            child = os.fork()
            if child == 0:
                channel.send(i, 0.25)
                os._exit(0)
            os.waitpid(child, 0)
        over.set(); thread.join()
    """)

    assert (done.returncode, done.stderr) == (0, "")
    journals = attempt.journals()
    assert len(journals) == 31
    assert all(_is_gapless(lines) for lines in journals.values())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_report_too(attempt: Attempt, method: str) -> None:
    done = attempt.run(f"""
        import multiprocessing
        import bough
        def work(n):
            bough.start_job().create_channel("a").send(n, 0.5)
        if __name__ == "__main__":
            bough.start_job()
            context = multiprocessing.get_context({method!r})
            children = [context.Process(target=work, args=(n,)) for n in range(2)]
            for child in children: child.start()
            for child in children: child.join()
            assert all(child.exitcode == 0 for child in children)
    """)

    assert (done.returncode, done.stderr) == (0, "")
    points = [line[4] for lines in attempt.journals().values() for line in lines if line[0] == "p"]
    assert sorted(points) == [0, 1]


def test_exceptions_thrown_by_a_signal_handler_anywhere_keep_the_numbering(attempt: Attempt) -> None:
    """KeyboardInterrupt may come between any two steps of a send, also right after the write."""
    done = attempt.run("""
        import signal
        import bough
        channel = bough.start_job().create_channel("a")
        class Ring(Exception): pass
        def ring(number, frame): raise Ring
        signal.signal(signal.SIGALRM, ring)
        rings = 0
        def send_until_thrown():
            while True:
                channel.send(rings, 0.5)
        def ring_twice():  # the second one into whatever the first one set off
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.00002)
                send_until_thrown()
            except Ring:
                send_until_thrown()
        for rings in range(500):
            try:
                ring_twice()
            except Ring:
                pass
            while True:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    break
                except Ring:
                    pass
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        channel.send(-1, 0.5)
    """)

    assert (done.returncode, done.stderr) == (0, "")
    assert _is_gapless(attempt.lines())
    assert attempt.lines()[-1][4] == -1


def test_what_a_handler_reports_before_it_throws_arrives_and_its_error_too(attempt: Attempt) -> None:
    """A TimeoutError is an OSError: it must not be taken for a full disk."""
    done = attempt.run("""
        import signal
        import bough
        job = bough.start_job()
        channel = job.create_channel("a")
        thrown = 0
        def ring(number, frame):
            job.set_status(str(thrown))
            raise TimeoutError
        signal.signal(signal.SIGALRM, ring)
        for thrown in range(500):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                while True:
                    channel.send(thrown, 0.5)
            except TimeoutError:
                pass
    """)

    assert (done.returncode, done.stderr) == (0, "")
    assert _is_gapless(attempt.lines())
    assert [line[3] for line in attempt.lines("s")] == [str(thrown) for thrown in range(500)]


def test_a_handler_may_report_in_the_middle_of_a_report(attempt: Attempt) -> None:
    done = attempt.run("""
        import signal
        import bough
        job = bough.start_job()
        channel, other = job.create_channel("a"), job.create_channel("b")
        rings = 0
        def ring(number, frame):
            global rings
            mine = rings
            rings += 1
            other.send(mine, 0.25)
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        sent = 0
        while rings < 1000:
            channel.send(sent, 0.5)
            sent += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        job.set_info("sent", [sent, rings])
    """)

    assert (done.returncode, done.stderr) == (0, "")
    assert _is_gapless(attempt.lines())
    sent, rings = attempt.lines("i")[0][4]
    points = attempt.lines("p")
    assert [line[4] for line in points if line[3] == "a"] == list(range(sent))
    assert sorted(line[4] for line in points if line[3] == "b") == list(range(rings))


def test_reports_at_exit_arrive(attempt: Attempt) -> None:
    done = attempt.run("""
        import atexit
        import bough
        job = bough.start_job()
        atexit.register(job.set_status, "bye")
    """)

    assert (done.returncode, done.stderr) == (0, "")
    assert attempt.lines("s")[0][3] == "bye"


FULL = """
    import resource
    import bough
    job = bough.start_job()
    channel = job.create_channel("a")
    channel.send(0, 0.5)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # no file may be longer now
    for i in range(1, 1000):
        channel.send(i, 0.5)
    {after}
"""


def test_a_full_disk_costs_nothing_when_it_gets_free_again(attempt: Attempt) -> None:
    done = attempt.run(FULL.format(after="resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)); job.done()"))

    assert done.returncode == 0
    (warning,) = done.stderr.splitlines()
    assert "cannot be written: " in warning
    assert warning.endswith("Up to 8 MiB of reports wait in memory until it can be; the script goes on.")
    lines = attempt.lines()
    assert _is_gapless(lines)
    assert [line[4] for line in lines if line[0] == "p"] == list(range(1000))
    assert lines[-1][0] == "e"
    (path,) = (attempt.folder / "journal").iterdir()
    raw = path.read_bytes().split(b"\n")
    assert len(raw) == len(lines) + 2  # the torn line, and nothing after the last newline


def test_what_waits_is_tried_again_at_the_end_and_then_given_up_aloud(attempt: Attempt) -> None:
    ended = attempt.run(FULL.format(after="import atexit"))

    assert ended.returncode == 0
    assert len(ended.stderr.splitlines()) == 2
    assert " lines could not be written to " in ended.stderr.splitlines()[1]
    assert _is_gapless(attempt.lines())


def test_what_does_not_fit_into_memory_is_counted_as_a_gap(attempt: Attempt) -> None:
    done = attempt.run("""
        import resource
        import bough
        from bough import _journal
        _journal.MAX_WAITING = 2000
        job = bough.start_job()
        channel = job.create_channel("a")
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        for i in range(1000):
            channel.send(i, 0.5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        channel.send(1000, 0.5)
    """)

    assert done.returncode == 0
    lines = attempt.lines()
    assert _is_gapless(lines)
    (gap,) = [line for line in lines if line[0] == "x"]
    assert gap[1] == len(lines) - 2
    arrived = [line[4] for line in lines if line[0] == "p"]
    assert arrived == [*range(len(arrived) - 1), 1000]
    assert len(arrived) + gap[3] == 1001


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_full_disk_does_not_stop_the_script(attempt: Attempt) -> None:
    with _small_disk(attempt.folder / "journal"):
        done = attempt.run("""
            import os
            import bough
            job = bough.start_job()
            filler = os.path.join(os.environ["BOUGH_ATTEMPT_DIR"], "journal", "filler")
            with open(filler, "wb", 0) as file:
                try:
                    while True: file.write(b"x" * 512)
                except OSError: pass
            channel = job.create_channel("a")
            for i in range(300): channel.send(i, 0.5)
            os.unlink(filler)
            channel.send(300, 0.5)
        """)

        assert done.returncode == 0
        assert "No space left on device" in done.stderr
        assert _is_gapless(attempt.lines())
        assert [line[4] for line in attempt.lines("p")] == list(range(301))


ENDS_ON_A_FULL_DISK = """
    import os, threading
    import bough
    from bough import _journal
    _journal.EXIT_WAIT_S = {wait_s}
    job = bough.start_job()
    filler = os.path.join(os.environ["BOUGH_ATTEMPT_DIR"], "journal", "filler")
    with open(filler, "wb", 0) as file:
        try:
            while True: file.write(b"x" * 512)
        except OSError: pass
    channel = job.create_channel("a")
    for i in range(300): channel.send(i, 0.5)
    {then}
"""


def test_a_script_that_ends_on_a_full_disk_waits_for_room(attempt: Attempt) -> None:
    """What it has in memory would die with it: the last points, and with them the result."""
    then = "threading.Thread(target=lambda: threading.Event().wait(1) or os.unlink(filler), daemon=True).start()"
    with _small_disk(attempt.folder / "journal"):
        done = attempt.run(ENDS_ON_A_FULL_DISK.format(wait_s=30, then=then))

        assert done.returncode == 0
        assert " is full; waiting up to 30 s for room. Free some space." in done.stderr
        assert "could not be written" not in done.stderr
        assert _is_gapless(attempt.lines())
        assert [line[4] for line in attempt.lines("p")] == list(range(300))


def test_a_script_that_waits_for_room_can_be_interrupted_and_does_not_wait_for_ever(attempt: Attempt) -> None:
    interrupt = "threading.Thread(target=lambda: threading.Event().wait(1) or os.kill(os.getpid(), 2), daemon=True)"
    with _small_disk(attempt.folder / "journal"):
        for wait_s, then in ((600, f"{interrupt}.start()"), (1, "")):
            done = attempt.run(ENDS_ON_A_FULL_DISK.format(wait_s=wait_s, then=then))

            assert done.returncode == 0
            assert " lines could not be written to " in done.stderr.splitlines()[-1]
            assert "Traceback" not in done.stderr
            for path in (attempt.folder / "journal").iterdir():
                path.unlink()


def test_a_journal_folder_that_cannot_be_made_does_not_stop_the_script(attempt: Attempt) -> None:
    (attempt.folder / "journal").write_text("a file is in the way, for root too")

    done = attempt.run("""
        import bough
        job = bough.start_job()
        channel = job.create_channel("a", kpi=True)
        for i in range(100):
            channel.send(i, 0.5); job.progress(i, 100)
        job.done()
        print("trained")
    """)

    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert len(done.stderr.splitlines()) == 2
    assert "cannot be written: " in done.stderr


def test_a_closed_stderr_is_no_trouble_either(attempt: Attempt) -> None:
    (attempt.folder / "journal").write_text("")

    done = attempt.run("""
        import os, sys
        os.close(2)
        sys.stderr = None
        import bough
        bough.start_job().set_status("on")
        print("trained")
    """)

    assert (done.returncode, done.stdout) == (0, "trained\n")


def test_the_descriptor_is_not_inherited_by_programs(attempt: Attempt) -> None:
    done = attempt.run("""
        import os, subprocess, sys
        import bough
        bough.start_job()
        code = "import os; print([f for f in os.listdir('/proc/self/fd') if int(f) > 3])"
        print(subprocess.run([sys.executable, "-c", code], close_fds=False, stdout=subprocess.PIPE).stdout.decode())
    """)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"values": 1}'])
def test_a_job_file_that_cannot_be_read_is_one_sentence(attempt: Attempt, content: str) -> None:
    (attempt.folder / "job.json").write_text(content)

    done = attempt.run("import bough; bough.start_job()")

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"The job's file {attempt.folder / 'job.json'} " in last
    assert last.endswith("It is named by BOUGH_ATTEMPT_DIR; unset that to run without an agent.")


def test_a_reader_sees_points_while_the_script_runs(attempt: Attempt) -> None:
    process = attempt.start("""
        import sys
        import bough
        channel = bough.start_job().create_channel("a")
        channel.send(1, 0.5)
        sys.stdin.readline()
    """, stdin=subprocess.PIPE)  # fmt: skip

    def has_point() -> bool:
        paths = (attempt.folder / "journal").glob("*.jsonl")
        return any(line[0] == "p" for path in paths for line in complete_lines(path))

    wait_for(has_point)
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert os.path.exists(attempt.folder / "journal")
