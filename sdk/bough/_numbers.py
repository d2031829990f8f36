"""How values become JSON text in a journal, by hand where it must be fast.

Promises: a finite float comes back from ``json.loads`` as the very same float, an int as the same int; what is
not finite becomes "nan", "inf" or "-inf"; the text is ASCII and holds no lone surrogate.
"""

from __future__ import annotations

import json
import operator

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
        return operator.index(value)  # type: ignore[arg-type]
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
    written = json.dumps(plain_text)
    if len(written) <= MAX_TEXT:
        return written
    while len(written) > MAX_TEXT - 100:
        plain_text = plain_text[: int(len(plain_text) * (MAX_TEXT - 200) / len(written))]
        written = json.dumps(_whole_characters(plain_text))
    return json.dumps(_whole_characters(plain_text) + CUT_MARK)


def _whole_characters(value: str) -> str:
    """Replace lone surrogates: strict decoders refuse them, and with them the whole line."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def any_value(value: object) -> str:
    """Return any value as JSON; what JSON cannot say becomes the nearest it can: a number, a list, its text."""
    return json.dumps(_plain(value, 0), separators=(",", ":"))


def _plain(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _whole_characters(value)
    if depth > MAX_DEPTH:
        return _whole_characters(str(value))
    if isinstance(value, dict):
        return {_whole_characters(str(key)): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner, depth + 1) for inner in value]
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return _plain(tolist(), depth + 1)
    return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    try:
        return json.loads(number(value, "value"))
    except UsageError:
        return _whole_characters(str(value))
