"""A clone that holds records, written by the coordinator's own writer, on a machine without a coordinator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bough_server.archive import commits, records
from bough_server.archive.records import RecordData, json_file

ROOT = Path(__file__).resolve().parents[3]
PARTS = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
SCRIPT = """\
import bough

job = bough.start_job()
loss = job.create_channel("loss", kpi=True, max_optimization=False)
for epoch in range(1, 4):
    loss.send(epoch, job.get_parameter("lr") / epoch)
    job.progress(epoch, 3)
print("trained")
"""
DEFINITION = """\
model: me/small
command: python train.py
hyperparameters: {lr: 0.5, layers: 2}
"""
END = 1_700_000_000.0


def git(place: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass
class Clone:
    """A repository of the user with one commit, into which records are written."""

    place: Path
    home: Path
    commit: str

    @property
    def git_dir(self) -> Path:
        return self.place / ".git"

    def record(self, number: int, lr: float = 0.5, commit: str | None = None, **job: Any) -> str:
        """Write the record of a trial of opt1 (or, with ``optimization=None``, of a manual job); return its ref."""
        made = self.made(number, lr, commit, **job)
        self.write([made])
        return made.ref

    def made(self, number: int, lr: float = 0.5, commit: str | None = None, **job: Any) -> RecordData:
        """Return the record of a trial, as the coordinator's archivist would assemble it."""
        files: Mapping[str, bytes] = job.pop("files", {})
        environment = job.pop("environment", {"python": "3.11.7", "packages": {"numpy": "1.26.4"}})
        facts: dict[str, Any] = {
            "format": 1,
            "id": f"job{number:05d}",
            "optimization": "opt1",
            "number": number,
            "model": "me/small",
            "state": "DONE",
            "end_reason": "finished",
            "message": None,
            "commit": commit or self.commit,
            "folder": "",
            "kpi": lr / 3,
            "kpi_best": lr / 3,
            "created_at": END + number,
            "started_at": END + number,
            "ended_at": END + number + 1,
            "duration_s": 1.5,
            "exit_code": 0,
            "attempt": 1,
            "agent": "gpu1",
            "max_epochs": None,
            "max_time_s": None,
            "last": {"loss": lr / 3},
            "run": {
                "commands": [{"name": "1", "argv": ["python", "train.py"]}],
                "env": {},
                "working_dir": None,
                "grace_s": 30.0,
                "term_s": 10.0,
                "kpi": {"channel": None, "direction": None, "reduce": "last"},
            },
            "channels": [],
            "infos": {},
            "attempts": [],
            **job,
        }
        facts["number"] = facts["number"] if facts["optimization"] else None
        points = [(x, 10.0 + x, lr / x, False) for x in (1.0, 2.0, 3.0)]
        content = {
            "job.json": json_file(facts),
            "parameters.json": json_file({"lr": lr, "layers": 2}),
            "environment.json": json_file(environment),
            "log.txt": b"trained\n",
            "channels/loss.csv": records.channel_csv(["loss"], list(zip(*points, strict=True))),
            **files,
        }
        ref = records.job_ref(facts["optimization"], facts["number"], facts["id"])
        return RecordData(ref, facts["commit"], facts["ended_at"], "a record\n", content)

    def write(self, made: list[RecordData]) -> None:
        commits.write(self.git_dir, made)

    def bough(self, *arguments: str, code: int = 0, cwd: Path | None = None, **environ: str) -> str:
        """Run a command of bough here to its end, which must be ``code``; return what it printed, errors last."""
        done = self.ran(*arguments, cwd=cwd, **environ)
        said = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
        assert done.returncode == code, f"exit code {done.returncode}\n{said}"
        assert "Traceback" not in said
        assert "unforeseen" not in said, said
        return said

    def ran(self, *arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of bough here to its end."""
        base = {name: value for name, value in os.environ.items() if not name.startswith("BOUGH_")}
        # The trial finds the interpreter that runs the tests.
        base["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), base["PATH"]])
        env = {**base, "BOUGH_HOME": str(self.home), "PYTHONPATH": PARTS, "COLUMNS": "160", **environ}
        return subprocess.run(
            [sys.executable, "-m", "bough_cli", *arguments],
            cwd=cwd or self.place,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=100,
            check=False,
        )


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that no other test sees, and a git that knows who commits."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = T\n\temail = t@example.org\n[init]\n\tdefaultBranch = main\n")
    for name in ("BOUGH_COORDINATOR", "BOUGH_SECURE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    return tmp_path / "home"


@pytest.fixture
def clone(tmp_path: Path, own_home: Path) -> Clone:
    """A clone with code, and no record yet."""
    return make_clone(tmp_path / "clone", own_home)


@pytest.fixture
def another(tmp_path: Path, own_home: Path) -> Callable[[str], Clone]:
    """A function that makes further clones of the same code: their commits are the same too."""
    return lambda name: make_clone(tmp_path / name, own_home)


def make_clone(place: Path, home: Path) -> Clone:
    place.mkdir()
    (place / "train.py").write_text(SCRIPT)
    (place / "bough.yml").write_text(DEFINITION)
    git(place, "init", "-q", "-b", "main")
    git(place, "add", "-A")
    env = {**os.environ, "GIT_AUTHOR_DATE": "@1600000000 +0000", "GIT_COMMITTER_DATE": "@1600000000 +0000"}
    subprocess.run(["git", "commit", "-q", "-m", "first"], cwd=place, env=env, check=True)
    return Clone(place, home, git(place, "rev-parse", "HEAD"))
