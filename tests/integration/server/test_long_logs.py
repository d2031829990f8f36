"""A long log: its record's text stays short, and all of it is beside that, in git or in the content store."""

from __future__ import annotations

import asyncio
import random
import shutil
import zlib
from pathlib import Path

from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, MovedClock, started
from tests.integration.server.test_incoming import Values
from tests.integration.server.test_rebuild import DEFINITION, anew, archived, code_of, one, told

from bough import _git
from bough_cli.records import handed_in
from bough_cli.records.index import Index
from bough_cli.records.record import Record

REPEATED = b"".join(b"epoch %d loss 0.5\n" % n for n in range(120_000))
NOISE = random.Random(1).randbytes(1_300_000).hex().encode()


def file_of(repository: Path, job: str, name: str) -> bytes:
    return _git.run(["cat-file", "blob", f"refs/bough/jobs/manual/0000-{job}:.bough/{name}"], git_dir=str(repository))


def test_nothing_of_a_long_log_is_lost_in_its_record_nor_in_a_rebuild(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Stage(tmp_path / "home")
        stage.coordinator = first = await started(stage.home, stage.clock, Values())
        body = {"definition": DEFINITION, "commit": await code_of(stage), "folder": "", "source": {}}
        agent = await stage.agent()
        jobs = {}
        for log in (REPEATED, NOISE):
            await first.jobs.create(ADMIN, body)
            claim = await one(agent)
            await agent.deliver(claim, told(claim["values"]), log)
            jobs[log] = claim["job_id"]
        mirror = tmp_path / "mirror.git"
        await archived(first, mirror)
        await first.stop()

        for log, job in jobs.items():
            text = file_of(mirror, job, "log.txt")
            assert text[:1000] == log[:1000]
            assert text[-1000:] == log[-1000:]
            left_out = len(log) - 1024 * 1024
            assert b"\n... %d bytes were left out here; all of it is in log.txt.gz ...\n" % left_out in text
        assert zlib.decompress(file_of(mirror, jobs[REPEATED], "log.txt.gz"), 31) == REPEATED
        assert file_of(mirror, jobs[NOISE], "log.txt.gz").startswith(b"bough content\nsha256 ")

        index = Index(str(mirror))
        found = {job: handed_in.log(Record.of(str(mirror), index.find(job))) for job in jobs.values()}
        assert found[jobs[REPEATED]] == REPEATED
        assert found[jobs[NOISE]] == file_of(mirror, jobs[NOISE], "log.txt"), "here nobody has the rest"

        without = await asyncio.to_thread(anew, mirror, tmp_path / "without")
        shutil.copytree(stage.home / "contents", tmp_path / "anew" / "contents")
        whole = await asyncio.to_thread(anew, mirror, tmp_path / "anew")
        assert (without.problems, whole.problems) == ([], [])
        assert without.absent == whole.absent + 1, "besides what the journals name and nobody handed in"
        second = await started(tmp_path / "anew", MovedClock(), Values())
        try:
            for log, job in jobs.items():
                content, total = b"", len(log)
                while len(content) < total:
                    piece, total = await second.jobs.log(job, len(content), 1 << 20)
                    content += piece
                assert content == log
        finally:
            await second.stop()

    asyncio.run(story())
