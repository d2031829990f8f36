"""Options of `bough optimization edit` that cannot both be meant are refused, whichever is given first."""

from __future__ import annotations

from typing import Any

import click
import pytest

from bough_cli.commands.editing import _told

NONE: dict[str, Any] = dict.fromkeys(("search", "fix", "free", "drop", "add", "add_choice"), ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fix": ("x=1",), "free": ("x",)}, "--fix x and --free x contradict each other. Leave one out."),
        ({"fix": ("x=1",), "search": ("x=choice",)}, "--fix x and --set x contradict each other. Leave one out."),
        ({"fix": ("x=1",), "drop": ("x",)}, "--fix x and --drop x contradict each other. Leave one out."),
        ({"drop": ("x",), "search": ("x=choice",)}, "--drop x and --set x contradict each other. Leave one out."),
        ({"drop": ("x",), "free": ("x",)}, "--drop x and --free x contradict each other. Leave one out."),
    ],
    ids=["fix-free", "fix-set", "fix-drop", "drop-set", "drop-free"],
)  # fmt: skip
def test_what_contradicts_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        _told({**NONE, **given})

    assert caught.value.message == said


def test_what_is_freed_may_be_searched_otherwise_at_once() -> None:
    told = _told({**NONE, "free": ("x",), "search": ("x=uniform(0, 2)",), "fix": ("y=3",)})

    assert told == {"space": {"x": "uniform(0, 2)"}, "fixed": {"y": "3", "x": None}}
