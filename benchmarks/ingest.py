"""How many points one agent ships into the coordinator's SQLite per second, durably.

    python benchmarks/ingest.py [--points 100000] [--jobs 10]

Ten jobs write their journals at once (in the SDK's own format, as fast as a file can be written); the real agent tails
and ships them over HTTP; the coordinator stores them with synchronous=FULL. The time is the coordinator's, from the
creation of the optimization to its end, so that claims, checkouts, processes and the draining of every byte are in it.
The physical limit printed beside it is writing and syncing the same bytes to a file.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from turnaround import Daemons, make_repository

SCRIPT = """\
import os, time
folder = os.path.join(os.environ["BOUGH_ATTEMPT_DIR"], "journal")
now = time.time()
lines = ['["h",0,%r,{{"writer":"1-00000000","pid":1,"python":"3","sdk":"0","argv":[],"rank":null}}]' % now]
lines.append('["c",1,%r,"loss",{{"traces":["loss"],"type":"number","main":true,"kpi":true,"kpi_trace":0,"maximize":false,'
             '"loss":false,"xaxis":null,"yaxis":null,"layout":null}}]' % now)
lines += ['["p",%d,%r,"loss",%d,%r]' % (n + 2, now + n * 1e-4, n, 1 / (n + 1)) for n in range({points})]
with open(os.path.join(folder, "1-00000000.jsonl"), "a") as journal:
    journal.write("\\n".join(lines) + "\\n")
"""


def written_and_synced_s(folder: Path, size: int) -> float:
    """Return how long writing and syncing ``size`` bytes to one file takes, in seconds."""
    data = os.urandom(1 << 20)
    started = time.perf_counter()
    with (folder / "limit").open("wb") as file:
        for _ in range(max(size >> 20, 1)):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - started


def main() -> int:
    """Print points per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=10)
    options = parser.parse_args()
    total = options.points * options.jobs
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder, Daemons(Path(folder), options.jobs) as daemons:
        script = SCRIPT.format(points=options.points)
        repository = make_repository(Path(folder) / "repository", script, options.jobs, 50)
        settings = (repository / "bough.yml").read_text().replace("max_parallel: 2", f"max_parallel: {options.jobs}")
        (repository / "bough.yml").write_text(settings)
        who = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
        subprocess.run(["git", "-C", str(repository), *who, "commit", "-qam", "parallel"], check=True)
        one = daemons.optimize(repository)
        taken = one["ended_at"] - one["created_at"]
        database = next((daemons.home / "coordinator").glob("*.db"))
        with sqlite3.connect(database) as connection:
            stored = connection.execute("select sum(n) from point_chunks").fetchone()[0]
        size = total * 50
        limit = written_and_synced_s(Path(folder), size)
        print(f"{stored} of {total} points stored, {one['counts']}")
        bytes_each = database.stat().st_size / total
        print(f"{taken:.2f} s: {total / taken:,.0f} points/s; database {bytes_each:.1f} bytes a point")
        print(f"writing and syncing {size >> 20} MiB alone: {limit:.2f} s; ratio {taken / limit:.1f}")
    return 0 if stored == total else 1


if __name__ == "__main__":
    raise SystemExit(main())
