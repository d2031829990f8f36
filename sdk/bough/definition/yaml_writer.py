"""Writes a definition as the text of a bough.yml: what `yaml_text.read` reads back as the same data."""

from __future__ import annotations

from bough.definition import scalars
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_WIDTH = 110
_FIRST = ("model", "command", "git")  # what a reader looks for first
_LAST = ("hyperparameters", "optimization")


def dumps(mapping: Mapping[str, Any]) -> str:
    """Return the text of a bough.yml that says the same as this JSON data.

    Small mappings and lists stand on one line; the model and its command come first, the search last.

    Raises:
        UsageError: PyYAML is not there.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError(
            "PyYAML is not installed, so no bough.yml can be written.", "Run: pip install pyyaml"
        ) from None

    class Dumper(yaml.SafeDumper):
        """Takes a plain word for what YAML 1.2 takes it for; PyYAML itself thinks of YAML 1.1."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            """Return the tag that a reader gives to a word without one."""
            if kind is yaml.ScalarNode and implicit[0]:
                return "tag:yaml.org,2002:" + _kind(value)
            return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

        def ignore_aliases(self, data: Any) -> bool:
            """The same list twice is written twice."""
            return True

    def text(dumper: Any, value: str) -> Any:
        style = None if _kind(value) == "str" else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def number(dumper: Any, value: float) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))

    Dumper.add_representer(str, text)
    Dumper.add_representer(float, number)
    keys = [key for key in _FIRST if key in mapping]
    keys += [key for key in mapping if key not in _FIRST + _LAST]
    keys += [key for key in _LAST if key in mapping]
    ordered = {key: mapping[key] for key in keys}
    written = yaml.dump(
        ordered, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_WIDTH
    )
    return str(written)


def _kind(word: str) -> str:
    """Return what a plain word is: "str", "int", "float", "bool" or "null"; "" for what no definition may hold."""
    try:
        value = scalars.scalar(word)
    except ValueError:
        return ""
    return "null" if value is None else type(value).__name__
