"""The points of a space whose every expression is finite, counted: what `algorithm: grid` tries in order.

The last hyperparameter of the file varies fastest. A choice counts the points of each of its groups, so that what is
not active is not multiplied.
"""

from __future__ import annotations

from bough.definition.space import Space, possible
from bough.definition.tree import ChoiceGroup, Group, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple

    from bough.definition.place import Place
    from bough.definition.scalars import Value
    from bough.definition.tree import Node


def check_grid(space: Space, place: Place) -> None:
    """Refuse an expression that has no end of values.

    Raises:
        DefinitionError: Names it.
    """
    for path, expression in space.searched.items():
        if expression.count is None:
            raise place.down(path).error(
                "parameter " + path + ": " + expression.name + " has no end of values, and the algorithm is grid.",
                "Write range(low, high, step) or choice(…).",
            )


def grid_size(space: Space) -> int:
    """Return how many points there are, at least 1. Every expression must be finite (`check_grid`)."""
    return _size(space, space.root)


def grid_point(space: Space, number: int) -> Dict[str, Value]:
    """Return the searched active values of point `number`, 0 <= number < `grid_size(space)`."""
    found: Dict[str, Value] = {}
    _place(space, space.root, number, found)
    return found


def _branches(space: Space, node: Node) -> List[Tuple[Value, List[Node]]]:
    """Return what `node` can be, each with the nodes that are active then."""
    if isinstance(node, ChoiceGroup):
        return [(name, [node.choices[str(name)]]) for name in possible(node, space.searched, space.fixed)]
    assert isinstance(node, Group)
    children = list(node.children.values())
    if not node.optional:
        return [(True, children)]
    return [(is_on, children if is_on else []) for is_on in possible(node, space.searched, space.fixed)]


def _size(space: Space, node: Node) -> int:
    if isinstance(node, Parameter):
        expression = space.searched.get(node.path)
        return 1 if expression is None else expression.count or 1
    return sum(_product(space, children) for _, children in _branches(space, node))


def _product(space: Space, nodes: List[Node]) -> int:
    size = 1
    for node in nodes:
        size *= _size(space, node)
    return size


def _place(space: Space, node: Node, number: int, found: Dict[str, Value]) -> None:
    if isinstance(node, Parameter):
        if node.path in space.searched:
            found[node.path] = space.searched[node.path].at(number)
        return
    for value, children in _branches(space, node):
        size = _product(space, children)
        if number >= size:
            number -= size
            continue
        if node.path in space.searched:
            found[node.path] = value
        for child in reversed(children):
            number, position = divmod(number, _size(space, child))
            _place(space, child, position, found)
        return
