"""Where in a bough.yml one is: turns "this is wrong" into an error that names the file, the line and a near name."""

from __future__ import annotations

from bough.errors import DefinitionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Optional, Tuple, Union

    At = Tuple[Union[str, int], ...]
    Lines = Dict[At, int]

MOST_NAMES = 20  # listed in one sentence


class Place:
    """One position in the definition: a path of keys and indexes from the top.

    Args:
        file: Name of the file as the user should see it, or None when the definition came as JSON.
        lines: 1-based line of each path of keys and indexes; may lack any of them.
        at: The path.
    """

    __slots__ = ("at", "file", "lines")

    def __init__(self, file: Optional[str] = None, lines: Optional[Lines] = None, at: At = ()) -> None:
        self.file = file
        self.lines = lines or {}
        self.at = at

    def down(self, key: Union[str, int]) -> Place:
        """Return the place one key or index deeper."""
        return Place(self.file, self.lines, (*self.at, key))

    @property
    def line(self) -> Optional[int]:
        """1-based line of the innermost key around this place that is known, or None."""
        for length in range(len(self.at), -1, -1):
            line = self.lines.get(self.at[:length])
            if line is not None:
                return line
        return None

    def error(self, what: str, do: str = "") -> DefinitionError:
        """Return (not raise) the error that says `what` is wrong here, and what to `do`."""
        return DefinitionError(one_line(what), one_line(do), path=self.file, line=self.line, at=self.at)


def nearest(name: object, known: Iterable[str]) -> str:
    """Return the known name most like `name`, or "" when none is like it."""
    import difflib

    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if close:
        return close[0]
    tails = [candidate for candidate in known if candidate.rsplit(".", 1)[-1] == str(name).rsplit(".", 1)[-1]]
    return tails[0] if tails else ""


def did_you_mean(name: object, known: Iterable[str], kind: str = "Known") -> str:
    """Return the remedy for an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = nearest(name, known)
    if near:
        return "Did you mean " + near + "?"
    if not known:
        return "There are none."
    shortened = [*known[:MOST_NAMES], "…"] if len(known) > MOST_NAMES else known
    return kind + ": " + ", ".join(shortened) + "."


def check_keys(mapping: Dict[str, Any], known: Iterable[str], place: Place, where: str) -> None:
    """Refuse a key that nobody knows.

    Raises:
        DefinitionError: Names the key, `where` it stands and the nearest known key.
    """
    known = list(known)
    for key in mapping:
        if key not in known:
            raise place.down(key).error(
                "unknown key " + str(key) + " in " + where + ".", did_you_mean(key, known, "Known keys")
            )


def as_mapping(value: object, place: Place, where: str) -> Dict[str, Any]:
    """Return `value` if it is a mapping with text keys; None counts as empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise place.error(where + " is " + shown(value) + ", not a mapping.", "Write one `name: value` per line.")
    for key in value:
        if not isinstance(key, str):
            raise place.error(where + " has the key " + shown(key) + ", which is no text.", "Quote it.")
    return value


def one_line(text: str) -> str:
    """Return `text` with line ends and control characters as blanks: an error is one sentence on one line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def shown(value: object) -> str:
    """Return a value as a user wrote it, for a sentence; long ones are cut."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = one_line(value) if isinstance(value, str) else repr(value)
    if text == "":
        return "empty"
    return text if len(text) <= 60 else text[:57] + "..."
