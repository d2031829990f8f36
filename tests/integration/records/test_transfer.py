"""Records brought between clones, git remotes and a coordinator: once, and never over one another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running, running
from tests.integration.records.conftest import Clone, git

from bough_cli.records import transfer
from bough_cli.records.index import Index
from bough_server.archive import commits
from bough_server.archive.records import json_file
from bough_server.archive.repositories import Repositories
from bough_server.config import Config


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A coordinator that answers."""
    with running(Config(tmp_path_factory.mktemp("home") / "coordinator", port=0)) as found:
        yield found


def jobs(place: Path) -> list[str]:
    return git(place, "for-each-ref", "--format=%(refname)", "refs/bough/jobs/").splitlines()


def told(said: str) -> dict[str, object]:
    found = json.loads(said[: said.rindex("}") + 1])
    assert isinstance(found, dict)
    return found


def test_a_remote_is_pulled_once_and_then_there_is_nothing_to_bring(
    clone: Clone, another: Callable[[str], Clone]
) -> None:
    other = another("other")
    other.write([other.made(1), other.made(2)])
    git(clone.place, "remote", "add", "origin", str(other.place))

    assert "2 records brought here, 0 were there already" in clone.bough("pull")
    assert "0 records brought here, 2 were there already" in clone.bough("pull", "origin")
    assert "job00002" in clone.bough("job", "ls")
    other.record(3)
    assert told(clone.bough("pull", str(other.place), "--json")) == {"new": 1, "known": 2, "kept": []}
    assert git(clone.place, "for-each-ref", "refs/heads", "refs/remotes", "refs/tags").count("\n") == 0
    assert not (clone.git_dir / "FETCH_HEAD").exists()


def test_a_push_to_a_plain_remote_brings_the_code_along(clone: Clone, tmp_path: Path) -> None:
    clone.write([clone.made(1), clone.made(2)])
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    bare = tmp_path / "bare.git"

    assert "2 records brought there, 0 were there already" in clone.bough("push", bare.as_uri())
    assert "0 records brought there, 2 were there already" in clone.bough("push", bare.as_uri())
    assert jobs(bare) == jobs(clone.place)
    assert git(bare, "cat-file", "-t", clone.commit) == "commit"
    assert git(bare, "for-each-ref", "refs/heads") == ""


def test_only_one_optimization_is_brought_where_that_is_asked_for(
    clone: Clone, another: Callable[[str], Clone]
) -> None:
    other = another("other")
    other.write(
        [other.made(1), other.made(1, id="x1", optimization="opt2"), other.made(1, id="x2", optimization="opt22")]
    )

    clone.bough("pull", str(other.place), "--optimization", "opt2")

    assert jobs(clone.place) == ["refs/bough/jobs/opt2/0001-x1"]
    assert "is no id" in clone.bough("pull", str(other.place), "--optimization", "a b*", code=2)
    assert "ambiguous" in other.bough("push", str(clone.place), "--optimization", "opt", code=1)
    other.bough("push", str(clone.place), "--optimization", "opt22")
    assert jobs(clone.place) == ["refs/bough/jobs/opt2/0001-x1", "refs/bough/jobs/opt22/0001-x2"]


APART = "neither stands on the other. Nothing was written over: what came is kept as "


def test_the_same_ref_of_two_coordinators_is_never_written_over_and_both_are_kept_on_both_sides(
    clone: Clone, another: Callable[[str], Clone]
) -> None:
    other = another("other")
    other.write([other.made(1, 0.9), other.made(2)])
    ref = clone.record(1, 0.1)
    mine, theirs = git(clone.place, "rev-parse", ref), git(other.place, "rev-parse", ref)

    said = clone.bough("pull", str(other.place))

    assert "1 record brought here, 0 were there already" in said
    kept = f"refs/bough/kept/{theirs[:12]}/jobs/opt1/0001-job00001"
    assert f"1 ref is on both sides with commits of which {APART}{kept}." in said
    assert (git(clone.place, "rev-parse", ref), git(clone.place, "rev-parse", kept)) == (mine, theirs)
    assert len(jobs(clone.place)) == 2
    assert "0.9" in clone.bough("job", "diff", "opt1/1", kept)
    assert "there is no record refs/bough/kept/x here." in clone.bough("job", "files", "refs/bough/kept/x", code=1)
    said = clone.bough("push", str(other.place))
    assert APART in said
    there = f"refs/bough/kept/{mine[:12]}/jobs/opt1/0001-job00001"
    assert (git(other.place, "rev-parse", ref), git(other.place, "rev-parse", there)) == (theirs, mine)
    for _ in range(2):  # again and again it comes to the same
        clone.bough("pull", str(other.place))
        clone.bough("push", str(other.place))
    assert len(git(clone.place, "for-each-ref", "refs/bough/kept").splitlines()) == 1
    assert len(git(other.place, "for-each-ref", "refs/bough/kept").splitlines()) == 1


def test_an_optimizations_chain_grows_and_never_goes_back(clone: Clone, another: Callable[[str], Clone]) -> None:
    other = another("other")
    other.record(1)
    ref = "refs/bough/optimizations/opt1"
    git(other.place, "update-ref", ref, other.commit)
    clone.bough("pull", str(other.place))
    git(other.place, "commit", "-q", "--allow-empty", "-m", "more")
    git(other.place, "update-ref", ref, "HEAD")

    clone.bough("pull", str(other.place))
    mine = git(clone.place, "rev-parse", ref)
    assert mine == git(other.place, "rev-parse", ref)
    git(other.place, "update-ref", ref, "HEAD^")  # an older state is no other one
    assert "kept" not in clone.bough("pull", str(other.place))
    assert git(clone.place, "rev-parse", ref) == mine
    tree = git(other.place, "rev-parse", "HEAD^{tree}")
    fork = git(other.place, "commit-tree", "-m", "another chain", tree)
    git(other.place, "update-ref", ref, fork)
    said = clone.bough("pull", str(other.place))
    kept = f"refs/bough/kept/{fork[:12]}/optimizations/opt1"
    assert f"{APART}{kept}." in said
    assert (git(clone.place, "rev-parse", ref), git(clone.place, "rev-parse", kept)) == (mine, fork)
    assert APART in clone.bough("push", str(other.place))
    assert git(other.place, "rev-parse", ref) == fork

    joined = git(other.place, "commit-tree", "-p", fork, "-p", mine, "-m", "both", tree)
    git(other.place, "update-ref", ref, joined)
    clone.bough("pull", str(other.place))
    assert git(clone.place, "rev-parse", ref) == joined
    assert kept not in git(clone.place, "for-each-ref", "--format=%(refname)"), "what is part of the chain is not aside"


def test_a_coordinator_is_pulled_from_with_its_key(clone: Clone, coordinator: Running) -> None:
    repository = Repositories(coordinator.home / "git").ensure("me/small")
    git(clone.place, "push", "-q", str(repository), f"{clone.commit}:refs/bough/code/{clone.commit}")
    commits.write(repository, [clone.made(1), clone.made(2)])
    environ: dict[str, Any] = {"BOUGH_COORDINATOR": coordinator.url, "BOUGH_SECURE_KEY": coordinator.key("user", "me")}

    assert "2 records brought here, 0 were there already" in clone.bough("pull", **environ)
    assert "0 records brought here" in clone.bough("pull", coordinator.url, BOUGH_SECURE_KEY=coordinator.admin)
    assert [row["number"] for row in Index(str(clone.git_dir)).rows()] == [2, 1]
    said = clone.bough("pull", "--model", "you/other", code=1, **environ)
    assert "may not fetch from you/other" in said
    said = clone.bough("pull", "--optimization", "nope", code=1, **environ)
    assert "there is no optimization nope" in said
    said = clone.bough("pull", coordinator.url, code=1, BOUGH_SECURE_KEY="bough_wrong")
    assert "the key is not complete" in said


def test_what_is_no_other_side_says_so(clone: Clone, tmp_path: Path) -> None:
    said = clone.bough("pull", code=1)
    assert "no coordinator is known, and this clone has no remote origin. Name the other side" in said
    assert "there is no remote and no folder nowhere" in clone.bough("pull", "nowhere", code=1)
    assert "git URL ext::sh" in clone.bough("pull", "ext::sh -c touch", code=1)
    assert "cannot be read" in clone.bough("pull", (tmp_path / "nothing.git").as_uri(), code=1)
    assert "here is no clone. Go to one" in clone.bough("pull", "x", code=1, cwd=tmp_path)
    git(clone.place, "config", "remote.-x.url", "ext::sh -c touch")
    assert "there is no remote and no folder -x" in clone.bough("pull", "--", "-x", code=1)


def test_a_remote_whose_url_would_run_a_program_is_not_followed(clone: Clone, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    git(clone.place, "remote", "add", "evil", f"ext::sh -c touch% {canary}")

    said = clone.bough("pull", "evil", code=1)

    assert "transport 'ext' not allowed" in said
    assert not canary.exists()


def test_progress_is_told_in_percent(clone: Clone, another: Callable[[str], Clone]) -> None:
    other = another("other")
    other.write([other.made(number) for number in range(1, 30)])
    heard: list[tuple[str, int]] = []

    transfer.pull(
        str(clone.git_dir), transfer.Other(other.place.as_uri(), "other"), None, lambda *told: heard.append(told)
    )

    assert ("Counting objects", 100) in heard
    assert all(0 <= percent <= 100 for _, percent in heard)


def test_a_record_that_replaces_another_is_taken_because_it_stands_on_it(
    clone: Clone, another: Callable[[str], Clone]
) -> None:
    other = another("other")
    ref = other.record(1)
    clone.bough("pull", str(other.place))
    tree = git(other.place, "rev-parse", f"{ref}^{{tree}}")
    again = git(other.place, "commit-tree", "-p", other.commit, "-p", ref, "-m", "again", tree)
    git(other.place, "update-ref", ref, again)

    assert "1 record brought here" in clone.bough("pull", str(other.place))
    assert git(clone.place, "rev-parse", ref) == again
    git(clone.place, "update-ref", ref, git(clone.place, "rev-parse", f"{ref}^2"))
    assert "0 records brought there, 1 were there already" in clone.bough("push", str(other.place))
    assert git(other.place, "rev-parse", ref) == again, "an older record takes nothing away"


def test_a_push_to_a_coordinator_is_checked_and_becomes_known_there(clone: Clone, coordinator: Running) -> None:
    lone: dict[str, Any] = {"optimization": None, "model": "me/pushed"}
    lone["files"] = {"definition.json": json_file({"model": "me/pushed", "command": "python train.py"})}
    good = {**lone, "kpi": None, "kpi_best": None}
    clone.write([clone.made(1, id="aaaa0001", **good), clone.made(2, id="aaaa0002", **good)])
    clone.write([clone.made(3, id="aaaa0003", kpi=17.0, **lone)])
    clone.write([clone.made(4, id="aaaa0004", **{**good, "files": {}})])
    environ: dict[str, Any] = {"BOUGH_COORDINATOR": coordinator.url, "BOUGH_SECURE_KEY": coordinator.key("user", "me")}

    said = clone.bough("push", code=1, **environ)

    assert "refs/bough/jobs/manual/0000-aaaa0003 was not taken" in said
    assert "manual/0000-aaaa0004 lacks definition.json, and the revision of its model is not here." in said
    known = coordinator.call("GET", "/api/v1/jobs?manual=true").json()["rows"]
    assert sorted(row["id"] for row in known if row["model"] == "me/pushed") == ["aaaa0001", "aaaa0002"]
    for name in ("aaaa0003", "aaaa0004"):
        git(clone.place, "update-ref", "-d", f"refs/bough/jobs/manual/0000-{name}")
    assert "0 records brought there, 2 were there already" in clone.bough("push", **environ)


def test_a_push_of_a_job_that_ran_once_more_replaces_its_record_at_the_coordinator(
    clone: Clone, coordinator: Running
) -> None:
    files = {"definition.json": json_file({"model": "me/again", "command": "python train.py"})}
    facts: dict[str, Any] = {"optimization": None, "model": "me/again", "kpi": None, "kpi_best": None, "files": files}
    facts["id"] = "bbbb0001"
    first = clone.made(1, state="FAILED", **facts)
    clone.write([first])
    environ: dict[str, Any] = {"BOUGH_COORDINATOR": coordinator.url, "BOUGH_SECURE_KEY": coordinator.key("user", "me")}
    assert "1 record brought there" in clone.bough("push", **environ)
    clone.write([clone.made(1, attempt=2, ended_at=first.ended_at + 60, **facts)])
    assert git(clone.place, "log", "-1", "--format=%P", first.ref).count(" ") == 1

    assert "1 record brought there, 0 were there already" in clone.bough("push", **environ)

    shown = coordinator.call("GET", "/api/v1/jobs/bbbb0001").json()
    assert (shown["state"], shown["attempt"]) == ("DONE", 2)
    git(clone.place, "update-ref", first.ref, f"{first.ref}^2")  # as a clone that has not heard of it
    assert "0 records brought there, 1 were there already" in clone.bough("push", **environ)
    assert "1 record brought here" in clone.bough("pull", coordinator.url, "--model", "me/again", **environ)
