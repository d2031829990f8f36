"""What a line of the stdout API means: its verb and its keys, as calls of the SDK's job (docs/languages.md).

Standard library only: the supervisor runs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from bough._job import Job
from bough.errors import UsageError

Keys = dict[str, Any]
_CHANNEL = (
    *("traces", "main", "kpi", "kpiTrace", "kpi_trace", "max_optimization"),
    *("type", "xaxis", "yaxis", "layout"),
)


class Speaker:
    """Does what lines say.

    Args:
        job: Where it is reported.
        cwd: The folder that paths are relative to.
        end: Called with "fail" or "abort" when a line said so: the program is to be stopped.
    """

    def __init__(self, job: Job, cwd: str, end: Callable[[str], None]) -> None:
        self._job = job
        self._cwd = cwd
        self._end = end
        self._channels: dict[str, Any] = {}

    def do(self, verb: str, keys: Keys) -> None:
        """Do what a line says.

        Raises:
            UsageError: There is no such verb, or a key is missing or unknown.
        """
        known = _VERBS.get(verb)
        if known is None:
            raise UsageError(f"{verb[:100]!r} is nothing to report.", f"There are: {', '.join(_VERBS)}.")
        needed, others, act = known
        for key in needed:
            if key not in keys:
                raise UsageError(f"{verb} has no {key}.", f"It takes: {', '.join((*needed, *others))}.")
        for key in keys:
            if key not in needed and key not in others:
                raise UsageError(f"{verb} knows no {key[:100]}.", f"It takes: {', '.join((*needed, *others))}.")
        act(self, keys)

    def create_channel(self, keys: Keys) -> None:
        """Make a channel; twice is an error."""
        name = str(keys.pop("name"))
        if name in self._channels:
            raise UsageError(f"channel {name[:200]} exists already.", "Create it once.")
        self._channels[name] = self._job.create_channel(name, **keys)

    def send(self, keys: Keys) -> None:
        """Send a point; a channel that was not made becomes a plain one."""
        name, y = str(keys["name"]), keys["y"]
        if name not in self._channels:
            traces = [str(index) for index in range(len(y))] if isinstance(y, list) and len(y) > 1 else None
            kind = "text" if isinstance(y, str) else "number"
            self._channels[name] = self._job.create_channel(name, traces=traces, type=kind)
        self._channels[name].send(keys["x"], y)

    def loss(self, keys: Keys) -> None:
        """Send both losses; the channel is made with the first."""
        name = str(keys.get("name") or "loss")
        if name not in self._channels:
            self._channels[name] = self._job.create_loss_channel(name)
        self._channels[name].send(keys["x"], keys["training"], keys["validation"])

    def file(self, keys: Keys) -> None:
        """Hand in a file or folder."""
        self._job.commit_file(os.path.join(self._cwd, str(keys["path"])), keys.get("name"), keys.get("title"))

    def end(self, how: str, message: Any) -> None:
        """Say how it ended; what failed or is given up is stopped."""
        self._job._end(how, message)
        if how != "done":
            self._end(how)

    @property
    def job(self) -> Job:
        """Where it is reported."""
        return self._job


def _call(name: str, *positional: str) -> Callable[[Speaker, Keys], None]:
    """Return what calls a method of the job with the keys, the positional ones first."""

    def act(speaker: Speaker, keys: Keys) -> None:
        values = [keys.pop(key, None) for key in positional]
        getattr(speaker.job, name)(*values, **keys)

    return act


_VERBS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Speaker, Keys], None]]] = {
    "create-channel": (("name",), _CHANNEL, Speaker.create_channel),
    "channel": (("name", "x", "y"), (), Speaker.send),
    "loss": (("x", "training", "validation"), ("name",), Speaker.loss),
    "progress": ((), ("progress", "total"), _call("progress", "progress", "total")),
    "epoch": ((), ("epoch", "total"), _call("progress", "epoch", "total")),
    "batch": (("batch", "total"), ("size", "label", "speed_label"), _call("batch", "batch", "total")),
    "sample": (("sample", "total"), ("size", "label", "speed_label"), _call("sample", "sample", "total")),
    "step": (("step", "total"), ("size", "label", "speed_label"), _call("step", "step", "total")),
    "speed": (("speed",), ("x", "label"), _call("report_speed", "speed")),
    "info": (("name", "value"), (), _call("set_info", "name", "value")),
    "system": (("name", "value"), (), _call("set_system_info", "name", "value")),
    "status": (("status",), ("add_section",), _call("set_status", "status")),
    "section": (("title",), (), _call("section", "title")),
    "graph": (("graph",), (), _call("set_graph", "graph")),
    "file": (("path",), ("name", "title"), Speaker.file),
    "add_insight_image": (("x", "path"), ("name", "label"), _call("add_insight_image_path", "x", "path")),
    "confusion_matrix": (("x", "matrix"), (), _call("add_insight_confusion_matrix", "x", "matrix")),
    "add_embedding_path": (
        ("x", "dimensions", "vectors_path"),
        ("metadata", "image_shape", "image"),
        _call("add_embedding_path", "x", "dimensions", "vectors_path"),
    ),
    "add_embedding_word2vec": (
        ("x", "path"),
        ("dimensions", "header_with_dimensions"),
        _call("add_embedding_word2vec", "x", "path"),
    ),
    "done": ((), (), lambda speaker, keys: speaker.end("done", None)),
    "abort": ((), ("message",), lambda speaker, keys: speaker.end("abort", keys.get("message"))),
    "fail": ((), ("message",), lambda speaker, keys: speaker.end("fail", keys.get("message"))),
}
