"""The two times a coordinator knows. Decisions use `monotonic`; `now` is for people."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where times come from."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC: to be shown and stored."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump: to be compared."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()
