"""Caches that do not grow for ever: old commits go, what is in use stays, and all is fetched again when needed."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from tests.integration.agent.conftest import Repository

from bough import _git
from bough_agent import pruning
from bough_agent.workspace import Workspace

MODEL, GIT = "me/model", "/me/model.git"


def workspace(home: Path, repository: Repository) -> Workspace:
    url = f"file://{repository.bare.parents[1]}"
    return Workspace(home, url, None, random.Random(1), allow_file=True, sleep=lambda _: None)


def held(home: Path) -> list[str]:
    told = _git.run(["for-each-ref", "--format=%(objectname)"], git_dir=str(home / "cache" / "me" / "model.git"))
    return told.decode().split()


def size(home: Path) -> int:
    objects = home / "cache" / "me" / "model.git" / "objects"
    return sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())


@pytest.fixture
def home(tmp_path: Path, repository: Repository) -> tuple[Path, str, str]:
    """An agent's folder whose cache holds an old commit with a large file, and a new one."""
    place = tmp_path / "home"
    first = workspace(place, repository)
    old = repository.commit({"train.py": "1", "big": random.Random(1).randbytes(300_000).hex()})
    first.tree(0, MODEL, GIT, old)
    new = repository.commit({"train.py": "2", "big": "small"})
    first.tree(0, MODEL, GIT, new)
    long_ago = time.time() - 40 * 86400
    os.utime(place / "cache" / "me" / "model.git" / "used" / old, (long_ago, long_ago))
    return place, old, new


def test_a_commit_that_was_used_long_ago_goes_and_its_objects_with_it(
    home: tuple[Path, str, str], repository: Repository
) -> None:
    place, old, new = home
    before = size(place)

    agent = workspace(place, repository)
    agent.prune(time.time())

    assert held(place) == [new]
    assert size(place) < before / 5
    assert (agent.tree(0, MODEL, GIT, new) / "train.py").read_text() == "2"
    assert (agent.tree(0, MODEL, GIT, old) / "train.py").read_text() == "1"


def test_what_this_agent_has_used_stays_however_old_its_mark_is(
    home: tuple[Path, str, str], repository: Repository
) -> None:
    place, old, new = home
    agent = workspace(place, repository)
    agent.tree(1, MODEL, GIT, old)
    os.utime(place / "cache" / "me" / "model.git" / "used" / old, (1, 1))

    agent.prune(time.time())

    assert sorted(held(place)) == sorted([old, new])


def test_an_agent_that_runs_for_months_drops_what_it_has_not_used_for_long_itself(
    home: tuple[Path, str, str], repository: Repository
) -> None:
    place, old, new = home
    agent = workspace(place, repository)
    agent.tree(1, MODEL, GIT, old)
    later = time.time() + 40 * 86400
    for commit in (old, new):
        os.utime(place / "cache" / "me" / "model.git" / "used" / commit, (1, 1))

    agent.prune(later)

    assert held(place) == []
    assert (agent.tree(1, MODEL, GIT, old) / "train.py").read_text() == "1"


def test_caches_that_are_too_large_go_as_a_whole_but_not_one_of_today(
    home: tuple[Path, str, str], repository: Repository
) -> None:
    place, _, new = home

    workspace(place, repository).prune(time.time(), max_bytes=1000)
    assert held(place) == [new]
    workspace(place, repository).prune(time.time() + 2 * 86400, max_bytes=1000)

    assert not (place / "cache" / "me" / "model.git").exists()
    assert (workspace(place, repository).tree(0, MODEL, GIT, new) / "train.py").read_text() == "2"


def test_a_damaged_cache_is_left_to_what_mends_it(home: tuple[Path, str, str], repository: Repository) -> None:
    place, _, _ = home
    cache = place / "cache" / "me" / "model.git"
    (cache / "HEAD").unlink()

    assert pruning.prune_commits(cache, time.time() + 1, ()) == []
