"""What resources, data, setup and on_end become, in whichever form they are written."""

from __future__ import annotations

from typing import Any

import pytest

from bough.definition import loads

HEAD = "model: me/digits\ncommand: python train.py\n"
NOTHING: dict[str, Any] = {"requirements": None, "commands": [], "files": [], "python": None}


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("", {}),
        ("resources: {cpu: 2, memory: 4GB}", {"cpu": 2, "memory_bytes": 4_000_000_000}),
        ("resources: {gpu: 0.5, memory: 1.5 GiB}", {"gpu": 0.5, "memory_bytes": 3 << 29}),
        ("resources: {gpu_memory: 10GiB}", {"gpu": 1, "gpu_memory_bytes": 10 << 30}),
        ("data: imagenet", {"data": ["imagenet"]}),
        ("data: [b, a, b]", {"data": ["a", "b"]}),
        ("setup: requirements.txt", {"setup": {**NOTHING, "requirements": "requirements.txt"}}),
        ("setup: [pip install a, [make, 'b c']]",
         {"setup": {**NOTHING, "commands": [["pip", "install", "a"], ["make", "b c"]]}}),
        ("setup: {requirements: r.txt, python: python3.12, files: setup.py}",
         {"setup": {**NOTHING, "requirements": "r.txt", "python": "python3.12", "files": ["setup.py"]}}),
        ("on_end: notify --now", {"on_end": ["notify", "--now"]}),
    ],
)  # fmt: skip
def test_each_form_is_understood(text: str, needs: dict[str, Any]) -> None:
    assert loads(HEAD + text).needs == needs
