"""docs/bough-yml.md: what it shows parses, and it leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bough.definition import loads, model, settings, tree
from bough.definition.expressions import SIGNATURES

PAGE = (Path(__file__).parents[3] / "docs" / "bough-yml.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS)
def test_each_example_parses(text: str) -> None:
    assert loads(text).model.startswith("me/")


@pytest.mark.parametrize("name", [*model.KEYS, *settings.KEYS, *settings.ALGORITHMS, *tree.TYPES, *SIGNATURES])
def test_each_key_type_and_expression_is_described(name: str) -> None:
    assert len(BLOCKS) == 2
    assert re.search(r"`[^`]*\b" + name + r"\b[^`]*`", PAGE), name
