"""Channels: named series of points. One line of the journal per point, formatted by hand where it must be fast."""

from __future__ import annotations

from bough import _numbers
from bough._complaint import complain
from bough._journal import Journal
from bough.errors import UsageError

TYPE_CHECKING = False  # typing costs 6 ms; type checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Tuple

    # Of the KPI channel: is the epoch limit due after this point, and what to do then.
    Limit = Tuple[Callable[[], bool], Callable[[], None]]
    # Keeps a picture (channel, x, picture) and returns the name of its file.
    Picture = Callable[[str, object, object], str]

MAX_NAME = 200
MAX_DEFINITION = 60000  # bytes; a journal line may have 64 KiB


class Channel:
    """A named series of points, of one trace or several. Made by `Job.create_channel`.

    Attributes:
        name: As the script called it.
        traces: Names of its traces, in the order of y.
        type: `Channel.NUMBER`, `Channel.TEXT` or `Channel.IMAGE`.
    """

    NUMBER = "number"
    TEXT = "text"
    IMAGE = "image"

    def __init__(
        self, journal: Journal, name: str, traces: list[str], type: str, limit: Limit | None, picture: Picture
    ) -> None:
        self.name = name
        self.traces = traces
        self.type = type
        self._append = journal.append
        self._limit = limit
        self._picture = picture
        self._head = _numbers.text(name) + ","
        self._is_plain = type == Channel.NUMBER and len(traces) == 1

    def send(self, x: object, y: object) -> None:
        """Report one point. One that is wrong is left out, and the log says why.

        Args:
            x: A number, usually the epoch or step. An int stays an int.
            y: A number (also numpy's and torch's; NaN and infinity are kept), in a text channel anything that has a
                text, in an image channel a picture (`Job.add_insight_image` says of what kinds). For several traces a
                list or tuple of them.
        """
        # y - y is 0.0 for a finite float only; the bound keeps integers that a store can hold.
        if self._is_plain and type(y) is float and y - y == 0.0 and type(x) is int and -(1 << 63) <= x < 1 << 63:
            self._append("p", f"{self._head}{x},{y!r}")
        elif not self._send_checked(x, y):
            return
        if self._limit is not None and self._limit[0]():
            self._limit[1]()

    def _send_checked(self, x: object, y: object) -> bool:
        try:
            self._append("p", f"{self._head}{self._x(x)},{self._y(x, y)}")
        except (UsageError, RuntimeError) as error:  # a tensor of several numbers raises the latter
            complain("channel " + self.name, error)
            return False
        return True

    def _x(self, x: object) -> str:
        return _numbers.number(x, "x of channel " + self.name)

    def _y(self, x: object, y: object) -> str:
        values = self._values(y)
        if len(values) != len(self.traces):
            raise UsageError(
                "Channel " + self.name + " has " + _count(len(self.traces), "trace") + " (" + ", ".join(self.traces)
                + "), got " + _count(len(values), "value") + ".",
                "Send one value per trace, in their order.",
            )  # fmt: skip
        written = [self._value(x, value) for value in values]
        return written[0] if len(written) == 1 else "[" + ",".join(written) + "]"

    def _values(self, y: object) -> list[object]:
        if isinstance(y, (list, tuple)):
            return list(y)
        if self.type == Channel.IMAGE:
            return [y]
        if getattr(y, "ndim", None):  # an array or tensor, one number per trace; a scalar of theirs has ndim 0
            listed: list[object] = getattr(y, "tolist", lambda: [y])()
            return listed
        return [y]

    def _value(self, x: object, value: object) -> str:
        if self.type == Channel.TEXT:
            return _numbers.text(value)
        if self.type == Channel.IMAGE:
            return _numbers.text(self._picture(self.name, x, value))
        return _numbers.number(value, "channel " + self.name)

    def __repr__(self) -> str:
        return "<bough channel " + self.name + ">"


class LossChannel:
    """A channel with the traces training and validation. Made by `Job.create_loss_channel`."""

    def __init__(self, channel: Channel) -> None:
        self.name = channel.name
        self._channel = channel

    def send(self, x: object, training: object, validation: object) -> None:
        """Report both losses at x; see `Channel.send`."""
        self._channel.send(x, (training, validation))

    def __repr__(self) -> str:
        return "<bough loss channel " + self.name + ">"


def _count(number: int, noun: str) -> str:
    return str(number) + " " + noun + ("" if number == 1 else "s")


def checked_name(name: object, what: str) -> str:
    """Return a name of a channel, trace or info.

    Raises:
        UsageError: It is no text, empty, longer than 200 characters, or holds characters that cannot be printed.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError("The name of a " + what + " is a text, got " + repr(name) + ".", "Give it one.")
    if len(name) > MAX_NAME:
        raise UsageError(
            "The name of a " + what + " has " + str(len(name)) + " characters: " + name[:40] + "….",
            "Use at most " + str(MAX_NAME) + ".",
        )
    if not name.isprintable():
        raise UsageError(
            "The name " + repr(name) + " of a " + what + " holds characters that cannot be printed.", "Leave them out."
        )
    return name


def mended_name(name: object) -> str:
    """Return the nearest to a name that `checked_name` takes: printable, at most 200 characters, not empty."""
    text = "" if name is None else "".join(letter if letter.isprintable() else "_" for letter in str(name))
    return text[:MAX_NAME] if text.strip() else "unnamed"


def trace_names(traces: object, channel: str) -> list[str]:
    """Return the names of a channel's traces: None means one, called as the channel.

    Args:
        traces: None, a list of names, or a list of dicts with "name".
        channel: The channel's name.

    Raises:
        UsageError: Anything else, none, or the same name twice.
    """
    if traces is None:
        return [channel]
    if not isinstance(traces, (list, tuple)) or not traces:
        raise UsageError(
            "traces of channel " + channel + " is " + repr(traces) + ".",
            "Give a list of names, or a list of dicts with 'name'.",
        )
    names = [checked_name(trace.get("name") if isinstance(trace, dict) else trace, "trace") for trace in traces]
    for name in names:
        if names.count(name) > 1:
            raise UsageError("Channel " + channel + " has two traces called " + name + ".", "Rename one.")
    return names


def definition(
    name: str, traces: list[str], type: str, main: bool, kpi: bool, kpi_trace: object, maximize: bool, loss: bool,
    display: dict[str, object],
) -> str:  # fmt: skip
    """Return what the journal says of a channel: its name and its definition, JSON values joined by a comma.

    Args:
        name: Of the channel.
        traces: Their names.
        type: `Channel.NUMBER`, `Channel.TEXT` or `Channel.IMAGE`.
        main: Shown as a column.
        kpi: What the optimization looks at.
        kpi_trace: Index of the trace that counts.
        maximize: More is better.
        loss: Made by create_loss_channel.
        display: xaxis, yaxis and layout, for charts only.

    Raises:
        UsageError: An argument is out of its range, or the whole too long for a line.
    """
    if type not in (Channel.NUMBER, Channel.TEXT, Channel.IMAGE):
        raise UsageError("Channel " + name + " has the type " + repr(type) + ".", "Use 'number', 'text' or 'image'.")
    if kpi and type != Channel.NUMBER:
        raise UsageError(
            "Channel " + name + " is the KPI, and no number but " + type + ".",
            "A KPI channel takes numbers: leave out type.",
        )
    if not isinstance(kpi_trace, int) or not 0 <= kpi_trace < len(traces):
        raise UsageError(
            "kpiTrace of channel " + name + " is " + repr(kpi_trace) + ", it has " + _count(len(traces), "trace") + ".",
            "Count from 0.",
        )
    facts: dict[str, object] = {
        "traces": traces, "type": type, "main": bool(main), "kpi": bool(kpi), "kpi_trace": kpi_trace,
        "maximize": bool(maximize), "loss": loss,
    }  # fmt: skip
    facts.update(display)
    rest = _numbers.text(name) + "," + _numbers.any_value(facts)
    if len(rest) > MAX_DEFINITION:
        raise UsageError(
            "The definition of channel " + name + " has " + str(len(rest)) + " bytes.",
            "Use fewer traces or a smaller layout: " + str(MAX_DEFINITION) + " bytes at most.",
        )
    return rest
