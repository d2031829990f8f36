"""The size of what is broken: short in CI, full by `make chaos`; the seed that decides how; the counts it prints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

IS_FULL = os.environ.get("BOUGH_CHAOS") == "full"
SEED = int(os.environ.get("BOUGH_SEED") or 4)
Tally = Callable[..., None]


@pytest.fixture(scope="module")
def tally() -> Tally:
    """Print a line of counts: ``tally("C1 kill storm", trials=200, lost=0)``."""
    began = time.monotonic()

    def say(scenario: str, **counts: Any) -> None:
        told = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items())
        print(f"\n{scenario}, seed {SEED}: {told} ({time.monotonic() - began:.0f} s)", flush=True)

    return say
