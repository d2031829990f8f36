"""What a job handed in and is too large for git, read from a clone of its record."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running, running
from tests.integration.records.conftest import Clone
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import CountingOptimizer, journal, started
from tests.integration.server.test_rebuild import KPI, archived, code_of, hand_in, one, optimize

from bough_server.archive.files import INLINE_BYTES
from bough_server.config import Config

LARGE, SMALL = b"x" * (INLINE_BYTES + 1), b"small"


@dataclass
class Lone:
    """A clone, the home of the coordinator that wrote its records, and a user who knows of neither."""

    mirror: Path
    coordinator: Path
    job: str
    user: Clone

    def ran(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        return self.user.ran("job", *arguments, cwd=self.mirror, **environ)

    def said(self, *arguments: str, code: int = 0, **environ: str) -> str:
        return self.user.bough("job", *arguments, code=code, cwd=self.mirror, **environ)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a clone and the coordinator's home, and the job that handed in four files."""
    folder = tmp_path_factory.mktemp("written")

    async def story() -> str:
        stage = Stage(folder / "home")
        stage.coordinator = await started(stage.home, stage.clock, CountingOptimizer())
        try:
            await optimize(stage, await code_of(stage), max_trials=1, initial_random=1)
            agent = await stage.agent()
            claim = await one(agent)
            names = [("a", LARGE), ("b", SMALL), ("c/d", SMALL), ("c", SMALL)]
            facts = [(name, {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}) for name, data in names]
            for data in (LARGE, SMALL):
                await hand_in(agent, claim, data)
            lines: list[Any] = [["c", "acc", KPI], ["p", "acc", 1, 0.5], *(["f", name, fact] for name, fact in facts)]
            await agent.deliver(claim, journal(*lines))
            await archived(stage.coordinator, folder / "mirror.git")
            return str(claim["job_id"])
        finally:
            await stage.coordinator.stop()

    return folder, asyncio.run(story())


@pytest.fixture
def lone(written: tuple[Path, str], tmp_path: Path) -> Lone:
    folder, job = written
    user = Clone(tmp_path, tmp_path / "home", "")
    return Lone(folder / "mirror.git", folder / "home", job, user)


@pytest.fixture
def served(lone: Lone, tmp_path: Path) -> Iterator[Running]:
    """The coordinator of these records, from a copy of its home."""
    shutil.copytree(lone.coordinator, tmp_path / "served")
    with running(Config(tmp_path / "served", port=0)) as found:
        yield found


def test_files_are_listed_with_the_size_of_their_contents_and_where_these_are(lone: Lone) -> None:
    listed = {line.split(None, 1)[1]: line.split()[0] for line in lone.said("files", lone.job).splitlines()}

    assert listed[".bough/files/a  (not in git: at its coordinator)"] == str(len(LARGE))
    assert listed[".bough/files/b"] == listed[".bough/files/c/d"] == "5"
    assert listed[".bough/files/c  (not in git: at its coordinator)"] == "5"  # c is a folder there
    rows = {row["path"]: row for row in json.loads(lone.said("files", lone.job, "--json"))}
    large: dict[str, Any] = {"size": len(LARGE), "sha256": hashlib.sha256(LARGE).hexdigest(), "in_git": False}
    assert rows[".bough/files/a"] == {"path": ".bough/files/a", "mode": "100644", "place": None, **large}
    assert set(rows[".bough/job.json"]) == {"path", "mode", "size"}


def test_a_content_that_is_nowhere_is_said_to_be_so_and_the_others_are_printed(lone: Lone) -> None:
    said = lone.said("cat", lone.job, "files/a", code=1)

    assert f"a has {len(LARGE)} bytes, which are not in git but in the store of a coordinator: no coordinator" in said
    assert "--repo HOME/git/MODEL.git" in said
    assert lone.ran("cat", lone.job, "files/b").stdout == SMALL
    assert lone.ran("cat", lone.job, ".bough/files/c/d").stdout == SMALL


def test_a_content_is_read_where_a_coordinator_of_this_machine_keeps_it(lone: Lone, tmp_path: Path) -> None:
    shutil.copytree(lone.coordinator / "contents", tmp_path / "home" / "coordinator" / "contents")

    assert ".bough/files/a  (not in git, but on this machine)" in lone.said("files", lone.job)
    assert lone.ran("cat", lone.job, "files/a").stdout == LARGE
    assert lone.ran("cat", lone.job, "files/c").stdout == SMALL
    sha256 = hashlib.sha256(LARGE).hexdigest()
    place = tmp_path / "home" / "coordinator" / "contents" / sha256[:2] / sha256
    place.chmod(0o600)
    place.write_bytes(b"y" + LARGE[1:])
    said = lone.said("cat", lone.job, "files/a", code=1)
    assert "the content of a is not what its checksum in the record says" in said


def test_a_content_is_read_beside_the_coordinators_own_repository(lone: Lone) -> None:
    repository = str(lone.coordinator / "git" / "me" / "digits.git")

    assert lone.ran("cat", lone.job, "files/a", "--repo", repository).stdout == LARGE


def test_a_content_is_fetched_from_the_coordinator_that_is_known(lone: Lone, served: Running) -> None:
    known = {"BOUGH_COORDINATOR": served.url, "BOUGH_SECURE_KEY": served.admin}

    assert lone.ran("cat", lone.job, "files/a", **known).stdout == LARGE
    assert lone.ran("cat", lone.job, "files/c", **known).stdout == SMALL
    shutil.rmtree(served.home / "contents")
    assert f"{served.url} says: " in lone.said("cat", lone.job, "files/a", code=1, **known)
