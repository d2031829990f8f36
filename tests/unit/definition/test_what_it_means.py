"""YAML 1.2 scalars, durations, commands, grids and overrides mean what they say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bough.definition import Definition, Space, loads, parse, replace_templates
from bough.definition.expressions import Expression
from bough.definition.tree import TYPES
from bough.errors import UsageError

HEAD = "model: me/m\ncommand: python t.py\n"


def search(hyperparameters: Mapping[str, object], space: Mapping[str, object], **settings: object) -> Definition:
    optimization = {"space": dict(space), **settings}
    return parse(
        {"model": "a/b", "command": "x", "hyperparameters": dict(hyperparameters), "optimization": optimization}
    )


def expression(default: object, written: object) -> Expression:
    return search({"x": default}, {"x": written}).space.searched["x"]


def test_numbers_are_those_of_yaml_1_2() -> None:
    section = (
        "hyperparameters: {a: 1e-3, b: no, c: 012, d: 12:30, e: 0x10, f: 1., g: '5', h: -0.0, i: 12:30:45, j: TRUE}\n"
    )

    defaults = loads(HEAD + section).defaults()

    assert defaults == {
        "a": 0.001,
        "b": "no",
        "c": 12,
        "d": "12:30",
        "e": 16,
        "f": 1.0,
        "g": "5",
        "h": 0.0,
        "i": "12:30:45",
        "j": True,
    }
    assert str(defaults["h"]) == "0.0"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert search({"x": 0.5}, {"x": "uniform(0, 1)"}, max_time=text).settings.max_time_s == seconds


def test_what_is_not_said_has_its_default() -> None:
    settings = search(
        {"x": 0.5}, {"x": "uniform(0, 1)"}, on_failure={"stop_after": None}, grace="5s", term="1s"
    ).settings

    assert (settings.algorithm, settings.max_trials, settings.initial_random) == ("tpe", 100, 20)
    assert (settings.max_parallel, settings.max_epochs, settings.max_time_s, settings.seed) == (None, None, None, None)
    assert (settings.kpi_channel, settings.kpi_direction, settings.kpi_reduce) == (None, None, "last")
    assert (settings.stop_after, settings.grace_s, settings.term_s) == (None, 5.0, 1.0)


def test_commands_are_split_without_a_shell_and_run_in_order() -> None:
    one = parse({"model": "a/b", "command": "python 'my train.py' --n={{ n }}", "hyperparameters": {"n": 1}})
    several = parse({"model": "a/b", "command": {"build": "make", "train": ["./a b", "x"]}})
    listed = parse({"model": "a/b", "command": ["make", "./a"]})

    assert one.commands[0].argv == ["python", "my train.py", "--n={{n}}"]
    assert [(command.name, command.argv) for command in several.commands] == [
        ("build", ["make"]),
        ("train", ["./a b", "x"]),
    ]
    assert [(command.name, command.argv) for command in listed.commands] == [("1", ["make"]), ("2", ["./a"])]


def test_a_value_with_shell_characters_stays_one_argument() -> None:
    assert replace_templates(["echo", "{{x}}"], {"x": "$(rm -rf /); 'a b'"}) == ["echo", "$(rm -rf /); 'a b'"]


def test_a_value_that_looks_like_a_template_is_not_replaced_again() -> None:
    assert replace_templates(["{{a}}"], {"a": "{{b}}", "b": 1}) == ["{{b}}"]


def test_templates_that_have_no_value_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"the command asks for \{\{lt\}\}, which has no value here\. Did you mean lr\?"
    ):
        replace_templates(["{{lt}}"], {"lr": 1})
    with pytest.raises(UsageError, match=r"\{\{args\}\} is part of a longer argument\. Let it stand alone"):
        replace_templates(["sh", "-c", "x {{args}}"], {"lr": 1})


def test_a_range_yields_the_decimals_as_written_and_hits_both_ends() -> None:
    grid = expression(0.1, "range(0, 0.5, 0.005)")

    assert grid.count == 101
    assert [grid.at(0), grid.at(35), grid.at(100)] == [0.0, 0.175, 0.5]
    assert grid.index(0.175) == 35
    assert grid.index(0.1751) is None
    assert [expression(3, "range(-2, 4, 3)").at(index) for index in range(3)] == [-2, 1, 4]
    assert str(expression(0.5, "range(-0.1, 0.1, 0.1)").at(1)) == "0.0"


def test_text_mapping_and_list_write_the_same_expression() -> None:
    written = ["qloguniform(1, 1e3, 5)", "qloguniform(low=1, high=1000.0, q=5)", {"qloguniform": [1, 1000, 5]}]
    expressions = [expression(1.0, form) for form in [*written, {"qloguniform": {"low": 1, "high": 1000, "q": 5}}]]

    assert all(other == expressions[0] for other in expressions)
    assert expression(3, "randint(7)") == expression(3, {"randint": 7}) == expression(3, "randint(0, 7)")


def test_choices_are_by_value_and_typed() -> None:
    numbers = {"type": "choice_number", "choices": [16, 0.5]}

    assert expression(numbers, "choice").options == [16, 0.5]
    assert expression(numbers, "choice(0.5)").options == [0.5]
    assert expression(numbers, {"pchoice": {"16": 0.25, "0.5": 0.75}}).weights == [0.25, 0.75]
    assert expression(True, "pchoice(true=0.9, false=0.1)").options == [True, False]
    assert expression("a", "choice('x, y', \"1\", b)").options == ["x, y", "1", "b"]
    assert expression(3, "choice(1, 2, 4)").options == [1, 2, 4]


def test_fixing_ends_the_search_of_a_parameter_and_of_what_it_makes_inactive() -> None:
    groups = {"o": {"type": "choice_group", "choices": {"s": {"lr": 0.1}, "a": {"lr": 0.2}}}, "x": 1.0}
    lines = {"o": "choice", "o.s.lr": "uniform(0, 1)", "o.a.lr": "uniform(0, 1)", "x": "uniform(0, 1)"}
    space = search(groups, lines).space

    same = space.fix("o", "a").fix("x", "0.25")

    assert same is space
    assert list(space.searched) == ["o.a.lr"]
    assert space.complete({"o.a.lr": 0.5}) == {"o": "a", "o.a.lr": 0.5, "x": 0.25}
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_fixing_what_can_never_be_active_or_all_there_is_is_refused() -> None:
    groups = {"o": {"type": "choice_group", "choices": {"s": {"lr": 0.1}, "a": {"lr": 0.2}}}, "x": 1.0}

    with pytest.raises(UsageError, match=r"parameter o\.a\.lr is never active: o is always s\. Leave it out"):
        search(groups, {"x": "uniform(0, 1)"}).space.fix("o.a.lr", 0.1)
    with pytest.raises(
        UsageError, match=r"every parameter of the space is fixed: nothing is left to search\. Fix fewer\."
    ):
        search(groups, {"x": "uniform(0, 1)"}).space.fix("x", 0.1)

    together = search(groups, {"x": "uniform(0, 1)"}).space.fix_all({"o.a.lr": 0.1, "o": "a"})
    assert together.complete({"x": 0.5}) == {"o": "a", "o.a.lr": 0.1, "x": 0.5}


def test_complete_drops_what_is_not_active() -> None:
    groups = {"d": {"type": "group", "optional": True, "children": {"p": 0.5}}}
    space = search(groups, {"d": "on_off", "d.p": "uniform(0, 1)"}).space

    assert space.complete({"d": False, "d.p": 0.25}) == {"d": False}
    assert space.complete({"d": True, "d.p": 0.25}) == {"d": True, "d.p": 0.25}


def test_settings_can_be_overridden_from_the_command_line() -> None:
    definition = search({"x": 0.5}, {"x": "uniform(0, 1)"}, max_trials=5)

    changed = definition.with_overrides({"max_trials": 7, "max_time": "2m", "max_epochs": None})

    assert (changed.settings.max_trials, changed.settings.max_time_s, changed.settings.max_epochs) == (7, 120.0, None)
    assert definition.settings.max_trials == 5
    with pytest.raises(UsageError, match=r"max_trials is 0\. Write a whole number, at least 1\."):
        definition.with_overrides({"max_trials": 0})
    with pytest.raises(UsageError, match=r"there is no optimization section in the definition of a/b\."):
        parse({"model": "a/b", "command": "x"}).with_overrides({"max_trials": 7})


def test_a_decimal_override_of_a_decimal_parameter_may_be_written_whole() -> None:
    value = search({"x": 0.5, "n": 3}, {"x": "uniform(0, 1)"}).values({"x": "1", "n": "1e3"})

    assert value == {"x": 1.0, "n": 1000}
    assert isinstance(value["x"], float)
    assert isinstance(value["n"], int)


# A busy machine is no defect: no deadline.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def refusal(read: Callable[[Any], Definition], data: object) -> str:
    """Return the sentence that refuses `data`, "" where it is taken; any other error is the test's failure."""
    try:
        read(data)
    except UsageError as error:
        return str(error)
    return ""


@patient
@given(st.text(alphabet="uniform(0,1)= '\"{}[]e-.\n#:&*!|>", max_size=60))
def test_no_text_is_a_traceback(text: str) -> None:
    space = HEAD + "hyperparameters: {x: 0.5}\noptimization: {space: {x: " + text + "}}\n"

    assert "\n" not in refusal(loads, text) + refusal(loads, space)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "default", "choices", "a", "low"]), inner, max_size=3)
    ),
    max_leaves=8,
)
RAW = {"model": "a/b", "command": "x", "hyperparameters": {"a": 1.0}}


@patient
@given(st.sampled_from(["model", "command", "hyperparameters", "optimization", "env", "agents", "git", "output"]), JSON)
def test_no_json_is_a_traceback(key: str, value: object) -> None:
    refusal(parse, {**RAW, key: value})


@patient
@given(
    st.dictionaries(st.sampled_from(["space", "kpi", "on_failure", "seed", "max_time", "algorithm"]), JSON, max_size=3),
    JSON,
)
def test_no_settings_are_a_traceback(section: dict[str, object], written: object) -> None:
    refusal(parse, {**RAW, "optimization": section})
    refusal(parse, {**RAW, "optimization": {"space": {"a": written}}})


@patient
@given(JSON)
def test_no_hyperparameter_is_a_traceback(spec: object) -> None:
    for kind in TYPES:
        long_form = {**spec} if isinstance(spec, dict) else {"default": spec, "choices": spec}
        long_form["type"] = kind
        refusal(parse, {**RAW, "hyperparameters": {"a": long_form}})
