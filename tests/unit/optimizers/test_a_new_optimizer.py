"""The page on optimizers shows how one is added; what it shows works."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import pytest

from bough.definition import parse
from bough.definition.settings import ALGORITHMS as NAMES
from bough_server.optimizers import registry
from bough_server.optimizers.base import OptimizerFailed
from bough_server.optimizers.worker import Worker

PAGE = Path(__file__).resolve().parents[3] / "docs" / "optimizers.md"


def shown() -> Any:
    """Return the module that the page shows."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = types.ModuleType("halton")
    exec(compile(code, "halton.py", "exec"), module.__dict__)
    return module


def space(line: str) -> Any:
    told = {"hyperparameters": {"x": 0.5, "y": 1.0}, "optimization": {"space": {"x": line, "y": "uniform(2, 4)"}}}
    return parse({"model": "a/b", "command": "x", **told}).space


def test_one_file_and_one_line_make_an_optimizer_that_the_worker_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ALGORITHMS, "halton", shown().make)
    request = {"id": 1, "optimization": "o", "algorithm": "halton", "space": space("uniform(0, 1)").to_json()}
    request |= {"keep": 0, "new": [], "seed": 1, "initial_random": 0}

    replies = [Worker().answer({**request, "number": number}) for number in range(3)]

    assert [reply["values"]["x"] for reply in replies] == [0.5, 0.25, 0.75]
    assert [round(reply["values"]["y"], 4) for reply in replies] == [2.6667, 3.3333, 2.2222]


def test_it_refuses_what_it_cannot_search_in_a_sentence() -> None:
    with pytest.raises(OptimizerFailed, match=r"^halton searches uniform only, and x is loguniform\(0.1, 1\)\.$"):
        shown().make(space("loguniform(0.1, 1)"), 0)


def test_every_name_that_a_file_may_say_is_registered() -> None:
    assert set(NAMES) == set(registry.ALGORITHMS)
    told = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    assert all(f"`{name}`" in told for name in NAMES), "the page leaves one out"
