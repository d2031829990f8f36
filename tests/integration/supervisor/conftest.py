"""A spawner for each test module, and attempts that leave no process behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.supervisor.attempts import Attempt, until

from bough_agent import ladder
from bough_agent.spawner_client import Spawner

Prepare = Callable[..., Attempt]


@pytest.fixture(scope="module")
def spawner() -> Iterator[Spawner]:
    with Spawner.start() as running:
        yield running


@pytest.fixture
def prepare(tmp_path: Path) -> Iterator[Prepare]:
    """Prepares an attempt of these commands; after the test nothing of any of them may be alive."""
    attempts: list[Attempt] = []

    def make(*argvs: list[str], **changes: Any) -> Attempt:
        attempts.append(Attempt(tmp_path / f"k3f9a2bq.{len(attempts) + 1}", argvs, **changes))
        return attempts[-1]

    yield make
    try:
        for attempt in attempts:
            until(attempt.is_gone, within_s=5)
    finally:
        for attempt in attempts:
            ladder.sweep(attempt.marker)
