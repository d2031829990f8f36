"""How a job ended: from what the supervisor saw, what the script said and what its KPI is. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bough import _layout
from bough_server.service import kpi as kpis
from bough_server.service.kpi import Kpi
from bough_server.service.states import ABORTED, DONE, FAILED, QUEUED

RELEASED = "released"
_LIMITS = (_layout.MAX_EPOCHS, _layout.MAX_TIME, _layout.PRUNED)
_LOST = {
    "supervisor_lost": "its supervisor was killed",
    "host_reboot": "its machine was restarted",
    "lost": "its process ended without a word",
    "journal": "its journal was changed while it ran",
}
_MISSING_FILE = re.compile(r"(?:No such file or directory|FileNotFoundError)[^'\"\n]*['\"]([^'\"\n]{1,300})['\"]")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Verdict:
    """What becomes of the job: its next state, why, and a sentence for its row (or None).

    A state of QUEUED gives it back, with the same values and without using up a try.
    """

    state: str
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Ending:
    """Everything that is known when an attempt's data is complete.

    Args:
        label: What to call it: ``trial 7`` or ``job k3f9a2bq``.
        is_trial: Whether it needs a KPI to be of use.
        exit: exit.json.
        said: done, abort or fail if the script said so.
        said_message: With what words.
        kpi: What its KPI channel says.
        wanted_channel: The KPI channel that the settings name, or None.
        log_tail: Reads the end of its log, for a message.
    """

    label: str
    is_trial: bool
    exit: Mapping[str, Any]
    said: str | None
    said_message: str | None
    kpi: Kpi
    wanted_channel: str | None
    log_tail: Callable[[], str]


def judge(ending: Ending) -> Verdict:
    """Return the verdict. The cause of a stop is what the supervisor wrote, never a guess at exit codes."""
    cause = ending.exit.get("cause")
    if cause == RELEASED:
        return Verdict(QUEUED)
    if cause == _layout.USER:
        return Verdict(ABORTED, "user", ending.said_message)
    if ending.is_trial and ending.kpi.contradiction is not None:
        return Verdict(FAILED, "error", _contradiction(ending))
    if cause in _LOST:
        told = _clean(str(ending.exit.get("error") or "")).rstrip(".") if cause == "journal" else ""
        why = told[:1].lower() + told[1:] if told else _LOST[cause]
        return Verdict(FAILED, cause, _sentence(ending, f"was lost: {why}"))
    if cause in _LIMITS:
        return _with_kpi(ending, cause)
    return _by_itself(ending)


def _contradiction(ending: Ending) -> str:
    kpi = ending.kpi
    return (
        f"{ending.label} declares that its KPI {kpi.channel} is to {kpi.contradiction}, and its optimization says "
        f"{kpi.direction}. Correct one of them: max_optimization in the script, or kpi.direction."
    )


def _by_itself(ending: Ending) -> Verdict:
    exit_code, signal, error = (ending.exit.get(name) for name in ("exit_code", "signal", "error"))
    if error:
        text = f"{ending.label} could not run: {_clean(str(error)).rstrip('.')}."
        return Verdict(FAILED, "error", text + _last_line(ending) + _missing_file(ending))
    if ending.said == "abort":
        return Verdict(ABORTED, "user", ending.said_message or f"{ending.label} was aborted by its script.")
    if ending.said == "fail":
        told = ending.said_message or "the script said that it failed"
        return Verdict(FAILED, "error", f"{ending.label} failed: {_clean(told).rstrip('.')}.")
    if signal:
        return Verdict(FAILED, "error", _sentence(ending, f"was ended by {_signal_name(signal)}"))
    if exit_code != 0:
        return Verdict(FAILED, "error", _sentence(ending, f"ended with exit code {exit_code}"))
    return _with_kpi(ending, "finished")


def _with_kpi(ending: Ending, reason: str) -> Verdict:
    if not ending.is_trial or ending.kpi.problem is None:
        return Verdict(DONE, reason, ending.said_message)
    if ending.kpi.problem == kpis.NAN_KPI:
        text = f"{ending.label} sent no finite value through its KPI channel {ending.kpi.channel}."
        return Verdict(FAILED, kpis.NAN_KPI, text + _last_line(ending))
    what = "ended" if reason == "finished" else f"was stopped by {reason}"
    return Verdict(FAILED, kpis.NO_KPI, f"{ending.label} {what} and {_never_sent(ending)}." + _last_line(ending))


def _sentence(ending: Ending, what: str) -> str:
    if ending.is_trial and ending.kpi.problem == kpis.NO_KPI:
        what += f" and {_never_sent(ending)}"
    return f"{ending.label} {what}." + _full_disk(ending) + _last_line(ending) + _missing_file(ending)


def _full_disk(ending: Ending) -> str:
    """What a program prints goes to a file of its agent: where that takes nothing, printing fails."""
    is_full = ending.exit.get("disk_full") is True
    return " The disk of its agent was full then: free some space there." if is_full else ""


def _never_sent(ending: Ending) -> str:
    channel = ending.kpi.channel or ending.wanted_channel
    if channel is None:
        return "never sent a KPI: no channel was created with kpi=True"
    if ending.kpi.instead is not None:
        return f"its KPI channel {channel} {ending.kpi.instead}"
    return f"never sent its KPI channel {channel}"


def _last_line(ending: Ending) -> str:
    lines = [_clean(line) for line in ending.log_tail().splitlines()]
    last = next((line for line in reversed(lines) if line), None)
    return "" if last is None else f" Last line of its log: {_shortened(last)}"


def _missing_file(ending: Ending) -> str:
    found = _MISSING_FILE.findall(ending.log_tail())
    if not found:
        return ""
    name = _clean(found[-1])
    return (
        f" The file {name} is not in the checkout: git does not hold it. Commit it, or give its full path on the agent."
    )


def _shortened(line: str) -> str:
    line = line if len(line) <= 300 else line[:299] + "…"
    return line if line.endswith((".", "!", "?", "…")) else line + "."


def _clean(text: str) -> str:
    return _CONTROL.sub("", text).strip()


def _signal_name(signal: Any) -> str:
    text = str(signal)
    if text in ("9", "SIGKILL"):
        return "SIGKILL (out of memory?)"
    return text if text.startswith("SIG") else f"signal {text}"
