"""A script without an agent: what lets its folder become a job later, once, and be shown live when that is wanted.

Its job.json holds a nonce, which identifies the job for ever, and what tells whether the process still runs; its
exit.json is written when the interpreter ends. Nothing is sent from here: `bough push` does that, by hand or, where the
script is to be live, as a process of its own beside it.
"""

from __future__ import annotations

import os
import sys
import time

from bough import _layout
from bough._journal import say
from bough._numbers import any_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIVE_LOG = "live.log"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def identity(cwd: str) -> dict[str, object]:
    """Return what job.json says of the process that runs a script in this folder."""
    return {
        "nonce": os.urandom(16).hex(),
        "pid": os.getpid(),
        "pid_ticks": ticks_of(os.getpid()),
        "boot_id": read(BOOT_ID),
        "host": host(),
        "started_at": time.time(),
        "commit": head_of(cwd),
    }


def ticks_of(pid: int) -> int | None:
    """Return when a process started, in ticks since the boot; None where nobody knows or there is none."""
    text = read("/proc/" + str(pid) + "/stat")
    fields = text.rpartition(")")[2].split() if text else []
    if len(fields) < 20 or fields[0] == "Z":
        return None
    return int(fields[19])  # field 22 of proc(5)


def host() -> str:
    """Return the machine's name."""
    uname = getattr(os, "uname", None)
    return str(uname().nodename) if uname is not None else os.environ.get("COMPUTERNAME", "")


def head_of(folder: str) -> str | None:
    """Return the commit that is checked out around a folder, read without git; None where that is not plain."""
    folder = os.path.abspath(folder)
    while not os.path.isdir(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    git = os.path.join(folder, ".git")
    head = read(os.path.join(git, "HEAD"))
    if not head.startswith("ref: "):
        return _sha(head)
    name = head[5:].strip()
    found = _sha(read(os.path.join(git, name)))
    if found is not None or ".." in name:
        return found
    for line in read(os.path.join(git, "packed-refs")).splitlines():
        sha, _, packed = line.partition(" ")
        if packed == name:
            return _sha(sha)
    return None


def _sha(text: str) -> str | None:
    sha = text.strip()
    return sha if len(sha) == 40 and not sha.strip("0123456789abcdef") else None


def read(path: str) -> str:
    """Return the stripped text of a file, "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def parent_folder() -> str | None:
    """Return the folder of the script that started this process by multiprocessing; None for any other process.

    What was started otherwise (a shell in a notebook, a launcher) is a run of its own.
    """
    folder = os.environ.get(_layout.BY_HAND_DIR)
    module = sys.modules.get("multiprocessing.process")
    if not folder or module is None or not os.path.isfile(os.path.join(folder, _layout.JOB)):
        return None
    process: Any = module.current_process()
    is_child = getattr(process, "_inheriting", False) or getattr(process, "_parent_pid", None) is not None
    return folder if is_child else None


def note_end(folder: str, facts: dict[str, object]) -> None:
    """Write exit.json when this interpreter ends; a fork of it does not."""
    import atexit

    atexit.register(_write_end, folder, os.getpid(), time.monotonic(), facts)


def _write_end(folder: str, pid: int, began: float, facts: dict[str, object]) -> None:
    if os.getpid() != pid:
        return
    duration_s = time.monotonic() - began
    kind = getattr(sys, "last_type", None)  # of the exception that ended the script, if one did
    was_interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
    code = 0 if kind is None else 130 if was_interrupted else 1
    started_at: Any = facts["started_at"]
    exit_ = {
        "job_id": facts["job_id"], "attempt": 1, "exit_code": code, "signal": None, "error": None, "command": None,
        "cause": _layout.USER if was_interrupted else None, "started_at": started_at,
        "ended_at": started_at + duration_s, "duration_s": duration_s,
    }  # fmt: skip
    if kind is None:  # then nobody in Python knows the code
        from bough import _exit_code

        exit_["is_code_coming"] = _exit_code.note(folder)
    path = os.path.join(folder, _layout.EXIT)
    try:
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            file.write(any_value(exit_))
        os.replace(path + ".tmp", path)
    except OSError:  # a full disk, or somebody removed the folder: the end of a script is no place to complain
        pass


def is_wanted_live(live: bool | None) -> bool:
    """Whether the script is to be shown while it runs: its own word, else that of BOUGH_LIVE."""
    return os.environ.get(_layout.LIVE, "") not in ("", "0") if live is None else live


def go_live(folder: str) -> None:
    """Start ``bough push --follow`` beside this process. Whatever becomes of it, the script does not notice."""
    try:
        _start(folder)
    except Exception as error:
        say("this run is not shown live (" + str(error) + "); it is recorded. Later: bough push " + folder)


def _start(folder: str) -> None:
    import subprocess
    from importlib.util import find_spec
    from shutil import which

    command = [sys.executable, "-m", "bough_cli"] if find_spec("bough_cli") is not None else [which("bough") or ""]
    if not command[0]:
        raise OSError("there is no command bough here: pip install bough")
    with open(os.path.join(folder, LIVE_LOG), "ab") as log:
        subprocess.Popen(
            [*command, "push", "--follow", folder], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, cwd="/" if os.path.isdir("/") else None,
        )  # fmt: skip
    say("shown live by a process of its own, which speaks in " + os.path.join(folder, LIVE_LOG))
