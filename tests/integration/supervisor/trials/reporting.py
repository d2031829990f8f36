"""A training that reports through the SDK: `reporting.py SHAPE`. It never ends by itself."""

import signal
import subprocess
import sys
import time

import bough


def train() -> None:
    job = bough.start_job()
    accuracy = job.create_channel("accuracy", kpi=True)
    for epoch in range(1, 1_000_000):
        time.sleep(0.01)
        accuracy.send(epoch, epoch / 100)
        job.progress(epoch)


def with_handler() -> None:
    signal.signal(signal.SIGINT, lambda *_: print("asked to stop", flush=True))
    job = bough.start_job()
    accuracy = job.create_channel("accuracy", kpi=True)
    for epoch in range(1, 1_000_000):
        time.sleep(0.01)
        job.progress(epoch)  # before the KPI: the limit waits for it
        accuracy.send(epoch, epoch / 100)
        if job.should_stop():
            return


def rank() -> None:
    try:
        train()
    except KeyboardInterrupt:
        print("rank cleaned up", flush=True)


def launch() -> None:
    ranks = [subprocess.Popen([sys.executable, __file__, "rank"]) for _ in range(2)]
    try:
        while all(rank.poll() is None for rank in ranks):
            time.sleep(0.01)
        print("a rank failed", flush=True)
    except KeyboardInterrupt:
        print("launcher cleaned up", flush=True)
    for rank in ranks:
        rank.wait()


{"plain": train, "handler": with_handler, "rank": rank, "launcher": launch}[sys.argv[1]]()
