"""Reads the YAML of a bough.yml: plain data plus the line of every key.

Promises: YAML 1.2 scalars, no duplicate keys, no tags, and bounded work whatever the text (size, depth, aliases).
"""

from __future__ import annotations

from bough.definition import scalars
from bough.definition.place import one_line
from bough.errors import DefinitionError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Optional, Tuple

    from bough.definition.place import At, Lines

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_ALIASES = 50
MAX_VALUES = 20000


def read(text: str, path: str) -> Tuple[Any, Lines]:
    """Return the data of a YAML text, and the 1-based line of each path of keys in it.

    Raises:
        DefinitionError: It is no YAML, or more than a definition may be.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError(
            "PyYAML is not installed, so " + path + " cannot be read.", "Run: pip install pyyaml"
        ) from None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise DefinitionError(
            "the file is larger than 256 KiB.", "A definition is a few lines; keep data elsewhere.", path
        )

    class Loader(yaml.SafeLoader):
        """Resolves nothing by itself: a tag other than text was written by the user."""

        yaml_implicit_resolvers = {}  # noqa: RUF012

    try:
        _check_bounds(yaml.parse(text, Loader=Loader), path)
        root = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise DefinitionError(
            "this is not YAML: " + _problem(error) + ".", "Check indentation, colons and quotes.", path, line
        ) from None
    except yaml.YAMLError as error:
        raise DefinitionError(
            "this is not YAML: " + one_line(str(error).split("\n")[0]) + ".", "Save it as UTF-8 text.", path
        ) from None
    if root is None:
        return None, {}
    walk = _Walk(path)
    return walk.value(root, ()), walk.lines


def _problem(error: Any) -> str:
    return one_line(", ".join(part for part in (error.context, error.problem) if part))


def _check_bounds(events: Iterable[Any], path: str) -> None:
    depth = aliases = documents = 0
    for event in events:
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            depth += 1
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            depth -= 1
        elif kind == "AliasEvent":
            aliases += 1
        elif kind == "DocumentStartEvent":
            documents += 1
        if depth > MAX_DEPTH:
            raise DefinitionError("this is nested deeper than 32 levels.", "Flatten it.", path, line)
        if aliases > MAX_ALIASES:
            raise DefinitionError("there are more than 50 aliases (*name).", "Write the values out.", path, line)
        if documents > 1:
            raise DefinitionError("there is a second document (---).", "Keep one document per file.", path, line)


class _Walk:
    """Turns composed nodes into data, remembering lines."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: Lines = {}
        self.values = 0

    def value(self, node: Any, at: At) -> Any:
        """Return the data of `node`, which stands at the path `at`."""
        self.values += 1
        if self.values > MAX_VALUES or len(at) > MAX_DEPTH:
            raise self._error("its aliases expand to too much.", "Write the values out.", node)
        self.lines.setdefault(at, node.start_mark.line + 1)
        kind = type(node).__name__
        expected = {"ScalarNode": "str", "SequenceNode": "seq", "MappingNode": "map"}[kind]
        if node.tag not in ("tag:yaml.org,2002:" + expected, "!"):
            raise self._error("the tag " + node.tag + " is not allowed.", "Leave it out.", node)
        if kind == "SequenceNode":
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, at) if kind == "MappingNode" else self._scalar(node)

    def _scalar(self, node: Any) -> Any:
        if node.style is not None or node.tag == "!":
            return node.value
        try:
            return scalars.scalar(node.value)
        except ValueError as error:
            raise self._error(str(error) + ".", "Write a finite number, or quote it if it is text.", node) from None

    def _mapping(self, node: Any, at: At) -> Any:
        result = {}
        for key_node, value_node in node.value:
            if type(key_node).__name__ != "ScalarNode":
                raise self._error("a key is a list or a mapping.", "Quote a text that holds {{…}} or […].", key_node)
            key = key_node.value
            if key in result:
                raise self._error("the key " + key + " is there twice.", "Keep one of them.", key_node)
            self.lines[(*at, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*at, key))
        return result

    def _error(self, what: str, do: str, node: Any) -> DefinitionError:
        line: Optional[int] = node.start_mark.line + 1
        return DefinitionError(one_line(what), do, self.path, line)
