"""`bough coordinator rebuild` as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, CountingOptimizer, MovedClock, run, started
from tests.integration.server.driver import definition as definition_of
from tests.integration.server.tampering import refs, tamper
from tests.integration.server.test_rebuild import archived, code_of

from bough import _git

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what a coordinator hosts: an optimization of three ended trials."""
    folder = tmp_path_factory.mktemp("coordinator")

    async def story() -> None:
        stage = Stage(folder / "home")
        stage.coordinator = await started(stage.home, stage.clock, CountingOptimizer())
        try:
            body = {"definition": definition_of(max_trials=3, max_parallel=1), "commit": await code_of(stage)}
            await stage.coordinator.optimizations.create(ADMIN, {**body, "folder": "", "source": {}})
            agent = await stage.agent()
            for n in range(3):
                await agent.deliver(await agent.claim_one(), run(0.1, 0.2 + n), b"hello\n")
            await archived(stage.coordinator, folder / "mirror.git")
        finally:
            await stage.coordinator.stop()

    asyncio.run(story())
    return folder / "mirror.git"


def bough(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": parts, "HOME": str(home), "BOUGH_HOME": str(home / "bough")}
    command = [sys.executable, "-m", "bough_cli", "coordinator", "rebuild", *args]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_it_says_what_it_made_and_what_is_not_in_git(mirror: Path, tmp_path: Path) -> None:
    done = bough(tmp_path, "--from", str(mirror))

    home = tmp_path / "bough" / "coordinator"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{home} holds 1 model, 1 optimization and 3 jobs.\nNot in git, and so not here: keys"
    )
    assert (home / "coordinator.db").stat().st_mode & 0o077 == 0

    (home / "coordinator.db").unlink()
    own = bough(tmp_path)  # its own repositories are enough
    assert (own.returncode, own.stdout) == (0, done.stdout)

    again = bough(tmp_path, "--from", str(mirror))
    assert again.returncode == 1
    assert again.stderr == f"bough: {home} holds a coordinator already. Name another --home, or move it away.\n"


def test_a_tampered_record_is_named_and_the_rest_goes_on(mirror: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone.git"
    _git.run(["clone", "--quiet", "--mirror", str(mirror), str(clone)], allow_file=True)
    first, second, third = refs(clone, "refs/bough/jobs/")
    said = [tamper(clone, first, "better kpi"), tamper(clone, second, "newer")]

    done = bough(tmp_path, "--from", str(clone), "--home", str(tmp_path / "anew"), "--json")

    told = json.loads(done.stdout)
    assert (done.returncode, told["jobs"], len(told["problems"])) == (1, 1, 4)
    for ref, what in ((first, said[0]), (second, said[1])):
        assert any(problem.startswith(f"{ref} ") and what in problem for problem in told["problems"])
    assert "trial 1 of optimization" in told["problems"][2]
    assert "is known by its values and KPI only" in told["problems"][2]
    assert third not in "".join(told["problems"])

    async def shown() -> list[tuple[str, float]]:
        coordinator = await started(tmp_path / "anew", MovedClock())
        try:
            (row,) = (await coordinator.optimizations.page())["rows"]
            rows = (await coordinator.optimizations.trials(row["id"]))["rows"]
            return [(row["state"], row["kpi"]) for row in rows]
        finally:
            await coordinator.stop()

    assert asyncio.run(shown()) == [("DONE", 0.2), ("DONE", 1.2), ("DONE", 2.2)]


def test_what_holds_no_records_is_refused_in_a_sentence(tmp_path: Path) -> None:
    _git.run(["init", "--quiet", "--bare", str(tmp_path / "empty.git")])

    done = bough(tmp_path, "--from", str(tmp_path / "empty.git"))

    assert done.returncode == 1
    assert "empty.git holds no records of bough. Clone what a coordinator hosts: git clone --mirror" in done.stderr
    nowhere = bough(tmp_path, "--from", str(tmp_path / "nowhere"))
    assert (nowhere.returncode, nowhere.stderr[:25]) == (1, "bough: git URL /tmp/pytes")
    nothing = bough(tmp_path, "--home", str(tmp_path / "fresh"))
    assert nothing.stderr.endswith("fresh holds no repositories. Name a clone of one: --from REPO.\n")
