"""The desk that compares the code of two jobs, in the repositories that hold every commit that ran."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bough import _git
from bough.errors import NotFound
from bough_server.archive import differences
from bough_server.desks.ground import Ground
from bough_server.store import reads


class Differences:
    """Compares commits."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def of(self, job_id: str, other_id: str) -> dict[str, Any]:
        """Return what differs in the code of the other job: `GET /jobs/{id}/diff?to=…`.

        Raises:
            NotFound: There is no such job, or its commit is not here.
        """
        old, new = await self._ground.store.read(lambda tx: (reads.job(tx, job_id), reads.job(tx, other_id)))
        sides = {"from": _side(old), "to": _side(new)}
        if old["commit"] == new["commit"] and old["commit"]:
            return {**sides, "files": [], "total": 0}
        repositories = [self._repository(row) for row in (old, new)]
        try:
            files, total = await asyncio.to_thread(
                differences.between, repositories[1], old["commit"], new["commit"], repositories[:1]
            )
        except _git.GitFailed as error:
            raise NotFound(
                f"the code of jobs {old['id']} and {new['id']} cannot be compared: {error.stderr or error.what}",
                "A commit is here once an agent or the command line has pushed it.",
            ) from None
        return {**sides, "files": [asdict(one) for one in files], "total": total}

    def _repository(self, row: Mapping[str, Any]) -> Path:
        if not row["commit"]:
            raise NotFound(f"job {row['id']} has no commit yet.", "An agent finds it out when it takes the job.")
        return self._ground.repositories.path(row["model"])


def _side(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"job": row["id"], "number": row["number"], "commit": row["commit"] or None, "folder": row["folder"]}
