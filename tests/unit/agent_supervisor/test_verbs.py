"""The page about other languages and the code know the same verbs and keys."""

from __future__ import annotations

import re
from pathlib import Path

from bough_agent.verbs import _VERBS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "languages.md"


def test_the_page_names_every_verb_with_its_keys() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told: dict[str, set[str]] = {}
    for verbs, keys in rows:
        for verb in re.findall(r"`([a-z_0-9-]+)`", verbs):
            told[verb] = set(re.findall(r"\b[a-zA-Z0-9_]+\b", keys))

    assert set(told) == set(_VERBS)
    for verb, (needed, others, _) in _VERBS.items():
        assert {*needed, *others} <= told[verb], verb
