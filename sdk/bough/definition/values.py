"""One point of the space as the user gives it: `-p name=value` on top of the defaults, and `{{name}}` in commands."""

from __future__ import annotations

import re
from types import MappingProxyType

from bough.definition import scalars
from bough.definition.place import Place, did_you_mean, shown
from bough.definition.tree import ChoiceGroup, Group, checked, fill, walk
from bough.errors import DefinitionError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Sequence

    from bough.definition.scalars import Value
    from bough.definition.tree import Node

_TEMPLATE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
ALL = "args"  # {{args}}: every value as --path=value


def convert(root: Group, values: Mapping[str, object]) -> Dict[str, Value]:
    """Return `values` (full path → text or a typed value) as the types that the hyperparameters declare.

    Raises:
        UsageError: A path is unknown, or a value is not of its type or not among its choices.
    """
    nodes = {node.path: node for node in walk(root)}
    result: Dict[str, Value] = {}
    for path, value in values.items():
        if path not in nodes:
            raise UsageError("unknown hyperparameter " + shown(path) + ".", did_you_mean(path, nodes))
        result[path] = _converted(nodes[path], value)
    return result


def _converted(node: Node, value: object) -> Value:
    if isinstance(value, str):
        value = _read_text(node, value)
    try:
        return checked(node, value, Place())
    except DefinitionError as error:
        raise UsageError(error.what, error.do) from None


def _read_text(node: Node, text: str) -> object:
    if node.kind in ("boolean", "group"):
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if node.kind in ("number", "choice_number"):
        try:
            number = scalars.number(text.strip())
        except ValueError:
            return text
        return text if number is None else number
    return text


def overridden(
    root: Group, overrides: Mapping[str, object], fixed: Mapping[str, Value] = MappingProxyType({})
) -> Dict[str, Value]:
    """Return the flat active values: the defaults with `fixed` and `overrides` on top, from full path to value.

    Overrides may be text.

    Raises:
        UsageError: As `convert`; or an override belongs to a group that is not active.
    """
    given = convert(root, overrides)
    values = fill(root, {**fixed, **given}, {})
    for path in given:
        if path not in values:
            raise UsageError("parameter " + path + " is not active: " + _why_not_active(root, path, values))
    return values


def _why_not_active(root: Group, path: str, values: Mapping[str, Value]) -> str:
    for node in walk(root):
        if not path.startswith(node.path + ".") or node.path not in values:
            continue
        if isinstance(node, ChoiceGroup):
            wanted = path[len(node.path) + 1 :].split(".")[0]
            if values[node.path] != wanted:
                return "{0} is {1}. Add {0}={2}, or leave it out.".format(node.path, values[node.path], wanted)
        elif values[node.path] is False:
            return "{0} is off. Add {0}=true, or leave it out.".format(node.path)
    return "its group is not chosen. Leave it out."


def as_text(value: Value) -> str:
    """Return a value as a command line gets it: repr of numbers, true or false, text as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def short_paths(values: Mapping[str, Value]) -> Dict[str, str]:
    """Return, for each flat path, the short one that leaves out chosen names: optimizer.lr for optimizer.sgd.lr."""
    result = {}
    for path in values:
        short: List[str] = []
        full: List[str] = []
        for part in path.split("."):
            parent = ".".join(full)
            full.append(part)
            if not (parent in values and isinstance(values[parent], str) and values[parent] == part):
                short.append(part)
        result[".".join(short)] = path
    return result


def tidy_templates(text: str) -> str:
    """Return `text` without blanks inside {{ }}, so that splitting at blanks keeps each template whole."""
    return _TEMPLATE.sub(r"{{\1}}", text)


def templates(argv: Sequence[str]) -> List[str]:
    """Return the names in {{ }} of a command, in order."""
    return [name for arg in argv for name in _TEMPLATE.findall(arg)]


def replace_templates(argv: Sequence[str], values: Mapping[str, Value]) -> List[str]:
    """Return `argv` with {{name}} replaced by values; {{args}} becomes one --path=value per value. No shell.

    Args:
        argv: The command.
        values: Flat and active; a name may be the full path or leave out chosen names.

    Raises:
        UsageError: A name is unknown or not active, or {{args}} is only a part of an argument.
    """
    known = dict(short_paths(values))
    known.update({path: path for path in values})

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in known:
            return as_text(values[known[name]])
        if name == ALL:
            raise UsageError("{{args}} is part of a longer argument.", "Let it stand alone, between blanks.")
        raise UsageError(
            "the command asks for {{" + name + "}}, which has no value here.", did_you_mean(name, known, "Values")
        )

    result: List[str] = []
    for arg in argv:
        if ALL not in known and _TEMPLATE.sub(r"\1", arg) == ALL and arg != ALL:
            result.extend("--" + path + "=" + as_text(value) for path, value in values.items())
        else:
            result.append(_TEMPLATE.sub(replaced, arg))
    return result
