"""Claims for tests."""

from __future__ import annotations

from typing import Any

from bough_agent.messages import Claim, read_claim


def row(**fields: Any) -> dict[str, Any]:
    """Return a claim as the coordinator sends it."""
    return {
        "job_id": "k3f9a2bq",
        "attempt": 1,
        "marker": "0" * 32,
        "model": "me/digits",
        "optimization": "p7tq2m4x",
        "number": 7,
        "commit": "a" * 40,
        "git": "/git/me/digits.git",
        "folder": "examples/digits",
        "commands": [{"name": "1", "argv": ["python", "train.py", "{{lr}}"]}],
        "values": {"lr": 0.5},
        "env": {},
        "working_dir": None,
        "max_epochs": 30,
        "max_time_s": 600.0,
        "grace_s": 30.0,
        "term_s": 10.0,
        "kpi": {"channel": None, "direction": None},
        **fields,
    }


def claim(**fields: Any) -> Claim:
    """Return a claim as the agent reads it."""
    return read_claim(row(**fields))
