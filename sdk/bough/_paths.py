"""How a file that is handed in may be called: a relative path that every git, disk and web address can hold.

Script, agent and coordinator ask the same function, so that none of them meets a name that another refuses.
"""

from __future__ import annotations

MAX_PATH = 500  # characters
MAX_PART = 200  # bytes of one folder's or file's name; file systems end at 255


def fault_of(path: str) -> str | None:
    """Return what is wrong with the name of a file, the end of a sentence; None when nothing is."""
    if not path:
        return "is empty"
    if len(path) > MAX_PATH:
        return "has " + str(len(path)) + " characters, " + str(MAX_PATH) + " are allowed"
    if not path.isprintable():
        return "holds characters that cannot be printed"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "is no plain relative path"
        if len(part.encode("utf-8", "replace")) > MAX_PART:
            return "has a part of more than " + str(MAX_PART) + " bytes"
        if part.lower() == ".git" or part.lower().startswith("git~"):
            return "has a part that git keeps for itself"
    return None


def file_name(name: str) -> str:
    """Return a name of anything (a channel, an image) as one part of a path: what is not plain becomes ``_``."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:60]
    return kept if kept.strip("._") and not kept.lower().startswith((".git", "git~")) else "_" + kept.strip(".")
