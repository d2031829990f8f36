"""`bough coordinator rebuild` as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, CountingOptimizer, MovedClock, run, started
from tests.integration.server.driver import definition as definition_of
from tests.integration.server.tampering import refs, tamper
from tests.integration.server.test_rebuild import anew, archived, code_of, exports

from bough import _git
from bough.errors import UsageError

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
    assert (nowhere.returncode, nowhere.stderr[:21]) == (1, "bough: there is no fo")
    nothing = bough(tmp_path, "--home", str(tmp_path / "fresh"))
    assert nothing.stderr.endswith("fresh holds no repositories. Name a clone of one: --from REPO.\n")


def damage(repository: Path, oid: str) -> None:
    """Spoil an object of a repository."""
    for pack in list((repository / "objects" / "pack").glob("*.pack")):
        pack.rename(repository / pack.name)
        pack.with_suffix(".idx").unlink()
        _git.run(["unpack-objects", "-q"], git_dir=str(repository), input=(repository / pack.name).read_bytes())
    path = repository / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:10] + b"rotten")


def test_a_source_that_is_no_whole_repository_is_named_in_one_sentence(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    shutil.copytree(mirror, tmp_path / "broken.git")
    tree = (
        _git.run(["rev-parse", f"{refs(mirror, 'refs/bough/jobs/')[0]}:.bough"], git_dir=str(mirror)).decode().strip()
    )
    damage(tmp_path / "broken.git", tree)
    shutil.copytree(mirror, tmp_path / "headless.git")
    (tmp_path / "headless.git" / "HEAD").write_text("garbage")

    for name, said in (
        ("nowhere", "there is no folder {}. Name a clone of what a coordinator hosts, or fetch refs/bough/*."),
        ("plain", "{} is no git repository, or a damaged one. See: git -C {} fsck."),
        ("headless.git", "{} is no git repository, or a damaged one. See: git -C {} fsck."),
        ("broken.git", "{} is damaged: git cannot read an object of it. See: git -C {} fsck --full; name another"),
    ):
        source, home = str(tmp_path / name), tmp_path / f"home-{name}"
        with pytest.raises(UsageError) as told:
            anew(Path(source), home)
        assert str(told.value).startswith(said.format(source, source))
        assert "\n" not in str(told.value)
        assert not (home / "coordinator.db").exists()


def test_a_store_in_postgresql_is_rebuilt_and_only_into_an_empty_one(
    mirror: Path, tmp_path: Path, postgres: str
) -> None:
    clone = tmp_path / "clone.git"
    _git.run(["clone", "--quiet", "--mirror", str(mirror), str(clone)], allow_file=True)
    in_a_file = bough(tmp_path, "--from", str(mirror), "--home", str(tmp_path / "file"))

    done = bough(tmp_path, "--from", str(mirror), "--home", str(tmp_path / "pg"), "--database", postgres)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == in_a_file.stdout.replace(str(tmp_path / "file"), str(tmp_path / "pg"))
    assert not (tmp_path / "pg" / "coordinator.db").exists()

    async def shown(home: Path, **more: str) -> dict[str, str]:
        coordinator = await started(home, MovedClock(), **more)
        try:
            (row,) = (await coordinator.optimizations.page())["rows"]
            return await exports(coordinator, str(row["id"]))
        finally:
            await coordinator.stop()

    pg = asyncio.run(shown(tmp_path / "pg", database_url=postgres))
    assert pg == asyncio.run(shown(tmp_path / "file"))
    again = bough(tmp_path, "--from", str(mirror), "--home", str(tmp_path / "other"), "--database", postgres)
    assert again.returncode == 1
    assert again.stderr == (
        "bough: the database holds a coordinator already: there are rows in models, optimizations, jobs. "
        "Name an empty one: --database postgresql://….\n"
    )
