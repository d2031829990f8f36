"""The typed hyperparameters of a model: a tree of the seven types, read from the `hyperparameters:` section.

Every node knows its full path (``optimizer.sgd.lr``). Values are flat dicts keyed by that path and hold active
hyperparameters only: a choice group's own path holds the chosen name, an optional group's own path true or false.
"""

from __future__ import annotations

import re

from bough._numbers import INT_END
from bough.definition.place import as_mapping, check_keys, did_you_mean, shown
from bough.definition.scalars import is_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Mapping, Union

    from bough.definition.place import Place
    from bough.definition.scalars import Value

    Node = Union["Parameter", "Group", "ChoiceGroup"]

TYPES = ("string", "number", "boolean", "group", "choice_string", "choice_number", "choice_group")
MAX_PARAMETERS = 1000
MAX_DEPTH = 12
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}\Z")
KEYS = {
    "string": ("type", "default", "description"),
    "number": ("type", "default", "integer", "description"),
    "boolean": ("type", "default", "description"),
    "group": ("type", "optional", "default", "children", "description"),
    "choice_string": ("type", "choices", "default", "description"),
    "choice_number": ("type", "choices", "default", "description"),
    "choice_group": ("type", "choices", "default", "description"),
}


class Parameter:
    """A leaf: string, number, boolean, choice_string or choice_number.

    `choices` is None unless the kind is a choice; `integer` tells a number that is never a decimal.
    """

    __slots__ = ("choices", "default", "integer", "kind", "path")

    def __init__(self, path: str, kind: str, default: Value, integer: bool, choices: Union[List[Value], None]) -> None:
        self.path = path
        self.kind = kind
        self.default = default
        self.integer = integer
        self.choices = choices


class Group:
    """A named set of hyperparameters; where `optional`, the whole of it may be off. The root's path is ""."""

    __slots__ = ("children", "default", "optional", "path")

    kind = "group"

    def __init__(self, path: str, children: Dict[str, Node], optional: bool = False, default: bool = True) -> None:
        self.path = path
        self.children = children
        self.optional = optional
        self.default = default


class ChoiceGroup:
    """Exactly one of several groups, by name."""

    __slots__ = ("choices", "default", "path")

    kind = "choice_group"

    def __init__(self, path: str, choices: Dict[str, Group], default: str) -> None:
        self.path = path
        self.choices = choices
        self.default = default


def walk(node: Node) -> Iterator[Node]:
    """Yield every node that may have a value, in the order of the file: all but plain groups."""
    if isinstance(node, Parameter):
        yield node
    elif isinstance(node, ChoiceGroup):
        yield node
        for choice in node.choices.values():
            yield from walk(choice)
    else:
        if node.optional:
            yield node
        for child in node.children.values():
            yield from walk(child)


def fill(node: Node, given: Mapping[str, Value], into: Dict[str, Value]) -> Dict[str, Value]:
    """Add the active values below `node` to `into`: those `given` by full path, else the defaults."""
    if isinstance(node, Parameter):
        into[node.path] = given.get(node.path, node.default)
    elif isinstance(node, ChoiceGroup):
        chosen = str(given.get(node.path, node.default))
        into[node.path] = chosen
        fill(node.choices[chosen], given, into)
    else:
        is_on = bool(given.get(node.path, node.default)) if node.optional else True
        if node.optional:
            into[node.path] = is_on
        if is_on:
            for child in node.children.values():
                fill(child, given, into)
    return into


def read_tree(section: object, place: Place) -> Group:
    """Return the root group of a `hyperparameters:` section.

    Raises:
        DefinitionError: A type, a default, a choice or a name is wrong.
    """
    mapping = as_mapping(section, place, "hyperparameters")
    root = Group("", _children(mapping, place, "", 0))
    count = sum(1 for _ in walk(root))
    if count > MAX_PARAMETERS:
        raise place.error("there are " + str(count) + " hyperparameters; 1000 are allowed.", "Leave some out.")
    return root


def _children(mapping: Dict[str, Any], place: Place, path: str, depth: int) -> Dict[str, Node]:
    if depth > MAX_DEPTH:
        raise place.error("hyperparameters are nested deeper than " + str(MAX_DEPTH) + " levels.", "Flatten them.")
    children: Dict[str, Node] = {}
    for name, spec in mapping.items():
        at = place.down(name)
        _check_name(name, at, path)
        children[name] = _node(spec, at, path + "." + name if path else name, depth)
    return children


def _check_name(name: str, place: Place, path: str) -> None:
    if not _NAME.match(name):
        where = " in " + path if path else ""
        raise place.error(
            "the name " + shown(name) + where + " is no hyperparameter name.",
            "Use letters, digits, _ and -, beginning with a letter; groups are nested, not dotted.",
        )


def _node(spec: object, place: Place, path: str, depth: int) -> Node:
    if isinstance(spec, dict):
        spec = as_mapping(spec, place, "hyperparameter " + path)
        if "type" not in spec:
            return Group(path, _children(spec, place, path, depth + 1))
        return _long_form(spec, place, path, depth)
    if isinstance(spec, (list, tuple)):
        raise place.error(
            "hyperparameter " + path + " is a list.",
            "Write {type: choice_string, choices: […]} or {type: choice_number, choices: […]}.",
        )
    if spec is None:
        raise place.error("hyperparameter " + path + " has no default.", "Write a value after its name.")
    return _leaf({"default": spec}, _kind_of(spec), place, path)


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def _long_form(spec: Dict[str, Any], place: Place, path: str, depth: int) -> Node:
    kind = spec["type"]
    if kind not in TYPES:
        raise place.down("type").error(
            "hyperparameter " + path + ": " + shown(kind) + " is not one of the types " + ", ".join(TYPES) + ".",
            "A hyperparameter that is itself called type goes into {type: group, children: {type: …}}.",
        )
    check_keys(spec, KEYS[kind], place, "the " + kind + " " + path)
    if kind == "group":
        return _group(spec, place, path, depth)
    if kind == "choice_group":
        return _choice_group(spec, place, path, depth)
    return _leaf(spec, kind, place, path)


def _leaf(spec: Dict[str, Any], kind: str, place: Place, path: str) -> Parameter:
    choices = _choices(spec, kind, place, path) if kind in ("choice_string", "choice_number") else None
    default = spec.get("default", choices[0] if choices else None)
    if default is None:
        raise place.error("hyperparameter " + path + " has no default.", "Add default: …")
    at = place.down("default") if "default" in spec and "type" in spec else place
    integer = spec.get("integer", isinstance(default, int) and not isinstance(default, bool) and kind == "number")
    if not isinstance(integer, bool):
        raise place.down("integer").error("integer of " + path + " is " + shown(integer) + ".", "Write true or false.")
    if choices is not None:
        integer = all(isinstance(choice, int) for choice in choices)
    parameter = Parameter(path, kind, default, integer, choices)
    parameter.default = checked(parameter, default, at)
    return parameter


def _choices(spec: Dict[str, Any], kind: str, place: Place, path: str) -> List[Value]:
    choices = spec.get("choices")
    if not isinstance(choices, list) or not choices:
        raise place.error("hyperparameter " + path + " has no list of choices.", "Add choices: [first, second].")
    wanted = "text" if kind == "choice_string" else "a number"
    for index, choice in enumerate(choices):
        if not (isinstance(choice, str) if kind == "choice_string" else is_number(choice)):
            raise (
                place.down("choices")
                .down(index)
                .error(
                    "hyperparameter " + path + ": the choice " + shown(choice) + " is not " + wanted + ".",
                    "Quote it." if kind == "choice_string" else "Write a number, or make it a choice_string.",
                )
            )
        if isinstance(choice, int):
            fitting(choice, place.down("choices").down(index), "parameter " + path + ": ")
        if choice in choices[:index]:
            raise (
                place.down("choices")
                .down(index)
                .error(
                    "hyperparameter " + path + ": the choice " + shown(choice) + " is there twice.", "Keep one of them."
                )
            )
    return list(choices)


def _group(spec: Dict[str, Any], place: Place, path: str, depth: int) -> Group:
    optional = spec.get("optional", False)
    default = spec.get("default", True)
    for key, value in (("optional", optional), ("default", default)):
        if not isinstance(value, bool):
            raise place.down(key).error(
                key + " of the group " + path + " is " + shown(value) + ".", "Write true or false."
            )
    if "default" in spec and not optional:
        raise place.down("default").error("the group " + path + " is always there.", "Add optional: true.")
    at = place.down("children")
    children = as_mapping(spec.get("children"), at, "children of " + path)
    return Group(path, _children(children, at, path, depth + 1), optional, default)


def _choice_group(spec: Dict[str, Any], place: Place, path: str, depth: int) -> ChoiceGroup:
    at = place.down("choices")
    mapping = as_mapping(spec.get("choices"), at, "choices of " + path)
    if not mapping:
        raise place.error("the choice group " + path + " has no choices.", "Add choices: {first: {…}, second: {…}}.")
    choices: Dict[str, Group] = {}
    for name, body in mapping.items():
        _check_name(name, at.down(name), path)
        inner = path + "." + name
        children = as_mapping(body, at.down(name), "the choice " + name + " of " + path)
        choices[name] = Group(inner, _children(children, at.down(name), inner, depth + 1))
    default = spec.get("default", next(iter(choices)))
    node = ChoiceGroup(path, choices, "")
    node.default = str(checked(node, default, place.down("default")))
    return node


def options(node: Node) -> Union[List[Value], None]:
    """Return the values `node` can take where they are a list (choices, booleans, optional groups), else None."""
    if isinstance(node, ChoiceGroup):
        return list(node.choices)
    if isinstance(node, Group) or node.kind == "boolean":
        return [False, True]
    return node.choices


def checked(node: Node, value: object, place: Place) -> Value:
    """Return `value` as the type that `node` declares; a whole number becomes a decimal where one is declared.

    Raises:
        DefinitionError: It is of another type, or not among the choices.
    """
    kind = node.kind
    label = "parameter " + node.path + ": "
    if kind == "boolean" or kind == "group":
        if isinstance(value, bool):
            return value
        raise place.error(label + shown(value) + " is neither true nor false.", "Write true or false.")
    if kind in ("choice_string", "choice_number", "choice_group"):
        known = options(node) or []
        for option in known:
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return option
        names = [shown(option) for option in known]
        raise place.error(label + shown(value) + " is not one of its choices.", did_you_mean(value, names, "Choices"))
    if kind == "string":
        if isinstance(value, str):
            return value
        raise place.error(label + shown(value) + " is not text.", "Quote it, or declare another type.")
    return _checked_number(node, value, place, label)


def _checked_number(node: Node, value: object, place: Place, label: str) -> Value:
    if not is_number(value):
        raise place.error(label + shown(value) + " is not a number.", "Write a finite number.")
    assert isinstance(value, (int, float))
    if not (isinstance(node, Parameter) and node.integer):
        return _decimal(value, place, label)
    if value != int(value):
        raise place.error(
            label + shown(value) + " is not a whole number.",
            "Write one, or give the parameter a decimal default such as " + repr(float(int(value))) + ".",
        )
    return fitting(int(value), place, label)


def fitting(value: int, place: Place, label: str) -> int:
    """Return a whole number that every store and language keeps.

    Raises:
        DefinitionError: It does not fit into 64 bits.
    """
    if -INT_END <= value < INT_END:
        return value
    raise place.error(label + shown(value) + " does not fit into 64 bits.", "Write a smaller number, or a decimal one.")


def _decimal(value: Union[int, float], place: Place, label: str) -> float:
    try:
        return float(value) + 0.0
    except OverflowError:
        raise place.error(label + shown(value) + " is too large.", "Write a smaller number.") from None
