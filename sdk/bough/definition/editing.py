"""Editing a definition that is being searched: what may change, how it is written, and what it changed, in words.

The coordinator and the command line apply the same rules; the command line knows the lines of a file besides.
"""

from __future__ import annotations

import copy

from bough.definition.expression_text import read_expression
from bough.definition.place import Place, as_mapping, check_keys, did_you_mean, shown
from bough.definition.settings import KEYS
from bough.definition.tree import walk
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Tuple

    from bough.definition.model import Definition

OF_EDIT = ("definition", "add", "space", "fixed", "settings")
_SETTINGS = tuple(key for key in KEYS if key != "space")
_IN_PARTS = {"kpi": ("channel", "direction", "reduce"), "on_failure": ("retry", "stop_after")}
_EDITABLE = ("hyperparameters", "optimization", "priority", "agents")  # the rest belongs to the code that runs


def changed(
    raw: Mapping[str, Any], fixed: Mapping[str, Any], edit: Mapping[str, Any]
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Return definition and fixed values as an edit leaves them; whether they are any good, parsing them will tell.

    Args:
        raw: The definition as JSON data, with a section optimization.
        fixed: Full path → value that replaces what is searched.
        edit: Any of ``definition`` (in the place of ``raw``), ``add`` (path → what is declared there: a new
            hyperparameter, a new branch of a choice group, or a list of new choices), ``space`` (path → expression,
            None: no longer searched), ``fixed`` (path → value, None: no longer fixed), ``settings`` (key → value,
            None: its default).

    Raises:
        UsageError: A part of the edit is no mapping, or names what there is not.
    """
    check_keys(dict.fromkeys(edit), OF_EDIT, Place(), "the edit")
    parts = {name: as_mapping(edit.get(name), Place(), name) for name in OF_EDIT}
    new = copy.deepcopy(dict(parts["definition"] or raw))
    if not isinstance(new.get("optimization"), dict):
        raise UsageError("the definition has no section optimization.", "Say there what to search.")
    _keep_seed(new, raw)
    section = new["optimization"]
    section["space"] = dict(as_mapping(section.get("space"), Place(), "space"))
    for path, spec in parts["add"].items():
        _add(new, path, spec)
    now_fixed = dict(fixed)
    _check_left_out(new, {**now_fixed, **section["space"]}, parts["space"], parts["fixed"])
    for path, expression in parts["space"].items():
        now_fixed.pop(path, None)
        _put(section["space"], path, expression)
    for path, value in parts["fixed"].items():
        _put(now_fixed, path, value)
    for key, value in parts["settings"].items():
        set_setting(new, key, value)
    return new, now_fixed


def _check_left_out(
    raw: Mapping[str, Any], known: Mapping[str, Any], space: Mapping[str, Any], fixed: Mapping[str, Any]
) -> None:
    """Refuse to free, or to search no longer, what there is not; of what is given a value, parsing tells."""
    left_out = [path for part in (space, fixed) for path in part if part[path] is None and path not in known]
    if not left_out:
        return
    from bough.definition.tree import read_tree

    paths = [node.path for node in walk(read_tree(raw.get("hyperparameters") or {}, Place()))]
    for path in left_out:
        if path not in paths:
            raise UsageError("unknown hyperparameter " + shown(path) + ".", did_you_mean(path, paths, "Known paths"))


def _put(mapping: Dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _keep_seed(new: Dict[str, Any], raw: Mapping[str, Any]) -> None:
    """A file that names no seed leaves the one that there is."""
    seed = (raw.get("optimization") or {}).get("seed")
    if seed is not None:
        new["optimization"].setdefault("seed", seed)


def set_setting(raw: Dict[str, Any], key: str, value: Any) -> None:
    """Set one key of the section optimization, in place; ``kpi.reduce`` and the like name a part of one.

    Raises:
        UsageError: There is no such setting, or it cannot be changed.
    """
    name, _, part = key.partition(".")
    if name == "priority" and not part:
        _put(raw, name, value)
        return
    if name not in _SETTINGS or (part and part not in _IN_PARTS.get(name, ())):
        known = [*_SETTINGS, "priority", *(one + "." + end for one, ends in _IN_PARTS.items() for end in ends)]
        raise UsageError("there is no setting " + shown(key) + ".", did_you_mean(key, known, "Settings"))
    if name == "seed":
        raise _no_other_seed()
    if name == "follow_branch":
        raise UsageError(_FOLLOWS, "Begin anew: bough optimization restart ID --definition.")
    section = raw["optimization"]
    if name in _IN_PARTS and (part or isinstance(value, dict)):
        now = section.get(name)
        whole: Dict[str, Any] = {"channel": now} if isinstance(now, str) else dict(now or {})
        whole.update({part: value} if part else value)
        value = {end: found for end, found in whole.items() if found is not None or end == "stop_after"}
    _put(section, name, value)


_FOLLOWS = "whether jobs follow a branch cannot be changed while it runs."


def _no_other_seed() -> UsageError:
    return UsageError(
        "the seed cannot be changed: it is what makes the search come out again.",
        "Begin anew with another one: bough optimization restart ID --seed N.",
    )


# -- adding to the tree ---------------------------------------------------------------------------------------
def _add(raw: Dict[str, Any], path: str, spec: Any) -> None:
    *outer, name = path.split(".")
    if not isinstance(raw.get("hyperparameters"), dict):
        raw["hyperparameters"] = {}
    inside: Dict[str, Any] = raw["hyperparameters"]
    is_choice, at = False, ""
    for part in outer:
        if not isinstance(inside.get(part), dict):
            raise UsageError("there is no group " + shown(part) + " to add " + shown(path) + " to.", _groups(inside))
        at = at + "." + part if at else part
        inside, is_choice = _inner(inside[part], is_choice)
    known = inside.get(name)
    if isinstance(known, dict) and isinstance(known.get("choices"), list):
        new = [one for one in (spec if isinstance(spec, list) else [spec]) if one not in known["choices"]]
        _search_too(raw, path, new)
        known["choices"] = known["choices"] + new
        return
    if name in inside and isinstance(spec, list):
        raise UsageError(
            "hyperparameter " + path + " has no list of choices to add to.",
            "A group to choose is added as a hyperparameter of its own: " + path + ".NAME, with what is in it.",
        )
    if known is not None or name in inside:
        raise UsageError("there is a hyperparameter " + path + " already.", "Give the new one another name.")
    if is_choice:
        _search_too(raw, at, [name])
    inside[name] = spec


def _inner(node: Dict[str, Any], is_choice: bool) -> Tuple[Dict[str, Any], bool]:
    """Return the mapping of what is in a group, and whether it is one of choices."""
    kind = None if is_choice else node.get("type")
    if kind is None:
        return node, False
    key = "choices" if kind == "choice_group" else "children"
    if not isinstance(node.get(key), dict):
        node[key] = {}
    return node[key], kind == "choice_group"


def _groups(inside: Dict[str, Any]) -> str:
    names = [name for name, node in inside.items() if isinstance(node, dict)]
    return "Groups there: " + ", ".join(names) + "." if names else "Add the group first."


def _search_too(raw: Dict[str, Any], path: str, new: List[Any]) -> None:
    """Where the choices that are searched are listed, list the new ones too."""
    from bough.definition.tree import read_tree

    space = raw["optimization"]["space"]
    written = space.get(path)
    if written is None:
        return
    nodes = {node.path: node for node in walk(read_tree(raw["hyperparameters"], Place()))}
    expression = read_expression(written, nodes[path], Place())
    if expression.weights is not None:
        raise UsageError(
            "parameter " + path + " is searched with probabilities.", "Give all of them anew: --set with pchoice(…)."
        )
    if expression.options is not None and written != "choice" and written != {"choice": None}:
        space[path] = {"choice": [*expression.options, *new]}


# -- what may not change --------------------------------------------------------------------------------------
def check(old: Definition, new: Definition, place: Place, its_id: str = "ID") -> None:
    """Refuse what an edit cannot do.

    Args:
        old: What is searched now, its values fixed.
        new: What is to be searched.
        place: The top of the new one.
        its_id: Of the optimization, for messages.

    Raises:
        DefinitionError: The types of the model, its code, its seed or its grid would be others.
    """
    restart = "For that begin anew: bough optimization restart " + its_id + "."
    for key in dict.fromkeys((*old.raw, *new.raw)):
        if key not in _EDITABLE and old.raw.get(key) != new.raw.get(key):
            raise place.down(key).error("an edit cannot change " + key + " while trials run.", restart)
    _check_types(old, new, place.down("hyperparameters"))
    at = place.down("optimization")
    if old.settings.seed != new.settings.seed:
        error = _no_other_seed()
        raise at.down("seed").error(error.what, error.do.replace(" ID ", " " + its_id + " "))
    if old.settings.follow_branch != new.settings.follow_branch:
        raise at.down("follow_branch").error(_FOLLOWS, restart)
    is_grid = [one.settings.algorithm == "grid" for one in (old, new)]
    if is_grid[0] != is_grid[1]:
        raise at.down("algorithm").error("grid counts its points from the first trial on.", restart)
    if all(is_grid) and old.space != new.space:
        raise at.down("space").error("grid counts the points of the space it began with.", restart)


def _check_types(old: Definition, new: Definition, place: Place) -> None:
    before = {node.path: node for node in walk(old.hyperparameters)}
    for node in walk(new.hyperparameters):
        was = before.get(node.path)
        if was is None or _type(was) == _type(node):
            continue
        at = place
        for part in node.path.split("."):
            at = at.down(part)
        raise at.error(
            "hyperparameter " + node.path + " was a " + _type(was) + " and cannot become a " + _type(node) + ".",
            "Add a new one under another name.",
        )


def _type(node: Any) -> str:
    return "whole number" if getattr(node, "integer", False) and node.kind == "number" else str(node.kind)
