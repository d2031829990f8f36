"""Reading what clients send: bounded while it streams in, and JSON without the corners where readers disagree."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from fastapi import Request

from bough.errors import BoughError, UsageError

DEFAULT_BYTES = 64 * 1024
DEFINITION_BYTES = 1024 * 1024
SYNC_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 19
INTEGERS = range(-(2**63), 2**63)


class TooLarge(UsageError):
    """The body is larger than this route takes."""

    status = 413


class BadEncoding(UsageError):
    """The body is compressed or of the wrong type."""

    status = 415


async def read_bytes(request: Request, limit: int = DEFAULT_BYTES) -> bytearray:
    """Return the body.

    Raises:
        TooLarge: It is longer than ``limit`` bytes; what follows the limit is not read.
        BadEncoding: It is compressed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise BadEncoding("the body is compressed.", "Send it without Content-Encoding.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes.", "Send less at once.")
    return body


async def read_json(request: Request, limit: int = DEFAULT_BYTES) -> dict[str, Any]:
    """Return the body's JSON object; an empty body is an empty object.

    Raises:
        UsageError: It is no JSON object, or one that different readers would understand differently.
        TooLarge: It is longer than ``limit`` bytes.
        BadEncoding: It is compressed, or declared to be something else than JSON.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    body = await read_bytes(request, limit)
    if not body:
        return {}
    if kind != "application/json":
        raise BadEncoding(f"the body is {kind[:100]!r}.", "Send application/json.")
    return parse_object(bytes(body))


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Refused are NaN and Infinity, repeated keys, more than 32 levels, numbers that do not fit, and text that is no
    proper Unicode or holds a NUL.

    Raises:
        UsageError: It is one of these, or no JSON object at all.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
            object_pairs_hook=_object,
        )
    except BoughError:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise _wrong(f"the body is not JSON: {str(error)[:200]}.") from None
    if not isinstance(value, dict):
        raise _wrong("the body is not a JSON object.")
    _check(value)
    return value


def _wrong(what: str) -> UsageError:
    return UsageError(what, "Correct the request.")


def _too_deep() -> UsageError:
    return _wrong(f"the body is nested deeper than {MAX_DEPTH} levels.")


def _refuse_constant(name: str) -> NoReturn:
    raise UsageError(f"{name} is not JSON.", 'Send numbers that are not finite as "nan", "inf" or "-inf".')


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _wrong(f"the number {text[:40]} is too large.")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS + 1 or int(text) not in INTEGERS:
        raise _wrong(f"the number {text[:40]} does not fit into 64 bits.")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _wrong(f"the key {twice[:100]!r} is there twice.")
    return value


def _check(value: Any) -> None:
    """Check depth and text without recursion, so that depth cannot break the check."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        for text in _texts(level):
            if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
                raise _wrong("the body holds text that is not proper Unicode, or a NUL character.")
        level = [inner for item in level for inner in _inner(item)]
        if not level:
            return
    raise _too_deep()


def _inner(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def _texts(level: list[Any]) -> Iterable[str]:
    for item in level:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
