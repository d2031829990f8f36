"""How values become JSON text in a journal, by hand where it must be fast.

Promises: a finite float comes back from ``json.loads`` as the very same float, an int as the same int; what is
not finite becomes "nan", "inf" or "-inf"; the text is ASCII and holds no lone surrogate.
"""

from __future__ import annotations

from _operator import index  # as operator.index, without the rest of that module

from bough._json import quoted
from bough.errors import UsageError

INT_END = 1 << 63  # beyond a signed 64-bit integer a number is written as a float: no store keeps more
MAX_TEXT = 60000  # bytes of one text once written; a journal line may have 64 KiB
CUT_MARK = "… [cut by bough: too long]"
MAX_DEPTH = 20


def finite_or_name(value: float) -> str:
    """Return a float as JSON: a number, or a string where it is not finite."""
    if value - value == 0.0:
        return repr(value)
    if value != value:
        return '"nan"'
    return '"inf"' if value > 0 else '"-inf"'


def number(value: object, where: str) -> str:
    """Return any kind of number as JSON: int, float, bool (as 0 or 1), numpy or torch scalar, Decimal.

    Args:
        value: What the script sent.
        where: Whose value it is, as the errors name it: "channel accuracy".

    Raises:
        UsageError: It is not a number.
    """
    kind = type(value)
    if kind is float:
        return finite_or_name(value)  # type: ignore[arg-type]
    if isinstance(value, (str, bytes, bytearray)):
        remedy = "Create it with type='text', or send a number." if where.startswith("channel ") else "Send a number."
        raise UsageError(where + " takes numbers, got the text " + _short(value) + ".", remedy)
    whole = _whole(value)
    if whole is not None:
        return repr(whole) if -INT_END <= whole < INT_END else finite_or_name(_float_of(whole))
    try:
        return finite_or_name(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(where + " takes numbers, got " + _short(value) + ".", "Send a number.") from None


def _whole(value: object) -> int | None:
    """Return an integer of any make as int, None for what is none."""
    if isinstance(value, int):
        return int(value)
    try:
        return index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _float_of(whole: int) -> float:
    try:
        return float(whole)
    except OverflowError:
        return float("inf") if whole > 0 else float("-inf")


def _short(value: object) -> str:
    try:
        shown = repr(value)
    except Exception:  # a broken __repr__ must not hide what was wrong
        shown = ""
    if not shown or len(shown) > 80:
        shown = shown[:60] + "…"
    return shown if isinstance(value, (str, bytes, bytearray)) else shown + " (" + type(value).__name__ + ")"


def text(value: object) -> str:
    """Return `value` as a JSON string of at most `MAX_TEXT` bytes; what is cut off is marked."""
    plain_text = _whole_characters(str(value))
    written = quoted(plain_text)
    if len(written) <= MAX_TEXT:
        return written
    while len(written) > MAX_TEXT - 100:
        plain_text = plain_text[: int(len(plain_text) * (MAX_TEXT - 200) / len(written))]
        written = quoted(_whole_characters(plain_text))
    return quoted(_whole_characters(plain_text) + CUT_MARK)


def _whole_characters(value: str) -> str:
    """Replace lone surrogates: strict decoders refuse them, and with them the whole line."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def any_value(value: object) -> str:
    """Return any value as JSON; what JSON cannot say becomes the nearest it can: a number, a list, its text."""
    return _written(value, 0)


def _written(value: object, depth: int) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(_whole_characters(value))
    if depth > MAX_DEPTH:
        return quoted(_whole_characters(str(value)))
    if isinstance(value, dict):
        named = {_whole_characters(str(key)): inner for key, inner in value.items()}
        return "{" + ",".join([quoted(key) + ":" + _written(inner, depth + 1) for key, inner in named.items()]) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ",".join([_written(inner, depth + 1) for inner in value]) + "]"
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return _written(tolist(), depth + 1)
    try:
        return number(value, "value")
    except UsageError:
        return quoted(_whole_characters(str(value)))
