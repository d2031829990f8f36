"""Records that others pushed, checked and made known: what lies below ``refs/bough/incoming/``.

A record of a job is taken if it is whole, agrees with itself and with the code it grows from, is of the repository's
model, and is not known yet. Of one that is known, a further record is taken that stands on the record here: the job
ran once more elsewhere. A trial comes with its optimization: one that is known here already is told nothing else by
others. Whatever the verdict, the incoming ref goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from bough import _git
from bough_server.archive import objects
from bough_server.archive.chains import ModelRows, OptimizationRows, model_rows, optimization_rows
from bough_server.archive.commits import LAZY_REFS
from bough_server.archive.objects import Objects
from bough_server.archive.parsing import BadRecord, JobRows, job_rows
from bough_server.archive.reading import Reader, Record
from bough_server.archive.records import INCOMING_REFS
from bough_server.archive.repositories import CODE_REFS
from bough_server.service import intake, states
from bough_server.store import schema
from bough_server.store.contents import ContentStore
from bough_server.store.database import Database

_LIVE = (states.RUNNING, states.STOPPING)


@dataclass
class Taken:
    """What became of what was pushed.

    Args:
        accepted: Refs, named as they are here now.
        known: Refs that were here before with the same content.
        refused: (ref, why): the end of a sentence that begins with "it".
        jobs: Ids of jobs that are new, or ran once more.
        optimizations: Ids of optimizations that are new, or whose trials ran once more.
    """

    accepted: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    optimizations: set[str] = field(default_factory=set)

    def and_then(self, later: Taken, most: int) -> Taken:
        """Return both together; of refs the last ``most``."""
        return Taken(
            (self.accepted + later.accepted)[-most:],
            (self.known + later.known)[-most:],
            (self.refused + later.refused)[-most:],
        )

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        refused = [{"ref": ref, "detail": f"{ref} {why}"} for ref, why in self.refused]
        return {"accepted": self.accepted, "known": self.known, "refused": refused}


def take(store: Database, repository: Path, model: str, contents: ContentStore) -> Taken:
    """Check and take in everything that was pushed for a model; contents of files that are in git come with it.

    Raises:
        BoughError: git or the store cannot be read or written; what was pushed waits.
    """
    refs = objects.refs(repository, INCOMING_REFS)
    taken = Taken()
    if not refs:
        return taken
    own = objects.refs(repository, "refs/bough/")
    with Objects(repository) as source:
        batch = _Batch(store, repository, model, own, Reader(source), taken, contents)
        batch.check(refs)
    # Ended in between by a crash, the next look finds the incoming refs again, and the same verdicts.
    _name(repository, batch.good)
    batch.add()
    _update(repository, [f"delete {name} {oid}" for name, oid in refs.items()])
    return taken


class _Batch:
    """What is taken in together: an optimization and its trials most of all."""

    def __init__(
        self,
        store: Database,
        repository: Path,
        model: str,
        own: Mapping[str, str],
        reader: Reader,
        taken: Taken,
        contents: ContentStore,
    ) -> None:
        self._store = store
        self._repository = repository
        self._model = model
        self._own = own
        self._reader = reader
        self._taken = taken
        self._contents = contents
        self.good: dict[str, tuple[str, str | None]] = {}  # ref as it will be → its commit, and that of its code
        self._refused: dict[str, str] = {}  # ids of jobs → why
        self._models: list[ModelRows] = []
        self._chains: dict[str, OptimizationRows] = {}
        self._jobs: list[JobRows] = []
        self._renewed: list[JobRows] = []  # those that ran once more

    def check(self, refs: Mapping[str, str]) -> None:
        """Sort what was pushed into what is taken, what is known, and what is refused."""
        for kind, look in (("models", self._model_of), ("optimizations", self._chain), ("jobs", self._job)):
            prefix = f"{INCOMING_REFS}{kind}/"
            for record in self._reader.read({ref: oid for ref, oid in refs.items() if ref.startswith(prefix)}):
                name = "refs/bough/" + record.ref.removeprefix(INCOMING_REFS)
                try:
                    look(record, name)
                except BadRecord as error:
                    self._taken.refused.append((name, str(error)))
                    self._refused[name.rpartition("-")[2]] = f"its record {error}".rstrip(".")

    def add(self) -> None:
        """Put what is taken into the store, all or nothing."""
        if self._models or self._chains or self._jobs or self._renewed:
            self._store.write_sync(self._add)

    def _add(self, tx: Connection) -> None:
        for model in self._models:
            intake.add_model(tx, model)
        for chain in self._chains.values():
            intake.add_optimization(tx, chain)
        intake.add_jobs(tx, self._jobs)
        for found in self._renewed:
            if _is_over(tx, found.job):  # its user may have let it run here in the meantime
                intake.renew_job(tx, found)
        for chain in self._chains.values():
            intake.add_history(tx, chain, self._refused)
        for model in self._models:
            intake.add_marks(tx, model)

    def _model_of(self, record: Record, name: str) -> None:
        found = model_rows(record)
        self._check_model(found.model["id"])
        self._models.append(found)
        self._taken.known.append(name)  # its revisions are merged into ours: the ref stays our own

    def _chain(self, record: Record, name: str) -> None:
        found = optimization_rows(record)
        row = found.row
        self._check_model(row["model"])
        if self._is_known(schema.optimizations, row["id"]):
            if not _is_part(self._repository, record.oid, self._own.get(name)):
                raise BadRecord(f"is known here with another history than that of the commit {record.oid[:12]}.")
            self._taken.known.append(name)
            return
        if row["state"] in _LIVE:
            row["state"] = states.PAUSED
            row["reason"] = "It came from another coordinator while it was running there; resume it to go on here."
        self._check_free(record, name)
        self._chains[row["id"]] = found
        self._accept(record, name)
        self._taken.optimizations.add(row["id"])

    def _job(self, record: Record, name: str) -> None:
        found = job_rows(record)
        job = found.job
        self._check_model(job["model"])
        is_known = self._is_known(schema.jobs, job["id"])
        goes_on = is_known and self._goes_on(record, found, name)
        if is_known and not goes_on:
            if not _is_part(self._repository, record.oid, self._own.get(name)):
                raise BadRecord(f"is known here with another record than the commit {record.oid[:12]}.")
            self._taken.known.append(name)
            return
        intake.check_code(record, found, self._reader)
        intake.check_kpi(found)
        if job["optimization"] is not None and not goes_on:
            self._check_trial(job)
        self._check_definition(found)
        if not goes_on:
            self._check_free(record, name)
        intake.keep_contents(self._contents, found, record, self._reader)
        found.job["record"] = name
        chain = self._chains.get(job["optimization"] or "")
        if chain is not None and job["id"] in chain.again:
            intake.let_run_again(found)
        (self._renewed if goes_on else self._jobs).append(found)
        self._accept(record, name)
        self._taken.jobs.add(job["id"])
        if goes_on and job["optimization"] is not None:
            self._taken.optimizations.add(job["optimization"])

    def _goes_on(self, record: Record, found: JobRows, name: str) -> bool:
        """Tell whether a record is that of a later attempt of a job that is over here, on top of the one here.

        The ref may be there already: an earlier look was ended by a crash.
        """
        own = self._own.get(name)
        if own is None or not self._store.read_sync(lambda tx: _is_over(tx, found.job)):
            return False
        return _is_part(self._repository, own, record.oid)

    def _check_trial(self, job: Mapping[str, Any]) -> None:
        chain = self._chains.get(job["optimization"])
        if chain is None and self._is_known(schema.optimizations, job["optimization"]):
            raise BadRecord(f"is of optimization {job['optimization']}, which is known here and has no such trial.")
        if chain is None:
            raise BadRecord(f"is of optimization {job['optimization']}, which is not here: push that as well.")
        trial = chain.trials.get(job["id"])
        if trial is None or trial["number"] != job["number"] or trial["values"] != (job["values"] or None):
            raise BadRecord(f"is not the trial {job['number']} that its optimization knows.")

    def _check_definition(self, found: JobRows) -> None:
        """Of a trial it is also with the optimization, of other jobs it may be with the model."""
        revision = found.job["revision"]
        if found.definition is not None or found.job["optimization"] is not None:
            return
        pushed = {row["number"] for model in self._models for row in model.revisions}
        table = schema.model_revisions.c
        known = select(table.number).where(table.model == self._model, table.number == revision)
        if revision not in pushed and self._store.read_sync(lambda tx: tx.execute(known).first()) is None:
            raise BadRecord("lacks definition.json, and the revision of its model is not here.")

    def _check_model(self, model: str) -> None:
        if model != self._model:
            raise BadRecord(f"is of the model {model[:130]}, and this is the repository of {self._model}.")

    def _is_known(self, table: Any, its_id: str) -> bool:
        found = select(table.c.id).where(table.c.id == its_id)
        return self._store.read_sync(lambda tx: tx.execute(found).first() is not None)

    def _check_free(self, record: Record, name: str) -> None:
        if self._own.get(name, record.oid) != record.oid:
            raise BadRecord("exists here with another content.")

    def _accept(self, record: Record, name: str) -> None:
        self.good[name] = (record.oid, record.parents[0] if record.parents and "/jobs/" in name else None)
        self._taken.accepted.append(name)


_SAME = ("model", "optimization", "generation", "number", "ask_number", "values")  # whenever a job runs


def _is_over(tx: Connection, later: Mapping[str, Any]) -> bool:
    """Tell whether a job has ended and become a record here, in an earlier attempt than ``later``."""
    table = schema.jobs
    row = tx.execute(select(table).where(table.c.id == later["id"])).mappings().one()
    is_same = all(row[name] == later[name] for name in _SAME)
    is_recorded = row["state"] in states.TERMINAL and row["record"] is not None
    return is_same and is_recorded and bool(row["attempt"] < later["attempt"])


def _name(repository: Path, good: Mapping[str, tuple[str, str | None]]) -> None:
    """Give what is taken its own name, and pin its code."""
    codes = sorted({code for _, code in good.values() if code is not None})
    lines = [f"update {name} {oid}" for name, (oid, _) in good.items()]
    _update(repository, [*lines, *(f"update {CODE_REFS}{code} {code}" for code in codes)])


def _update(repository: Path, lines: Iterable[str]) -> None:
    told = "".join(f"{line}\n" for line in lines).encode()
    _git.run(["update-ref", "--stdin"], git_dir=str(repository), input=told, timeout_s=300.0, env=LAZY_REFS)


def _is_part(repository: Path, older: str, newer: str | None) -> bool:
    """Tell whether a commit is in the history of another one."""
    if newer is None:
        return False
    try:
        _git.run(["merge-base", "--is-ancestor", older, newer], git_dir=str(repository))
    except _git.GitFailed as error:
        if error.returncode != 1:
            raise
        return False
    return True
