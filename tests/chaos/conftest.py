"""The size of what is broken: short in CI, full by `make chaos`; the seed that decides how; the counts it prints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.chaos.nursery import Nursery
from tests.e2e.conftest import PARTS

IS_FULL = os.environ.get("BOUGH_CHAOS") == "full"
SEED = int(os.environ.get("BOUGH_SEED") or 4)
Tally = Callable[..., None]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where daemons start quickly."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "GIT_", "PYTEST"))}
    found = Nursery({**environ, "PYTHONPATH": os.pathsep.join(PARTS)})
    yield found
    found.close()


@pytest.fixture(scope="module")
def tally() -> Tally:
    """Print a line of counts: ``tally("C1 kill storm", trials=200, lost=0)``."""
    began = time.monotonic()

    def say(scenario: str, **counts: Any) -> None:
        told = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items())
        print(f"\n{scenario}, seed {SEED}: {told} ({time.monotonic() - began:.0f} s)", flush=True)

    return say
