"""The tables of the coordinator. What may be decided from them is decided in `bough_server.service`.

Times are seconds since the epoch (UTC) by the coordinator's clock unless the name says otherwise; durations end in
``_s``. A column of type `Json` holds any JSON value. Text that names a state is one of `service.states`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Json(TypeDecorator[Any]):
    """A JSON value in a text column, None as SQL NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the text that is stored."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value that was stored."""
        return None if value is None else msgspec.json.decode(value)


models = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),  # owner/name
    Column("owner", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

model_revisions = Table(
    "model_revisions",
    metadata,
    Column("model", Text, ForeignKey("models.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", Text, nullable=False),  # sha256 of the definition as JSON
    Column("definition", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", Text, nullable=False),  # key id
)

optimizations = Table(
    "optimizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, ForeignKey("models.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", Float, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("generation", Integer, nullable=False),  # from 1; a restart begins the next one
    Column("begun_at", Float, nullable=False),  # of its generation
    Column("ended_at", Float),
    Column("algorithm", Text, nullable=False),
    Column("max_trials", Integer, nullable=False),
    Column("initial_random", Integer, nullable=False),
    Column("max_parallel", Integer),
    Column("max_epochs", Float),
    Column("max_time_s", Float),
    Column("total_time_s", Float),
    Column("seed", BigInteger, nullable=False),
    Column("agents", Json),  # names, None = all
    Column("needs", Json),  # `service.needs`: resources, data, setup, on_end
    Column("kpi_channel", Text),
    Column("kpi_direction", Text),
    Column("kpi_reduce", Text, nullable=False),
    Column("kpi_channel_seen", Text),  # what the script declared, where the settings leave it open
    Column("kpi_direction_seen", Text),
    Column("retry", Integer, nullable=False),
    Column("stop_after", Integer),
    Column("pruning", Json),  # as in `bough.definition.Settings.pruning`
    Column("duplicates", Text, nullable=False),  # allow, resample or reuse
    Column("grace_s", Float, nullable=False),
    Column("term_s", Float, nullable=False),
    Column("commit", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("source", Json, nullable=False),
    Column("commands", Json, nullable=False),
    Column("env", Json, nullable=False),
    Column("working_dir", Text),
    Column("priority", Integer, nullable=False),
    Column("space_version", Integer, nullable=False),
    Column("searched", Json, nullable=False),  # paths, in the order of the file
    Column("warnings", Json, nullable=False),
    Column("versions", Json, nullable=False),  # what its asks were made with: `service.provenance`
    Column("history_seq", Integer, nullable=False),  # how many ends the history holds
    Column("asks", Integer, nullable=False),  # how many asks were taken: the number of the next one
    Column("numbers", Integer, nullable=False),  # how many trials were given a number
    Column("failures_in_row", Integer, nullable=False),
    Column("stopped_by", Text),  # user or total_time, while STOPPING and after
    Index(None, "state"),
)

space_versions = Table(
    "space_versions",
    metadata,
    Column("optimization", Text, ForeignKey("optimizations.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("space", Json, nullable=False),
    Column("fixed", Json, nullable=False),
    Column("created_at", Float, nullable=False),
)

generations = Table(  # those that a restart ended
    "generations",
    metadata,
    Column("optimization", Text, ForeignKey("optimizations.id"), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("begun_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),  # when it was restarted
    Column("space_version", Integer, nullable=False),  # its last one
    Column("versions", Json, nullable=False),  # as in optimizations
    Column("row", Json, nullable=False),  # the row of the optimization as it was then
)

edits = Table(
    "edits",
    metadata,
    Column("optimization", Text, ForeignKey("optimizations.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),  # key id
    Column("kind", Text, nullable=False),  # edit, retry, restart
    Column("generation", Integer, nullable=False),
    Column("from_ask", Integer, nullable=False),  # the first ask that it holds for
    Column("space_version", Integer, nullable=False),  # after it
    Column("changes", Json, nullable=False),  # lines for people
    Column("kept", Integer),  # ended trials that stay in the optimizer's history; None: the space is the same
    Column("left_out", Integer),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("optimization", Text, ForeignKey("optimizations.id")),
    Column("generation", Integer, nullable=False),  # of the optimization; 1 for a manual job
    Column("number", Integer),  # of the trial in its generation, from 1; None for a manual job
    Column("model", Text, ForeignKey("models.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("end_reason", Text),
    Column("message", Text),
    Column("values", Json),
    Column("ask_number", Integer),  # from 0; set by hand: -1 - the number of the next ask; None: not told
    Column("history_seq", Integer),  # how many entries of the history were there when it was asked
    Column("again", Integer, nullable=False),  # which try of that ask, from 0: `service.duplicates`
    Column("digest", Text),  # equal for equal values
    Column("reused_from", Text),  # job whose result is this one's; it did not run
    Column("commit", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("source", Json, nullable=False),
    Column("agents", Json),  # names, None = any
    Column("needs", Json),  # as that of the optimization
    Column("priority", Integer, nullable=False),
    Column("max_epochs", Float),
    Column("max_time_s", Float),
    Column("kpi", Float),
    Column("kpi_last", Float),
    Column("kpi_best", Float),
    Column("kpi_best_x", Float),
    Column("epochs", Float),
    Column("epochs_total", Float),
    Column("created_at", Float, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("queued_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("duration_s", Float),
    Column("exit_code", Integer),
    Column("attempt", Integer, nullable=False),  # of the newest claim; 0 before the first
    Column("agent", Text),  # id of the agent of the newest attempt
    Column("failures", Integer, nullable=False),  # tries used up
    Column("lost", Integer, nullable=False),  # attempts lost; they use up no try
    Column("retries", Integer, nullable=False),  # how often its user let it run again after its end
    Column("unreachable", Boolean, nullable=False),
    Column("partial", Boolean, nullable=False),
    Column("status", Text),
    Column("desired", Text, nullable=False),  # run, stop or kill
    Column("desired_cause", Text),
    Column("record", Text),  # ref of the commit that it became
    Index(None, "optimization", "generation", "number"),
    Index(None, "optimization", "digest"),
    # all that counting by state reads; what is alive is found by its first two
    Index(None, "optimization", "state", "generation", "attempt", "reused_from", "partial"),
    Index(None, "optimization", "generation", "state", "kpi"),  # the best of very many
    # what the archive looks for: with ten thousand records there is little in it
    Index(None, "state", "ended_at", sqlite_where=text("record IS NULL"), postgresql_where=text("record IS NULL")),
    Index(None, "state"),
    Index(None, "created_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("agent", Text, ForeignKey("agents.id"), nullable=False),
    Column("marker", Text, nullable=False),
    Column("claim_key", Text, nullable=False),
    Column("state", Text, nullable=False),  # held, lost, released, ended
    Column("claimed_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("python", Text),
    Column("said", Text),  # done, abort or fail: how the script said that it ended
    Column("said_message", Text),
    Column("progressed", Boolean, nullable=False),
    Column("exit", Json),
    Column("exit_at", Float),
    Column("message", Text),
    Column("suspect", Boolean, nullable=False, server_default=false()),  # `service.quarantine`
    Index(None, "agent", "state"),
    Index(None, "claim_key"),
    Index(None, "suspect"),
)

_ATTEMPT = ("job", "attempt")


def _of_attempt() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(_ATTEMPT, ("attempts.job", "attempts.attempt"))


streams = Table(
    "streams",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("stream", Text, primary_key=True),  # log, or journal/<writer>
    Column("acked", BigInteger, nullable=False),  # bytes
    Column("crc", BigInteger, nullable=False),  # CRC-32 of these bytes
    Column("bad_lines", Integer, nullable=False),
    Column("lost_lines", Integer, nullable=False),  # lines the script could not write: its disk was full
    Column("header", Json),  # the journal's first line
    _of_attempt(),
)

channels = Table(
    "channels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),  # number; text; image: y is the name of a file
    Column("traces", Json, nullable=False),
    Column("main", Boolean, nullable=False),
    Column("kpi", Boolean, nullable=False),
    Column("kpi_trace", Integer, nullable=False),
    Column("maximize", Boolean),
    Column("loss", Boolean, nullable=False),
    Column("declared", Boolean, nullable=False),
    Column("spec", Json, nullable=False),
    Column("points", Integer, nullable=False),
    Column("system", Boolean, nullable=False, server_default=false()),  # what the job uses, seen by its supervisor
    UniqueConstraint("job", "attempt", "name"),
    _of_attempt(),
)

point_chunks = Table(
    "point_chunks",
    metadata,
    Column("channel", Integer, ForeignKey("channels.id"), primary_key=True),
    Column("writer", Text, primary_key=True),
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # `store.points`
)

channel_last = Table(
    "channel_last",
    metadata,
    Column("channel", Integer, ForeignKey("channels.id"), primary_key=True),
    Column("trace", Integer, primary_key=True),
    Column("y", Float),
    Column("text", Text),  # of a text channel; "nan" where y is not a number
)

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),  # of its first byte in the log
    Column("n", Integer, nullable=False),  # bytes of the log
    Column("data", LargeBinary, nullable=False),  # zlib
    _of_attempt(),
)

infos = Table(
    "infos",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Json),
    _of_attempt(),
)

job_marks = Table(
    "job_marks",
    metadata,
    Column("job", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("star", Boolean, nullable=False),
    Column("tags", Json, nullable=False),  # texts, sorted
    Column("note", Text, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("changed_by", Text, nullable=False),  # key id
)

saved_views = Table(
    "saved_views",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),  # of the view in the page, from # on
    Column("created_at", Float, nullable=False),
    UniqueConstraint("user", "name"),
)

history = Table(
    "history",
    metadata,
    Column("optimization", Text, ForeignKey("optimizations.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),  # from 1: the order in which it was told, over all generations
    Column("generation", Integer, nullable=False),
    Column("job", Text, nullable=False),  # the last word about a job counts: `service.told`. It may be gone by now
    Column("ask_number", Integer, nullable=False),  # as that of the job; -1 for one of an earlier optimization
    Column("values", Json, nullable=False),
    Column("loss", Float),  # None: it failed
    Column("ended_at", Float, nullable=False),
    Index(None, "optimization", "job"),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),  # id of the key it registered with
    Column("epoch", Text, nullable=False),  # random per agent process
    Column("slots", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("system", Json, nullable=False),
    Column("labels", Json, nullable=False),
    Column("drain", Boolean, nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),  # written now and then: what decides is kept in memory
    Column("usage", Json),
    Column("offers", Json),  # what it has for jobs: data, GPUs, CPUs, memory, whose code it runs; as it registered
    Column("slots_set", Integer),  # slots that somebody gave it since; None: those it registered with
    Column("quarantine", Text),  # why it gets no jobs; None: it does
    Column("trusted_at", Float),  # when it was last released from quarantine: what was before counts no more
    UniqueConstraint("name", "key"),
)

agent_usage = Table(
    "agent_usage",
    metadata,
    Column("agent", Text, ForeignKey("agents.id"), primary_key=True),
    Column("step_s", Integer, primary_key=True),  # each row is the mean over so many seconds
    Column("at", BigInteger, primary_key=True),  # when they began; a multiple of step_s
    Column("n", Integer, nullable=False),  # of how many looks
    Column("usage", Json, nullable=False),  # numbers by name
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Column("revoked_at", Float),
)

environments = Table(  # what jobs ran in; an attempt's exit names one by its digest
    "environments",
    metadata,
    Column("digest", Text, primary_key=True),  # sha256 of the content as JSON
    Column("content", Json, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),  # id of the bearer's key + "/" + the Idempotency-Key
    Column("digest", Text, nullable=False),  # sha256 of the request
    Column("made", Text, nullable=False),  # id of what was created
    Column("created_at", Float, nullable=False),
    Index(None, "created_at"),
)

recorded = Table(
    "recorded",
    metadata,
    Column("nonce", Text, primary_key=True),  # drawn by the script when it started; 32 hexadecimal digits
    Column("job", Text, ForeignKey("jobs.id"), nullable=False),
    Column("created_at", Float, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Json),
)

job_files = Table(  # what jobs handed in: names, for contents that come on their own
    "job_files",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("path", Text, primary_key=True),  # `bough._paths`
    Column("sha256", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("title", Text),
    Column("at", Float, nullable=False),  # by the script's clock
    _of_attempt(),
    Index(None, "sha256"),
)

contents = Table(  # what is in the content store
    "contents",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)

refused_contents = Table(  # what an agent sent and was not taken
    "refused_contents",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    _of_attempt(),
)

documents = Table(  # what a job said of itself beyond points and infos, the newest of a name
    "documents",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),  # `service.documents`
    Column("name", Text, primary_key=True),
    Column("value", Json),
    Column("at", Float, nullable=False),  # by the script's clock
    _of_attempt(),
)

action_calls = Table(  # calls of actions that a script registered
    "action_calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("args", Json, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("asked_by", Text, nullable=False),  # key id
    Column("answer", Json),  # {"value": …} or {"error": …}
    Column("answered_at", Float),
    _of_attempt(),
    Index(None, "job", "attempt"),
)
