"""Places at which a process of bough's own ends at once, as by `kill -9`, if its environment says so: for tests.

``BOUGH_FAILPOINT=claim.before_commit:3`` ends the process the third time that it gets there; several are separated by
commas. Without the variable, which nothing but the environment of a daemon's own start can set, a place is nothing
but the call of an empty function. Trials never see it: no `BOUGH_*` variable of the agent is handed to them.
"""

from __future__ import annotations

import os

from bough import _layout

STATUS = 137  # as a shell shows the end by SIGKILL

_left: dict[str, int] | None = None  # by place, how often it may still be passed; None: not looked at yet


def reach(*places: str) -> None:
    """End this process, without any goodbye, if it was to end here."""
    global _left
    if _left is None:
        _left = _read(os.environ.get(_layout.FAILPOINT, ""))
    if not _left:
        return
    for place in places:
        if place in _left:
            _left[place] -= 1
            if _left[place] <= 0:
                os._exit(STATUS)


def _read(text: str) -> dict[str, int]:
    found = {}
    for one in text.split(","):
        place, _, n = one.strip().partition(":")
        if place:
            found[place] = int(n) if n.isdigit() else 1
    return found
