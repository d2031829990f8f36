"""What bough.yml says of space and settings holds through the whole stack."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from tests.e2e.conftest import Lab

TYPED = """\
import bough
job = bough.start_job()
paths = {paths}
job.set_info("seen", {{path: [type(value).__name__, value] for path in paths
                      for value in [job.get_parameter(path, default=None)]}})
job.create_channel("score", kpi=True).send(1, 1.0)
"""
# expression as a text, as a mapping, declared default, type that the script sees, test of a drawn value
EXPRESSIONS: dict[str, tuple[str, str, str, str, Any]] = {
    "range_int": ("range(16, 128, 16)", "{range: {low: 16, high: 128, step: 16}}", "32", "int",
                  lambda v: v in range(16, 129, 16)),
    "range_float": ("range(0.1, 0.4, 0.025)", "{range: {low: 0.1, high: 0.4, step: 0.025}}", "0.1", "float",
                    lambda v: v in (0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25, 0.275, 0.3, 0.325, 0.35, 0.375, 0.4)),
    "uniform": ("uniform(0, 1)", "{uniform: {low: 0, high: 1}}", "0.5", "float", lambda v: 0 <= v <= 1),
    "quniform": ("quniform(0, 10, 2)", "{quniform: {low: 0, high: 10, q: 2}}", "4", "int",
                 lambda v: v in range(0, 11, 2)),
    "loguniform": ("loguniform(1e-4, 1)", "{loguniform: {low: 1e-4, high: 1}}", "0.01", "float",
                   lambda v: 1e-4 <= v <= 1),
    "qloguniform": ("qloguniform(1, 100, 5)", "{qloguniform: {low: 1, high: 100, q: 5}}", "5", "int",
                    lambda v: v % 5 == 0),
    "normal": ("normal(0, 1)", "{normal: {mu: 0, sigma: 1}}", "0.0", "float", lambda v: abs(v) < 9),
    "qnormal": ("qnormal(10, 3, 1)", "{qnormal: {mu: 10, sigma: 3, q: 1}}", "10", "int", lambda v: -20 < v < 40),
    "lognormal": ("lognormal(0, 1)", "{lognormal: {mu: 0, sigma: 1}}", "1.0", "float", lambda v: v > 0),
    "qlognormal": ("qlognormal(2, 1, 1)", "{qlognormal: {mu: 2, sigma: 1, q: 1}}", "7", "int", lambda v: v >= 0),
    "randint": ("randint(5)", "{randint: {low: 0, high: 5}}", "1", "int", lambda v: v in range(5)),
    "uniformint": ("uniformint(3, 9)", "{uniformint: {low: 3, high: 9}}", "5", "int", lambda v: v in range(3, 10)),
    "number_choice": ("choice(1, 2, 4)", "{choice: [1, 2, 4]}", "2", "int", lambda v: v in (1, 2, 4)),
    "pchoice": ("pchoice(relu=0.7, gelu=0.3)", "{pchoice: {relu: 0.7, gelu: 0.3}}",
                "{type: choice_string, choices: [relu, tanh, gelu], default: tanh}", "str",
                lambda v: v in ("relu", "gelu")),
    "choice": ("choice", "{choice: }", "{type: choice_string, choices: [a, b], default: a}", "str",
               lambda v: v in ("a", "b")),
    "flag": ("on_off", "{choice: [true, false]}", "true", "bool", lambda v: v in (True, False)),
    "numbers": ("choice(0.5, 8)", "{choice: [0.5, 8]}", "{type: choice_number, choices: [0.5, 2, 8], default: 2}",
                "", lambda v: v in (0.5, 8)),
}  # fmt: skip


@pytest.mark.timeout(120)
def test_every_expression_in_both_forms_gives_values_of_the_declared_type(lab: Lab) -> None:
    declared = "".join(
        f"  {name}: {default}\n  {name}_m: {default}\n" for name, (_, _, default, _, _) in EXPRESSIONS.items()
    )
    space = "".join(
        f"    {name}: {text}\n    {name}_m: {mapping}\n" for name, (text, mapping, _, _, _) in EXPRESSIONS.items()
    )
    paths = [name + form for name in EXPRESSIONS for form in ("", "_m")]
    definition = (
        f"model: me/typed\ncommand: {sys.executable} train.py\nhyperparameters:\n{declared}"
        f"optimization:\n  algorithm: random\n  max_trials: 5\n  seed: 4\n  space:\n{space}"
    )

    found = lab.ended(lab.start("typed", {"bough.yml": definition, "train.py": TYPED.format(paths=paths)}))

    assert found["counts"] == {"DONE": 5}, found
    table = {row["job_id"]: row for row in lab.table(found["id"])}
    for trial in found["trials"]:
        seen = lab.job(trial["id"])["infos"]["seen"]
        for path in paths:
            _, _, _, kind, is_possible = EXPRESSIONS[path.removesuffix("_m")]
            assert seen[path][1] == trial["values"][path]
            assert type(seen[path][1]) is type(trial["values"][path])
            assert seen[path][0] == (kind or type(trial["values"][path]).__name__), (path, seen[path])
            assert is_possible(seen[path][1]), (path, seen[path])
            shown = json.dumps(seen[path][1]) if not isinstance(seen[path][1], str) else seen[path][1]
            assert table[trial["id"]][f"p.{path}"] == shown, path


NESTED = """\
model: me/nested
command: {python} train.py
hyperparameters:
  net:
    type: choice_group
    default: small
    choices:
      small: {{width: 8}}
      large:
        width: 64
        norm:
          type: choice_group
          default: batch
          choices: {{batch: {{momentum: 0.9}}, layer: {{eps: 0.1}}}}
  dense: {{type: group, optional: true, children: {{neurons: 64, dropout: 0.2}}}}
  plain: {{type: group, children: {{depth: 3}}}}
optimization:
  algorithm: {algorithm}
  initial_random: 3
  max_trials: 12
  max_parallel: {parallel}
  seed: 2
  space:
    net: choice
    net.small.width: range(4, 16, 4)
    net.large.norm: choice
    net.large.norm.batch.momentum: uniform(0, 1)
    net.large.norm.layer.eps: loguniform(1e-4, 1)
    dense: on_off
    dense.dropout: uniform(0, 0.5)
"""
READS_NESTED = """\
import bough
job = bough.start_job()
net, dense = job.get_parameter("net"), job.get_parameter("dense")
width = job.get_parameter("net.width")
assert width == job.get_parameter("net." + net + ".width")
assert job.get_parameter("net", return_group=True)["width"] == width
if net == "large":
    norm = job.get_parameter("net.norm")
    assert job.get_parameter("net.norm.momentum", default=None) is not None if norm == "batch" else True
    assert (job.get_parameter("net.norm.eps", default=None) is None) == (norm == "batch")
else:
    assert job.get_parameter("net.norm", default="none") == "none"
assert type(dense) is bool
assert job.get_parameter("dense.neurons", default=0) == (64 if dense else 0)
assert job.get_parameter("plain") == {"depth": 3}
score = 0 if net == "small" else job.get_parameter("net.norm.momentum", default=0.3)
job.create_channel("score", kpi=True).send(1, score - job.get_parameter("dense.dropout", default=0))
"""


@pytest.fixture(scope="module")
def nested(lab: Lab) -> dict[str, Any]:
    """Two optimizations over nested groups, run at the same time: tpe four at a time, annealing one at a time."""
    files = {"train.py": READS_NESTED}
    started = {
        algorithm: lab.start(
            f"nested-{algorithm}",
            {**files, "bough.yml": NESTED.format(python=sys.executable, algorithm=algorithm, parallel=parallel)},
        )
        for algorithm, parallel in (("tpe", 4), ("annealing", 1))
    }
    return {algorithm: lab.ended(its_id) for algorithm, its_id in started.items()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("algorithm", ["tpe", "annealing"])
def test_nested_and_optional_groups_reach_the_script_as_they_were_drawn(
    lab: Lab, nested: dict[str, Any], algorithm: str
) -> None:
    found = nested[algorithm]

    assert found["counts"] == {"DONE": 12}, [trial["message"] for trial in found["trials"]]
    values = [trial["values"] for trial in found["trials"]]
    assert {each["dense"] for each in values} == {True, False}
    assert {each["net"] for each in values} == {"small", "large"}
    for each in values:
        assert ("net.small.width" in each) == (each["net"] == "small")
        assert ("net.large.norm" in each) == (each["net"] == "large")
        assert ("net.large.norm.batch.momentum" in each) == (each.get("net.large.norm") == "batch")
        assert ("dense.dropout" in each) == each["dense"]
        assert each["plain.depth"] == 3
    empty = [row for row in lab.table(found["id"]) if row["p.net"] == "small"]
    assert {row["p.net.large.width"] for row in empty} == {""}


@pytest.mark.timeout(60)
def test_values_are_fixed_on_the_command_line_in_any_order(lab: Lab) -> None:
    files = {"train.py": READS_NESTED}
    files["bough.yml"] = NESTED.format(python=sys.executable, algorithm="random", parallel=4)
    options = ["-p", "net.large.norm.layer.eps=0.5", "-p", "net.large.norm=layer", "-p", "net=large"]

    found = lab.ended(lab.start("fixed", files, *options, "-p", "plain.depth=3", "--max-trials", "3"))

    assert found["counts"] == {"DONE": 3}
    assert found["space"] == ["dense", "dense.dropout"]
    for trial in found["trials"]:
        assert (trial["values"]["net.large.norm"], trial["values"]["net.large.norm.layer.eps"]) == ("layer", 0.5)


KPIS = """\
model: me/kpis
command: {python} train.py
hyperparameters: {{x: 0.5}}
optimization:
  algorithm: random
  max_trials: 1
  kpi: {kpi}
  on_failure: {{stop_after: null}}
  space: {{x: "uniform(0, 1)"}}
"""
SENDS = """\
import bough
job = bough.start_job()
first = job.create_channel("first", kpi=True)
second = job.create_channel("second", traces=["a", "b"], max_optimization=False)
for x, y in enumerate([3.0, 1.0, 5.0, 2.0]):
    first.send(x, y)
    second.send(x, [10 * y, 100 * y])
"""


@pytest.mark.timeout(120)
def test_the_settings_choose_channel_direction_and_reduction_of_the_kpi(lab: Lab) -> None:
    expected = {
        "{reduce: best}": ("first", "maximize", 5.0, 5.0),
        "{reduce: mean(3)}": ("first", "maximize", 8 / 3, 5.0),
        "{direction: minimize, reduce: best}": ("first", "minimize", 1.0, 1.0),
        "second": ("second", "minimize", 20.0, 10.0),
        "{channel: second/b, direction: minimize}": ("second/b", "minimize", 200.0, 100.0),
    }
    contradiction = "{channel: second, direction: maximize}"
    started = {
        kpi: lab.start(f"kpi-{i}", {"train.py": SENDS, "bough.yml": KPIS.format(python=sys.executable, kpi=kpi)})
        for i, kpi in enumerate([*expected, "third", contradiction])
    }

    for kpi, (channel, direction, value, best) in expected.items():
        found = lab.ended(started[kpi])
        (trial,) = found["trials"]
        assert (found["kpi"]["channel"], found["kpi"]["direction"]) == (channel, direction), kpi
        assert (trial["kpi"], trial["kpi_last"] is not None, trial["kpi_best"]) == (value, True, best), kpi
    missing = lab.ended(started["third"])
    (trial,) = missing["trials"]
    assert (trial["state"], trial["end_reason"]) == ("FAILED", "no_kpi")
    assert "never sent its KPI channel third" in trial["message"]
    (trial,) = lab.ended(started[contradiction])["trials"]
    assert (trial["state"], trial["end_reason"]) == ("FAILED", "error")
    assert "declares that its KPI second/a is to minimize, and its optimization says maximize" in trial["message"]
