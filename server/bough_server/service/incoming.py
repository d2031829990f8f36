"""Records that others pushed, checked and made known: what lies below ``refs/bough/incoming/``.

A record of a job is taken if it is whole, agrees with itself and with the code it grows from, is of the repository's
model, and is not known yet. Of one that is known, a further record is taken that stands on the record here: the job
ran once more elsewhere. A trial comes with its optimization; one that is known here is taken over where it went on
elsewhere and not here (`joining`). What is sound and cannot be joined with what is here is kept below
``refs/bough/kept/``, where everyone who clones finds it. Whatever the verdict, the incoming ref goes.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bough import _git
from bough.errors import Conflict
from bough_server.archive import commits, objects
from bough_server.archive.chains import ModelRows, OptimizationRows, model_rows, optimization_rows
from bough_server.archive.commits import LAZY_REFS
from bough_server.archive.objects import Objects
from bough_server.archive.parsing import BadRecord, JobRows, job_rows
from bough_server.archive.reading import Reader, Record
from bough_server.archive.records import INCOMING_REFS, KEPT_REFS, kept_ref
from bough_server.archive.repositories import CODE_REFS, stand
from bough_server.service import intake, joining, states
from bough_server.service.joining import Apart
from bough_server.store import schema
from bough_server.store.contents import ContentStore
from bough_server.store.database import Database

_KEPT = KEPT_REFS.removeprefix("refs/bough/")
_log = logging.getLogger(__name__)


@dataclass
class Taken:
    """What became of what was pushed.

    Args:
        accepted: Refs, named as they are here now.
        known: Refs that were here before with the same content.
        refused: (ref, why): the end of a sentence that begins with "it".
        kept: (ref, why, the name that it has instead): what is sound and cannot be joined with what is here.
        jobs: Ids of jobs that are new, or ran once more.
        optimizations: Ids of optimizations that are new, or whose trials ran once more.
    """

    accepted: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    optimizations: set[str] = field(default_factory=set)

    def and_then(self, later: Taken, most: int) -> Taken:
        """Return both together; of refs the last ``most``."""
        return Taken(
            (self.accepted + later.accepted)[-most:],
            (self.known + later.known)[-most:],
            (self.refused + later.refused)[-most:],
            (self.kept + later.kept)[-most:],
        )

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        refused = [{"ref": ref, "detail": f"{ref} {why}"} for ref, why in self.refused]
        kept = [{"ref": ref, "detail": f"{ref} {why}", "as": name} for ref, why, name in self.kept]
        return {"accepted": self.accepted, "known": self.known, "refused": refused, "kept": kept}


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
    # Ended in between by a crash, the next look finds the incoming refs again, and comes to the same.
    _name(repository, batch.good)
    try:
        batch.add()
    except SQLAlchemyError as error:  # a fault of ours with what was pushed: it must not stand in the way of all else
        if isinstance(error, OperationalError):
            raise
        _log.exception("what was pushed for %s cannot be stored", model)
        taken = batch.give_up(error)
    batch.join_chains()
    kept = [f"update {name} {oid}" for name, oid in batch.kept.items()]
    _update(repository, [*kept, *(f"delete {name} {oid}" for name, oid in refs.items())])
    _sweep(repository)
    stand(repository)
    return taken


def _sweep(repository: Path) -> None:
    """Drop what is kept aside and has become part of what is here."""
    own = objects.refs(repository, "refs/bough/")
    aside = {name: oid for name, oid in own.items() if name.startswith(KEPT_REFS)}
    whole = {name: "refs/bough/" + name.removeprefix(KEPT_REFS).partition("/")[2] for name in aside}
    gone = [name for name, oid in aside.items() if _is_part(repository, oid, own.get(whole[name]))]
    _update(repository, [f"delete {name} {aside[name]}" for name in gone])


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
        self.kept: dict[str, str] = {}  # ref below refs/bough/kept/ → its commit
        self._refused: dict[str, str] = {}  # ids of jobs → why
        self._models: list[ModelRows] = []
        self._chains: dict[str, OptimizationRows] = {}
        self._joined: dict[str, tuple[joining.Here, OptimizationRows]] = {}  # optimizations that went on elsewhere
        self._tips: dict[str, tuple[str, bool]] = {}  # refs of known chains → the tip that came, and whether it counts
        self._jobs: list[JobRows] = []
        self._renewed: list[JobRows] = []  # those that ran once more

    def check(self, refs: Mapping[str, str]) -> None:
        """Sort what was pushed into what is taken, what is known, what is kept aside, and what is refused."""
        looks = (("models", self._model_of), ("optimizations", self._chain), ("jobs", self._job))
        for kind, look in looks:
            for record in self._reader.read({ref: oid for ref, oid in refs.items() if _kind(ref) == kind}):
                name = "refs/bough/" + record.ref.removeprefix(INCOMING_REFS)
                is_aside = name.startswith(KEPT_REFS)
                name = "refs/bough/" + name.removeprefix(KEPT_REFS).partition("/")[2] if is_aside else name
                try:
                    if is_aside:
                        self._aside(record, name)
                    else:
                        look(record, name)
                except Apart as error:
                    as_ = kept_ref(name, record.oid)
                    self.kept[as_] = record.oid
                    self._taken.kept.append((name, str(error), as_))
                except BadRecord as error:
                    self._refuse(name, str(error))
                except SQLAlchemyError:
                    raise
                except Exception:  # a fault of ours with this record; the others must not wait for it
                    _log.exception("%s of %s cannot be checked", name, self._model)
                    self._refuse(name, "cannot be checked; the coordinator's log says why.")

    def _refuse(self, name: str, why: str) -> None:
        self._taken.refused.append((name, why))
        self._refused[name.rpartition("-")[2]] = f"its record {why}".rstrip(".")

    def add(self) -> None:
        """Put what is taken into the store, all or nothing."""
        if self._models or self._chains or self._joined or self._jobs or self._renewed:
            self._store.write_sync(self._add)

    def _add(self, tx: Connection) -> None:
        for model in self._models:
            intake.add_model(tx, model)
        for chain in self._chains.values():
            intake.add_optimization(tx, chain)
        marks = []
        for known, chain in self._joined.values():
            if joining.here(tx, known.row["id"]) != known:  # it went on while we looked
                raise Conflict(f"optimization {known.row['id']} is changing just now.", "Push it again in a moment.")
            marks += joining.marks_of_waiting(tx, known)
            joining.take_over(tx, known, chain)
        intake.add_jobs(tx, self._jobs)
        for found in self._renewed:
            if _is_over(tx, found.job, self._joined):  # its user may have let it run here in the meantime
                intake.renew_job(tx, found, tell=found.job["optimization"] not in self._joined)
        for chain in self._chains.values():
            intake.add_history(tx, chain, self._refused)
        for known, chain in self._joined.values():
            intake.add_history(tx, chain, self._refused, after=len(known.history))
        for model in self._models:
            intake.add_marks(tx, model)
        intake.put_back_marks(tx, marks)

    def join_chains(self) -> None:
        """Let the chains here stand on what came, which the store holds now; whoever pulls sees both."""
        for name, (tip, counts) in self._tips.items():
            own = self._own[name]
            if _is_part(self._repository, own, tip):
                new = tip
            else:
                new = commits.join(self._repository, own, tip, tip if counts else own)
            _update(self._repository, [f"update {name} {new} {own}"])

    def give_up(self, error: SQLAlchemyError) -> Taken:
        """Take nothing of what was accepted, and say so; return the verdicts then."""
        made = [f"delete {name} {oid}" for name, (oid, _) in self.good.items() if name not in self._own]
        _update(self._repository, made)
        why = f"cannot be stored ({type(error).__name__}); the coordinator's log says why."
        refused = [*self._taken.refused, *((name, why) for name in self._taken.accepted)]
        self._tips.clear()
        return Taken([], self._taken.known, refused, self._taken.kept)

    def _model_of(self, record: Record, name: str) -> None:
        found = model_rows(record)
        self._check_model(found.model["id"])
        self._models.append(found)
        self._taken.known.append(name)  # its revisions are merged into ours: the ref stays our own

    def _aside(self, record: Record, name: str) -> None:
        """Look at what another clone keeps aside: it stays aside here, unless what is here holds it."""
        if _kind(record.ref) == "jobs":
            self._check_model(job_rows(record).job["model"])
        elif _kind(record.ref) == "optimizations":
            self._check_model(optimization_rows(record).row["model"])
        else:
            self._check_model(model_rows(record).model["id"])
        if not _is_part(self._repository, record.oid, self._own.get(name)):
            raise Apart("was kept aside where it comes from.")
        self._taken.known.append(name)

    def _chain(self, record: Record, name: str) -> None:
        found = optimization_rows(record)
        self._check_model(found.row["model"])
        its_id = found.row["id"]
        if self._is_known(schema.optimizations, its_id):
            self._known_chain(record, name, found)
            return
        joining.paused(found.row)
        self._check_free(record, name)
        self._chains[its_id] = found
        self._accept(record, name)
        self._taken.optimizations.add(its_id)

    def _known_chain(self, record: Record, name: str, found: OptimizationRows) -> None:
        """Hold the chain of a known optimization against what is here.

        The store decides, not the refs: it may be ahead of them after a crash.
        """
        its_id, own = found.row["id"], self._own.get(name)
        known = self._store.read_sync(lambda tx: joining.here(tx, its_id))
        if known.row["model"] != self._model:
            raise BadRecord(f"is of the model {known.row['model']} here.")
        is_newer = own is not None and own != record.oid and _is_part(self._repository, own, record.oid)
        goes_on = joining.goes_on(known, found, self._base(name, own, record.oid), is_newer)
        if own is not None and not _is_part(self._repository, record.oid, own):
            self._tips[name] = (record.oid, goes_on)
        if not goes_on:
            self._taken.known.append(name)
            return
        self._joined[its_id] = (known, found)
        self._taken.accepted.append(name)
        self._taken.optimizations.add(its_id)

    def _base(self, name: str, own: str | None, other: str) -> Mapping[str, Any] | None:
        """Return the row of an optimization in the commit where its two chains parted, None if there is none."""
        if own is None:
            return None
        try:
            oid = _git.run(["merge-base", own, other], git_dir=str(self._repository)).decode().strip()
            (record,) = self._reader.read({name: oid})
            return optimization_rows(record).row
        except (_git.GitFailed, BadRecord):
            return None

    def _job(self, record: Record, name: str) -> None:
        found = job_rows(record)
        job = found.job
        self._check_model(job["model"])
        known, chain = self._joined.get(job["optimization"] or "", (None, None))
        is_known = self._is_known(schema.jobs, job["id"]) and not (known is not None and job["id"] in known.waiting)
        goes_on = is_known and self._goes_on(record, found, name)
        if is_known and not goes_on and _is_part(self._repository, record.oid, self._own.get(name)):
            self._taken.known.append(name)
            return
        intake.check_code(record, found, self._reader)
        intake.check_kpi(found)
        if is_known and not goes_on:
            raise Apart("is another record of this job than the one here.")
        if job["optimization"] is not None and not goes_on:
            self._check_trial(job)
        self._check_definition(found)
        if not goes_on:
            self._check_free(record, name)
        intake.keep_contents(self._contents, found, record, self._reader)
        found.job["record"] = name
        chain = chain or self._chains.get(job["optimization"] or "")
        if chain is not None and job["id"] in chain.again:
            intake.let_run_again(found)
        (self._renewed if goes_on else self._jobs).append(found)
        self._accept(record, name)
        self._taken.jobs.add(job["id"])
        if goes_on and job["optimization"] is not None:
            self._taken.optimizations.add(job["optimization"])

    def _goes_on(self, record: Record, found: JobRows, name: str) -> bool:
        """Tell whether a record is that of a later attempt of a job that is over here, on top of the one here.

        Or of the same attempt, where its optimization reckons the KPI otherwise since, and that is taken over. The ref
        may be there already: an earlier look was ended by a crash.
        """
        own = self._own.get(name)
        if own is None or not self._store.read_sync(lambda tx: _is_over(tx, found.job, self._joined)):
            return False
        return _is_part(self._repository, own, record.oid)

    def _check_trial(self, job: Mapping[str, Any]) -> None:
        chain = self._chains.get(job["optimization"]) or self._joined.get(job["optimization"], (None, None))[1]
        if chain is None and self._is_known(schema.optimizations, job["optimization"]):
            raise Apart(f"is of optimization {job['optimization']}, which is known here and has no such trial.")
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
            raise Apart("exists here with another content.")

    def _accept(self, record: Record, name: str) -> None:
        self.good[name] = (record.oid, record.parents[0] if record.parents and "/jobs/" in name else None)
        self._taken.accepted.append(name)


def _kind(ref: str) -> str:
    """Return models, optimizations or jobs for a ref below refs/bough/incoming/, kept aside or not."""
    name = ref.removeprefix(INCOMING_REFS)
    return (name.split("/", 2)[2] if name.startswith(_KEPT) and name.count("/") > 1 else name).partition("/")[0]


_SAME = ("model", "optimization", "generation", "number", "ask_number", "values")  # whenever a job runs


_SCORED = ("state", "kpi", "kpi_last", "kpi_best", "kpi_best_x")  # what another rule of the KPI may change


def _is_over(tx: Connection, later: Mapping[str, Any], joined: Container[str]) -> bool:
    """Tell whether a job has ended and become a record here, in an earlier attempt than ``later``.

    With one of the optimizations ``joined`` it may be the same attempt, if its KPI is another one.
    """
    table = schema.jobs
    row = tx.execute(select(table).where(table.c.id == later["id"])).mappings().one()
    is_same = all(row[name] == later[name] for name in _SAME)
    is_recorded = row["state"] in states.TERMINAL and row["record"] is not None
    is_rescored = later["optimization"] in joined and any(row[name] != later[name] for name in _SCORED)
    is_later = row["attempt"] < later["attempt"] or (row["attempt"] == later["attempt"] and is_rescored)
    return is_same and is_recorded and is_later


def _name(repository: Path, good: Mapping[str, tuple[str, str | None]]) -> None:
    """Give what is taken its own name, and pin its code."""
    codes = sorted({code for _, code in good.values() if code is not None})
    lines = [f"update {name} {oid}" for name, (oid, _) in good.items()]
    _update(repository, [*lines, *(f"update {CODE_REFS}{code} {code}" for code in codes)])


def _update(repository: Path, lines: Iterable[str]) -> None:
    told = "".join(f"{line}\n" for line in lines).encode()
    if told:
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
