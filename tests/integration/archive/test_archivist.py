"""From a real store to real git: what ended becomes a commit, once, whatever is killed in between."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Boolean, Connection, Float, Integer, Table, insert, select, update

from bough import _git
from bough_server.archive import commits
from bough_server.archive.archivist import Archivist
from bough_server.archive.repositories import Repositories
from bough_server.store import points, schema
from bough_server.store.database import Database

END = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "coordinator.db")
    database.write_sync(seed)
    yield database
    database.close()


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    return Repositories(tmp_path / "git")


@pytest.fixture
def code(repositories: Repositories) -> str:
    repository = repositories.ensure("me/digits")
    head = b"commit refs/bough/code/x\ncommitter a <a@b> 1 +0000\ndata 1\nc\n"
    stream = head + b"M 100644 inline train.py\ndata 5\nprint\ndone\n"
    _git.run(["fast-import", "--quiet", "--done"], git_dir=str(repository), input=stream)
    return git(repositories, "rev-parse", "refs/bough/code/x").strip()


def git(repositories: Repositories, *args: str) -> str:
    return _git.run(list(args), git_dir=str(repositories.path("me/digits"))).decode()


def add(tx: Connection, table: Table, **values: Any) -> None:
    """Insert a row; columns that must be there and are not given get the nothing of their type."""
    for column in table.columns:
        if not column.nullable and column.name not in values and not (table is schema.channels and column.name == "id"):
            kind = column.type
            nothing: Any = False if isinstance(kind, Boolean) else 0 if isinstance(kind, Integer | Float) else ""
            values[column.name] = nothing
    tx.execute(insert(table), values)


def seed(tx: Connection) -> None:
    add(tx, schema.models, id="me/digits", owner="me")
    add(tx, schema.agents, id="a1", name="gpu1", host="box", system={"platform": "Linux"})
    add(
        tx,
        schema.optimizations,
        id="opt1",
        model="me/digits",
        state="RUNNING",
        space_version=1,
        source={},
        max_trials=9,
    )
    add(tx, schema.space_versions, optimization="opt1", version=1, space={"lr": "uniform(0, 1)"}, fixed={})


def end_job(tx: Connection, job_id: str, commit: str, number: int | None = None, **values: Any) -> None:
    row = {
        "id": job_id,
        "optimization": None if number is None else "opt1",
        "number": number,
        "model": "me/digits",
        "state": "DONE",
        "end_reason": "max_epochs",
        "values": {"lr": 0.1, "optimizer": "sgd"},
        "commit": commit,
        "source": {"url": "https://me:secret@host/x.git"},
        "ended_at": END + (number or 0),
        "attempt": 1,
        "agent": "a1",
        "kpi": 0.97,
        **values,
    }
    add(tx, schema.jobs, **row)
    add(tx, schema.attempts, job=job_id, attempt=1, agent="a1", python="/usr/bin/python3", exit={"exit_code": 0})
    add(tx, schema.infos, job=job_id, attempt=1, name="packages", value={"numpy": "2.0"})
    log = b"hello\n"
    add(tx, schema.log_chunks, job=job_id, attempt=1, offset=0, n=len(log), data=zlib.compress(log))
    traces = ["loss", "validation"]
    add(tx, schema.channels, job=job_id, attempt=1, name="loss/all", type="number", traces=traces, spec={})
    channel = tx.execute(select(schema.channels.c.id).where(schema.channels.c.job == job_id)).scalar_one()
    y = [np.array([0.5, np.nan]), np.array([0.25, np.inf])]
    chunk = points.Chunk(np.array([2, 3]), np.array([1.0, 2.0]), np.array([10.5, 11.5]), y)
    add(tx, schema.point_chunks, channel=channel, writer="1-a", first_seq=2, last_seq=3, n=2, data=points.encode(chunk))


def flush(store: Database, repositories: Repositories) -> Archivist:
    archivist = Archivist(store, repositories)
    asyncio.run(archivist.flush())
    return archivist


def recorded(store: Database) -> dict[str, str | None]:
    found = select(schema.jobs.c.id, schema.jobs.c.record)
    return {row.id: row.record for row in store.read_sync(lambda tx: tx.execute(found).all())}


def test_an_ended_trial_becomes_a_commit_with_all_that_is_known_of_it(
    store: Database, repositories: Repositories, code: str
) -> None:
    store.write_sync(lambda tx: end_job(tx, "job1", code, 7))

    flush(store, repositories)

    ref = "refs/bough/jobs/opt1/0007-job1"
    assert recorded(store) == {"job1": ref}
    assert git(repositories, "ls-tree", "-r", "--name-only", ref).split() == [
        ".bough/channels/loss%2Fall.csv",
        ".bough/environment.json",
        ".bough/exit.json",
        ".bough/job.json",
        ".bough/log.txt",
        ".bough/parameters.json",
        ".bough/space.json",
        "train.py",
    ]
    assert git(repositories, "cat-file", "blob", f"{ref}:.bough/channels/loss%2Fall.csv") == (
        "x,time,loss,validation,overrun\n1,10.5,0.5,0.25,0\n2,11.5,nan,inf,0\n"
    )
    assert git(repositories, "cat-file", "blob", f"{ref}:.bough/log.txt") == "hello\n"
    job = json.loads(git(repositories, "cat-file", "blob", f"{ref}:.bough/job.json"))
    assert (job["state"], job["kpi"], job["agent"], job["attempts"][0]["agent"]) == ("DONE", 0.97, "gpu1", "gpu1")
    assert job["source"] == {"url": "https://***@host/x.git"}
    environment = json.loads(git(repositories, "cat-file", "blob", f"{ref}:.bough/environment.json"))
    assert environment["interpreter"] == "/usr/bin/python3"
    assert environment["reported"] == {"packages": {"numpy": "2.0"}}
    assert git(repositories, "log", "-1", "--format=%P %s", ref).strip() == f"{code} trial 7 of opt1: DONE (max_epochs)"
    assert git(repositories, "fsck", "--strict", "--full") == ""


def test_a_batch_that_was_cut_off_before_the_store_knew_is_the_same_the_second_time(
    store: Database, repositories: Repositories, code: str
) -> None:
    for n in range(1, 4):
        store.write_sync(partial(end_job, job_id=f"job{n}", commit=code, number=n))
    flush(store, repositories)
    before = git(repositories, "for-each-ref", "refs/bough/jobs")
    store.write_sync(lambda tx: tx.execute(update(schema.jobs).values(record=None)))

    flush(store, repositories)

    assert git(repositories, "for-each-ref", "refs/bough/jobs") == before
    assert None not in recorded(store).values()


def test_a_job_that_never_ran_is_recorded_and_one_that_runs_is_not(
    store: Database, repositories: Repositories, code: str
) -> None:
    store.write_sync(lambda tx: end_job(tx, "running", code, state="RUNNING"))
    store.write_sync(lambda tx: end_job(tx, "never", code, state="ABORTED", attempt=0))

    flush(store, repositories)

    assert recorded(store) == {"running": None, "never": "refs/bough/jobs/manual/0000-never"}


def test_a_manual_job_is_recorded_beside_the_optimizations(
    store: Database, repositories: Repositories, code: str
) -> None:
    store.write_sync(lambda tx: end_job(tx, "job1", code))

    flush(store, repositories)

    assert recorded(store) == {"job1": "refs/bough/jobs/manual/0000-job1"}


def test_each_change_of_an_optimization_is_a_commit_that_holds_only_what_is_new(
    store: Database, repositories: Repositories, code: str
) -> None:
    store.write_sync(lambda tx: end_job(tx, "job1", code, 1, history_seq=0))
    archivist = flush(store, repositories)
    asyncio.run(archivist.flush())  # nothing has changed: nothing is written
    store.write_sync(lambda tx: end_job(tx, "job2", code, 2, history_seq=1))

    archivist.ring(["opt1"])
    asyncio.run(archivist.flush())
    flush(store, repositories)  # another one that finds all of it there

    ref = "refs/bough/optimizations/opt1"
    assert len(git(repositories, "log", "--format=%H", ref).split()) == 2
    lines = git(repositories, "cat-file", "blob", f"{ref}:.bough/trials/0000.jsonl").splitlines()
    assert [(json.loads(line)["number"], json.loads(line)["id"]) for line in lines] == [(1, "job1"), (2, "job2")]
    assert json.loads(git(repositories, "cat-file", "blob", f"{ref}:.bough/optimization.json"))["max_trials"] == 9
    assert git(repositories, "fsck", "--strict", "--full") == ""


def test_a_record_that_git_refuses_holds_up_no_other(
    store: Database, repositories: Repositories, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    for job_id in ("good", "not a ref", "better"):
        store.write_sync(partial(end_job, job_id=job_id, commit=code))

    with caplog.at_level(logging.ERROR):
        flush(store, repositories)

    assert recorded(store) == {
        "good": "refs/bough/jobs/manual/0000-good",
        "not a ref": None,
        "better": "refs/bough/jobs/manual/0000-better",
    }
    assert "no record of job not a ref: git fast-import failed" in caplog.text


def test_a_full_disk_in_the_middle_of_a_record_costs_nothing_but_time(
    store: Database, repositories: Repositories, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git is real, and may write no file longer than 4 KiB for a while."""
    store.write_sync(lambda tx: end_job(tx, "job1", code))
    noise = update(schema.infos).values(value=os.urandom(30_000).hex())
    store.write_sync(lambda tx: tx.execute(noise).rowcount)
    cramped = tmp_path / "bin"
    cramped.mkdir()
    (cramped / "git").write_text(f'#!/bin/sh\nulimit -f 8\nexec {shutil.which("git")} "$@"\n')
    (cramped / "git").chmod(0o755)
    archivist = Archivist(store, repositories)

    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(cramped), prepend=os.pathsep)
        with pytest.raises(commits.GitFailed, match="git fast-import failed"):
            asyncio.run(archivist.flush())
    assert recorded(store) == {"job1": None}
    repository = repositories.path("me/digits")
    assert [*repository.glob("objects/pack/tmp_pack_*"), *repository.glob("fast_import_crash_*")] == []

    asyncio.run(archivist.flush())

    assert recorded(store) == {"job1": "refs/bough/jobs/manual/0000-job1"}
    assert git(repositories, "fsck", "--strict", "--full") == ""


@pytest.mark.parametrize(
    "said",
    [
        "fatal: sha1 file '/x/objects/pack/tmp_pack_3XwebE' write error. Out of diskspace",
        "fatal: unable to create '/x/refs/bough/jobs/a.lock': No space left on device",
    ],
    ids=["pack", "ref"],
)
def test_what_git_says_of_a_full_disk_is_no_refusal(said: str) -> None:
    assert not commits.is_refusal(commits.GitFailed("git fast-import failed", returncode=128, stderr=said))
    assert commits.is_refusal(commits.GitFailed("failed", returncode=128, stderr="fatal: Invalid ref name or SHA1"))
    assert not commits.is_refusal(commits.GitFailed("killed", returncode=-9))


def test_a_record_whose_code_is_missing_is_written_all_the_same(store: Database, repositories: Repositories) -> None:
    store.write_sync(lambda tx: end_job(tx, "job1", "1" * 40))

    flush(store, repositories)

    assert commits.WITHOUT_CODE.strip() in git(repositories, "log", "-1", "--format=%B", recorded(store)["job1"] or "")


def test_the_middle_of_a_long_log_is_left_out_and_the_record_says_so(
    store: Database, repositories: Repositories, code: str
) -> None:
    store.write_sync(lambda tx: end_job(tx, "job1", code))
    log = b"x" * (2 * 1024 * 1024) + b"the end\n"
    longer = update(schema.log_chunks).values(n=len(log), data=zlib.compress(log))
    store.write_sync(lambda tx: tx.execute(longer).rowcount)

    flush(store, repositories)

    text = git(repositories, "cat-file", "blob", "refs/bough/jobs/manual/0000-job1:.bough/log.txt")
    assert text.endswith("the end\n")
    assert "... 1048584 bytes were left out here ..." in text


def test_ringing_is_enough_and_stopping_writes_what_is_left(
    store: Database, repositories: Repositories, code: str
) -> None:
    async def story() -> None:
        archivist = Archivist(store, repositories)
        archivist.start()
        await store.write(lambda tx: end_job(tx, "job1", code))
        archivist.ring()
        async with asyncio.timeout(30):
            while recorded(store)["job1"] is None:
                await asyncio.sleep(0.01)
        await store.write(lambda tx: end_job(tx, "job2", code))
        await archivist.stop()

    asyncio.run(story())

    assert recorded(store)["job2"] == "refs/bough/jobs/manual/0000-job2"
