"""Dotted paths on flat values: every spelling a script may use finds the hyperparameter it means."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough._values import Absent, Values
from bough.errors import UsageError

FLAT: dict[str, object] = {
    "batch_size": 32,
    "shuffle": False,
    "dense": True,
    "dense.neurons": 64,
    "conv": False,
    "optimizer": "sgd",
    "optimizer.sgd.lr": 0.01,
    "optimizer.sgd.decay": "step",
    "optimizer.sgd.decay.step.every": 5,
    "net.depth": 3,
    "net.activation": "relu",
    "net.head": "wide",
    "net.head.wide.units": 9,
}
VALUES = Values(FLAT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("batch_size", 32),
        ("shuffle", False),
        ("dense", True),
        ("dense.neurons", 64),
        ("conv", False),
        ("optimizer", "sgd"),
        ("optimizer.lr", 0.01),
        ("optimizer.sgd.lr", 0.01),
        ("optimizer.sgd", {"lr": 0.01, "decay": {"$value": "step", "step": {"every": 5}}}),
        ("optimizer.decay", "step"),
        ("optimizer.decay.every", 5),
        ("optimizer.sgd.decay.every", 5),
        ("optimizer.decay.step.every", 5),
        ("net", {"depth": 3, "activation": "relu", "head": {"$value": "wide", "wide": {"units": 9}}}),
        ("net.head.units", 9),
    ],
)
def test_a_path_finds_its_value_in_full_and_without_the_chosen_names(path: str, value: object) -> None:
    found = VALUES.get(path)

    assert found == value
    assert type(found) is type(value)


def test_return_group_gives_the_children_of_a_choice_and_of_an_optional_group() -> None:
    assert VALUES.get("dense", return_group=True) == {"neurons": 64}
    assert VALUES.get("optimizer.decay", return_group=True) == {"every": 5}
    assert VALUES.get("conv", return_group=True) == {}
    assert VALUES.get("batch_size", return_group=True) == 32


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("bach_size", r"no hyperparameter bach_size in this job\. Did you mean batch_size\?"),
        ("optimizer.lrr", r"optimizer\.lrr in this job while optimizer is 'sgd'\. Did you mean optimizer\.lr\?"),
        ("optimizer.adam.beta", r"optimizer\.adam\.beta in this job while optimizer is 'sgd'\."),
        ("conv.filters", r"conv\.filters in this job while the group conv is off\."),
        ("zzz", r"zzz in this job\. Declare it in bough\.yml, or give default=\."),
        ("batch_size.x", r"batch_size\.x in this job\."),
        ("", r"no hyperparameter  in this job\."),
    ],
)
def test_what_is_not_there_is_explained(path: str, message: str) -> None:
    with pytest.raises(Absent):
        VALUES.get(path)

    with pytest.raises(UsageError, match=message):
        raise VALUES.explain(path)


@dataclass
class Node:
    """A declared hyperparameter: a leaf, a group, an optional group or a choice group with its chosen name."""

    kind: str
    value: object = None
    children: dict[str, Node] = field(default_factory=dict)


# Names of children, groups and choices are apart, so that no short spelling can mean two things.
leaves = st.builds(Node, st.just("leaf"), st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=3)))


def _groups(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    children = st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(Node, st.just("group"), st.none(), children),
        st.builds(Node, st.just("optional"), st.booleans(), children),
        st.builds(Node, st.just("choice"), st.sampled_from(["one", "two"]), children),
    )


trees = st.dictionaries(st.sampled_from("abcd"), st.recursive(leaves, _groups, max_leaves=8), min_size=1, max_size=4)


def _spellings(tree: dict[str, Node], full: str, ways: list[str]) -> list[tuple[str, object, list[str]]]:
    """Return (full path, value, every spelling) of all that is active and has an own value."""
    found: list[tuple[str, object, list[str]]] = []
    for name, node in tree.items():
        path, spelled = full + name, [way + name for way in ways]
        if node.kind != "group":
            found.append((path, node.value, spelled))
        if node.kind == "choice":
            inner = [s + "." for s in spelled]
            found += _spellings(node.children, f"{path}.{node.value}.", [i + f"{node.value}." for i in inner] + inner)
        elif node.kind == "group" or (node.kind == "optional" and node.value):
            found += _spellings(node.children, path + ".", [s + "." for s in spelled])
    return found


@given(trees)
def test_every_spelling_of_every_active_hyperparameter_finds_it(tree: dict[str, Node]) -> None:
    active = _spellings(tree, "", [""])
    values = Values({path: value for path, value, _ in active})

    for _, value, spelled in active:
        for way in spelled:
            assert values.get(way) == value
            assert type(values.get(way)) is type(value)


@given(trees, st.text("abcd.onetw", max_size=8))
def test_any_path_is_found_or_explained_and_nothing_else_happens(tree: dict[str, Node], path: str) -> None:
    values = Values({full: value for full, value, _ in _spellings(tree, "", [""])})

    try:
        values.get(path)
    except Absent:
        assert path in str(values.explain(path))
