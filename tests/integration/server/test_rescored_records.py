"""Where the KPI is reckoned otherwise later, the records in git say so too, and a rebuild from them agrees."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, CountingOptimizer, run, started
from tests.integration.server.test_rebuild import anew, archived, code_of, exports, one, optimize

from bough import _git


class Values(CountingOptimizer):
    """Answers at once."""

    async def ask(self, ask: Any) -> dict[str, Any]:
        return {"x": 0.1 * ask.number, "n": 1, "kind": "a"}


def git(mirror: Path, *arguments: str) -> str:
    return _git.run(list(arguments), git_dir=str(mirror)).decode().strip()


def test_a_record_is_written_again_with_the_new_kpi_on_top_of_the_earlier_one(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Stage(tmp_path / "home")
        stage.optimizer = Values()
        stage.coordinator = await started(stage.home, stage.clock, stage.optimizer)
        made = await optimize(stage, await code_of(stage), max_trials=3, max_parallel=1, kpi={"direction": "maximize"})
        agent = await stage.agent()
        for told in ([0.9, 0.1], [0.2, 0.3], [0.5]):
            await agent.deliver(await one(agent), run(*told))
        await archived(stage.coordinator, tmp_path / "before.git")

        await stage.coordinator.life.edit(ADMIN, made, {"settings": {"kpi.reduce": "best"}})
        await archived(stage.coordinator, tmp_path / "after.git")

        refs = git(tmp_path / "after.git", "for-each-ref", "--format=%(refname)", f"refs/bough/jobs/{made}").split()
        assert len(refs) == 3
        rows = (await stage.coordinator.optimizations.trials(made, sort="number"))["rows"]
        for ref, row, is_other in zip(refs, rows, (True, False, False), strict=True):
            job = json.loads(git(tmp_path / "after.git", "show", f"{ref}:.bough/job.json"))
            earlier = git(tmp_path / "before.git", "rev-parse", ref)
            parents = git(tmp_path / "after.git", "rev-list", "--parents", "-1", ref).split()[1:]
            assert (job["kpi"], row["record"]) == (row["kpi"], ref)
            assert (earlier in parents) is is_other
            assert job["run"]["kpi"]["reduce"] == ("best" if is_other else "last")  # it says what its number is
        assert [row["kpi"] for row in rows] == [0.9, 0.3, 0.5]
        table = await exports(stage.coordinator, made)
        await stage.coordinator.stop()
        shutil.rmtree(stage.home)
        found = await asyncio.to_thread(anew, tmp_path / "after.git", stage.home)
        assert found.problems == []
        second = await started(stage.home, stage.clock, stage.optimizer)
        assert await exports(second, made) == table
        await second.stop()

    asyncio.run(story())
