"""Sequential trials are those of `fmin` on spaces of all kinds, each ask answered by a process that knows nothing.

Spaces of hyperopt's own tests are among them as a bough.yml writes them, and one with each expression in both of its
forms. `make parity` runs 200 trials of each (`BOUGH_PARITY=1`), as many as the promise is about; CI runs some of it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.optimizers.by_fmin import algorithms, values_of_fmin
from tests.integration.optimizers.test_the_search_is_hyperopts import DEFINITION, loss_of

from bough.definition import Space, parse

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
IN_FULL = bool(os.environ.get("BOUGH_PARITY"))
TRIALS = 200 if IN_FULL else 30
SEED, INITIAL_RANDOM = 5, 10
Values = Mapping[str, Any]
Ask = Callable[[dict[str, Any]], dict[str, Any]]

# Each expression as text and as a mapping, for hyperparameters of the types that take it.
EXPRESSIONS: dict[str, tuple[Any, Any, Any]] = {
    "batch": (32, "range(16, 128, 16)", {"range": {"low": 16, "high": 128, "step": 16}}),
    "steps": (0.175, "range(0, 0.5, 0.005)", {"range": {"low": 0, "high": 0.5, "step": 0.005}}),
    "u": (0.5, "uniform(0, 1)", {"uniform": {"low": 0, "high": 1}}),
    "q": (0.5, "quniform(-1, 1, 0.1)", {"quniform": {"low": -1, "high": 1, "q": 0.1}}),
    "lu": (0.1, "loguniform(1e-4, 1)", {"loguniform": {"low": 1e-4, "high": 1}}),
    "ql": (10.0, "qloguniform(1, 1000, 5)", {"qloguniform": {"low": 1, "high": 1000, "q": 5}}),
    "n": (0.0, "normal(0, 1)", {"normal": {"mu": 0, "sigma": 1}}),
    "qn": (0.0, "qnormal(0, 5, 0.5)", {"qnormal": {"mu": 0, "sigma": 5, "q": 0.5}}),
    "ln": (1.0, "lognormal(0, 1)", {"lognormal": {"mu": 0, "sigma": 1}}),
    "qln": (1.0, "qlognormal(1, 1, 0.5)", {"qlognormal": {"mu": 1, "sigma": 1, "q": 0.5}}),
    "ri": (3, "randint(7)", {"randint": {"high": 7}}),
    "rj": (5, "randint(3, 9)", {"randint": {"low": 3, "high": 9}}),
    "ui": (3, "uniformint(1, 8)", {"uniformint": {"low": 1, "high": 8}}),
    "flag": (True, "on_off", "on_off"),
    "act": ("relu", "choice(relu, gelu)", {"choice": ["relu", "gelu"]}),
    "size": (32, "pchoice(16=0.5, 64=0.5)", {"pchoice": {16: 0.5, 64: 0.5}}),
}
NESTED = {
    "net": {
        "type": "choice_group",
        "choices": {
            "deep": {
                "layers": 2,
                "dense": {"type": "group", "optional": True, "children": {"dropout": 0.2, "units": 64}},
                "norm": {"type": "choice_group", "choices": {"batch": {"momentum": 0.9}, "none": {}}},
            },
            "flat": {"width": 8},
        },
    }
}
NESTED_LINES = {
    "net": "choice",
    "net.deep.layers": "uniformint(1, 4)",
    "net.deep.dense": "on_off",
    "net.deep.dense.dropout": "uniform(0, 0.5)",
    "net.deep.norm": "choice",
    "net.deep.norm.batch.momentum": "uniform(0.5, 1)",
    "net.flat.width": "qloguniform(4, 64, 1)",
}


def space_of(hyperparameters: Values, lines: Values) -> Space:
    section = {"space": dict(lines)}
    told = {"model": "a/b", "command": "x", "hyperparameters": dict(hyperparameters), "optimization": section}
    return parse(told).space


def of_every_expression(form: int) -> Space:
    """Return the space with everything; ``form`` 1 is text, 2 the mapping."""
    declared: dict[str, Any] = {name: found[0] for name, found in EXPRESSIONS.items()}
    declared["act"] = {"type": "choice_string", "choices": ["relu", "tanh", "gelu"]}
    declared["size"] = {"type": "choice_number", "choices": [16, 32, 64]}
    return space_of(
        {**declared, **NESTED}, {**{name: found[form] for name, found in EXPRESSIONS.items()}, **NESTED_LINES}
    )


def groups(**choices: Any) -> dict[str, Any]:
    return {"type": "choice_group", "choices": choices}


def loss_of_everything(values: Values) -> float:
    hidden = values.get("net.deep.dense.dropout", 0.1) + values.get("net.flat.width", 8) / 64
    return float(abs(values["n"]) + values["u"] + abs(math.log10(values["lu"]) + 2) + values["ln"] / 9 + hidden)


def many_dists(values: Values) -> float:
    z = sum(float(value) for path, value in values.items() if path != "k") + (values["k"] == "one")
    return float(math.log(1e-12 + z**2))


def branin(values: Values) -> float:
    x, y = values["x"], values["y"]
    bend = (y - (5.1 / (4 * math.pi**2)) * x**2 + 5 * x / math.pi - 6) ** 2
    return float(bend + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def gauss_wave2(values: Values) -> float:
    x = values["x"]
    t = 2 * math.exp(-((x / 5) ** 2))
    return float(-(t + math.sin(x) * values.get("hf.wave.amp", 0)))


def q1_choice(values: Values) -> float:
    x = values.get("o_x.neg.x", values.get("o_x.pos.x"))
    return float(((-3 if values["o_x"] == "neg" else 3) - x) ** 2)


def distractor(values: Values) -> float:
    x = values["x"]
    return -1 / (1 + math.exp(-x)) - 2 * math.exp(-((x + 10) ** 2))


CASES: dict[str, tuple[Space, Callable[[Any], float | None]]] = {
    "everything": (DEFINITION.space, loss_of),
    "every expression": (of_every_expression(1), loss_of_everything),
    "many_dists": (
        space_of(
            {"a": 0, "b": 1, "bb": 12, "c": 4.0, "d": 0.5, "e": 0.0, "f": 1.0, "g": 4.0, "h": 1.0, "i": 0.0, "j": 1.0}
            | {"k": {"type": "choice_string", "choices": ["none", "one"]}},
            {
                "a": "randint(3)",
                "b": "randint(10)",
                "bb": "randint(12, 25)",
                "c": "uniform(4, 7)",
                "d": "loguniform(0.1353, 1)",
                "e": "quniform(0, 10, 3)",
                "f": "qloguniform(1, 20.0855, 2)",
                "g": "normal(4, 7)",
                "h": "lognormal(-2, 2)",
                "i": "qnormal(0, 10, 2)",
                "j": "qlognormal(0, 2, 1)",
                "k": "pchoice(none=0.1, one=0.9)",
            },
        ),
        many_dists,
    ),
    "branin": (space_of({"x": 0.0, "y": 0.0}, {"x": "uniform(-5, 10)", "y": "uniform(0, 15)"}), branin),
    "gauss_wave2": (
        space_of(
            {"x": 0.0, "hf": groups(still={}, wave={"amp": 0.5})},
            {"x": "uniform(-20, 20)", "hf": "choice", "hf.wave.amp": "uniform(0, 1)"},
        ),
        gauss_wave2,
    ),
    "q1_choice": (
        space_of(
            {"o_x": groups(neg={"x": 0.0}, pos={"x": 0.0})},
            {"o_x": "choice", "o_x.neg.x": "uniform(-5, 5)", "o_x.pos.x": "uniform(-5, 5)"},
        ),
        q1_choice,
    ),
    "distractor": (space_of({"x": 0.0}, {"x": "uniform(-15, 15)"}), distractor),
}


CHOSEN = list(CASES) if IN_FULL else ["every expression", "many_dists", "gauss_wave2"]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """What answers an ask from a new process."""
    root = Path(__file__).parents[3]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / part) for part in ("sdk", "server"))}
    environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(__file__).with_name("new_process.py"))]
    with subprocess.Popen(program, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def answer(request: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            found: dict[str, Any] = json.loads(process.stdout.readline())
            return found

        yield answer


@pytest.mark.timeout(900 if IN_FULL else 60)
@pytest.mark.parametrize("algorithm", ["random", "tpe", "annealing"])
@pytest.mark.parametrize("case", CHOSEN)
def test_trials_in_a_row_are_those_of_fmin(ask: Ask, case: str, algorithm: str) -> None:
    space, loss = CASES[case]
    told: list[list[Any]] = []

    def judged(values: Values) -> float | None:
        """One trial in seven fails, whatever the space."""
        found = loss(values) if zlib.crc32(json.dumps(values, sort_keys=True).encode()) % 7 else None
        return found if found is not None and math.isfinite(found) else None

    for number in range(TRIALS):
        request = {"optimization": "o", "algorithm": algorithm, "space": space.to_json(), "keep": 0, "new": told}
        values = ask({**request, "number": number, "seed": SEED, "initial_random": INITIAL_RANDOM})
        told.append([number, values, judged(values)])

    expected = values_of_fmin(space, algorithms(INITIAL_RANDOM)[algorithm], judged, SEED, TRIALS)
    assert [values for _, values, _ in told] == expected
    assert any(found is None for *_, found in told), "no trial failed: this would prove less"


def test_both_forms_of_each_expression_are_one_space() -> None:
    assert of_every_expression(1).to_json() == of_every_expression(2).to_json()
