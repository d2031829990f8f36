"""Options that several commands share, and how they read."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --coordinator and --key, and hand the command a client as its first argument."""

    @address
    @functools.wraps(command)
    def run(*, coordinator: str | None, key: str | None, **options: Any) -> Any:
        from bough_cli.client import connect

        with connect(coordinator, key) as client:
            return command(client, **options)

    return run


def address(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --coordinator and --key."""
    with_key = click.option("--key", metavar="KEY", help="Its key; default: BOUGH_SECURE_KEY, or that of the login.")
    with_url = click.option(
        "--coordinator", metavar="URL", help="Default: BOUGH_COORDINATOR, the login, or the one that runs here."
    )
    return with_url(with_key(command))


as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

parameters: Decorator = click.option(
    "-p", "--parameter", "given", metavar="NAME=VALUE", multiple=True, help="Set a hyperparameter; may be repeated."
)


large: Decorator = click.option(
    "--large", is_flag=True, help="Send more than 100 MB of new files without being asked (--dirty, Git LFS)."
)


def agreed(without_asking: bool) -> Callable[[str], bool]:
    """Return what answers whether much is to be sent: yes, whoever sits at the terminal, or no without one."""
    import sys

    def answer(question: str) -> bool:
        if without_asking:
            return True
        return sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(question, err=True)

    return answer


def split_parameters(given: Sequence[str]) -> dict[str, object]:
    """Return ``{"lr": "0.1"}`` for ``-p lr=0.1``.

    Raises:
        click.BadParameter: One has no name or no "=", or a name comes twice.
    """
    found: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form name=value.", param_hint="-p")
        if name in found:
            raise click.BadParameter(f"{name} is given twice.", param_hint="-p")
        found[name] = value
    return found


SIZES = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def read_limits(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> dict[str, int]:
    """Return ``{"file_bytes": 2147483648}`` for ``--limit file_bytes=2GiB``.

    Raises:
        click.BadParameter: There is no such limit, or it is no size above 0.
    """
    from bough import _layout

    found: dict[str, int] = {}
    for text in given:
        name, _, size = text.partition("=")
        parts = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]i?B)?", size, re.IGNORECASE)
        value = 0 if parts is None else int(float(parts[1]) * SIZES.get((parts[2] or "").lower(), 0))
        if name not in _layout.LIMITS or value <= 0:
            known = ", ".join(_layout.LIMITS)
            raise click.BadParameter(f"{text!r} is no limit. Write one of {known}, as in file_bytes=2GiB.")
        found[name] = value
    return found


limit = click.option(
    "--limit", "limits", metavar="NAME=SIZE", multiple=True, callback=read_limits,
    help="How much a job may report: file_bytes, files_bytes, files, journal_bytes; as in --limit file_bytes=2GiB.",
)  # fmt: skip


class Memory(click.ParamType[int]):
    """An amount of memory with its unit, ``64GB``, ``512MiB``; becomes bytes."""

    name = "memory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes, > 0."""
        from bough.definition.needs import MEMORY_DO, memory_bytes

        if isinstance(value, int):
            return value
        size = memory_bytes(str(value))
        if size <= 0:
            self.fail(f"{value!r} is no amount of memory. {MEMORY_DO}", param, ctx)
        return size


class Duration(click.ParamType[float]):
    """A time with its unit, ``90s``, ``10m``, ``1h30m``; becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds, > 0."""
        if isinstance(value, float):
            return value
        text = str(value).replace(" ", "")
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
        seconds = sum(float(count) * UNITS_S[unit] for count, unit in parts)
        if not parts or "".join(count + unit for count, unit in parts) != text or seconds <= 0:
            self.fail(f"{value!r} is no time. Write the unit: 90s, 10m or 1h30m.", param, ctx)
        return seconds
