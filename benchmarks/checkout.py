"""What a clean tree costs a trial, for repositories of 50 and 5,000 files.

    python benchmarks/checkout.py [--rounds 15]

Two cases, each after the first tree of a slot was made: the last trial left the tree alone, and it left files, edits and deletions
behind. Beside them, in the same rounds, a fresh tree by `git archive | tar` into an empty folder.
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

from bough_agent.workspace import RACY_NS, Workspace

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


def main() -> int:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for files in (50, 5000):
        with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
            bare = Path(folder) / "git" / (MODEL + ".git")
            bare.parent.mkdir(parents=True)
            commit = make_repository(bare, files)
            url = f"file://{bare.parents[1]}"
            workspace = Workspace(Path(folder) / "home", url, None, random.Random(1), allow_file=True)
            first = milliseconds(lambda: workspace.tree(0, MODEL, GIT, commit))
            workspace.tree(1, MODEL, GIT, commit)
            untouched, littered, fresh = [], [], []
            for seed in range(options.rounds):
                litter(workspace.tree(0, MODEL, GIT, commit), seed)
                littered.append(milliseconds(lambda: workspace.tree(0, MODEL, GIT, commit)))
                time.sleep(1.2 * RACY_NS / 1e9)
                workspace.tree(1, MODEL, GIT, commit)
                untouched.append(milliseconds(lambda: workspace.tree(1, MODEL, GIT, commit)))
                place = Path(folder) / f"fresh{seed}"
                place.mkdir()
                archive = f"git -C {bare} archive {commit} | tar -x -C {place}"
                fresh.append(milliseconds(lambda: subprocess.run(archive, shell=True, check=True)))
            base = statistics.median(fresh)
            print(f"{files} files: first {first:.1f} ms; fresh by archive and tar {base:.1f} ms (each a median from here on)")
            for name, taken in (("untouched", untouched), ("littered", littered)):
                median = statistics.median(taken)
                print(f"{files} files: {name} {median:.1f} ms, ratio to fresh {median / base:.2f} (limit at 5,000 files: 40 ms)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
