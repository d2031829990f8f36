"""Everything that a job can be made of reports safely: forks, spawned processes, pools, threads, ranks, `python -I`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sdk.conftest import SDK, Attempt, complete_lines


def points(attempt: Attempt) -> Counter[tuple[Any, Any]]:
    """Return (x, y) of all points of all journals, which must hold nothing torn and count without a gap."""
    found: Counter[tuple[Any, Any]] = Counter()
    for path in (attempt.folder / "journal").glob("*.jsonl"):
        lines = complete_lines(path)
        assert len(lines) == path.read_bytes().count(b"\n"), "a line is torn"
        assert [line[1] for line in lines] == list(range(len(lines)))
        found.update((line[4], line[5]) for line in lines if line[0] == "p")
    return found


WORK = """
import multiprocessing, sys, bough
def work(number):
    job = bough.start_job()
    channel = job.create_channel("a")
    for x in range(200):
        channel.send(x, number)
    return job.get_parameter("lr")
"""


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_each_worker_of_a_pool_writes_its_own_journal(tmp_path: Path, way: str) -> None:
    attempt = Attempt(tmp_path / "attempt", values={"lr": 0.5})
    script = (
        WORK
        + f"""
if __name__ == "__main__":
    bough.start_job().create_channel("kpi", kpi=True).send(1, -1)
    with multiprocessing.get_context({way!r}).Pool(3) as pool:
        assert pool.map(work, range(6), chunksize=1) == [0.5] * 6
        pool.close(); pool.join()
"""
    )

    done = attempt.run(script)

    assert done.returncode == 0, done.stderr
    found = points(attempt)
    assert found == Counter({(x, number): 1 for x in range(200) for number in range(6)}) + Counter({(1, -1): 1})
    assert len(attempt.journals()) >= 2


def test_threads_of_one_process_share_its_journal(attempt: Attempt) -> None:
    done = attempt.run("""
        import threading, bough
        channel = bough.start_job().create_channel("a")
        def work(number):
            for x in range(500):
                channel.send(x, number)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        """)

    assert done.returncode == 0, done.stderr
    assert points(attempt) == Counter({(x, number): 1 for x in range(500) for number in range(8)})
    assert len(attempt.journals()) == 1


def test_a_fork_in_the_middle_of_other_threads_sends_reports_once_each(attempt: Attempt) -> None:
    """As a DataLoader does: workers are forked while the loop goes on in threads."""
    done = attempt.run("""
        import os, threading, warnings, bough
        warnings.simplefilter("ignore")
        channel = bough.start_job().create_channel("a")
        is_over = threading.Event()
        def work(number):
            x = 0
            while not is_over.is_set():
                channel.send(x, number)
                x += 1
        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        [thread.start() for thread in threads]
        children = []
        for number in range(10, 16):
            pid = os.fork()
            if pid == 0:
                for x in range(100):
                    channel.send(x, number)
                os._exit(0)
            children.append(pid)
        codes = [os.waitpid(pid, 0)[1] for pid in children]
        is_over.set()
        [thread.join() for thread in threads]
        assert codes == [0] * 6, codes
        """)

    assert done.returncode == 0, done.stderr
    found = points(attempt)
    assert set(found.values()) == {1}
    assert all((x, number) in found for x in range(100) for number in range(10, 16))
    assert len(attempt.journals()) == 7


def test_ranks_that_a_launcher_starts_report_side_by_side_and_say_which_they_are(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "attempt", max_epochs=None)
    script = attempt.folder / "rank.py"
    script.write_text(
        "import bough, os\njob = bough.start_job()\nrank = int(os.environ['RANK'])\n"
        "channel = job.create_channel('kpi', kpi=True) if rank == 0 else job.create_channel(f'loss of rank {rank}')\n"
        "for epoch in range(1, 51):\n    channel.send(epoch, rank)\n    job.progress(epoch, 50)\n"
    )

    ranks = [
        subprocess.Popen([sys.executable, str(script)], env={**attempt.environment(), "RANK": str(rank)})
        for rank in range(4)
    ]

    assert [rank.wait(60) for rank in ranks] == [0] * 4
    assert points(attempt) == Counter({(epoch, rank): 1 for epoch in range(1, 51) for rank in range(4)})
    assert sorted(lines[0][3]["rank"] for lines in attempt.journals().values()) == [0, 1, 2, 3]


def test_an_isolated_interpreter_finds_the_sdk_by_its_path(attempt: Attempt) -> None:
    """``python -I`` ignores PYTHONPATH: docs/sdk.md says to put the folder on the path by hand."""
    folder = str(SDK)
    code = (
        "import os, sys\n"
        "sys.path += os.environ.get('PYTHONPATH', '').split(os.pathsep)\n"
        "import bough\nbough.start_job().create_channel('a').send(1, 2)\n"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env=attempt.environment(), capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert points(attempt) == Counter({(1, 2): 1})
    assert folder in attempt.environment()["PYTHONPATH"]


def test_an_environment_that_was_moved_into_a_container_reports_into_the_mounted_folder(tmp_path: Path) -> None:
    """A container sees the attempt's folder under another path: the variable says which."""
    attempt = Attempt(tmp_path / "attempt", values={"lr": 0.25})
    inside = tmp_path / "inside"
    inside.symlink_to(attempt.folder)
    sdk = tmp_path / "image" / "sdk"
    shutil.copytree(SDK, sdk, ignore=shutil.ignore_patterns("__pycache__"))

    done = subprocess.run(
        [sys.executable, "-c", "import bough; job = bough.start_job(); print(job.get_parameter('lr'))\n"
         "job.create_channel('a').send(1, 1)"],
        env={"BOUGH_ATTEMPT_DIR": str(inside), "PYTHONPATH": str(sdk), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "0.25\n"), done.stderr
    assert points(attempt) == Counter({(1, 1): 1})


def test_without_an_agent_a_spawned_process_reports_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        WORK.replace('return job.get_parameter("lr")', "return job.job_id") + "\nif __name__ == '__main__':\n"
        "    job = bough.start_job('me/alone')\n"
        "    with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "        ids = pool.map(work, range(2), chunksize=1)\n        pool.close(); pool.join()\n"
        "    print(job.job_id, *ids)\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "PYTHON"))}

    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, env={**env, "PYTHONPATH": str(SDK)}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    (folder,) = (path for path in (tmp_path / ".bough").iterdir() if path.is_dir())
    assert json.loads((folder / "exit.json").read_text())["exit_code"] == 0
    assert len(list((folder / "journal").iterdir())) >= 2
    assert done.stderr.count("no agent runs this script") == 1


def test_without_an_agent_the_end_is_that_of_the_script_and_of_none_of_its_forks(tmp_path: Path) -> None:
    code = (
        "import os, sys, bough\nbough.start_job('me/alone')\npid = os.fork()\n"
        "if pid == 0:\n    sys.exit(0)\nos.waitpid(pid, 0)\n"
        "assert not [name for name in os.listdir(os.environ['BOUGH_BY_HAND_DIR']) if name.startswith('exit')]\n"
        "raise ValueError('no')\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "PYTHON"))}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**env, "PYTHONPATH": str(SDK)}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip

    assert done.stderr.splitlines()[-1] == "ValueError: no"
    (path,) = (tmp_path / ".bough").glob("*/exit.json")
    assert json.loads(path.read_text())["exit_code"] == 1
