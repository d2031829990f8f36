"""The browser, and the page's real files with recorded answers behind them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.browser import browser as browser
from tests.browser import visit as visit
from tests.unit.web.recorded import WEB, Recorded, World


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    if not (WEB / "vendor" / "preact.js").is_file():
        pytest.skip(
            "the page's libraries are not here: they come with `make test`, or with any build without BOUGH_SKIP_WEB"
        )
    with Recorded(World()) as served:
        yield served
