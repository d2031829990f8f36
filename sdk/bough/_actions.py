"""Actions: functions of the script that people call from outside while it runs.

The first registered action starts one thread, the only one that bough ever starts. Calls come as a file that the agent
puts into the attempt's folder and that holds all calls without a result; a call is taken by creating a file of its own,
so that of several processes with the same action one runs it, once. Results go back by the journal.
"""

from __future__ import annotations

import os
import threading
import time

from bough import _layout
from bough._complaint import complain
from bough._journal import say
from bough._json import loads
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Tell = Callable[[str, str, object], None]

POLL_S = 0.2
MAX_CALLS_BYTES = 1 << 20
TYPES = {bool: "bool", int: "integer", float: "float", str: "string"}


class Action:
    """One registered function.

    Attributes:
        args: What it takes: name, type (string, integer, float, bool or mixed), default, required.
        is_asynchronous: It has a parameter ``done``: it returns at once and calls that with its result later.
    """

    def __init__(self, callback: Callable[..., object], name: str, label: str, description: str) -> None:
        self.callback = callback
        self.name = name
        self.label = label
        self.description = description
        self.args, self.is_asynchronous, self._takes_any = _parameters(callback)

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call in their types.

        Raises:
            UsageError: One is missing, unknown or of another type.
        """
        known = {str(row["name"]): row for row in self.args}
        for name in given:
            if name not in known and not self._takes_any:
                raise UsageError("action " + self.name + " takes no " + name + ".", "It takes: " + ", ".join(known))
        for name, row in known.items():
            if row["required"] and name not in given:
                raise UsageError("action " + self.name + " needs " + name + ".", "Send it.")
        return {name: _typed(self.name, name, known.get(name), value) for name, value in given.items()}

    def facts(self) -> dict[str, object]:
        """Return what is told about it."""
        return {"label": self.label, "description": self.description, "args": self.args, "pid": os.getpid()}


def _parameters(callback: Callable[..., object]) -> tuple[list[dict[str, object]], bool, bool]:
    import inspect

    rows: list[dict[str, object]] = []
    is_asynchronous = takes_any = False
    for parameter in inspect.signature(callback).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise UsageError("An action is called by names; its " + parameter.name + " has none.", "Leave out the /.")
        elif parameter.name == "done":
            is_asynchronous = True
        else:
            default = None if parameter.default is parameter.empty else parameter.default
            rows.append({
                "name": parameter.name, "type": _type(parameter.annotation, default), "default": default,
                "required": parameter.default is parameter.empty,
            })  # fmt: skip
    return rows, is_asynchronous, takes_any


def _type(annotation: object, default: object) -> str:
    names = {kind.__name__: name for kind, name in TYPES.items()}
    named = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return names.get(named) or TYPES.get(type(default), "mixed")


def _typed(action: str, name: str, row: dict[str, object] | None, value: Any) -> Any:
    """Return a value as the type of its parameter: a page sends text."""
    wanted = "mixed" if row is None else row["type"]
    if wanted == "bool" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        if wanted == "integer" and (isinstance(value, str) or (is_number and float(value).is_integer())):
            return int(value)
        if wanted == "float" and (isinstance(value, str) or is_number):
            return float(value)
    except (ValueError, OverflowError):
        pass
    fits = {"bool": bool, "string": str}.get(str(wanted))
    if wanted in ("integer", "float") or (fits is not None and not isinstance(value, fits)):
        raise UsageError(name + " of action " + action + " is " + repr(value)[:80] + ".", "Send a " + str(wanted) + ".")
    return value


class Actions:
    """The actions of this process.

    Args:
        attempt_dir: The attempt's folder; None without an agent, when nobody can call.
        tell: Writes a document.
    """

    def __init__(self, attempt_dir: str | None, tell: Tell) -> None:
        self._folder = attempt_dir
        self._tell = tell
        self._actions: dict[str, Action] = {}
        self._seen: set[str] = set()
        self._stamp: tuple[int, int] | None = None
        self._pid = 0

    def register(self, action: Action) -> None:
        """Make an action known; the last of a name counts."""
        self._actions[action.name] = action
        self._tell("action", action.name, action.facts())
        if self._folder is not None and self._pid != os.getpid():  # a fork has no thread of ours
            self._pid = os.getpid()
            threading.Thread(target=self._listen, name="bough-actions", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                for call in self._calls():
                    self._take(call)
            except Exception as error:  # a file of the agent's that is not understood must not end the thread
                complain("actions", error)
            time.sleep(POLL_S)

    def _calls(self) -> list[dict[str, Any]]:
        """Return the calls that wait, if the file has changed."""
        assert self._folder is not None
        path = os.path.join(self._folder, _layout.ACTIONS)
        try:
            found = os.stat(path)
        except OSError:
            return []
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp or found.st_size > MAX_CALLS_BYTES:
            return []
        with open(path, encoding="utf-8") as file:
            calls = loads(file.read())
        self._stamp = stamp
        return [call for call in calls if isinstance(call, dict)]

    def _take(self, call: dict[str, Any]) -> None:
        key, action = str(call.get("id")), self._actions.get(str(call.get("name")))
        if action is None or key in self._seen or not key.isalnum():
            return
        self._seen.add(key)
        assert self._folder is not None
        try:
            handle = os.open(
                os.path.join(self._folder, _layout.ACTION_TAKEN + key), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
            )
        except FileExistsError:  # another process of the job runs it
            return
        os.close(handle)
        self._run(key, action, call.get("args"))

    def _run(self, key: str, action: Action, args: object) -> None:
        def done(value: object = None) -> None:
            self._tell("result", key, {"value": value})

        try:
            arguments = action.arguments(args if isinstance(args, dict) else {})
            if action.is_asynchronous:
                action.callback(done=done, **arguments)
            else:
                done(action.callback(**arguments))
        except BaseException as error:  # SystemExit too: it would end the thread, not the script
            text = str(error) if isinstance(error, UsageError) else type(error).__name__ + ": " + str(error)
            self._tell("result", key, {"error": text[:2000]})
            say("the action " + action.name + " failed: " + text[:500].replace("\n", " "))
