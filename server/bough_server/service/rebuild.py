"""A coordinator made anew from git: a fresh home whose store holds what the records and chains of some clones say.

What is not in git cannot come back: keys and who was logged in, agents' own secrets, what a running trial had reported
so far. Trials that ran when the clone was made are queued again with the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, delete, select

from bough import _git
from bough.errors import UsageError
from bough_server.archive import objects, upkeep
from bough_server.archive.chains import ModelRows, OptimizationRows, model_rows, optimization_rows
from bough_server.archive.commits import LAZY_REFS
from bough_server.archive.objects import Objects
from bough_server.archive.parsing import BadRecord, JobRows, job_rows
from bough_server.archive.reading import Reader, Record
from bough_server.archive.records import JOB_REFS, MODEL_REFS, OPTIMIZATION_REFS
from bough_server.archive.repositories import Repositories, split_model, stand
from bough_server.config import Config
from bough_server.service import intake
from bough_server.store import schema
from bough_server.store.contents import ContentStore
from bough_server.store.database import Database

BATCH = 500
_FETCH_S = 3600.0
_WANTED = ("code", "models", "optimizations", "jobs", "kept")  # below refs/bough/
LOST = (
    "Not in git, and so not here: keys, logins, kept views and agents' own secrets. Agents log in anew with a key from "
    "`bough key create`, and trials that were running start again with the same values."
)

Progress = Callable[[str, int, int], None]  # what is being done, how much of it, of how much (0: not known)


@dataclass
class Rebuilt:
    """What a rebuild found.

    Args:
        models: Their names.
        optimizations: How many.
        jobs: How many were read from records.
        problems: A sentence for everything that could not be used.
        absent: How many contents of files are neither in git nor in the home.
    """

    models: list[str] = field(default_factory=list)
    optimizations: int = 0
    jobs: int = 0
    problems: list[str] = field(default_factory=list)
    absent: int = 0


def rebuild(config: Config, sources: Sequence[str], progress: Progress) -> Rebuilt:
    """Make a coordinator's home from clones that hold its records, and return what came of it.

    Args:
        config: Its home, which must not hold a coordinator yet.
        sources: Folders of repositories, or URLs that git may fetch from; none: the repositories of the home itself.
        progress: Is told how far it is.

    Raises:
        UsageError: There is a coordinator already, or a source is no (whole) repository with records.
        BoughError: A source cannot be fetched, or the home cannot be written.
    """
    _check_empty(config)
    found = Rebuilt()
    repositories = Repositories(config.repositories)
    for source in sources or [str(repositories.path(model)) for model in repositories.models()]:
        _fetch(source, repositories, found, progress)
    if not found.models:
        raise UsageError(f"{config.home} holds no repositories.", "Name a clone of one: --from REPO.")
    store = Database.open(config.store)
    try:
        for model in found.models:
            contents = ContentStore(config.contents)
            _Rebuild(store, repositories.path(model), model, found, progress, contents).run()
    except BaseException:  # half a store must not be taken for a whole one
        if config.database_url is not None:
            store.write_sync(_empty)
        store.close()
        for left in config.home.glob(f"{config.database.name}*"):
            left.unlink(missing_ok=True)
        raise
    store.close()
    return found


def _check_empty(config: Config) -> None:
    if config.database.exists():
        raise UsageError(f"{config.home} holds a coordinator already.", "Name another --home, or move it away.")
    if config.database_url is None:
        return
    store = Database.open(config.store)
    try:
        taken = store.read_sync(lambda tx: [t.name for t in _FILLED if tx.execute(select(t).limit(1)).first()])
    finally:
        store.close()
    if taken:
        raise UsageError(
            f"the database holds a coordinator already: there are rows in {', '.join(taken)}.",
            "Name an empty one: --database postgresql://….",
        )


_FILLED = (schema.models, schema.optimizations, schema.jobs)


def _empty(tx: Connection) -> None:
    for table in reversed(schema.metadata.sorted_tables):
        tx.execute(delete(table))


def _address(source: str) -> str:
    """Return what git is given for a source: a folder's path, or a URL that it may follow."""
    place = Path(source).expanduser()
    if place.is_dir():
        return str(place.resolve())
    if "://" not in source and ":" not in source:
        raise UsageError(f"there is no folder {source}.", f"Name a clone of what a coordinator hosts, {_ALL}.")
    return _git.check_url(source, allow_file=True)


def _fetch(source: str, repositories: Repositories, found: Rebuilt, progress: Progress) -> None:
    """Bring everything of one source into the repositories of its models."""
    url = _address(source)
    progress(f"fetching {source}", 0, 0)
    try:
        there = _git.run(["ls-remote", "--", url, f"{MODEL_REFS}*"], timeout_s=_FETCH_S, allow_file=True).decode()
    except _git.GitFailed as error:
        if not Path(url).is_dir():
            raise
        raise UsageError(f"{source} is no git repository, or a damaged one.", f"See: git -C {source} fsck.") from error
    models = [line.split("\t")[1].removeprefix(MODEL_REFS) for line in there.splitlines()]
    if not models:
        raise UsageError(
            f"{source} holds no records of bough.", f"Clone what a coordinator hosts: git clone --mirror …, {_ALL}."
        )
    for model in models:
        split_model(model)
        repository = repositories.ensure(model)
        wanted = [f"refs/bough/{name}/*:refs/bough/{name}/*" for name in _WANTED]
        try:
            command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url, *wanted]
            _git.run(command, git_dir=str(repository), timeout_s=_FETCH_S, allow_file=True, env=LAZY_REFS)
        except _git.GitFailed as error:
            if "[rejected]" not in error.stderr:
                if Path(url).is_dir() and _git.is_damage(error.stderr):
                    do = f"See: git -C {source} fsck --full; name another clone, or fetch what it lacks into it."
                    raise UsageError(f"{source} is damaged: git cannot read an object of it.", do) from error
                raise
            for line in error.stderr.splitlines():
                if "[rejected]" in line:
                    name = line.split("->")[-1].split()[0]
                    found.problems.append(f"{name} of {source} is another record than that of a source before it.")
        if model not in found.models:
            found.models.append(model)


_ALL = "or fetch refs/bough/*"


class _Rebuild:
    """Of one model: its revisions, optimizations, jobs, and histories, in this order."""

    def __init__(
        self,
        store: Database,
        repository: Path,
        model: str,
        found: Rebuilt,
        progress: Progress,
        contents: ContentStore,
    ) -> None:
        self._store = store
        self._repository = repository
        self._model = model
        self._found = found
        self._progress = progress
        self._contents = contents
        self._refused: dict[str, str] = {}  # ids of jobs whose records are not used → why

    def run(self) -> None:
        stand(self._repository)
        upkeep.pack(self._repository)
        with Objects(self._repository) as source:
            reader = Reader(source)
            models = self._read_model(reader)
            chains = self._read_optimizations(reader)
            self._read_jobs(reader, {chain.row["id"]: chain for chain in chains})
        for chain in chains:
            add = partial(intake.add_history, found=chain, refused=self._refused)
            self._found.problems += self._store.write_sync(add)
        for model in models:
            self._store.write_sync(partial(intake.add_marks, found=model))

    def _read_model(self, reader: Reader) -> list[ModelRows]:
        models = []
        for record in reader.read(objects.refs(self._repository, MODEL_REFS + self._model)):
            try:
                model = model_rows(record)
            except BadRecord as error:
                self._complain(record, error)
                continue
            self._store.write_sync(partial(intake.add_model, found=model))
            models.append(model)
        return models

    def _read_optimizations(self, reader: Reader) -> list[OptimizationRows]:
        chains = []
        for record in reader.read(objects.refs(self._repository, OPTIMIZATION_REFS)):
            try:
                chain = optimization_rows(record)
            except BadRecord as error:
                self._complain(record, error)
                continue
            if chain.row["model"] == self._model:
                self._store.write_sync(partial(intake.add_optimization, found=chain))
                chains.append(chain)
        self._found.optimizations += len(chains)
        return chains

    def _read_jobs(self, reader: Reader, chains: Mapping[str, OptimizationRows]) -> None:
        refs = objects.refs(self._repository, JOB_REFS)
        records, done = reader.read(refs), 0
        while some := list(islice(records, BATCH)):
            good = list(self._checked(some, reader, chains))
            by_ref = {record.ref: record for record in some}
            for one in good:
                self._found.absent += intake.keep_contents(self._contents, one, by_ref[one.ref], reader)
            self._store.write_sync(partial(intake.add_jobs, some=good))
            self._found.jobs += len(good)
            done += len(some)
            self._progress(f"reading records of {self._model}", done, len(refs))

    def _checked(
        self, some: Iterable[Record], reader: Reader, chains: Mapping[str, OptimizationRows]
    ) -> Iterator[JobRows]:
        for record in some:
            try:
                found = job_rows(record)
                if found.job["model"] != self._model:
                    continue
                intake.check_code(record, found, reader)
                intake.check_kpi(found)
                chain = chains.get(found.job["optimization"] or "")
                if found.job["optimization"] is not None and chain is None:
                    raise BadRecord(f"is of optimization {found.job['optimization']}, which is not here.")
            except BadRecord as error:
                self._refused[record.ref.rpartition("-")[2]] = f"its record {record.ref} {error}".rstrip(".")
                self._complain(record, error)
                continue
            if chain is not None and found.job["id"] in chain.again:
                intake.let_run_again(found)
            yield found

    def _complain(self, record: Record, error: BadRecord) -> None:
        self._found.problems.append(f"{record.ref} {error} It is left out.")
