"""An optimization's space and settings as a text that is edited, and the edit that a changed text means.

What is wrong in it is named with its line, by the rules of bough.yml, before the coordinator hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bough.definition import Definition, editing, parse
from bough.definition.place import Place, as_mapping, check_keys
from bough.definition.yaml_text import read
from bough.definition.yaml_writer import dumps

SECTIONS = ("hyperparameters", "optimization", "fixed", "priority")
_HEAD = """\
# The space and the settings of optimization {id}, version {version}.
# Trials that have begun keep their values; those that fit the new space stay in the optimizer's history.
# fixed: what is not searched although it stands in space. Save and leave to see what would change.
"""


def written(found: Mapping[str, Any]) -> str:
    """Return the text of an optimization as ``GET /optimizations/{id}/definition`` describes it."""
    raw = found["definition"]
    shown = {name: raw[name] for name in ("hyperparameters", "optimization", "priority") if raw.get(name) is not None}
    shown["fixed"] = found["fixed"]
    return _HEAD.format(id=found["id"], version=found["space_version"]) + dumps(shown)


def edit_of(text: str, found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the edit that a changed text means; ``name`` is what errors call it.

    Raises:
        DefinitionError: Something in it is wrong, with its line.
    """
    data, lines = read(text, name)
    top = Place(name, lines)
    sections = as_mapping(data, top, "the text")
    check_keys(sections, SECTIONS, top, "the text")
    raw = {**found["definition"], **{key: value for key, value in sections.items() if key != "fixed"}}
    fixed = dict(as_mapping(sections.get("fixed"), top.down("fixed"), "fixed"))
    _check(parse(raw, name, lines), fixed, found, top)
    gone = dict.fromkeys(path for path in found["fixed"] if path not in fixed)
    return {"definition": raw, "fixed": {**gone, **fixed}, "space_version": found["space_version"]}


def edit_of_file(path: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the edit to what a bough.yml says; values that are fixed stay so.

    Raises:
        DefinitionError: It is missing or wrong, or an edit cannot do it, with its line.
    """
    from bough.definition import load

    new = load(path)
    with open(path, encoding="utf-8-sig") as file:
        _, lines = read(file.read(), path)
    _check(new, found["fixed"], found, Place(path, lines))
    return {"definition": new.raw, "space_version": found["space_version"]}


def _check(new: Definition, fixed: Mapping[str, Any], found: Mapping[str, Any], top: Place) -> None:
    old = parse(found["definition"])
    old.fix(found["fixed"])
    if new.settings.seed is None:
        new.settings.seed = old.settings.seed
    new.fix(fixed)
    editing.check(old, new, top, found["id"])


def value_of(text: str) -> Any:
    """Return what a text on the command line stands for: YAML, and nothing for an empty one."""
    return read(text, "the command line")[0] if text.strip() else None
