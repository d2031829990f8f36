"""One coordinator for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.api.running import Running, running

from bough_server.config import Config


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A coordinator that answers."""
    with running(Config(tmp_path_factory.mktemp("home") / "coordinator", port=0)) as found:
        yield found
