"""Every setting is changed while a trial runs, once from the command line and once by HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.acts.conftest import Acts

from bough.definition.settings import KEYS

# Name, as it is written after `bough optimization set`, as JSON, what is shown then.
SETTINGS: list[tuple[str, str, Any, Any]] = [
    ("algorithm", "annealing", "annealing", "annealing"),
    ("kpi.channel", "loss", "loss", {"channel": "loss", "direction": None, "reduce": "last"}),
    ("kpi.direction", "minimize", "minimize", {"channel": None, "direction": "minimize", "reduce": "last"}),
    ("kpi.reduce", "mean(3)", "mean(3)", {"channel": None, "direction": None, "reduce": "mean(3)"}),
    ("max_trials", "7", 7, 7),
    ("initial_random", "5", 5, 5),
    ("max_parallel", "3", 3, 3),
    ("max_epochs", "30", 30, 30),
    ("max_time", "10m", "10m", 600),
    ("total_time", "2h", "2h", 7200),
    ("agents", "[ann, ben]", ["ann", "ben"], ["ann", "ben"]),
    ("on_failure.retry", "2", 2, {"retry": 2, "stop_after": None}),
    ("on_failure.stop_after", "4", 4, {"retry": 0, "stop_after": 4}),
    ("pruning", "median", "median", {"rule": "median", "min_trials": 5, "min_epochs": 1}),
    ("duplicates", "resample", "resample", "resample"),
    ("priority", "9", 9, 9),
    ("grace", "5s", "5s", None),
    ("term", "1s", "1s", None),
]
SHOWN_AS = {"max_time": "max_time_s", "total_time": "total_time_s"}


def test_no_setting_is_forgotten() -> None:
    """Seed, space and follow_branch are told otherwise: by restart, by edit, and with the source."""
    told = {name.partition(".")[0] for name, *_ in SETTINGS}

    assert told == {*KEYS, "priority"} - {"seed", "space", "follow_branch"}


@pytest.mark.parametrize("way", ["command line", "HTTP"])
def test_each_setting_is_changed_while_a_trial_runs(acts: Acts, way: str) -> None:
    for name, text, value, shown in SETTINGS:
        its_id = acts.begun()
        running = acts.claim()

        if way == "HTTP":
            row = acts.call("PATCH", f"optimizations/{its_id}", {name: value})
        else:
            row = acts.bough("optimization", "set", its_id, f"{name}={text}", "--json").json()

        assert len(row["edit"]["changes"]) == 1, (name, row["edit"])
        if shown is not None:
            assert row[SHOWN_AS.get(name, name.partition(".")[0])] == shown, name
        assert row["state"] == "RUNNING"
        acts.end(running)
        assert acts.trials(its_id)[0]["state"] == "DONE", name
        acts.call("POST", f"optimizations/{its_id}/stop", {"now": True})


@pytest.mark.parametrize("way", ["command line", "HTTP"])
def test_what_is_no_setting_of_a_running_search_is_refused(acts: Acts, way: str) -> None:
    its_id = acts.begun()
    for name, value, said in (
        ("seed", 3, "the seed cannot be changed: it is what makes the search come out again."),
        ("follow_branch", True, "whether jobs follow a branch cannot be changed"),
        ("max_trails", 3, "there is no setting max_trails. Did you mean max_trials?"),
    ):
        if way == "HTTP":
            found = acts.call("PATCH", f"optimizations/{its_id}", {name: value}, 400)
            assert said in f"{found['detail']} {found['remedy']}"
        else:
            ran = acts.bough("optimization", "set", its_id, f"{name}={str(value).lower()}")
            assert (ran.code, said in ran.err) == (1, True), ran.err
    acts.call("POST", f"optimizations/{its_id}/stop", {"now": True})
