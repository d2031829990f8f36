"""A training that speaks the file protocol by hand: `train.py SHAPE EPOCHS`. It ends at the limit, or by a signal."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["BOUGH_ATTEMPT_DIR"])
SHAPE = sys.argv[1]
MAX_EPOCHS = int(sys.argv[2])  # 0: no limit
FOREVER = 1_000_000


class Reporter:
    def __init__(self) -> None:
        writer = f"{os.getpid()}-{os.urandom(4).hex()}"
        path = FOLDER / "journal" / f"{writer}.jsonl"
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.lines = 0
        self.line("h", {"writer": writer, "pid": os.getpid(), "rank": None})

    def line(self, kind: str, *rest: object) -> None:
        row = [kind, self.lines, time.time(), *rest]
        os.write(self.descriptor, json.dumps(row).encode() + b"\n")
        self.lines += 1

    def progress(self, epoch: int) -> None:
        self.line("g", epoch, None)
        if epoch == MAX_EPOCHS:
            self.line("l", "max_epochs")
            (FOLDER / "control" / "limit").write_text("max_epochs")
            self.await_stop()

    def await_stop(self) -> None:
        deadline = time.monotonic() + 10
        while not (FOLDER / "control" / "stop").exists():
            if time.monotonic() > deadline:
                sys.exit("no supervisor answered")
            time.sleep(0.005)
        time.sleep(0.2)  # the signal follows the file


def train(epochs: int = FOREVER, reporter: "Reporter | None" = None) -> None:
    reporter = reporter or Reporter()
    for epoch in range(1, epochs):
        time.sleep(0.01)
        reporter.line("p", "accuracy", epoch, epoch / 100)
        reporter.progress(epoch)


def with_handler() -> None:
    """The user's own handler only notes that it was asked; the loop then ends as usual."""
    asked = []

    def note(*_: object) -> None:
        asked.append(1)
        print("asked to stop", flush=True)

    signal.signal(signal.SIGINT, note)
    reporter = Reporter()
    for epoch in range(1, FOREVER):
        time.sleep(0.01)
        reporter.line("p", "accuracy", epoch, epoch / 100)
        reporter.progress(epoch)
        if asked:
            print("finished as usual", flush=True)
            return


def swallowing() -> None:
    """`except:` around each epoch, as seen in the wild: KeyboardInterrupt never gets out."""
    reporter = Reporter()
    for epoch in range(1, FOREVER):
        try:
            reporter.line("p", "accuracy", epoch, epoch / 100)
            reporter.progress(epoch)
            time.sleep(0.01)
        except BaseException as error:
            print("swallowed", type(error).__name__, flush=True)


def work() -> None:
    try:
        time.sleep(FOREVER)
    except KeyboardInterrupt:
        print("worker cleaned up", flush=True)


def with_workers() -> None:
    workers = [multiprocessing.Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        train()
    finally:
        for worker in workers:
            worker.join()
        print("workers joined", flush=True)


def launch() -> None:
    """Two ranks; as soon as one fails, the launcher terminates the other."""
    ranks = [subprocess.Popen([sys.executable, __file__, "rank", str(MAX_EPOCHS)]) for _ in range(2)]
    try:
        while all(rank.poll() is None for rank in ranks):
            time.sleep(0.01)
        print("a rank failed: the others are terminated", flush=True)
        for rank in ranks:
            rank.terminate()
    except KeyboardInterrupt:
        for rank in ranks:
            rank.wait()
        print("launcher cleaned up", flush=True)
        sys.exit(1)


def rank() -> None:
    try:
        reporter = Reporter()
        while len(os.listdir(FOLDER / "journal")) < 2:  # as ranks do: none trains before all are there
            time.sleep(0.005)
        train(reporter=reporter)
    except KeyboardInterrupt:
        time.sleep(0.05)
        print("rank cleaned up", flush=True)
        sys.exit(7)


def finish() -> None:
    train(epochs=4)


SHAPES = {
    "plain": train,
    "handler": with_handler,
    "swallow": swallowing,
    "multiprocessing": with_workers,
    "launcher": launch,
    "rank": rank,
    "finish": finish,
}

if __name__ == "__main__":
    print("SIGINT is", signal.getsignal(signal.SIGINT), flush=True)
    SHAPES[SHAPE]()
