"""The flow style of YAML, as programs print it: ``{bough: channel, name: loss, x: 3, y: [0.5, nan]}``.

JSON is read as a part of it. Plain words are numbers as in YAML 1.2 and as C, R and Java print them (``nan``, ``Inf``,
``-1e+05``), true, false and null in any case, else text. Standard library only: the supervisor runs it.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 20
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,5})?\Z")
_NOT_FINITE = re.compile(r"([-+]?)\.?(?:nan(?:\([^)]*\))?|(inf(?:inity)?))\Z", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None, "none": None}
_PLAIN = re.compile(r"(?:[^,\[\]{}:\"']|:(?![\s,\[\]{}]|\Z)|(?<=[^\s,\[\]{}:])[\"'])*")
_DOUBLE = re.compile(r'"(?:[^"\\]|\\.)*"')
_SINGLE = re.compile(r"'(?:[^']|'')*'")
_BLANK = re.compile(r"\s*")
_JSON = json.JSONDecoder()


class Malformed(ValueError):
    """It cannot be read; the end of a sentence."""


def parse(text: str) -> Any:
    """Return what a text in flow style says.

    Raises:
        Malformed: Why it cannot be read.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    value, at = parse_first(text, 0)
    at = _skip(text, at)
    if at != len(text):
        raise Malformed(f"{text[at : at + 20]!r} follows its end")
    return value


def parse_first(text: str, at: int) -> tuple[Any, int]:
    """Return what begins at an index of a text, and where it ends; anything may follow.

    Raises:
        Malformed: Why it cannot be read.
    """
    try:
        value, end = _JSON.raw_decode(text, at)
    except (ValueError, RecursionError):
        return _value(text, _skip(text, at), 0)
    return value, end


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise Malformed("it is too deep")
    first = text[at : at + 1]
    if first == "{":
        return _mapping(text, at + 1, depth)
    if first == "[":
        return _sequence(text, at + 1, depth)
    return _scalar(text, at)


def _scalar(text: str, at: int) -> tuple[Any, int]:
    first = text[at : at + 1]
    if first in ('"', "'"):
        found = (_DOUBLE if first == '"' else _SINGLE).match(text, at)
        if found is None:
            raise Malformed("a quote is not closed")
        return _quoted(found[0]), found.end()
    found = _PLAIN.match(text, at)
    if found is None:
        raise Malformed(f"{text[at : at + 20]!r} is no value")
    return resolved(found[0].strip()), found.end()


def _quoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        raise Malformed(f"{text[:40]} holds an escape that is none") from None


def resolved(word: str) -> Any:
    """Return what a plain word means: a number, true, false, null, or itself."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if _INTEGER.match(word):
        return int(word)
    if _FLOAT.match(word):
        return float(word)
    found = _NOT_FINITE.match(word)
    if found is None:
        return word
    return float(found[1] + "inf") if found[2] else float("nan")


def _sequence(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while True:
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return items, at + 1
        value, at = _value(text, at, depth + 1)
        items.append(value)
        at = _after(text, at, "]")


def _mapping(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while True:
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            return found, at + 1
        key, at = _scalar(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise Malformed(f"a colon is missing after {str(key)[:40]}")
        value, at = _value(text, _skip(text, at + 1), depth + 1)
        found[str(key)] = value
        at = _after(text, at, "}")


def _after(text: str, at: int, end: str) -> int:
    """Return where the next item may begin, or where the end is."""
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return at + 1
    if text[at : at + 1] != end:
        raise Malformed(
            f"a comma or {end} is missing before {text[at : at + 20]!r}" if at < len(text) else "it ends early"
        )
    return at
