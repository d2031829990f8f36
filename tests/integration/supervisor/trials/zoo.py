"""Programs that leave processes behind in every way seen in practice: `zoo.py ANIMAL`. Each notes its pids.

Whatever becomes of the test, every animal ends by itself after a minute.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import NoReturn

ANIMAL = sys.argv[1]
END = time.monotonic() + 60.0  # the same moment for every process that this one leads to


def note() -> None:
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.getpid()}\n")


def stay() -> NoReturn:
    """Note the pid and stay."""
    note()
    while time.monotonic() < END:
        time.sleep(1)
    os._exit(0)


def ignore() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


def double_fork() -> None:
    """A daemon as in the book: fork, setsid, fork."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ignore()
            stay()
        os._exit(0)
    os.wait()
    stay()


def deaf() -> None:
    ignore()
    stay()


def stopped() -> None:
    """A member of its own session that stops itself: SIGTERM alone would never be handled."""
    if os.fork() == 0:
        os.setsid()
        note()
        os.kill(os.getpid(), signal.SIGSTOP)
        stay()
    stay()


def self_stopped_leader() -> None:
    note()
    os.kill(os.getpid(), signal.SIGSTOP)
    stay()


def chain() -> None:
    """Processes that fork and exit, each in a session of its own, faster than anyone can list them."""
    ignore()
    for _ in range(3):
        if os.fork() == 0:
            while time.monotonic() < END:
                os.setsid()
                note()
                time.sleep(0.002)
                if os.fork():
                    os._exit(0)
            os._exit(0)
    stay()


def clean_environment() -> None:
    """A daemon without the marker: only its ancestry tells whose it is."""
    script = "trap '' INT TERM; echo $$ >> \"$1\"; for i in $(seq 60); do sleep 1; done"
    subprocess.Popen(["setsid", "env", "-i", "sh", "-c", script, "sh", os.environ["PIDS"]])
    stay()


def closes_everything() -> None:
    if os.fork() == 0:
        ignore()
        note()
        os.closerange(0, 1 << 16)
        while time.monotonic() < END:
            time.sleep(1)
        os._exit(0)
    stay()


def workers() -> None:
    """Data loader workers that their parent, killed, cannot join."""
    ignore()
    for _ in range(4):
        multiprocessing.get_context("fork").Process(target=stay).start()
    stay()


def leaderless_threads() -> None:
    """The main thread ends, others run on: the process is shown as a zombie and is none."""
    ignore()
    note()
    threading.Thread(target=time.sleep, args=(60,)).start()
    import ctypes

    ctypes.CDLL(None).pthread_exit(None)


def many() -> None:
    ignore()
    for _ in range(60):
        if os.fork() == 0:
            stay()
    stay()


def bomb() -> None:
    """Each forks two that do the same, seven generations deep: no more, whatever becomes of the test."""
    ignore()
    for _ in range(6):
        if os.fork() and os.fork():
            break
    stay()


def holds_the_log() -> None:
    """A daemon that keeps stdout open after its parent is gone."""
    ignore()
    if os.fork() == 0:
        os.setsid()
        note()
        while time.monotonic() < END:
            print("still here", flush=True)
            time.sleep(0.1)
        os._exit(0)
    stay()


def shell_wrapper() -> None:
    """A shell that does not exec what it starts, and waits for it with its signals trapped."""
    script = "trap '' INT TERM; sh -c 'echo $$ >> \"$0\"; for i in $(seq 60); do sleep 1; done' \"$1\"; true"
    subprocess.run(["sh", "-c", script, "sh", os.environ["PIDS"]])


def inner_subreaper() -> None:
    """A small init of its own, as containers have: orphans go to it and not to the supervisor."""
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    double_fork()


if __name__ == "__main__":
    print("up", flush=True)
    globals()[ANIMAL]()
