"""Which agent a name, an id or the beginning of an id means."""

from __future__ import annotations

from typing import Any

import pytest

from bough.errors import Conflict, NotFound
from bough_cli.commands.agent import _called

OLD = {"name": "gpu1", "id": "aa11", "online": False}
NEW = {"name": "gpu1", "id": "ab22", "online": True}
OTHER = {"name": "gpu2", "id": "cc33", "online": True}


@pytest.mark.parametrize(
    ("said", "meant"), [("gpu2", OTHER), ("cc33", OTHER), ("c", OTHER), ("gpu1", NEW), ("aa", OLD)]
)
def test_an_agent_is_named_by_name_or_by_any_beginning_of_its_id(said: str, meant: dict[str, Any]) -> None:
    assert _called(said, [OLD, NEW, OTHER]) == meant


def test_two_agents_that_could_be_meant_are_told_apart_by_their_ids() -> None:
    with pytest.raises(Conflict, match=r"^2 agents are meant by gpu1\. Name one by its id: ab22, dd44\.$"):
        _called("gpu1", [OLD, NEW, {**NEW, "id": "dd44"}])


def test_an_agent_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(NotFound, match=r"^there is no agent bob\. Agents: gpu2\.$"):
        _called("bob", [OTHER])
