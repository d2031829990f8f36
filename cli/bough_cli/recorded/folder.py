"""The folder ``.bough/<id>`` of a script that ran without an agent: what it says, and whether the script still runs."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bough import _by_hand, _exit_code, _layout
from bough.errors import NotFound, UsageError


@dataclass(frozen=True)
class Recorded:
    """A recorded run.

    Attributes:
        folder: Where it lies.
        facts: Its job.json.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def nonce(self) -> str:
        """What identifies the job, whoever brings it."""
        return str(self.facts["nonce"])

    def is_running(self) -> bool | None:
        """Whether its script still runs; None where that cannot be seen from here."""
        return False if self.exit() is not None else self._is_alive()

    def _is_alive(self) -> bool | None:
        if self.facts.get("host") != _by_hand.host() or not self.facts.get("pid_ticks"):
            return None
        if self.facts.get("boot_id") != _by_hand.read(_by_hand.BOOT_ID):
            return False  # the machine was started again since
        return bool(_by_hand.ticks_of(int(self.facts["pid"])) == self.facts["pid_ticks"])

    def exit(self) -> dict[str, Any] | None:
        """Return its exit.json; None where the script has not ended, or not by itself."""
        try:
            found = json.loads((self.folder / _layout.EXIT).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict):
            return None
        if not found.pop("is_code_coming", False):
            return found
        code = _exit_code.read(str(self.folder))
        if code is None and self._is_alive():  # Python has ended, the process not quite
            return None
        return found if code is None else {**found, "exit_code": code}

    def journals(self) -> dict[str, Path]:
        """Return its journals by the name of their stream."""
        found = sorted((self.folder / _layout.JOURNALS).glob("*.jsonl"))
        return {_layout.JOURNAL_STREAM + path.stem: path for path in found if path.is_file() and not path.is_symlink()}

    def said_done(self) -> bool:
        """Whether the script said how it ended: a notebook does, whose process goes on."""
        return any(_has_end(path) for path in self.journals().values())

    def conclusion(self, is_running: bool | None) -> dict[str, Any] | None:
        """Return how it ended, as exit.json of an agent's job would say it; None while it runs."""
        told = self.exit()
        if told is None and is_running is not False and not self.said_done():
            return None
        if told is None:
            told = {"exit_code": 0} if self.said_done() else {"exit_code": None, "cause": "lost"}
        if (self.folder / _layout.STOP).exists():  # somebody wanted it, as `want_stop` noted
            told = {**told, "cause": _layout.USER}
        journals = {}
        for stream, path in self.journals().items():
            data = path.read_bytes()
            journals[stream.removeprefix(_layout.JOURNAL_STREAM)] = {"bytes": len(data), "crc": zlib.crc32(data)}
        return {**told, "log": {"bytes": 0, "crc": 0}, "journals": journals}

    def want_stop(self) -> None:
        """Let the script see that it is to stop: `job.should_stop`."""
        self._tell(_layout.STOP, {"cause": _layout.USER})

    def call(self, calls: list[dict[str, Any]]) -> None:
        """Let the script see which of its actions are called and have no answer."""
        path = self.folder / _layout.ACTIONS
        if calls or path.exists():
            self._tell(_layout.ACTIONS, calls)

    def _tell(self, name: str, content: object) -> None:
        (self.folder / _layout.CONTROL).mkdir(mode=0o700, exist_ok=True)
        temporary = self.folder / f"{name}.{os.getpid()}"
        temporary.write_text(json.dumps(content))
        temporary.replace(self.folder / name)


def is_recorded(place: str) -> bool:
    """Whether a path names the folder of a recorded run rather than anything else."""
    return (Path(place) / _layout.JOB).is_file() or Path(place).parent.name == ".bough"


def read_folder(folder: Path) -> Recorded:
    """Return the recorded run in a folder.

    Raises:
        NotFound: There is no such folder.
        UsageError: It holds none, or one that was made by an older version.
    """
    path = folder / _layout.JOB
    if not path.is_file():
        if folder.is_dir():
            raise UsageError(f"{folder} holds no recorded run: there is no {_layout.JOB}.", "Name a folder .bough/ID.")
        raise NotFound(f"there is no folder {folder}.", "See which runs were recorded: ls .bough")
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict):
        raise UsageError(f"{path} cannot be read.", "Name a folder that a script without an agent made.")
    if not facts.get("nonce"):
        raise UsageError(
            f"{folder} was recorded before runs could be pushed, or by an agent: it has no nonce.",
            "Run the script again.",
        )
    return Recorded(folder.resolve(), facts)


def _has_end(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 256 * 1024))
        return any(line.startswith(b'["e",') and line.endswith(b"]") for line in file.read().split(b"\n"))
