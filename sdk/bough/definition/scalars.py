"""What a bare word stands for: the scalars of YAML 1.2, also for `-p name=value` and inside expressions.

Promises: ``1e-3`` is a number, ``012`` is 12, ``no`` and ``12:30`` are text.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Value = Union[bool, int, float, str]

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_LONGEST_NUMBER = 100


def scalar(text: str) -> Union[Value, None]:
    """Return what the plain scalar `text` stands for in YAML 1.2 (core schema).

    Raises:
        ValueError: It is ``.inf`` or ``.nan``, or overflows: no place in a definition takes such a number.
    """
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    number_ = number(text)
    return text if number_ is None else number_


def number(text: str) -> Union[int, float, None]:
    """Return the number that `text` writes, or None when it writes none.

    Raises:
        ValueError: The number is not finite.
    """
    if _NOT_FINITE.match(text):
        raise ValueError(text + " is not a finite number")
    if len(text) > _LONGEST_NUMBER:
        return None
    if _INTEGER.match(text):
        return int(text, 10)
    if _OCTAL.match(text):
        return int(text[2:], 8)
    if _HEXADECIMAL.match(text):
        return int(text[2:], 16)
    if not _DECIMAL.match(text):
        return None
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text + " is not a finite number")
    return value


def is_number(value: object) -> bool:
    """Whether `value` is an int or a finite float; booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value == value and value not in (float("inf"), float("-inf"))
