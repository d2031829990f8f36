"""What a job hands in at its end: the files that `output:` of bough.yml names.

The supervisor does it when nothing of the attempt runs any more, so that they are what the job left. What is wrong
with a pattern or a file is a line in the log, and changes nothing else. Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from bough import _layout
from bough._files import Files
from bough._journal import Journal, say

PREFIX = "output"  # of the journal that names these files


def speak_into(log: int) -> None:
    """Let what bough says and prints in this process, the supervisor, be part of the trial's log."""
    sys.stdout = sys.stderr = os.fdopen(os.dup(log), "w", encoding="utf-8", errors="replace", buffering=1)


def hand_in(folder: str, cwd: str, patterns: Sequence[str], limits: Mapping[str, int]) -> int:
    """Hand in every file that matches; return how many.

    Args:
        folder: The attempt's folder.
        cwd: The folder that patterns are relative to: no file outside of it is taken, by a link neither.
        patterns: As of the shell, with ``**`` for any folders; a folder stands for all it holds.
        limits: As in job.json.
    """
    if not patterns:
        return 0
    try:
        files = Files(folder, Journal(os.path.join(folder, _layout.JOURNALS), PREFIX), dict(limits), cwd)
        return sum(_hand_in(files, cwd, pattern) for pattern in patterns)
    except Exception as error:  # the end of an attempt must not hang on its output
        say(f"its output could not be handed in ({type(error).__name__}: {error}).")
        return 0


def _hand_in(files: Files, cwd: str, pattern: str) -> int:
    from glob import glob

    if os.path.isabs(pattern) or ".." in pattern.split("/"):
        say(f"output {pattern} leaves the folder of the command: nothing of it is handed in.")
        return 0
    found = sorted(glob(pattern, root_dir=cwd, recursive=True))
    root = os.path.realpath(cwd)
    taken = 0
    for name in found:
        path = os.path.join(cwd, name)
        if not os.path.realpath(path).startswith(root + os.sep) and os.path.realpath(path) != root:
            say(f"output {name} is a link that leaves the folder of the command: it is not handed in.")
        elif not (os.path.isdir(path) and "**" in pattern):  # its files match by themselves
            taken += files.hand_in(path)
    if not found:
        say(f"output {pattern} matches no file.")
    return taken
