"""What the name of a record's ref says: ``refs/bough/jobs/<optimization or manual>/<number>-<job>``.

What others have pushed to a coordinator lies there one level deeper, below ``refs/bough/incoming/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

JOBS = "refs/bough/jobs/"
OPTIMIZATIONS = "refs/bough/optimizations/"
MODELS = "refs/bough/models/"
INCOMING = "refs/bough/incoming/"
MANUAL = "manual"

_JOB = re.compile(r"refs/bough/(?:incoming/)?jobs/([A-Za-z0-9_-]{1,64})/([0-9]{1,10})-([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True)
class JobRef:
    """The name of a record.

    Attributes:
        name: The whole ref.
        optimization: None for a manual job.
        number: Of the trial; None for a manual job.
        job: The id.
    """

    name: str
    optimization: str | None
    number: int | None
    job: str


def read(name: str) -> JobRef | None:
    """Return what a ref's name says, or None where it is not that of a record."""
    found = _JOB.fullmatch(name)
    if found is None:
        return None
    optimization, number, job = found.groups()
    if optimization == MANUAL:
        return JobRef(name, None, None, job)
    return JobRef(name, optimization, int(number), job)
