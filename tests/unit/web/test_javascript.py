"""The page's pure modules, tested in JavaScript by the Node that Playwright brings along."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def node() -> str:
    driver = pytest.importorskip(
        "playwright._impl._driver", reason="playwright, and its Node with it, is not installed"
    )
    return str(driver.compute_driver_executable()[0])


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_javascript(node: str, name: str) -> None:
    done = subprocess.run([node, "--test", HERE / name], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
