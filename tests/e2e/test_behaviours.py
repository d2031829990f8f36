"""What scripts report and how they end, through the whole stack: SDK, supervisor, agent, coordinator, command line.

The model's command is the oldest Python that can be had.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Lab
from tests.integration.sdk.conftest import interpreters

HERE = Path(__file__).parent
VERSION, OLDEST = next(iter(interpreters().items()), (".".join(map(str, sys.version_info[:2])), sys.executable))
SCRIPT = (HERE / "scripts" / "behaviours.py").read_text()
BEHAVIOURS = {
    "forks": ("DONE", "finished", None),
    "threads": ("DONE", "finished", None),
    "pools": ("DONE", "finished", None),
    "many": ("DONE", "finished", None),
    "names": ("DONE", "finished", None),
    "facts": ("DONE", "finished", None),
    "aborts": ("ABORTED", "user", "aborted by its script"),
    "fails": ("FAILED", "error", "failed: the loss exploded"),
    "goes_on": ("DONE", "finished", None),
    "done_at_once": ("DONE", "finished", None),
    "exit_3": ("FAILED", "error", "ended with exit code 3"),
    "raises": ("FAILED", "error", "ended with exit code 1. Last line of its log: RuntimeError: out of luck."),
    "os_exit": ("DONE", "finished", None),
    "killed": ("FAILED", "error", "was ended by SIGKILL"),
    "gaps": ("DONE", "finished", None),
    "only_nan": ("FAILED", "nan_kpi", "sent no finite value through its KPI channel score"),
    "silent": ("FAILED", "no_kpi", "never sent its KPI channel score"),
    "two_kpis": ("FAILED", "no_kpi", "never sent its KPI channel score"),
    "unknown": ("FAILED", "error", "Did you mean what?"),
}
KPI = {"many": 99999 / 7, "goes_on": 2.0, "done_at_once": 3.0, "os_exit": 5.0, "gaps": 6.0, "facts": 7.0}
DEFINITION = """\
model: me/behaviours
command: {python} behaviours.py
hyperparameters: {{what: {{type: choice_string, choices: [{names}], default: {first}}}}}
optimization:
  algorithm: grid
  on_failure: {{stop_after: null}}
  space: {{what: choice}}
"""
EMOJI = "näme ✓ 🌳"


@pytest.fixture(scope="module")
def behaved(lab: Lab) -> dict[str, Any]:
    """The optimization that ran every behaviour once."""
    definition = DEFINITION.format(python=OLDEST, names=", ".join(BEHAVIOURS), first=next(iter(BEHAVIOURS)))
    its_id = lab.start("behaviours", {"bough.yml": definition, "behaviours.py": SCRIPT})
    return dict(lab.ended(its_id))


def trial(behaved: dict[str, Any], what: str) -> Any:
    return next(trial for trial in behaved["trials"] if trial["values"]["what"] == what)


@pytest.fixture(scope="module")
def points(lab: Lab, behaved: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Every exported point by behaviour."""
    names = {str(one["number"]): one["values"]["what"] for one in behaved["trials"]}
    found: dict[str, list[dict[str, str]]] = {name: [] for name in names.values()}
    for row in lab.table(behaved["id"], "--points"):
        found[names[row["number"]]].append(row)
    return found


@pytest.mark.timeout(150)
@pytest.mark.parametrize("what", BEHAVIOURS)
def test_each_behaviour_ends_in_its_state_with_its_reason_and_sentence(behaved: dict[str, Any], what: str) -> None:
    state, reason, sentence = BEHAVIOURS[what]
    found = trial(behaved, what)

    assert (found["state"], found["end_reason"]) == (state, reason), found
    assert (sentence is None and found["message"] is None) or sentence in found["message"], found
    if what in KPI:
        assert found["kpi"] == KPI[what]


@pytest.mark.parametrize(("what", "channel", "count"), [
    ("forks", "points", 300), ("threads", "points", 300), ("pools", "points", 300),
    ("many", "score", 100000), ("killed", "score", 1000),
])  # fmt: skip
def test_no_point_is_lost(points: dict[str, list[dict[str, str]]], what: str, channel: str, count: int) -> None:
    found = [row for row in points[what] if row["channel"] == channel]

    assert sorted(float(row["x"]) for row in found) == list(range(count))
    assert {row["attempt"] for row in found} == {"1"}


def test_difficult_names_texts_and_numbers_arrive_as_they_were(
    lab: Lab, behaved: dict[str, Any], points: dict[str, list[dict[str, str]]]
) -> None:
    job = lab.job(trial(behaved, "names")["id"])

    assert {channel["name"] for channel in job["channels"]} == {
        "score", "l" * 200, EMOJI, "several", "text", "loss"
    }  # fmt: skip
    assert (job["status"], job["epochs"], job["epochs_total"]) == (f"all is well {EMOJI}", 1.5, 3)
    assert job["infos"]["version"][EMOJI] is None
    assert job["infos"]["version"]["python"] == [int(part) for part in VERSION.split(".")]
    assert job["infos"]["formula"] == "=1+1"
    assert job["last"]["several/one"] == 4
    assert job["last"][f"several/{EMOJI}"] == 1
    assert job["last"]["several/three"] == "nan"
    assert (job["last"]["loss/training"], job["last"]["loss/validation"]) == (0.5, 0.25)
    assert job["last"]["text"] == EMOJI
    arrived = {(row["channel"], row["trace"], float(row["x"])): row["y"] for row in points["names"]}
    assert arrived["text", "text", 1.0] == 'first\nline, "quoted"'
    assert math.isinf(float(arrived["several", "three", 1.0]))
    assert math.isnan(float(arrived["several", "three", 2.0]))
    (row,) = [row for row in lab.table(behaved["id"]) if row["p.what"] == "names"]
    assert row[f"channel.{EMOJI}"] == "2.5"
    assert json.loads(row["info.version"]) == job["infos"]["version"]
    assert row["info.formula"] == "'=1+1"
    assert lab.machine.bough("job", "show", job["id"], "--json").json() == job
    shown = lab.machine.bough("job", "show", job["id"]).out
    assert f"all is well {EMOJI}" in shown
    assert "formula" in shown
