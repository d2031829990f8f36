"""JSON without the ``json`` package, which loads ``re`` and ``enum``: half as much again as starting an interpreter.

Promises: `loads` and `quoted` say what ``json.loads`` and ``json.dumps`` say. The C parts of the standard library's own
package do the work, where the interpreter has them; elsewhere the package itself does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Context:
    """What the scanner asks for, as ``json.JSONDecoder`` would answer it."""

    def __init__(self) -> None:
        self.strict = True
        self.object_hook = self.object_pairs_hook = None
        self.parse_float = self.parse_constant = float
        self.parse_int = int


try:
    from _json import encode_basestring_ascii as quoted
    from _json import make_scanner

    _scan: Any = make_scanner(_Context())  # type: ignore[arg-type]
except (ImportError, AttributeError, TypeError):  # another interpreter, or one that has changed
    from json import JSONDecoder
    from json import dumps as quoted

    _scan = JSONDecoder().raw_decode


def loads(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: It is none.
    """
    stripped = text.strip()
    try:
        value, end = _scan(stripped, 0)
    except (StopIteration, ValueError, SystemError):  # the last: it cannot find the package, to say what is wrong
        raise ValueError("it is not JSON") from None
    if end != len(stripped):
        raise ValueError("something follows its JSON")
    return value


__all__ = ["loads", "quoted"]
