"""A search space as a tree that can be shown: what each hyperparameter is, and what becomes of it in a search."""

from __future__ import annotations

from bough.definition.space import possible, reachable_paths
from bough.definition.tree import ChoiceGroup, Group, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping

    from bough.definition.expressions import Expression
    from bough.definition.scalars import Value
    from bough.definition.space import Space
    from bough.definition.tree import Node


def outline(space: Space) -> List[Dict[str, Any]]:
    """Return the hyperparameters as JSON data, in the order of the file.

    Each is ``{"name", "path", "type", "integer", "default", "search", "fixed", "active", "branches"}``: ``search`` is
    the expression as text or None, ``fixed`` the value that replaces the default or None, ``active`` whether a trial
    may have it. ``branches`` is a list of ``{"name", "active", "children"}``: one per choice of a choice group, ``on``
    for an optional group, one without a name (None) for a group that is always there, none for a value.
    """
    reachable = reachable_paths(space.root, space.searched, space.fixed)
    return [_node(space, name, child, reachable, True) for name, child in space.root.children.items()]


def words(expression: Expression) -> str:
    """Return an expression as one writes it: ``loguniform(0.0001, 1)``, ``pchoice(relu=0.7, gelu=0.3)``."""
    if expression.weights is not None:
        pairs = zip(expression.options or [], expression.weights)
        return "pchoice(" + ", ".join(_text(option) + "=" + repr(weight) for option, weight in pairs) + ")"
    if expression.name == "choice":
        return "choice(" + ", ".join(_text(option) for option in expression.options or []) + ")"
    if not expression.args:
        return expression.name
    return expression.name + "(" + ", ".join(repr(number) for number in expression.args.values()) + ")"


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _node(space: Space, name: str, node: Node, reachable: Mapping[str, Node], is_active: bool) -> Dict[str, Any]:
    has_value = not isinstance(node, Group) or node.optional
    is_active = is_active and (not has_value or node.path in reachable)
    expression = space.searched.get(node.path)
    return {
        "name": name,
        "path": node.path,
        "type": node.kind,
        "integer": isinstance(node, Parameter) and node.integer,
        "default": node.default if has_value else None,
        "search": None if expression is None else words(expression),
        "fixed": space.fixed.get(node.path),
        "active": is_active,
        "branches": _branches(space, node, reachable, is_active),
    }


def _branches(space: Space, node: Node, reachable: Mapping[str, Node], is_active: bool) -> List[Dict[str, Any]]:
    if isinstance(node, Parameter):
        return []
    if isinstance(node, ChoiceGroup):
        taken = possible(node, space.searched, space.fixed)
        return [
            _branch(space, name, group, reachable, is_active and name in taken) for name, group in node.choices.items()
        ]
    if not node.optional:
        return [_branch(space, None, node, reachable, is_active)]
    return [_branch(space, "on", node, reachable, is_active and True in possible(node, space.searched, space.fixed))]


def _branch(space: Space, name: Any, group: Group, reachable: Mapping[str, Node], is_active: bool) -> Dict[str, Any]:
    children = [_node(space, child, node, reachable, is_active) for child, node in group.children.items()]
    return {"name": name, "active": is_active, "children": children}
