"""A trial may write anything into its journal; it harms nobody but itself: the message passes, the views and the
records of the job can be made, and what it said in proper lines is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import KPI, exit_of, happened, journal, started

from bough_server.archive import assembly, gathering, parsing, records
from bough_server.archive.reading import Record
from bough_server.service import intake
from bough_server.service.ingest import read_lines
from bough_server.store import reads

Play = Callable[..., None]
DEEP = b"[" * 400 + b"]" * 400

LINES = [
    b'["e",0,0,[1],null]',
    b'["e",0,0,{"a":1},null]',
    b'["x",0,0,' + b"9" * 30 + b"]",
    b'["x",0,0,-5]',
    b'["x",0,0,true]',
    b'["h",0,0,"no mapping"]',
    b'["h",0,0,7]',
    b'["h",0,0,{"python":' + DEEP + b"}]",
    b'["i",0,0,"deep",' + DEEP + b"]",
    b'["i",0,0,"large",' + b"9" * 300 + b"]",
    b'["i",0,0,"small",-' + b"9" * 30 + b"]",
    b'["i",0,0,"nul","\\u0000"]',
    b'["i",0,0,"half","\\ud800"]',
    b'["i",0,0,"\\u0000","a name"]',
    b'["i",0,0,"e",1e400]',
    b'["s",0,0,"\\u0000\\u001b[31m<script>"]',
    b'["g",0,0,1e308,' + b"9" * 400 + b"]",
    b'["g",0,0,[1],{"a":1}]',
    b'["c",0,0,"accuracy",{"traces":[],"kpi_trace":' + b"9" * 30 + b"}]",
    b'["c",0,0,"third",{"traces":["a","a"],"kpi":"yes","type":[1],"layout":' + DEEP + b"}]",
    b'["c",0,0,"other",{"kpi_trace":-1,"maximize":3,"layout":' + b"9" * 40 + b"}]",
    b'["c",0,0,"../../etc/passwd",{"kpi":true}]',
    b'["c",0,0,"\\u0000",{"kpi":true}]',
    b'["p",0,0,"../..",1,1]',
    b'["p",-7,0,"accuracy",1,1]',
    b'["p",' + b"9" * 30 + b',0,"accuracy",1,1]',
    b'["p",3,0,"accuracy",' + b"9" * 400 + b",1]",
    b'["p",3,0,"accuracy",1,[]]',
    b'["p",3,0,"new",1,[]]',
    b'["p",3,0,"newer",1,[1,[2]]]',
    b'["p",3,true,"accuracy",null,false]',
    b'["p",3,0,"text",1,"\\ud800"]',
    b'["p",3,0,"\\ud800",1,1]',
    b"\x00" * 5000,
    b"\xff\xfe\xfd",
    b"[" * 30000,
    b'{"a":1}',
    b'[[["p"]]]',
    b"[]",
    b"[{},1,2,3]",
]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_line_of_any_kind_passes_and_what_is_proper_is_kept(play: Play, line: bytes) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = journal(["h", {"pid": 1}], KPI, ["p", "accuracy", 1, 0.5]) + line + b"\n"
        told += b'["p",10,0,"accuracy",2,0.75]\n'

        events = [happened(claim, "running"), happened(claim, "exited", exit=exit_of(told))]
        reply = await agent.sync([(claim, "journal/1-aa", 0, told)], events)

        assert reply["ended"] == [(claim["job_id"], 1)]
        await shows_everything(stage, claim["job_id"])
        shown = await stage.coordinator.jobs.points(claim["job_id"], "accuracy")
        assert {0.5, 0.75} <= set(shown["channels"][0]["y"][0])

    play(story)


async def shows_everything(stage: Stage, job_id: str) -> None:
    """Make every view and record of the job that people ask for."""
    coordinator = stage.coordinator
    shown = await coordinator.jobs.one(job_id)
    points, jobs = await coordinator.jobs.points(job_id), await coordinator.jobs.page()
    views = [shown, points, jobs, await coordinator.optimizations.page()]
    columns, rows = await coordinator.exports.trials(shown["optimization"], all_attempts=True)
    for view in (*views, columns, list(rows)):
        msgspec.json.encode(view)
    columns, rows = await coordinator.exports.points(shown["optimization"], all_attempts=True)
    msgspec.json.encode(list(rows))
    row = await coordinator.store.read(lambda tx: reads.job(tx, job_id))
    (ended,) = await coordinator.store.read(lambda tx: gathering.gather(tx, [row]))
    record = await coordinator.store.read(lambda tx: assembly.job_record(ended))
    if row["ended_at"] is not None:
        assert records.stream([record])
        known = Record(record.ref, "", [row["commit"]], int(row["ended_at"]), "", {}, dict(record.files))
        again = parsing.job_rows(known)
        intake.check_kpi(again)
        assert {info["name"]: info["value"] for info in again.infos} == ended.attempts[-1].infos


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**25), 10**25) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
kinds = st.sampled_from(["h", "c", "p", "g", "i", "s", "l", "e", "x", "?"])
hostile = st.builds(lambda kind, n, rest: [kind, n, 0.0, *rest], kinds, values, st.lists(values, max_size=4))


@settings(deadline=None, max_examples=300)
@given(st.lists(hostile, max_size=5))
def test_reading_never_raises(lines: list[object]) -> None:
    read_lines(b"\n".join(msgspec.json.encode(line) for line in lines) + b"\n")


@settings(deadline=None, max_examples=4, phases=(Phase.generate,))
@given(st.lists(st.lists(hostile, max_size=6), min_size=10, max_size=10))
def test_no_journal_at_all_fails_a_message(
    tmp_path_factory: pytest.TempPathFactory, journals: list[list[object]]
) -> None:
    async def run(home: Path) -> None:
        stage = Stage(home)
        stage.coordinator = await started(home, stage.clock)
        try:
            agent, claim = await stage.claim()
            for n, lines in enumerate(journals):
                told = b"\n".join(msgspec.json.encode(line) for line in lines) + b"\n"
                reply = await agent.sync([(claim, f"journal/{n}-aa", 0, told)])
                assert [claim["job_id"], 1, f"journal/{n}-aa", len(told)] in [list(row) for row in reply["acked"]]
            await shows_everything(stage, claim["job_id"])
        finally:
            await stage.coordinator.stop()

    asyncio.run(run(tmp_path_factory.mktemp("home")))
