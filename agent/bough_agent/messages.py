"""What agent and coordinator say to each other, checked where it enters.

A claim names folders and commands on this machine, so nothing of it is used before it was looked at here. What a
newer coordinator adds is ignored; what is missing or of the wrong kind makes the claim `refused`, with a sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bough import _git, _layout
from bough.errors import Unavailable

Key = tuple[str, int]  # job id and attempt
Json = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_WRITER = re.compile(r"[0-9A-Za-z_-]{1,64}")  # of a journal: it becomes the name of a file
_DATA = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MARKER = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Claim:
    """The right to run one attempt, and all that is needed for it.

    ``values`` is flat and holds active hyperparameters only. ``folder`` and ``working_dir`` are relative to the
    repository and to the folder; times are seconds, None where there is no limit. ``needs`` are resources, data, setup
    and on_end as `bough.definition` reads them; ``source`` is where the code came from, where that is known.
    ``commit`` is "" where this agent has to find it: ``fetch`` says at which URL, and by which branch or tag.
    """

    job_id: str
    attempt: int
    marker: str
    model: str
    optimization: str | None
    number: int | None
    commit: str
    git: str
    folder: str
    commands: tuple[tuple[str, tuple[str, ...]], ...]
    values: Mapping[str, Any]
    env: Mapping[str, str]
    working_dir: str | None
    max_epochs: float | None
    max_time_s: float | None
    grace_s: float
    term_s: float
    kpi: Mapping[str, Any]
    output: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=lambda: dict(_layout.LIMITS))
    needs: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    fetch: Mapping[str, Any] | None = None
    signature: str | None = None

    @property
    def key(self) -> Key:
        """The job and its attempt."""
        return self.job_id, self.attempt

    @property
    def title(self) -> str:
        """What people call it: ``trial 7 of p7tq2m4x (job k3f9a2bq)``, or ``job k3f9a2bq``."""
        if self.optimization is None or self.number is None:
            return f"job {self.job_id}"
        return f"trial {self.number} of {self.optimization} (job {self.job_id})"


@dataclass(frozen=True)
class Reply:
    """What the coordinator answered to a sync."""

    instance: str
    acked: tuple[tuple[Key, str, int], ...] = ()
    ended: frozenset[Key] = frozenset()
    incomplete: frozenset[Key] = frozenset()
    fenced: frozenset[Key] = frozenset()
    desired: Mapping[Key, tuple[str, str | None]] = field(default_factory=dict)
    actions: Mapping[Key, list[Json]] = field(default_factory=dict)
    granted: tuple[Claim, ...] = ()
    refused: tuple[tuple[Key, str], ...] = ()
    bell: int = 0
    drain: bool = False
    slots: int | None = None
    quarantine: str | None = None


class _Fault(ValueError):
    """Why a claim cannot be used: the end of a sentence."""


def read_reply(body: Json) -> Reply:
    """Return the reply of a sync.

    Raises:
        Unavailable: It does not have the shape that the protocol gives it; the sync may be sent again.
    """
    try:
        granted, refused = _claims(body.get("granted", []))
        return Reply(
            instance=str(body["instance"]),
            acked=tuple(((str(j), int(a)), str(s), int(o)) for j, a, s, o in body.get("acked", [])),
            ended=_keys(body.get("ended", [])),
            incomplete=_keys(body.get("incomplete", [])),
            fenced=_keys(body.get("fenced", [])),
            desired={
                (str(j), int(a)): (str(d), None if c is None else str(c)) for j, a, d, c in body.get("desired", [])
            },
            actions={(str(j), int(a)): [dict(call) for call in calls] for j, a, calls in body.get("actions", [])},
            granted=granted,
            refused=refused,
            bell=int(body.get("bell", 0)),
            drain=body.get("agent") == "drain",
            slots=None if body.get("slots") is None else max(1, int(body["slots"])),
            quarantine=_text(body.get("quarantine")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(
            f"the coordinator's reply to a sync is not understood ({type(error).__name__}: {error}).",
            "Check that agent and coordinator have the same version of bough.",
        ) from None


def _keys(rows: list[list[Any]]) -> frozenset[Key]:
    return frozenset((str(job), int(attempt)) for job, attempt in rows)


def _claims(rows: list[Json]) -> tuple[tuple[Claim, ...], tuple[tuple[Key, str], ...]]:
    granted: list[Claim] = []
    refused: list[tuple[Key, str]] = []
    for row in rows:
        key = (str(row["job_id"]), int(row["attempt"]))
        try:
            granted.append(read_claim(row))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) if isinstance(error, _Fault) else f"{type(error).__name__}: {error}"
            refused.append((key, f"the agent does not understand what it was granted: {reason}."))
    return tuple(granted), tuple(refused)


def read_claim(row: Json) -> Claim:
    """Return a claim; raises ValueError, KeyError or TypeError where it is not as the protocol says."""
    owner, _, name = str(row["model"]).partition("/")
    _check(_ID.fullmatch(str(row["job_id"])), "job_id is no id")
    _check(int(row["attempt"]) >= 1, "attempt is below 1")
    _check(_MARKER.fullmatch(str(row["marker"])), "marker is not 32 hexadecimal digits")
    _check(_NAME.fullmatch(owner) and _NAME.fullmatch(name), "model is not owner/name")
    commit, fetch = row["commit"], row.get("fetch")
    _check(commit is not None or fetch is not None, "there is neither a commit nor a source")
    _check(commit is None or _git.is_sha(str(commit)), "commit is no full id")
    _check(re.fullmatch(r"/git/[A-Za-z0-9._/-]+", str(row["git"])), "git is no path below /git/")
    commands = tuple((str(c["name"]), tuple(str(a) for a in c["argv"])) for c in row["commands"])
    _check(commands and all(argv for _, argv in commands), "there is no command")
    return Claim(
        job_id=str(row["job_id"]),
        attempt=int(row["attempt"]),
        marker=str(row["marker"]),
        model=str(row["model"]),
        optimization=_text(row.get("optimization")),
        number=None if row.get("number") is None else int(row["number"]),
        commit=commit or "",
        git=str(row["git"]),
        folder=_inside(str(row.get("folder") or "."), "folder"),
        commands=commands,
        values=dict(row["values"]),
        env={str(name): str(value) for name, value in dict(row.get("env") or {}).items()},
        working_dir=None if not row.get("working_dir") else _inside(str(row["working_dir"]), "working_dir"),
        max_epochs=_number(row.get("max_epochs")),
        max_time_s=_number(row.get("max_time_s")),
        grace_s=float(row.get("grace_s", 30.0)),
        term_s=float(row.get("term_s", 10.0)),
        kpi=dict(row.get("kpi") or {"channel": None, "direction": None}),
        output=tuple(str(pattern) for pattern in row.get("output") or ()),
        limits=_limits(row.get("limits") or {}),
        needs=_needs(row.get("needs")),
        source=_text(row.get("source")),
        fetch=None if commit or fetch is None else {"url": str(fetch["url"]), "ref": _text(fetch.get("ref"))},
        signature=_text(row.get("signature")),
    )


def _needs(row: Any) -> Mapping[str, Any]:
    needs: Json = dict(row or {})
    for name in ("cpu", "memory_bytes", "gpu", "gpu_memory_bytes"):
        good = (
            type(needs.get(name, 0)) in (int, float) and math.isfinite(needs.get(name, 0)) and needs.get(name, 0) >= 0
        )
        _check(good, f"{name} is no amount")
    for name in ("data", "on_end"):
        texts = needs.get(name, [])
        _check(isinstance(texts, list) and all(isinstance(text, str) for text in texts), f"{name} is no list of names")
    _check(all(_DATA.fullmatch(name) for name in needs.get("data", ())), "a name of data is not possible")
    _check(isinstance(needs.get("setup", {}), dict), "setup is no mapping")
    return needs


def write_claim(claim: Claim) -> Json:
    """Return the claim as the JSON object that `read_claim` reads."""
    row: Json = {name: getattr(claim, name) for name in claim.__dataclass_fields__}
    row["commands"] = [{"name": name, "argv": list(argv)} for name, argv in claim.commands]
    return row


def read_exit(row: Json) -> Json:
    """Return exit.json as it may be sent on: what decisions need is of the right kind, the rest is JSON for everyone.

    A trial can write where its supervisor does. What the coordinator would refuse must not get into a sync, because
    the sync carries the reports of all other attempts too.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is not what a supervisor writes.
    """
    exit: Json = _plain(row)
    for name, kinds in _EXIT.items():
        _check(isinstance(exit.setdefault(name, None), kinds), f"{name} is {exit[name]!r}")
    exit.pop("files", None)  # not a supervisor's to say
    exit["log"] = _sizes(exit.get("log") or {"bytes": 0, "crc": 0})
    for writer in exit.get("journals") or {}:
        _check(_WRITER.fullmatch(writer), f"a journal is called {writer!r}")
    exit["journals"] = {str(writer): _sizes(sizes) for writer, sizes in (exit.get("journals") or {}).items()}
    return exit


_EXIT: Mapping[str, tuple[type, ...]] = {
    "exit_code": (int, type(None)),
    "signal": (str, int, type(None)),
    "cause": (str, type(None)),
    "error": (str, type(None)),
    "duration_s": (float, int, type(None)),
}


def _sizes(row: Json) -> Json:
    sizes = {"bytes": row["bytes"], "crc": row["crc"], "cut": row.get("cut")}
    good = all(type(value) is int and 0 <= value < 1 << 62 for value in (sizes["bytes"], sizes["crc"]))
    _check(good and (sizes["cut"] is None or type(sizes["cut"]) is int), f"a size is {row!r}")
    return sizes


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a JSON value without what only Python reads: not finite numbers and halves of characters."""
    _check(depth < 8, "it is too deep")
    if isinstance(value, dict):
        return {_plain(name): _plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value[:10000].encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    _check(not isinstance(value, int) or abs(value) < 1 << 62, "a number is too large")
    return value


def _check(good: object, fault: str) -> None:
    if not good:
        raise _Fault(fault)


def _limits(row: Json) -> Mapping[str, int]:
    found = {name: int(row.get(name, value)) for name, value in _layout.LIMITS.items()}
    _check(all(value > 0 for value in found.values()), "a limit is not above 0")
    return found


def _inside(path: str, name: str) -> str:
    outside = path.startswith("/") or "\0" in path or ".." in path.split("/") or ".git" in path.lower().split("/")
    _check(not outside, f"{name} {path!r} is not inside the repository")
    return path


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    return None if value is None else value if isinstance(value, int) else float(value)
