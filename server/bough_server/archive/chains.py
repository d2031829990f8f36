"""From the newest commit of a chain to rows of the store: the way back of `chronicle`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from bough_server.archive import chronicle
from bough_server.archive.parsing import BadRecord, check_format, decoded, lines_of, mapping, row
from bough_server.archive.reading import Record
from bough_server.store import schema

Json = Mapping[str, Any]


@dataclass
class ModelRows:
    """A model, its revisions, and the marks of its jobs."""

    ref: str
    model: dict[str, Any]
    revisions: list[dict[str, Any]] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class OptimizationRows:
    """An optimization as its chain has it.

    Args:
        ref: Of the chain.
        row: Of the table of optimizations.
        spaces: Rows of all versions of its space.
        trials: By id: a row of the table of jobs for each trial, QUEUED if its values are fixed, else CREATED.
        history: Rows of its history, in order.
        definition: The bough.yml as JSON, None if it was not known.
        others: Rows of the other tables that belong to it.
    """

    ref: str
    row: dict[str, Any]
    spaces: list[dict[str, Any]] = field(default_factory=list)
    trials: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    definition: Json | None = None
    others: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)


def model_rows(record: Record) -> ModelRows:
    """Return what the chain of a model says.

    Raises:
        BadRecord: It is not whole, or of a format that is not known.
    """
    _check_whole(record)
    told = mapping(record, "model.json")
    check_format(told)
    found = ModelRows(record.ref, row(schema.models, told, "model.json"))
    _check_ref(record, chronicle.model_ref(found.model["id"]))
    for path in sorted(record.files):
        if path.startswith("revisions/"):
            revision = {**mapping(record, path), "model": found.model["id"]}
            found.revisions.append(row(schema.model_revisions, revision, path))
    found.marks = [row(schema.job_marks, line, "marks.jsonl") for line in lines_of(record, "marks.jsonl")]
    return found


def optimization_rows(record: Record) -> OptimizationRows:
    """Return what the chain of an optimization says.

    Raises:
        BadRecord: It is not whole, does not agree with itself, or is of a format that is not known.
    """
    _check_whole(record)
    told = mapping(record, "optimization.json")
    check_format(told)
    found = OptimizationRows(record.ref, row(schema.optimizations, told, "optimization.json"))
    _check_ref(record, chronicle.optimization_ref(found.row["id"]))
    own = {"optimization": found.row["id"]}
    spaces = decoded(record.files.get("spaces.json"), "spaces.json")
    if not isinstance(spaces, list) or not all(isinstance(space, dict) for space in spaces):
        raise BadRecord("has a spaces.json that is no list of mappings.")
    found.spaces = [row(schema.space_versions, {**space, **own}, "spaces.json") for space in spaces]
    if found.row["space_version"] not in [space["version"] for space in found.spaces]:
        raise BadRecord(f"lacks version {found.row['space_version']} of its space.")
    definition = decoded(record.files.get("definition.json"), "definition.json")
    found.definition = definition if isinstance(definition, dict) else None
    waiting = decoded(record.files.get("waiting.json"), "waiting.json")
    if not isinstance(waiting, list) or not all(isinstance(line, dict) for line in waiting):
        raise BadRecord("has a waiting.json that is no list of mappings.")
    for line in (*waiting, *_lines(record, "trials")):
        given = {**line, **own, "model": found.row["model"], "desired": "run"}
        fixed = line.get("values") is not None
        given |= {"state": "QUEUED", "queued_at": line.get("created_at")} if fixed else {"state": "CREATED"}
        trial = row(schema.jobs, given, "trials")
        found.trials[trial["id"]] = trial
    found.history = [row(schema.history, {**line, **own}, "history") for line in _lines(record, "history")]
    for table in chronicle.OTHERS:
        rows = lines_of(record, f"tables/{table.name}.jsonl")
        found.others[table] = [row(table, {**line, **own}, table.name) for line in rows]
    if [end["seq"] for end in found.history] != list(range(1, found.row["history_seq"] + 1)):
        raise BadRecord(f"holds {len(found.history)} ends, but counts {found.row['history_seq']}.")
    return found


def _check_whole(record: Record) -> None:
    if record.faults:
        raise BadRecord(f"{record.faults[0]}.")


def _check_ref(record: Record, own: str) -> None:
    if not record.ref.endswith(own.removeprefix("refs/bough")):
        raise BadRecord(f"says that it is {own}.")


def _lines(record: Record, folder: str) -> list[dict[str, Any]]:
    paths = sorted(path for path in record.files if path.startswith(f"{folder}/"))
    return [line for path in paths for line in lines_of(record, path)]
