"""The search space: the tree of hyperparameters, which of them are searched and how, and which are fixed.

`found` values (what an optimizer draws) cover the active searched parameters; `complete` makes the whole flat set of
them: fixed and default values added, what is not active dropped.
"""

from __future__ import annotations

from bough.definition.expression_text import read_expression
from bough.definition.expressions import Expression
from bough.definition.place import Place, as_mapping, did_you_mean, shown
from bough.definition.tree import ChoiceGroup, Group, fill, read_tree, walk
from bough.definition.values import convert, overridden
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

    from bough.definition.scalars import Value
    from bough.definition.tree import Node


class Space:
    """What is searched.

    Attributes:
        root: The tree of all hyperparameters.
        searched: Expression of each searched full path, in the order of the file.
        fixed: Values that replace defaults, by full path.
    """

    def __init__(
        self,
        written: Dict[str, Any],
        root: Group,
        searched: Dict[str, Expression],
        fixed: Mapping[str, Value] = (),  # type: ignore[assignment]
    ) -> None:
        self._written = written
        self.root = root
        self.searched = searched
        self.fixed: Dict[str, Value] = dict(fixed)

    def to_json(self) -> Dict[str, Any]:
        """Return JSON data from which `from_json` makes the same space. `searched` is a list: its order counts."""
        return {
            "hyperparameters": self._written,
            "searched": [[path, expression.to_json()] for path, expression in self.searched.items()],
            "fixed": dict(self.fixed),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Space:
        """Return the space that `to_json` described.

        Raises:
            DefinitionError: The data is none of `to_json`'s.
        """
        place = Place()
        root = read_tree(data["hyperparameters"], place)
        nodes = {node.path: node for node in walk(root)}
        searched = {path: read_expression(written, nodes[path], place) for path, written in data["searched"]}
        return Space(data["hyperparameters"], root, searched, data["fixed"])

    def complete(self, found: Mapping[str, Value]) -> Dict[str, Value]:
        """Return the flat, active values: those `found`, else the fixed ones, else the defaults."""
        given = dict(self.fixed)
        given.update(found)
        return fill(self.root, given, {})

    def point(self, given: Mapping[str, object]) -> Dict[str, Value]:
        """Return the flat, active values of a point set by hand: `given` on top of the fixed ones and the defaults.

        Args:
            given: Full path → text or typed value; also of what is not searched.

        Raises:
            UsageError: A path is unknown, a value of the wrong type or no choice, or its group is not active.
        """
        return overridden(self.root, given, self.fixed)

    def misfit(self, values: Mapping[str, Value]) -> Optional[str]:
        """Return why this space could not have drawn the searched ones of `values`, or None where it could.

        `values` may be those of an earlier version: what that did not have takes its fixed or default value, and what
        is not searched here is not looked at, unless it decides what is active.
        """
        return self.drawn(values)[1]

    def drawn(self, values: Mapping[str, Value]) -> Tuple[Dict[str, Value], Optional[str]]:
        """Return the searched active ones of `values` as this space would have drawn them, and `misfit`."""
        try:
            complete = self.complete(values)
        except KeyError as error:
            return {}, "there is no choice " + shown(error.args[0]) + " any more"
        found = {path: complete[path] for path in self.searched if path in complete}
        for path, value in found.items():
            if not self.searched[path].contains(value):
                return {}, path + " = " + shown(value) + " is not in " + str(self.searched[path])
        if len(found) < len(self.searched):
            usual = self.complete(found)
            for path in self.searched:
                if path in usual and path not in found:
                    return {}, path + " is not active in it"
        return found, None

    def fix(self, path: str, value: object) -> Space:
        """Fix one hyperparameter, in place: it is no longer searched, nor is what it makes inactive. Return this space.

        Args:
            path: Full path.
            value: Of the declared type, or text that can be read as it (`-p name=value`).

        Raises:
            UsageError: There is no such hyperparameter, it cannot take the value, or nothing is left to search.
        """
        return self.fix_all({path: value})

    def fix_all(self, values: Mapping[str, object]) -> Space:
        """Fix several hyperparameters together, in place, as `fix` does for one; their order does not matter."""
        fixed = dict(self.fixed)
        fixed.update(convert(self.root, values))
        searched = {path: expression for path, expression in self.searched.items() if path not in values}
        reachable = reachable_paths(self.root, searched, fixed)
        for path in values:
            if path not in reachable:
                raise UsageError(
                    "parameter " + path + " is never active: " + why_never(self.root, path, searched, fixed) + ".",
                    "Leave it out, or choose the group it belongs to.",
                )
        searched = {path: expression for path, expression in searched.items() if path in reachable}
        if self.searched and not searched:
            raise UsageError("every parameter of the space is fixed: nothing is left to search.", "Fix fewer.")
        self.fixed, self.searched = fixed, searched
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]


def read_space(section: object, written: Dict[str, Any], root: Group, place: Place) -> Space:
    """Return the space of an `optimization: space:` section over the hyperparameters `root`.

    Raises:
        DefinitionError: A path is unknown, an expression is wrong, or something in it could never be searched.
    """
    mapping = as_mapping(section, place, "space")
    nodes = {node.path: node for node in walk(root)}
    plain = set(_plain_groups(root))
    searched: Dict[str, Expression] = {}
    for path, expression in mapping.items():
        at = place.down(path)
        if path in plain:
            raise at.error(
                "parameter " + path + ": the group is always there.",
                "Write optional: true in it, or search its children.",
            )
        if path not in nodes:
            raise at.error("unknown hyperparameter " + path + " in space.", did_you_mean(path, nodes, "Known paths"))
        searched[path] = read_expression(expression, nodes[path], at)
    reachable = reachable_paths(root, searched, {})
    for path in searched:
        if path not in reachable:
            why = why_never(root, path, searched, {})
            raise place.down(path).error(
                "parameter " + path + " is never active: " + why + ".", "Search that too, or take this line out."
            )
    return Space(written, root, searched)


def reachable_paths(root: Group, searched: Mapping[str, Expression], fixed: Mapping[str, Value]) -> Dict[str, Node]:
    """Return the nodes, by full path, that some draw of the space makes active."""
    found: Dict[str, Node] = {}
    _reach(root, searched, fixed, found)
    return found


def _reach(node: Node, searched: Mapping[str, Expression], fixed: Mapping[str, Value], found: Dict[str, Node]) -> None:
    if node.path and not (isinstance(node, Group) and not node.optional):
        found[node.path] = node
    for child in _possible_children(node, searched, fixed):
        _reach(child, searched, fixed, found)


def _possible_children(node: Node, searched: Mapping[str, Expression], fixed: Mapping[str, Value]) -> List[Node]:
    if isinstance(node, ChoiceGroup):
        return [node.choices[str(name)] for name in possible(node, searched, fixed)]
    if isinstance(node, Group):
        return list(node.children.values()) if not node.optional or True in possible(node, searched, fixed) else []
    return []


def possible(node: Node, searched: Mapping[str, Expression], fixed: Mapping[str, Value]) -> List[Value]:
    """Return the values that a choice group or an optional group takes in this space."""
    expression = searched.get(node.path)
    if expression is not None and expression.options is not None:
        return expression.options
    return [fixed.get(node.path, node.default)]


def why_never(root: Group, path: str, searched: Mapping[str, Expression], fixed: Mapping[str, Value]) -> str:
    """Return which group keeps `path` from ever being active, and how: "optimizer is always sgd"."""
    for node in walk(root):
        if not path.startswith(node.path + ".") or not isinstance(node, (Group, ChoiceGroup)):
            continue
        values = possible(node, searched, fixed)
        if isinstance(node, Group):
            if True not in values:
                return node.path + " is always off"
        elif path[len(node.path) + 1 :].split(".")[0] not in values:
            return node.path + " is always " + " or ".join(str(value) for value in values)
    return "its group is never chosen"


def _plain_groups(group: Group) -> List[str]:
    found = []
    for child in group.children.values():
        inner = list(child.choices.values()) if isinstance(child, ChoiceGroup) else [child]
        for node in inner:
            if isinstance(node, Group):
                if not node.optional:
                    found.append(node.path)
                found.extend(_plain_groups(node))
    return found
