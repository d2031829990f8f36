"""What a clean tree costs a trial, for repositories of 50 and 5,000 files.

    python benchmarks/checkout.py [--rounds 15]

Two cases, each after the first tree of a slot was made: the last trial left the tree alone, and it left files, edits
and deletions behind. Beside them, in the same rounds, a fresh tree by `git archive | tar` into an empty folder.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("sdk", "agent")]

from bough_agent.workspace import RACY_NS, Workspace  # noqa: E402  (runs from a clone, installed or not)

MODEL, GIT = "bench/tree", "/bench/tree.git"


def make_repository(bare: Path, files: int) -> str:
    """Make a repository of ``files`` files, 50 to a folder, and a bare clone of it; return its commit."""
    work = bare.with_suffix(".work")
    for number in range(files):
        path = work / f"folder{number // 50}" / f"file{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 50)
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@example.org", "-C", str(work)]
    for args in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "bench"]):
        subprocess.run([*git, *args], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "update-ref", f"refs/bough/code/{commit}", commit], check=True)
    return commit


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def litter(tree: Path, seed: int) -> None:
    """Leave what a trial leaves: caches, results, an edited file, a deleted one."""
    (tree / "__pycache__").mkdir(exist_ok=True)
    (tree / "__pycache__" / f"x{seed}.pyc").write_bytes(b"x" * 1000)
    (tree / f"result{seed}.txt").write_text("0.97")
    (tree / "folder0" / "file1.txt").write_text(str(seed))
    (tree / "folder0" / "file2.txt").unlink()


def measure(folder: Path, files: int, rounds: int) -> None:
    """Print the medians for a repository of that many files."""
    bare = folder / "git" / (MODEL + ".git")
    bare.parent.mkdir(parents=True)
    commit = make_repository(bare, files)
    workspace = Workspace(folder / "home", f"file://{bare.parents[1]}", None, random.Random(1), allow_file=True)

    def tree(slot: int) -> Path:
        return workspace.tree(slot, MODEL, GIT, commit)

    def extract(place: Path) -> None:
        place.mkdir()
        subprocess.run(f"git -C {bare} archive {commit} | tar -x -C {place}", shell=True, check=True)

    first = milliseconds(lambda: tree(0))
    tree(1)
    taken: dict[str, list[float]] = {"fresh": [], "untouched": [], "littered": []}
    for seed in range(rounds):
        litter(tree(0), seed)
        taken["littered"].append(milliseconds(lambda: tree(0)))
        time.sleep(1.2 * RACY_NS / 1e9)
        tree(1)
        taken["untouched"].append(milliseconds(lambda: tree(1)))
        place = folder / f"fresh{seed}"
        taken["fresh"].append(milliseconds(lambda place=place: extract(place)))  # type: ignore[misc]
    base = statistics.median(taken.pop("fresh"))
    print(f"{files} files: first {first:.1f} ms; fresh by archive and tar {base:.1f} ms (medians from here on)")
    for name, values in taken.items():
        median = statistics.median(values)
        limit = ", limit 40 ms" if files == 5000 else ""
        print(f"{files} files: {name} {median:.1f} ms, ratio to fresh {median / base:.2f}{limit}")


def main() -> int:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for files in (50, 5000):
        with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
            measure(Path(folder), files, options.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
