"""The stdout API: what programs in any language report by printing, read by the supervisor as it is written.

Which lines count: those that are, but for blanks around them, one mapping whose first key is ``bough`` (or ``aetros``),
up to 64 KiB; a carriage return ends a line too. So text that merely contains such a mapping, or has anything before it,
reports nothing. Only for ``aetros`` text may stand before it, and up to ten in a line, as it was there. The same lines
may be appended to the file that `BOUGH_REPORTS` names, where nothing else gets between.

What they report becomes lines of a journal of its own, ``stdout-…``, so that everything after that is the same as for
the SDK. The epoch limit is counted here, at the very line that reaches it. Standard library only; a program that
prints 100 MB a second is not slowed, and one that reports nothing costs two system calls a poll.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bough import _layout
from bough._complaint import complain
from bough._job import Job
from bough._journal import Journal
from bough._values import Values
from bough.errors import UsageError
from bough_agent import closing
from bough_agent.flow import Malformed, parse, parse_first
from bough_agent.verbs import Speaker

PREFIX = "stdout"  # of the journal
CHUNK = 1 << 18
MAX_LINE = 1 << 16
MAX_LOOK = 1 << 23  # bytes in one look: then the supervisor looks after its limits
_REPORT = re.compile(
    rb"(?:\A|(?<=[\r\n]))[ \t]*(\{[ \t]*[\"']?(?:bough|aetros)[\"']?[ \t]*:[^\r\n]*\})[ \t]*(?=[\r\n])"
)

_LINE = re.compile(rb"[^\r\n]+")
_AETROS = re.compile(rb"\{[ \t]*[\"']?aetros[\"']?[ \t]*:")
_AETROS_TEXT = re.compile(_AETROS.pattern.decode())
MOST_IN_LINE = 10  # AETROS took about as many


class Tail:
    """The lines of a file that grows, of those that are reports."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle = -1
        self._offset = 0
        self._rest = b""  # of a line that is not complete
        self._is_skipping = False  # the line is too long

    def read(self, is_last: bool) -> tuple[list[bytes], bool]:
        """Return the next reports, and whether there is more to read now.

        Args:
            is_last: Nothing more will be written: what has no line end is a line.
        """
        data = self._next()
        if not data:
            rest, self._rest = (self._rest, b"") if is_last else (b"", self._rest)
            return self._reports(rest + b"\n") if rest else [], False
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        lines, rest = (self._rest + data[:end], data[end:]) if end else (b"", self._rest + data)
        if end and self._is_skipping:
            lines, self._is_skipping = lines[_first_end(lines) :], False
        if len(rest) > MAX_LINE or (self._is_skipping and not end):
            rest, self._is_skipping = b"", True
        self._rest = rest
        return self._reports(lines), True

    def _next(self) -> bytes:
        if self._handle < 0:
            try:
                with closing.open_regular(self._path) as file:
                    self._handle = os.dup(file.fileno())
            except OSError:  # not there yet
                return b""
        data = os.pread(self._handle, CHUNK, self._offset)
        self._offset += len(data)
        return data

    def _reports(self, lines: bytes) -> list[bytes]:
        if b"bough" not in lines and b"aetros" not in lines:
            return []
        found = _REPORT.findall(lines) if b"aetros" not in lines else map(_report_in, _LINE.findall(lines))
        return [report for report in found if 0 < len(report) <= MAX_LINE]


def _report_in(line: bytes) -> bytes:
    """Return the report in a line, b"" where there is none; behind other text where it is one of AETROS's."""
    whole = _REPORT.match(line + b"\n")
    if whole is not None:
        return bytes(whole[1])
    begin = _AETROS.search(line)
    end = line.rstrip(b" \t")
    return b"" if begin is None or not end.endswith(b"}") else end[begin.start() :]


def _mappings(text: str) -> Iterator[object]:
    """Yield what a report says, one mapping or those of AETROS in one line; of what cannot be read, why."""
    begin = _AETROS_TEXT.match(text)
    most = 1 if begin is None else MOST_IN_LINE
    at = 0
    while most > 0:
        most -= 1
        try:
            value, at = (parse(text), len(text)) if begin is None else parse_first(text, at)
            yield value
        except Malformed as error:
            yield error
            at += 1
        following = _AETROS_TEXT.search(text, at)
        if following is None:
            return
        at = following.start()


def _first_end(lines: bytes) -> int:
    found = re.search(rb"[\r\n]", lines)
    return len(lines) if found is None else found.end()


class _Reported(Job):
    """The job as the supervisor reports it: its limit is told to the supervisor, not asked of it."""

    def __init__(self, facts: dict[str, object], folder: str, cwd: str, on_limit: Callable[[], None]) -> None:
        journal = Journal(os.path.join(folder, _layout.JOURNALS), PREFIX)
        super().__init__(facts, folder, Values({}), journal)
        self._limit.is_follower = False  # a rank in the environment would be the agent's own
        self._base = cwd
        self._on_limit: Callable[[], None] | None = on_limit

    def _reach_limit(self) -> None:
        tell, self._on_limit = self._on_limit, None
        if tell is not None:
            self._journal.append("l", f'"{_layout.MAX_EPOCHS}"')
            tell()


class Reports:
    """Everything that one attempt reports without the SDK.

    Args:
        folder: The attempt's folder.
        cwd: The folder that its command runs in.
        facts: As in job.json: max_epochs, kpi, limits.
        on_limit: Called once, at the line that reaches the epoch limit.
        on_end: Called with "fail" or "abort" at a line that says so.
    """

    def __init__(
        self,
        folder: str,
        cwd: str,
        facts: Mapping[str, Any],
        on_limit: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._cwd = cwd
        self._facts = dict(facts)
        self._on_limit = on_limit
        self._on_end = on_end
        self._tails = [Tail(os.path.join(folder, name)) for name in (_layout.LOG, _layout.REPORTS)]
        self._speaker: Speaker | None = None
        self._is_looking = False

    def look(self, is_last: bool = False) -> None:
        """Take in what was written since the last look.

        Args:
            is_last: Nothing more will be written.
        """
        if self._is_looking:  # a stop was decided in the middle of a look
            return
        self._is_looking = True
        try:
            for tail in self._tails:
                self._look_at(tail, is_last)
        finally:
            self._is_looking = False

    def _look_at(self, tail: Tail, is_last: bool) -> None:
        left = MAX_LOOK
        has_more = True
        while has_more and (left > 0 or is_last):
            try:
                lines, has_more = tail.read(is_last)
            except OSError as error:
                complain("the output", error, "It is not read for reports.")
                return
            left -= CHUNK
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        for keys in _mappings(text):
            try:
                if not isinstance(keys, dict):
                    raise keys if isinstance(keys, Malformed) else Malformed("it is no mapping")
                verb = keys.pop("bough", None) or keys.pop("aetros", None)
                self._voice().do(str(verb), keys)
            except Malformed as error:
                complain("the output", UsageError(f"The line {text[:200]!r} cannot be read: {error}."))
            except UsageError as error:
                complain("the output", UsageError(f"The line {text[:200]!r}: {error}"))
            except (OSError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
                complain("the output", UsageError(f"The line {text[:200]!r} makes no sense: {error}."))

    def _voice(self) -> Speaker:
        if self._speaker is None:
            job = _Reported(self._facts, self._folder, self._cwd, self._on_limit)
            self._speaker = Speaker(job, self._cwd, self._on_end)
        return self._speaker
