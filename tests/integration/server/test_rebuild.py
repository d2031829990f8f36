"""The coordinator's database is lost: everything that the page and the exports show comes back from a mirror clone."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, Agent, MovedClock, happened, journal, started

from bough import _git
from bough_server.api.export import csv_lines, jsonl_lines
from bough_server.archive.archivist import Archivist
from bough_server.archive.files import INLINE_BYTES
from bough_server.archive.gathering import OTHERS
from bough_server.archive.repositories import Repositories
from bough_server.config import Config
from bough_server.coordinator import Coordinator
from bough_server.optimizers.client import OptimizerProcess
from bough_server.service import check
from bough_server.service.rebuild import Rebuilt, rebuild
from bough_server.store import schema
from bough_server.store.contents import ContentStore

DEFINITION: dict[str, Any] = {
    "model": "me/digits",
    "command": "python train.py {{x}}",
    "env": {"MODE": "fast"},
    "hyperparameters": {"x": 0.5, "n": 3, "kind": {"type": "choice_string", "choices": ["a", "b"], "default": "a"}},
    "optimization": {
        "algorithm": "tpe",
        "seed": 3,
        "initial_random": 4,
        "max_trials": 12,
        "max_parallel": 2,
        "max_epochs": 5,
        "kpi": {"reduce": "best"},
        "space": {"x": "uniform(0, 1)", "n": "range(1, 9)", "kind": "choice"},
    },
}
KPI = {"traces": ["acc"], "type": "number", "main": True, "kpi": True, "maximize": True, "xaxis": "epoch"}


def told(values: Mapping[str, Any]) -> bytes:
    """Return the journal of a script that uses all that there is: traces, text, infos, odd names, odd numbers."""
    acc = -((values["x"] - 0.3) ** 2)
    lines: list[list[Any]] = [["h", {"pid": 1, "python": "3.11.7", "sdk": "0.1.0", "rank": None}], ["c", "acc", KPI]]
    lines += [["c", "note", {"traces": ["note"], "type": "text"}], ["i", "packages", {"zlib": "1", "numpy": "2.0"}]]
    lines += [["c", 'loss/all, "x"', {"traces": ["train", "test"], "type": "number"}], ["i", "a=b", [1.5, None, "é"]]]
    for epoch in range(1, 4):
        lines += [["p", "acc", epoch, acc * epoch / 3], ["p", 'loss/all, "x"', epoch, ["nan", -0.0]]]
        lines += [
            ["p", "note", epoch, 'said "é",\r\nand\tmore'],
            ["p", "undeclared", epoch / 7, 1e-300],
            ["g", epoch, 5],
        ]
    lines += [["d", "section", "about", {"text": "é"}], ["f", "out/modèl.bin", {**WEIGHTS, "title": "Weights"}]]
    return journal(*lines, ["s", "=done"])


DATA = b"\0weights\r\n" * 100
WEIGHTS = {"sha256": hashlib.sha256(DATA).hexdigest(), "bytes": len(DATA)}


async def hand_in(agent: Agent, claim: dict[str, Any], data: bytes = DATA) -> None:
    """Send a content that a journal names; one that the coordinator has already is known by its name."""
    await agent.sync([(claim, f"files/{hashlib.sha256(data).hexdigest()}-{len(data)}", 0, data)])


async def one(agent: Agent) -> dict[str, Any]:
    """Claim one job, as soon as the optimizer has an answer."""
    async with asyncio.timeout(30):
        while not (claims := await agent.claim()):
            pass
    return claims[0]


async def code_of(stage: Stage) -> str:
    """Return a commit that is in the coordinator's repository of the model."""
    repository = Repositories(stage.coordinator.ground.config.repositories).ensure("me/digits")
    head = (
        b"commit refs/bough/code/x\ncommitter a <a@b> 1 +0000\ndata 1\nc\nM 100644 inline train.py\ndata 1\nx\ndone\n"
    )
    _git.run(["fast-import", "--quiet", "--done"], git_dir=str(repository), input=head)
    sha = _git.run(["rev-parse", "refs/bough/code/x"], git_dir=str(repository)).decode().strip()
    _git.run(["update-ref", f"refs/bough/code/{sha}", sha], git_dir=str(repository))
    return sha


async def optimize(stage: Stage, commit: str, warm_start: str | None = None, **settings: Any) -> str:
    chosen = {**DEFINITION["optimization"], **settings}
    body = {
        "definition": {**DEFINITION, "optimization": chosen},
        "commit": commit,
        "folder": "",
        "warm_start": warm_start,
    }
    source = {"source": {"url": "https://host/x.git", "branch": "main"}}
    return str((await stage.coordinator.optimizations.create(ADMIN, {**body, **source}))["id"])


async def a_rich_life(stage: Stage) -> str:
    """Play everything that may happen to trials; return the id of the optimization."""
    commit = await code_of(stage)
    first = await optimize(stage, commit, max_trials=3, max_parallel=1)
    agent = await stage.agent("anna", slots=3)
    for _ in range(3):
        claim = await one(agent)
        await hand_in(agent, claim)
        await agent.deliver(claim, told(claim["values"]), b"hello\nlog\n")
    made = await optimize(stage, commit, warm_start=first, max_parallel=1, on_failure={"retry": 1})
    await stage.coordinator.optimizations.enqueue(ADMIN, made, {"values": {"x": 0.25, "n": 2, "kind": "b"}})
    await play(stage, agent)
    body = {"definition": DEFINITION, "commit": commit, "folder": "", "source": {}, "values": {"x": 0.125}}
    await stage.coordinator.jobs.create(ADMIN, body)
    manual = await one(agent)
    await agent.deliver(manual, told(manual["values"]), b"by hand\n")
    waiting = await stage.coordinator.jobs.create(ADMIN, body)
    await stage.coordinator.jobs.stop(waiting["id"])  # it never ran
    await stage.coordinator.tables.mark(ADMIN, manual["job_id"], {"star": True, "tags": ["good"], "note": "Lösung?"})
    await stage.coordinator.models.revise(ADMIN, {"definition": {**DEFINITION, "priority": 3}})
    return made


async def play(stage: Stage, agent: Agent) -> None:
    for n in range(6):
        claim = await one(agent)
        script, log = told(claim["values"]), b"line\n" * n
        stage.clock.pass_time(1.25)
        if n == 1:  # lost by one agent with half its points, finished by another
            await agent.sync(
                [(claim, "journal/1-aa", 0, script), (claim, "log", 0, b"half\n")], [happened(claim, "running")]
            )
            await agent.sync(events=[happened(claim, "released", reason="lost", message="its supervisor died.")])
            other = await stage.agent("ben")
            again = await one(other)
            await other.deliver(again, script, b"whole\n", cut=13, cause="max_epochs")
        elif n == 2:  # fails twice: one retry
            await agent.deliver(claim, script, b"Traceback\n", exit_code=1)
            await agent.deliver(await one(agent), script, b"Traceback again\n", exit_code=1)
        elif n == 3:
            await agent.deliver(claim, script, log, cause="user", signal="SIGINT", exit_code=None)
        else:
            environment = {"python": "3.11.7", "packages": {"numpy": "2.0", "zlib-ng": "1"}, "variables": {}}
            await agent.deliver(claim, script, log, cut=17, cause="max_epochs", environment=environment)


async def exports(coordinator: Coordinator, optimization: str) -> dict[str, str]:
    found = {}
    for all_attempts in (False, True):
        for name, make in (("trials", coordinator.exports.trials), ("points", coordinator.exports.points)):
            for form, lines in (("csv", csv_lines), ("jsonl", jsonl_lines)):
                columns, rows = await make(optimization, all_attempts)
                found[f"{name}, all attempts {all_attempts}, {form}"] = "".join(lines(columns, rows))
    return found


async def shown(coordinator: Coordinator, optimization: str) -> dict[str, Any]:
    """Return everything that the page asks for, of jobs that have ended."""
    jobs = coordinator.jobs
    rows = (await jobs.page(limit=100, state="DONE,FAILED,ABORTED"))["rows"]
    whole = {row["id"]: await jobs.one(row["id"]) for row in rows}
    searches = coordinator.searches
    return {
        "jobs": whole,
        "points": {job_id: await jobs.points(job_id) for job_id in whole},
        "logs": {job_id: await jobs.log(job_id) for job_id in whole},
        "files": {job_id: await jobs.files(job_id) for job_id in whole},
        "documents": {job_id: await jobs.documents(job_id) for job_id in whole},
        "optimization": await coordinator.optimizations.one(optimization),
        "asks": await searches.stored(optimization),
        "model": await coordinator.models.one("me/digits"),
    }


async def archived(coordinator: Coordinator, mirror: Path) -> None:
    """Write all records, then clone what the coordinator hosts, as anybody could."""
    repositories = Repositories(coordinator.ground.config.repositories)
    contents = ContentStore(coordinator.ground.config.contents)
    await Archivist(coordinator.store, repositories, contents=contents).flush()
    place = str(repositories.path("me/digits"))
    await asyncio.to_thread(_git.run, ["clone", "--quiet", "--mirror", place, str(mirror)], allow_file=True)


def quiet(what: str, done: int, total: int) -> None:
    return None


def anew(mirror: Path, home: Path) -> Rebuilt:
    return rebuild(Config(home, port=0), [str(mirror)], quiet)


async def next_values(coordinator: Coordinator, agent: Agent, n: int) -> list[dict[str, Any]]:
    """Return the values of the next trials that an agent is given, one ended after the other."""
    found: list[dict[str, Any]] = []
    while len(found) < n:
        for claim in await agent.claim():
            found.append(claim["values"])
            await agent.deliver(claim, told(claim["values"]))
    return found


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path / "home")
    found.optimizer = OptimizerProcess()
    return found


def test_a_lost_database_comes_back_from_a_mirror_clone_and_the_search_goes_on_as_it_would_have(
    stage: Stage, tmp_path: Path
) -> None:
    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        made = await a_rich_life(stage)
        await archived(first, tmp_path / "mirror.git")
        before, page = await exports(first, made), await shown(first, made)
        await first.stop()
        shutil.copytree(stage.home, tmp_path / "kept")
        shutil.rmtree(stage.home)

        found = await asyncio.to_thread(anew, tmp_path / "mirror.git", stage.home)

        assert (found.models, found.optimizations, found.problems) == (["me/digits"], 2, [])
        second = await started(stage.home, stage.clock, stage.optimizer)
        kept = await started(tmp_path / "kept", MovedClock(), OptimizerProcess())
        try:
            assert await second.store.read(check.violations) == []
            assert await exports(second, made) == before
            again = await shown(second, made)
            for what in page:
                assert again[what] == page[what], what
            news = [said async for said in await second.searches.verify(made)]
            assert (news[-1]["equal"], news[-1]["first"]) == (True, None)
            await going_on(kept, second, made)
        finally:
            await second.stop()
            await kept.stop()

    async def going_on(kept: Coordinator, second: Coordinator, made: str) -> None:
        """From here on the coordinator that lost nothing and the one that was rebuilt ask for the same points."""
        found = []
        for coordinator in (kept, second):
            await coordinator.optimizations.extend(made, 30)
            agent = await Agent(coordinator, "carl").connect()
            found.append(await next_values(coordinator, agent, 5))
        assert found[0] == found[1]

    asyncio.run(story())


def test_trials_that_ran_when_the_store_was_lost_start_again_with_the_same_values(stage: Stage, tmp_path: Path) -> None:
    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        made = await optimize(stage, await code_of(stage), max_parallel=2)
        agent = await stage.agent(slots=2)
        claims = [await one(agent), await one(agent)]
        await archived(first, tmp_path / "mirror.git")
        await first.stop()

        found = await asyncio.to_thread(anew, tmp_path / "mirror.git", tmp_path / "anew")

        assert (found.jobs, found.problems) == (0, [])
        second = await started(tmp_path / "anew", stage.clock, OptimizerProcess())
        try:
            other = await Agent(second, "ben", 2).connect()
            again = [await one(other), await one(other)]
            known = ("job_id", "number", "values", "commit", "commands", "env")
            assert [{name: claim[name] for name in known} for claim in again] == [
                {name: claim[name] for name in known} for claim in claims
            ]
            assert (await second.optimizations.one(made))["counts"] == {"PREPARING": 2}
        finally:
            await second.stop()

    asyncio.run(story())


def test_a_trial_that_was_to_run_once_more_when_the_store_was_lost_does_so(stage: Stage, tmp_path: Path) -> None:
    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        made = await optimize(stage, await code_of(stage), max_trials=1, initial_random=1)
        agent = await stage.agent()
        claim = await one(agent)
        await agent.deliver(claim, told(claim["values"]), b"Traceback\n", exit_code=1)
        await archived(first, tmp_path / "early.git")  # its record is written
        await first.life.retry(ADMIN, made, {"failed": True})
        await archived(first, tmp_path / "mirror.git")
        before = await first.jobs.one(claim["job_id"])
        await first.stop()

        found = await asyncio.to_thread(anew, tmp_path / "mirror.git", tmp_path / "anew")

        assert (found.jobs, found.problems) == (1, [])
        second = await started(tmp_path / "anew", stage.clock, OptimizerProcess())
        try:
            shown = await second.jobs.one(claim["job_id"])
            assert (shown["state"], shown["kpi"], shown["record"]) == ("QUEUED", None, None)
            assert shown["history"] == before["history"]
            other = await Agent(second, "ben").connect()
            again = await one(other)
            assert (again["job_id"], again["attempt"], again["values"]) == (claim["job_id"], 2, claim["values"])
            await other.deliver(again, told(again["values"]))
            assert (await second.jobs.one(claim["job_id"]))["state"] == "DONE"
            await Archivist(second.store, second.ground.repositories).flush()
            ref = (await second.jobs.one(claim["job_id"]))["record"]
            place = str(second.ground.repositories.path("me/digits"))
            parents = _git.run(["log", "-1", "--format=%P", ref], git_dir=place).decode().split()
            assert parents[0] == claim["commit"]
            assert len(parents) == 2
        finally:
            await second.stop()

    asyncio.run(story())


def test_a_large_file_is_a_pointer_in_git_and_its_content_is_kept_where_it_is(stage: Stage, tmp_path: Path) -> None:
    """The larger one of two files; and one whose name is a folder of another."""
    large, small = b"x" * (INLINE_BYTES + 1), b"small"

    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        await optimize(stage, await code_of(stage), max_trials=1, initial_random=1)
        agent = await stage.agent()
        claim = await one(agent)
        names = [("a", large), ("b", small), ("c/d", small), ("c", small)]
        files = [["f", name, {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}] for name, data in names]
        for data in (large, small):
            await hand_in(agent, claim, data)
        await agent.deliver(claim, journal(["c", "acc", KPI], ["p", "acc", 1, 0.5], *files))
        await archived(first, tmp_path / "mirror.git")
        before = await first.jobs.files(claim["job_id"])
        await first.stop()

        mirror = str(tmp_path / "mirror.git")
        ref = _git.run(["for-each-ref", "--format=%(refname)", "refs/bough/jobs"], git_dir=mirror).decode().strip()

        def blob(path: str) -> str:
            return _git.run(["cat-file", "blob", f"{ref}:.bough/files/{path}"], git_dir=mirror).decode()

        assert blob("a") == f"bough content\nsha256 {hashlib.sha256(large).hexdigest()}\nbytes {len(large)}\n"
        assert (blob("b"), blob("c/d")) == ("small", "small")
        found = await asyncio.to_thread(anew, tmp_path / "mirror.git", tmp_path / "without")
        assert (found.absent, found.problems) == (1, [])
        shutil.copytree(stage.home / "contents", tmp_path / "with" / "contents")
        found = await asyncio.to_thread(anew, tmp_path / "mirror.git", tmp_path / "with")
        assert found.absent == 0
        second = await started(tmp_path / "with", stage.clock, OptimizerProcess())
        try:
            assert await second.jobs.files(claim["job_id"]) == before
            assert (await second.jobs.file(claim["job_id"], "a")).read_bytes() == large
        finally:
            await second.stop()

    asyncio.run(story())


def test_every_table_of_a_job_comes_back(stage: Stage, tmp_path: Path) -> None:
    """Also by what a script that recorded itself is known: pushed again it is the same job."""
    tables = (*OTHERS, schema.contents, schema.recorded)

    def rows(tx: Connection) -> dict[str, list[Any]]:
        return {table.name: sorted(map(repr, tx.execute(select(table)).all())) for table in tables}

    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        await optimize(stage, await code_of(stage), max_trials=1, initial_random=1)
        agent = await stage.agent()
        claim = await one(agent)
        key = {"job": claim["job_id"], "attempt": 1}
        await hand_in(agent, claim)
        registered = told(claim["values"]) + journal(["d", "action", "rate", {"title": "Rate"}])
        call = {**key, "name": "rate", "args": {"n": 1}, "asked_at": 5.0, "asked_by": "k", "answered_at": 6.0}
        refused = {**key, "sha256": "0" * 64, "reason": "is too large"}
        by_hand = {"nonce": "0123456789abcdef" * 2, "job": claim["job_id"], "created_at": 7.0}

        def add(tx: Connection) -> None:
            tx.execute(insert(schema.action_calls), {**call, "id": "call0001", "answer": {"value": [1, None]}})
            tx.execute(insert(schema.refused_contents), refused)
            tx.execute(insert(schema.recorded), by_hand)

        await first.store.write(add)
        await agent.deliver(claim, registered)
        before = await first.store.read(rows)
        assert all(before.values()), before
        await archived(first, tmp_path / "mirror.git")
        await first.stop()

        assert (await asyncio.to_thread(anew, tmp_path / "mirror.git", tmp_path / "anew")).problems == []

        second = await started(tmp_path / "anew", stage.clock, OptimizerProcess())
        try:
            after = await second.store.read(rows)
            when = re.compile(r"[0-9.]+\)$")  # a content is younger here
            for found in (before, after):
                found["contents"] = [when.sub("", row) for row in found["contents"]]
            assert after == before
        finally:
            await second.stop()

    asyncio.run(story())
