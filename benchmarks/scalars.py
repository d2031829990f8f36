"""What one reported scalar costs: bough, a bare ``os.write``, TensorBoard, wandb offline, MLflow's files, Optuna.

Each in a process of its own, in rounds that take turns with bare writes, so that a busy machine disturbs both alike:
median microseconds per call of the calling thread, and the multiple of the bare write. Then a script is killed by
SIGKILL right after a report, with each of them, and what its files hold is counted. The targets: bough at most 3.5
bare writes, and at least 20 times cheaper than the cheapest peer that survives the kill; of 100,000 points none is
lost.

    python benchmarks/scalars.py --venv .venv-peers      makes an environment with the peers, and runs in it
    python benchmarks/scalars.py                         runs with the peers that are there
    python benchmarks/scalars.py --kills                 only bough's kills
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import random
import re
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SDK = str(ROOT / "sdk")
PEERS = ("tensorboard", "wandb", "mlflow", "optuna")
ROUNDS = {"bough": 101, "tensorboard": 41}  # others: 15
POINTS = 100_000
BASE = 1000000.5  # the values of what is killed count from here: they are found again in any text
Send = Callable[[int, float], object]


# -- what is compared -----------------------------------------------------------------------------------------


def bare(folder: Path) -> Send:
    """Return a bare write of a line as bough writes it."""
    file = os.open(folder / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = b'["p",123456,1763644191123456e-6,"accuracy",1234,0.9712345678901234]\n'
    return lambda x, y: os.write(file, line)


def bough(folder: Path) -> Send:
    """Return bough's send."""
    sys.path.insert(0, SDK)
    os.chdir(folder)
    import bough

    return bough.start_job().create_channel("accuracy").send


def tensorboard(folder: Path) -> Send:
    """Return TensorBoard's own writer: a queue, and a thread that writes every two minutes."""
    from tensorboard.summary import Writer
    from tensorboard.summary._output import DirectoryOutput

    writer = Writer(DirectoryOutput(str(folder)))
    return lambda x, y: writer.add_scalar("accuracy", y, step=x)


def wandb(folder: Path) -> Send:
    """Return wandb's log without a server: a process of its own writes."""
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=str(folder), WANDB_CONSOLE="off")
    import wandb as library

    run = library.init(project="bough", dir=str(folder))
    return lambda x, y: run.log({"accuracy": y}, step=x)


def mlflow(folder: Path) -> Send:
    """Return MLflow's log_metric into files."""
    os.environ.update(MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_DISABLE_TELEMETRY="true")
    import mlflow as library

    library.set_tracking_uri((folder / "mlruns").as_uri())
    library.start_run()
    return lambda x, y: library.log_metric("accuracy", y, step=x)


def optuna(folder: Path) -> Send:
    """Return Optuna's trial.report into its journal file, the cheapest storage of it that is a file."""
    import optuna as library
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    library.logging.set_verbosity(library.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal")))
    trial = library.create_study(storage=storage).ask()
    return lambda x, y: trial.report(y, x)


WAYS: dict[str, tuple[Callable[[Path], Send], int]] = {  # with how many calls a round has
    "os.write": (bare, 200),  # short enough to be over before the scheduler takes the processor away
    "bough": (bough, 200),
    "tensorboard": (tensorboard, 50),
    "wandb": (wandb, 20),
    "optuna": (optuna, 10),
    "mlflow": (mlflow, 10),
}


def installed() -> list[str]:
    """Return the ways that are there."""
    from importlib.util import find_spec

    return [name for name in WAYS if name not in PEERS or find_spec(name) is not None]


# -- cost -----------------------------------------------------------------------------------------------------


def measure(name: str, folder: Path) -> dict[str, float]:
    """Return what a call costs in rounds that take turns with bare writes: medians in microseconds, and the ratio.

    ``cpu`` is the ratio of the calling thread's CPU time, which a busy machine disturbs less.
    """
    (folder / "own").mkdir()
    make, calls = WAYS[name]
    base, send = bare(folder), make(folder / "own")
    rounds = []
    for number in range(ROUNDS.get(name, 15)):
        step = number * calls
        rounds.append((_timed(send, step, calls), _timed(base, step, WAYS["os.write"][1])))
    wall = [(mine[0], other[0]) for mine, other in rounds]
    return {
        "us": statistics.median(mine for mine, _ in wall),
        "bare_us": statistics.median(other for _, other in wall),
        "ratio": statistics.median(mine / other for mine, other in wall),
        "cpu": statistics.median(mine[1] / other[1] for mine, other in rounds),
    }


def _timed(send: Send, step: int, calls: int) -> tuple[float, float]:
    """Return wall and CPU microseconds per call."""
    wall, cpu = time.perf_counter(), time.thread_time()
    for x in range(step, step + calls):
        send(x, 0.9712345678901234)
    return (time.perf_counter() - wall) / calls * 1e6, (time.thread_time() - cpu) / calls * 1e6


def costs(names: list[str]) -> dict[str, dict[str, float]]:
    """Return what `measure` says of each, in a process of its own: the threads of one must not slow another."""
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            argv = [sys.executable, "-W", "ignore", __file__, "--measure", name, place]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
            if done.returncode != 0:
                sys.exit(f"{name} could not be measured: {done.stderr.strip()[-2000:]}")
            found[name] = json.loads((Path(place) / "result.json").read_text())
    return found


# -- kills ----------------------------------------------------------------------------------------------------


def die(name: str, folder: str, count: int) -> None:
    """Send so many points, then be killed: run in a process of its own."""
    send = WAYS[name][0](Path(folder))
    for x in range(count):
        send(x, BASE + x)
    os.kill(os.getpid(), signal.SIGKILL)


def survived(name: str, count: int) -> int:
    """Return how many of so many points the files hold after the kill; wandb's process is given five seconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        argv = [sys.executable, "-W", "ignore", __file__, "--die", name, place, str(count)]
        subprocess.run(argv, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + (5.0 if name == "wandb" else 0.0)
        found = _found(name, Path(place))
        while found < count and time.monotonic() < deadline:
            time.sleep(0.2)
            found = _found(name, Path(place))
        return found


def _found(name: str, folder: Path) -> int:
    if name == "tensorboard":
        sys.path.insert(0, SDK)
        from bough.tensorboard import Reader

        return Reader(str(folder), lambda tag, x, y: None).read()
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return len({match for text in texts for match in re.findall(rb"1\d{6}\.5|1\.0\d*5e\+06", text)})


def kill_at_random(points: int, seed: int = 1) -> tuple[int, int, int]:
    """Kill senders at random moments until so many points were sent; return (points, kills, lost).

    A sender counts in shared memory once `send` has returned: each counted point must be in the journal.
    """
    rng, sent, kills, lost = random.Random(seed), 0, 0, 0
    while sent < points:
        with tempfile.TemporaryDirectory() as place:
            counter = Path(place) / "counter"
            counter.write_bytes(bytes(8))
            process = subprocess.Popen([sys.executable, __file__, "--count", place], stderr=subprocess.DEVNULL)
            while _counted(counter) == 0:
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.1))
            process.kill()
            process.wait()
            counted = _counted(counter)
            (journal,) = Path(place).glob(".bough/*/journal/*.jsonl")
            written = {json.loads(line)[4] for line in _whole(journal) if line.startswith(b'["p"')}
            lost += len(set(range(counted)) - written)
            sent, kills = sent + counted, kills + 1
    return sent, kills, lost


def _whole(journal: Path) -> list[bytes]:
    return journal.read_bytes().split(b"\n")[:-1]


def _counted(path: Path) -> int:
    found: int = struct.unpack("<q", path.read_bytes())[0]
    return found


def count_for_ever(folder: str) -> None:
    """Send points and count each in shared memory, until killed."""
    send = bough(Path(folder))
    with open(Path(folder) / "counter", "r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)
    for x in range(10**9):
        send(x, 0.5)
        shared[:8] = struct.pack("<q", x + 1)


# -- the report -----------------------------------------------------------------------------------------------


def report() -> int:
    """Measure, print, and return whether a target is missed."""
    names = [name for name in installed() if name != "os.write"]
    found = costs(names)
    kept = {name: survived(name, 100) for name in names}
    print(f"{'':12} {'us per call':>12} {'bare writes':>12}   of 100 points after SIGKILL")
    print(f"{'os.write':12} {statistics.median(one['bare_us'] for one in found.values()):12.2f} {1.0:12.1f}")
    for name, one in sorted(found.items(), key=lambda pair: pair[1]["ratio"]):
        print(f"{name:12} {one['us']:12.2f} {one['ratio']:12.1f} {kept[name]:>5}")
    mine = found["bough"]
    print(f"bough is {mine['ratio']:.2f} bare writes, {mine['cpu']:.2f} in CPU time (at most 3.5)")
    missed = mine["cpu"] > 3.5
    durable = {name: found[name]["ratio"] for name in names if name in PEERS and kept[name] == 100}
    if durable:
        cheapest = min(durable, key=lambda name: durable[name])
        times = durable[cheapest] / mine["ratio"]
        missed = missed or times < 20
        print(f"and {times:.0f} times cheaper than {cheapest}, the cheapest peer that survives (at least 20)")
    missing = [name for name in PEERS if name not in names]
    if missing:
        print(f"not installed: {', '.join(missing)}; --venv FOLDER makes an environment with them")
    return int(missed or kills())


def kills() -> int:
    """Kill bough's script, print and return whether a point was lost."""
    last = survived("bough", POINTS)
    print(f"killed right after the last of {POINTS} sends: {POINTS - last} lost")
    sent, count, lost = kill_at_random(POINTS)
    print(f"killed {count} times at random moments: {lost} of {sent} points lost")
    return int(lost > 0 or last != POINTS)


def main() -> int:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--venv", metavar="FOLDER", help="make an environment with the peers there, and run in it")
    parser.add_argument("--kills", action="store_true", help="only bough's kills")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--die", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--count", help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.die:
        die(given.die[0], given.die[1], int(given.die[2]))
    if given.measure:
        place = Path(given.measure[1])
        (place / "result.json").write_text(json.dumps(measure(given.measure[0], place)))
        os._exit(0)  # some peers take seconds to say goodbye
    if given.count:
        count_for_ever(given.count)
    if given.venv:
        subprocess.run(["sh", str(ROOT / "make" / "environment"), given.venv, *PEERS], check=True)
        return subprocess.run([f"{given.venv}/bin/python", "-W", "ignore", __file__]).returncode
    with contextlib.suppress(KeyboardInterrupt):
        return kills() if given.kills else report()
    return 130


if __name__ == "__main__":
    sys.exit(main())
