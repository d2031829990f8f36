"""C4 and C5: replies that are lost after the request was handled, requests that arrive twice, links that are dead.

The same search is run through a proxy again and again, each time with another fault; what it leaves in the store is
what it leaves without any.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, select
from tests.chaos import oracle, proxy
from tests.chaos.conftest import IS_FULL, SEED, Tally
from tests.chaos.lab import Lab, definition, reading
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.chaos.proxy import Proxy, Stranger
from tests.e2e.conftest import a_machine, wait_for

from bough_server.store import schema

PROMISE = Promise(20, 8) if IS_FULL else Promise(4, 6)
SYNC = "POST /api/v1/agents/{id}/sync"
LOST = (1, 3, 10) if IS_FULL else (2,)  # so many replies of each endpoint are lost, one after the other


class Wired(Lab):
    """A lab whose agents speak through a proxy."""

    proxy: Proxy | None = None

    @property
    def agents_url(self) -> str:
        if self.proxy is None:
            self.proxy = Proxy(int(self.port))
        return self.proxy.url


@pytest.fixture
def lab(tmp_path: Path, nursery: Nursery) -> Iterator[Wired]:
    with a_machine(tmp_path) as machine:
        found = Wired(machine, agents=1, slots=3, nursery=nursery)
        yield found
        assert found.proxy is not None
        found.proxy.mend()
        found.close()
        found.proxy.close()


def search(lab: Lab, name: str, promise: Promise = PROMISE, pause_s: float = 0.03) -> tuple[str, Path]:
    book = lab.machine.home.parent / f"book-{name}"
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=promise.steps, pause_s=pause_s)
    return lab.optimize({"bough.yml": definition(promise.trials, 3), "train.py": train}, name), book


def rows_of(lab: Lab, optimization: str) -> dict[str, int]:
    """Return how many rows, points and bytes of the log there are of a search."""
    jobs = select(schema.jobs.c.id).where(schema.jobs.c.optimization == optimization).scalar_subquery()
    counts = {}
    with reading(lab.machine.home / "coordinator" / "coordinator.db") as tx:
        for table in (schema.attempts, schema.infos):
            own = table.c.job.in_(jobs)
            counts[table.name] = tx.execute(select(func.count()).select_from(table).where(own)).scalar_one()
        points = select(func.sum(schema.channels.c.points)).where(schema.channels.c.job.in_(jobs))
        counts["points"] = tx.execute(points.where(~schema.channels.c.system)).scalar_one()
        of_log = select(func.sum(schema.log_chunks.c.n)).where(schema.log_chunks.c.job.in_(jobs))
        counts["log"] = tx.execute(of_log).scalar_one()
        told = select(func.count()).select_from(schema.history).where(schema.history.c.optimization == optimization)
        counts["history"] = tx.execute(told).scalar_one()
        mine = schema.jobs.c.optimization == optimization
        counts["jobs"] = tx.execute(select(func.count()).select_from(schema.jobs).where(mine)).scalar_one()
    return counts


def assert_told(lab: Lab, optimization: str, book: Path, promise: Promise = PROMISE) -> None:
    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    assert oracle.breaches(promise, tables, oracle.read(book)) == []
    assert {row["attempts"] for row in tables.trials} == {"1"}
    assert lab.unsound() == []


def first(k: int, what: str, rng: random.Random) -> proxy.Decide:
    """Do that to the first k replies of every endpoint that changes something, and to a third of the later ones."""

    def decide(endpoint: str, n: int) -> str:
        if endpoint.startswith("GET"):
            return proxy.PASS
        return what if n < k or (k and rng.random() < 1 / 3) else proxy.PASS

    return decide


@pytest.mark.timeout(600 if IS_FULL else 120)
def test_lost_doubled_and_cut_replies_leave_what_no_fault_leaves(lab: Wired, tally: Tally) -> None:
    assert lab.proxy is not None
    faults = [(proxy.PASS, 0), *((proxy.DROP, k) for k in LOST), (proxy.DUPLICATE, 3), (proxy.TRUNCATE, 2)]
    left = []
    for n, (what, k) in enumerate(faults):
        lab.proxy.misbehave(first(k, what, random.Random(SEED + n)))
        optimization, book = search(lab, f"{what}-{k}")
        lab.await_end(optimization, PROMISE.trials, 300 if IS_FULL else 90)  # ten tries in a row take two minutes
        assert_told(lab, optimization, book)
        left.append(rows_of(lab, optimization))
        faulty = sum(n for (_, done), n in lab.proxy.done.items() if done != proxy.PASS)
        assert faulty >= k
        tally(f"C4 {what}, first {k}", faulty_replies=faulty, of=sum(lab.proxy.done.values()), **left[-1])
    assert left == [left[0]] * len(faults)
    assert left[0]["attempts"] == PROMISE.trials


def test_whatever_a_client_makes_is_made_once_though_every_reply_is_lost(lab: Wired, tally: Tally) -> None:
    """Each request that makes something is sent again with its key until a reply comes."""
    assert lab.proxy is not None
    lab.agents[0].process.terminate()
    lab.agents[0].process.wait(20)
    lab.proxy.misbehave(lambda endpoint, n: proxy.DROP if n % 4 < 3 else proxy.PASS)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {lab.admin_key}"

    def insist(path: str, body: dict[str, Any]) -> Any:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        for _ in range(6):
            try:
                reply = session.post(f"{lab.agents_url}/api/v1/{path}", json=body, headers=headers, timeout=20)
            except requests.RequestException:
                continue
            assert reply.ok, reply.text
            return reply.json()
        raise AssertionError(f"{path} was never answered")

    yml = {"model": "me/x", "command": "true", "hyperparameters": {"x": 0.0}}
    yml["optimization"] = {"algorithm": "random", "max_trials": 5, "space": {"x": "uniform(0, 1)"}}
    code = {"commit": "3f9a12c0" * 5, "folder": "", "source": {}}
    made = insist("optimizations", {"definition": yml, "fixed": {}, **code})["id"]
    job = insist("jobs", {"definition": yml, "values": {}, **code})["id"]
    trial = insist(f"optimizations/{made}/enqueue", {"values": {"x": 0.5}})["id"]
    for path, body in (("pause", {}), ("resume", {}), ("edit", {"settings": {"max_trials": 7}})):
        insist(f"optimizations/{made}/{path}", body)
    again = insist(f"optimizations/{made}/restart", {"seed": 5})

    assert (again["id"], again["generation"], again["max_trials"]) == (made, 2, 7)
    assert lab.get("optimizations")["total"] == 1
    manual = lab.get("jobs", manual="true")
    assert [row["id"] for row in manual["rows"]] == [job]
    old = lab.get(f"optimizations/{made}/trials", generation=1)["rows"]
    assert [row["number"] for row in old if row["id"] == trial] == [1]
    assert len(lab.get(f"optimizations/{made}/edits")["rows"]) == 2
    assert lab.unsound() == []
    lost = sum(n for (_, what), n in lab.proxy.done.items() if what == proxy.DROP)
    tally("C4 clients' replies lost", endpoints=len({e for e, _ in lab.proxy.done}), lost=lost, made_twice=0)
    session.close()


@pytest.mark.timeout(600 if IS_FULL else 120)
def test_cuts_of_any_kind_cost_neither_trial_nor_point(lab: Wired, tally: Tally) -> None:
    """Connections that are refused, and links that are silently dead, while trials go on."""
    assert lab.proxy is not None
    rng = random.Random(SEED)
    promise = Promise(6, 400) if IS_FULL else Promise(PROMISE.trials, 60)
    optimization, book = search(lab, "cuts", promise, 0.1 if IS_FULL else 0.05)
    wait_for(lambda: list(book.iterdir()), 30, "the first trial")
    cuts, away_s = (20, 8.0) if IS_FULL else (3, 1.5)
    total_s = 0.0
    faults: list[Callable[[], None]] = [lab.proxy.cut, lab.proxy.hold]
    for n in range(cuts):
        faults[n % 2]()
        pause_s = rng.uniform(away_s / 2, away_s)
        total_s += pause_s
        time.sleep(pause_s)
        lab.proxy.mend()
        wait_for(lambda: (lab.get("agents") or {"rows": [{"online": False}]})["rows"][0]["online"], 60, "the agent")
        time.sleep(rng.uniform(0, 0.5))

    lab.await_end(optimization, promise.trials, 200)
    assert_told(lab, optimization, book, promise)
    tally("C5 cuts", cuts=cuts, seconds=round(total_s), trials=promise.trials, rerun=0)


@pytest.mark.timeout(240)
def test_a_backlog_of_a_cut_is_delivered_soon_after(lab: Wired, tally: Tally) -> None:
    assert lab.proxy is not None
    points = 100_000 if IS_FULL else 20_000
    train = (
        "import bough\njob = bough.start_job()\nkpi = job.create_channel('loss', kpi=True, max_optimization=False)\n"
        f"for step in range({points}):\n    kpi.send(step, 0.5)\nopen({str(lab.machine.home / 'sent')!r}, 'w')\n"
        f"import time, os\nwhile not os.path.exists({str(lab.machine.home / 'go')!r}): time.sleep(0.05)\n"
    )
    lab.proxy.cut()  # what it claimed before, it has
    lab.proxy.mend()
    optimization = lab.optimize({"bough.yml": definition(1, 1), "train.py": train})
    wait_for(lambda: [job["state"] for job in lab.jobs(optimization)] == ["RUNNING"], 30, "the trial")
    lab.proxy.cut()
    wait_for((lab.machine.home / "sent").exists, 60, "all points")
    (lab.machine.home / "go").touch()
    wait_for(lambda: not lab.trials(), 20, "the end of the trial")

    lab.proxy.mend()
    began = time.monotonic()
    lab.await_end(optimization, 1, 60)

    (job,) = lab.jobs(optimization)
    stored = len(lab.export(optimization, "--points").splitlines()) - 1
    system = lab.export(optimization, "--points").count(",system/")
    assert (job["attempt"], stored - system) == (1, points)
    tally("C5 backlog", points=points, seconds=round(time.monotonic() - began, 1))


@pytest.mark.parametrize("answer", ["html", "nothing"])
def test_a_stranger_in_the_coordinators_place_is_outlived(lab: Wired, answer: str) -> None:
    """A proxy that answers with a page of its own, or with nothing: the trial goes on, and is delivered afterwards."""
    assert lab.proxy is not None
    optimization, book = search(lab, answer, pause_s=0.1)
    wait_for(lambda: list(book.iterdir()), 30, "the first trial")
    upstream = lab.proxy.upstream
    with Stranger(answer) as stranger:
        lab.proxy.upstream = stranger.address
        lab.proxy.cut()
        lab.proxy.mend()
        wait_for(lambda: stranger.asked >= 2, 30, "a request")
    lab.proxy.upstream = upstream

    lab.await_end(optimization, PROMISE.trials, 60)
    assert_told(lab, optimization, book)
