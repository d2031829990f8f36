"""A training in one of the shapes that are seen in practice: `shapes.py SHAPE`. It never ends by itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import bough

END = time.monotonic() + 60.0


def train(begin: Callable[[], object] = int) -> None:
    """Report epoch after epoch; the KPI is the epoch's number, before or after the progress call."""
    job = bough.start_job()
    is_after = job.get_parameter("order") == "after"
    kpi = job.create_channel("accuracy", kpi=True)
    epoch = 0
    while time.monotonic() < END and not (os.environ.get("POLITE") and job.should_stop()):
        epoch += 1
        begin()
        time.sleep(0.01)
        if is_after:
            job.progress(epoch)
        kpi.send(epoch, float(epoch))
        if not is_after:
            job.progress(epoch)


def handler() -> None:
    """The user's own handler only prints; the loop asks `should_stop`."""
    signal.signal(signal.SIGINT, lambda *_: print("asked to stop", flush=True))
    os.environ["POLITE"] = "1"
    train()
    print("finished as usual", flush=True)


def printer() -> None:
    """The user's own handler only prints, and nothing ever asks: the ladder ends it."""
    signal.signal(signal.SIGINT, lambda *_: print("asked to stop", flush=True))
    train()


def deaf() -> None:
    """Nothing but SIGKILL ends it."""
    train_started = bough.start_job()
    print("deaf is", train_started.number, flush=True)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    train()


def work() -> None:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("worker cleaned up", flush=True)


def workers() -> None:
    found = [multiprocessing.Process(target=work) for _ in range(2)]
    for one in found:
        one.start()
    try:
        train()
    finally:
        for one in found:
            one.join()
        print("workers joined", flush=True)


def launcher() -> None:
    """Two ranks; as soon as one fails, the other is terminated. Rank 1 begins an epoch when rank 0 has begun it."""
    behind, ahead = os.pipe()
    ranks = []
    for number, handle in enumerate((ahead, behind)):
        environ = dict(os.environ, RANK=str(number), BARRIER=str(handle))
        ranks.append(subprocess.Popen([sys.executable, __file__, "rank"], env=environ, pass_fds=[handle]))
    try:
        while all(rank.poll() is None for rank in ranks):
            time.sleep(0.01)
        print("a rank failed", flush=True)
        for rank in ranks:
            rank.terminate()
    except KeyboardInterrupt:
        for rank in ranks:
            rank.wait()
        print("launcher cleaned up", flush=True)


def rank() -> None:
    handle = int(os.environ["BARRIER"])
    try:
        if os.environ["RANK"] == "0":
            train(lambda: os.write(handle, b"."))
        job = bough.start_job()
        epoch = 0
        while os.read(handle, 1):
            epoch += 1
            job.progress(epoch)
    except KeyboardInterrupt:
        time.sleep(0.05)
        print("rank cleaned up", flush=True)


if __name__ == "__main__":
    print("SIGINT is", signal.getsignal(signal.SIGINT), flush=True)
    {
        "plain": train,
        "handler": handler,
        "printer": printer,
        "deaf": deaf,
        "workers": workers,
        "launcher": launcher,
        "rank": rank,
    }[sys.argv[1]]()
