"""What the name of a record's ref says: ``refs/bough/jobs/<optimization or manual>/<number>-<job>``.

A job that its user let run once more has a further record, ``…-<job>.<attempt>``.

What others have pushed to a coordinator lies there one level deeper, below ``refs/bough/incoming/``. A record whose
name another commit has already lies below ``refs/bough/kept/<first 12 of its id>/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

JOBS = "refs/bough/jobs/"
OPTIMIZATIONS = "refs/bough/optimizations/"
MODELS = "refs/bough/models/"
INCOMING = "refs/bough/incoming/"
KEPT = "refs/bough/kept/"
MANUAL = "manual"

_ID = "([A-Za-z0-9_-]{1,64})"
_ASIDE = re.compile(r"refs/bough/kept/[0-9a-f]{12}/(?=[a-z])")
_JOB = re.compile(
    rf"refs/bough/(?:incoming/|kept/[0-9a-f]{{12}}/)?jobs/{_ID}/([0-9]{{1,10}})-{_ID}(?:\.([0-9]{{1,9}}))?"
)


@dataclass(frozen=True)
class JobRef:
    """The name of a record.

    Attributes:
        name: The whole ref.
        optimization: None for a manual job.
        number: Of the trial; None for a manual job.
        job: The id.
        again: The attempt whose record it is, for a job that its user let run once more; 0 for its first record.
    """

    name: str
    optimization: str | None
    number: int | None
    job: str
    again: int = 0


def read(name: str) -> JobRef | None:
    """Return what a ref's name says, or None where it is not that of a record."""
    found = _JOB.fullmatch(name)
    if found is None:
        return None
    optimization, number, job, again = found.groups()
    if optimization == MANUAL:
        return JobRef(name, None, None, job, int(again or 0))
    return JobRef(name, optimization, int(number), job, int(again or 0))


def kept(name: str, oid: str) -> str:
    """Return under which name a commit is kept that could not become ``name``."""
    return f"{KEPT}{oid[:12]}/{name.removeprefix('refs/bough/')}"


def plain(name: str) -> str:
    """Return the name that a ref would have were it not kept aside."""
    return _ASIDE.sub("refs/bough/", name, count=1)
