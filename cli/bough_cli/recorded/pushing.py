"""Brings a recorded run to a coordinator, as far as it goes now or until its end."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bough import _layout
from bough.errors import BoughError, Conflict, Unavailable, UsageError
from bough_agent.contents import Contents
from bough_cli.client import Client
from bough_cli.recorded import code
from bough_cli.recorded.folder import Recorded, read_folder

TYPE = "application/x-bough-sync"
MESSAGE_BYTES = 2 << 20  # of journals in one message; the coordinator takes 4 MiB with the header
POLL_S = 1.0
MAX_PAUSE_S = 30.0  # between two tries while the coordinator is away
PATIENCE_S = 600.0  # after the script's end, for a coordinator that is away

Say = Callable[[str], None]


def push_recorded(folder: Path, client: Client, ended: bool = False, progress: Say | None = None) -> dict[str, Any]:
    """Bring a recorded run, and return what the coordinator knows of the job by then (docs/protocol.md §3).

    Args:
        folder: ``.bough/<id>``.
        client: The coordinator.
        ended: The run is over, where that cannot be seen from this machine.
        progress: Told how far it is, in words.

    Raises:
        UsageError: The folder holds no such run, or its script still runs.
        BoughError: The coordinator refused it, or does not answer.
    """
    recorded = read_folder(folder)
    is_running = False if ended else recorded.is_running()
    if recorded.conclusion(is_running) is None:
        state = "still runs" if is_running else "may still run: that cannot be seen from this machine"
        raise Conflict(
            f"the script of {recorded.folder} {state}.",
            "Wait for its end, or show it live: --follow." if is_running else "If it has ended, add --ended.",
        )
    run = _Run(recorded, client)
    return run.bring_all(lambda: recorded.conclusion(is_running), progress)


def follow_recorded(
    folder: Path, client: Client, say: Say, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Bring a recorded run while its script runs, and its end; what the coordinator misses meanwhile comes later.

    Raises:
        BoughError: The coordinator refused it, or was away for 10 minutes after the script's end.
    """
    recorded = read_folder(folder)
    run: _Run | None = None
    failures, over_since = 0, None
    while True:
        try:
            run = run or _Run(recorded, client)
            reply = run.bring_all(lambda: recorded.conclusion(recorded.is_running()))
            if failures or run.is_new:
                say(f"job {reply['job']} is at {client.url}")
            failures, run.is_new = 0, False
            if reply["desired"] != "run" and not reply["ended"]:
                recorded.want_stop()
            if reply["ended"]:
                return reply
            recorded.call(reply.get("actions") or [])
            pause_s = POLL_S
        except (UsageError, Conflict):
            raise
        except BoughError as error:
            if not _may_pass(error):
                raise
            failures += 1
            if failures == 1:
                say(f"{error} Tried again until it works; the script goes on.")
            pause_s = min(MAX_PAUSE_S, POLL_S * 2 ** min(failures, 6))
            if recorded.is_running() is False:
                over_since = clock() if over_since is None else over_since
                if clock() - over_since > PATIENCE_S:
                    raise
        time.sleep(pause_s)


def _may_pass(error: BoughError) -> bool:
    return isinstance(error, Unavailable) or error.status >= 500


class _Run:
    """One recorded run on its way to one coordinator; made when the coordinator answers."""

    def __init__(self, recorded: Recorded, client: Client) -> None:
        self.recorded = recorded
        self.is_new = True
        self._client = client
        me = client.get("/me")
        its_definition = code.definition_of(recorded, str(me.get("user") or "me"))
        commit, folder = code.bring(recorded, client, its_definition["model"])
        facts = recorded.facts
        self._header = {
            "definition": its_definition, "commit": commit, "folder": folder, "values": facts.get("values") or {},
            "job_id": str(facts.get("job_id") or ""), "host": str(facts.get("host") or ""),
            "started_at": facts.get("started_at"), "source": {"url": None, "branch": None, "dirty": None},
        }  # fmt: skip
        self._acked: dict[str, int] = {}  # of the journals
        self._contents = Contents(recorded.folder, (str(facts.get("job_id")), 1), _layout.LIMITS)
        self._is_known = False

    def bring_all(self, conclude: Callable[[], dict[str, Any] | None], progress: Say | None = None) -> dict[str, Any]:
        """Send what the coordinator lacks; with the last of it how the run ended, if it has."""
        if not self._is_known:
            self._send([], [], None)  # asks what the coordinator has, and makes the job
        end = conclude()
        if end is not None:
            end = {**end, "files": self._contents.close()}
        while True:
            parts, pieces, is_all = self._pieces(end)
            if is_all:
                is_all = self._add_contents(parts, pieces)
            reply = self._send(parts, pieces, end if is_all else None)
            if progress is not None:
                done, total = sum(self._acked.values()), sum(map(_size, self.recorded.journals().values()))
                left = self._contents.left()
                progress(f"{done} of {total} bytes" + (f", {left} of files to go" if left else ""))
            if is_all or reply["ended"]:
                return reply

    def _pieces(self, end: dict[str, Any] | None) -> tuple[list[dict[str, Any]], list[bytes], bool]:
        """Return what comes next, whole lines only unless the run has ended, and whether that is all."""
        parts, pieces, room = [], [], MESSAGE_BYTES
        for stream, path in self.recorded.journals().items():
            offset = self._acked.get(stream, 0)
            known = (end or {}).get("journals", {}).get(stream.removeprefix(_layout.JOURNAL_STREAM), {}).get("bytes")
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read(room + 1 if known is None else max(0, min(room + 1, known - offset)))
            is_cut = len(data) > room
            data = data[:room]
            if known is None or is_cut:
                data = data[: data.rfind(b"\n") + 1]
            if data:
                parts.append({"stream": stream, "offset": offset, "bytes": len(data), "crc": zlib.crc32(data)})
                pieces.append(data)
                room -= len(data)
            if is_cut or room <= 0:
                return parts, pieces, False
        return parts, pieces, True

    def _add_contents(self, parts: list[dict[str, Any]], pieces: list[bytes]) -> bool:
        """Fill the message with files that were handed in; return whether these are all that is lacking."""
        taken = self._contents.take(max(1, MESSAGE_BYTES - sum(map(len, pieces))))
        for part in taken:
            parts.append({"stream": part.stream, "offset": part.offset, "bytes": len(part.data), "crc": part.crc})
            pieces.append(part.data)
        return self._contents.is_covered({part.stream: part.end for part in taken})

    def _send(self, parts: list[dict[str, Any]], pieces: list[bytes], end: dict[str, Any] | None) -> dict[str, Any]:
        header = {**self._header, "parts": parts, "exit": end, "ended_at": (end or {}).get("ended_at")}
        body = json.dumps(header).encode() + b"\n" + b"".join(pieces)
        reply: dict[str, Any] = self._client.send_bytes(f"/recorded/{self.recorded.nonce}", body, TYPE)
        self._is_known = True
        for stream, offset in reply["acked"].items():
            if stream.startswith(_layout.FILE_STREAM):
                self._contents.acknowledge(stream, offset)
            else:
                self._acked[stream] = offset
        return reply


def _size(path: Path) -> int:
    return path.stat().st_size
