"""What starting costs: `bough --help`, `import bough`, and the way from `bough optimize` to the first trial's process.

    python benchmarks/start.py [--rounds 9]

CPU seconds (user + system) of whole processes, alternating with an empty interpreter in the same invocation; medians
and ratios. The way to the first trial is wall time, from starting the command to the first line of the trial's script.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turnaround import ROOT, make_repository

PARTS = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
CLOCK = "import pathlib, time\npathlib.Path({place!r}).write_text(repr(time.time()))\n"


def cpu_seconds(command: list[str], environ: dict[str, str]) -> float:
    """Run a command to its end; return its user + system CPU time in seconds."""
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime


def first_trial_seconds(folder: Path, environ: dict[str, str], round_number: int) -> float:
    """Return the wall time from `bough optimize` to the first trial's script, with nothing running before."""
    mark = folder / f"mark{round_number}"
    script = CLOCK.format(place=str(mark))
    repository = make_repository(folder / f"repository{round_number}", script, 1, 50)
    home = {**environ, "BOUGH_HOME": str(folder / f"home{round_number}")}
    started = time.time()
    command = [sys.executable, "-m", "bough_cli", "optimize", str(repository)]
    subprocess.run(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return float(mark.read_text()) - started


def main() -> int:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPATH"] = PARTS
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import bough'": [sys.executable, "-c", "import bough"],
        "bough --help": [sys.executable, "-m", "bough_cli", "--help"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds + 1):
        for name, command in commands.items():
            taken[name].append(cpu_seconds(command, environ))
    empty = statistics.median(taken["python -c pass"][1:])
    for name, values in taken.items():
        median = statistics.median(values[1:])
        print(f"{name}: {median * 1000:.1f} ms of CPU, {(median - empty) * 1000:+.1f} ms, ratio {median / empty:.2f}")
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
        ways = [first_trial_seconds(Path(folder), environ, number) for number in range(4)][1:]
    print(f"bough optimize → first trial's process: {', '.join(f'{way:.2f}' for way in ways)} s of wall time (limit 4)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
