"""The browser, and a real coordinator behind the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.browser import browser as browser
from tests.browser import visit as visit
from tests.integration.api.running import running
from tests.integration.page.lab import Lab, Search

from bough_server.api.page import FOLDER
from bough_server.config import Config


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A coordinator with its page."""
    if not (FOLDER / "vendor" / "preact.js").is_file():
        pytest.skip(
            "the page's libraries are not here: they come with `make test`, or with any build without BOUGH_SKIP_WEB"
        )
    with running(Config(tmp_path_factory.mktemp("home") / "coordinator", port=0)) as found:
        yield Lab(found)


@pytest.fixture(scope="module")
def search(lab: Lab) -> Search:
    """An optimization to look at: eight trials have ended, one runs."""
    return lab.search()
