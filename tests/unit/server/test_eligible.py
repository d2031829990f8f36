"""Which agent may run which job, and why not."""

from __future__ import annotations

from typing import Any

import pytest

from bough_server.service.eligible import Machine, may_use, refusal

GPU = {"index": 0, "name": "H200", "memory_bytes": 16 << 30}
ANNA = Machine("a1", "anna", 2, ("gpu=a100", "fast"), {"cpus": 8, "memory_bytes": 8 << 30, "gpus": [GPU]})


def job(**columns: Any) -> dict[str, Any]:
    return {"agents": None, "needs": None, "model": "me/digits", "source": {"url": "https://host/me/digits"}, **columns}


@pytest.mark.parametrize(
    ("chosen", "is_meant"),
    [
        (None, True),
        (["anna"], True),
        (["ben"], False),
        (["label:gpu"], True),
        (["label:gpu=a100"], True),
        (["label:gpu=*"], True),
        (["label:gpu=h100"], False),
        (["ben", "label:fast"], True),
        (["label:anna"], False),
    ],
)
def test_agents_are_chosen_by_name_or_label(chosen: list[str] | None, is_meant: bool) -> None:
    assert may_use(chosen, ANNA) is is_meant


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({}, None),
        ({"agents": ["ben", "carl"]}, "is not among the chosen ones (ben, carl)"),
        ({"needs": {"data": ["imagenet"]}}, "has no data imagenet (give it with --data imagenet=/path)"),
        ({"needs": {"gpu": 1}}, None),
        ({"needs": {"gpu": 2}}, "has 1 GPUs, 2 are needed"),
        ({"needs": {"gpu": 1, "gpu_memory_bytes": 20 << 30}}, "has 0 GPUs with 20.0 GiB, 1 are needed"),
        ({"needs": {"cpu": 16}}, "offers 8 CPUs, 16 are needed"),
        ({"needs": {"memory_bytes": 12 << 30}}, "offers 8 GiB of memory, 12 are needed"),
    ],
)
def test_what_an_agent_lacks_is_said(columns: dict[str, Any], why: str | None) -> None:
    assert refusal(job(**columns), ANNA) == why


@pytest.mark.parametrize(
    ("allow", "runs"), [(["me/*"], True), (["https://host/*"], True), (["you/*"], False), (["me/other", "x"], False)]
)
def test_an_allow_list_names_models_or_sources(allow: list[str], runs: bool) -> None:
    picky = Machine("a1", "anna", 1, (), {"allow": allow})

    assert refusal(job(), picky) == (None if runs else f"runs only what its allow-list names ({', '.join(allow)})")
