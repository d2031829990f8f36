"""What `--dirty` costs: the commit of a working tree of 5,000 files, 100 of them changed, 100 new.

    python benchmarks/snapshot.py [--files 5000] [--rounds 7]

Beside it, in the same rounds, `git status` of that tree. The limit is one second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("sdk", "cli")]

from bough_cli import source  # noqa: E402  (runs from a clone, installed or not)

LIMIT_S = 1.0
DEFINITION = "model: bench/snapshot\ncommand: python train.py\n"


def make_repository(place: Path, files: int) -> None:
    """Make a repository of that many files, 50 to a folder."""
    for number in range(files):
        path = place / f"folder{number // 50}" / f"file{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 50)
    (place / "bough.yml").write_text(DEFINITION)
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@example.org", "-C", str(place)]
    for args in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "bench"]):
        subprocess.run([*git, *args], check=True)


def change(place: Path, files: int, seed: int) -> None:
    """Change 100 files and add 100."""
    for number in range(0, files, max(1, files // 100)):
        (place / f"folder{number // 50}" / f"file{number}.txt").write_text(f"{seed} {number}\n" * 50)
    (place / "new").mkdir(exist_ok=True)
    for number in range(100):
        (place / "new" / f"{number}.txt").write_text(f"{seed} {number}\n" * 50)


def main() -> int:
    """Measure and print; return 1 above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    taken, status = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "repository"
        make_repository(place, options.files)
        for seed in range(options.rounds):
            change(place, options.files, seed)
            started = time.perf_counter()
            subprocess.run(["git", "-C", str(place), "status", "--porcelain"], check=True, capture_output=True)
            status.append(time.perf_counter() - started)
            change(place, options.files, seed + options.rounds)
            started = time.perf_counter()
            source.find(str(place), dirty=True)
            taken.append(time.perf_counter() - started)
    median = statistics.median(taken)
    print(f"{options.files} files: git status {statistics.median(status) * 1000:.0f} ms")
    print(f"{options.files} files: snapshot {median * 1000:.0f} ms (worst {max(taken) * 1000:.0f}), limit 1,000 ms")
    return 0 if median <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
