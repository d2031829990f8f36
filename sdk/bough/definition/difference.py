"""What an edit changed, in lines that a person reads: ``lr: uniform(0, 1) → uniform(0, 2)``."""

from __future__ import annotations

from bough.definition.outline import words
from bough.definition.place import shown
from bough.definition.tree import ChoiceGroup, Parameter, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from bough.definition.model import Definition
    from bough.definition.space import Space

_OF_SETTINGS = (
    "algorithm",
    "max_trials",
    "initial_random",
    "max_parallel",
    "max_epochs",
    "max_time_s",
    "total_time_s",
    "seed",
    "agents",
    "kpi_channel",
    "kpi_direction",
    "kpi_reduce",
    "retry",
    "stop_after",
    "pruning",
    "duplicates",
    "grace_s",
    "term_s",
    "follow_branch",
)


def of_spaces(old: Space, new: Space) -> List[str]:
    """Return what is searched, fixed or declared otherwise, one line for each hyperparameter."""
    before = {node.path: node for node in walk(old.root)}
    after = {node.path: node for node in walk(new.root)}
    lines = []
    for path in dict.fromkeys((*after, *before)):
        was = _stands(old, before, path)
        now = _stands(new, after, path)
        if was != now:
            lines.append(path + ": " + was + " → " + now)
    return lines


def of_settings(old: Definition, new: Definition) -> List[str]:
    """Return which settings differ."""
    lines = []
    for name in _OF_SETTINGS:
        was, now = getattr(old.settings, name), getattr(new.settings, name)
        if was != now:
            lines.append(_named(name) + ": " + _setting(name, was) + " → " + _setting(name, now))
    if old.priority != new.priority:
        lines.append("priority: " + str(old.priority) + " → " + str(new.priority))
    return lines


def _stands(space: Space, nodes: Any, path: str) -> str:
    node = nodes.get(path)
    if node is None:
        return "not there"
    choices = ""
    if isinstance(node, Parameter) and node.choices is not None:
        choices = " of " + ", ".join(shown(one) for one in node.choices)
    if isinstance(node, ChoiceGroup):
        choices = " of " + ", ".join(node.choices)
    if path in space.searched:
        return words(space.searched[path]) + choices
    if path in space.fixed:
        return "fixed at " + shown(space.fixed[path]) + choices
    return "stays " + shown(node.default) + choices


def _named(name: str) -> str:
    if name.endswith("_s"):
        return name[:-2]
    if name in ("retry", "stop_after"):
        return "on_failure." + name
    return name.replace("kpi_", "kpi.")


def _setting(name: str, value: Any) -> str:
    if value is None:
        return {"agents": "all", "kpi_channel": "as declared", "kpi_direction": "as declared"}.get(name, "none")
    if name.endswith("_s"):
        return "{0:g} s".format(value)
    if name == "pruning":
        return str(value["rule"]) + "(" + ", ".join(k + "=" + str(v) for k, v in value.items() if k != "rule") + ")"
    return ", ".join(value) if isinstance(value, list) else shown(value)
