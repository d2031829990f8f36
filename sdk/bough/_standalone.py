"""The same script without an agent: defaults from bough.yml, a journal under .bough/.

Promises: nothing has to be installed, configured or running; one line on stderr says where the journal is; a folder
that cannot be written costs the journal, never the run.
"""

from __future__ import annotations

import os

from bough import _layout
from bough._by_hand import identity
from bough._journal import rank, say
from bough._json import loads
from bough._numbers import any_value
from bough.errors import UsageError

FOLDER = ".bough"
FILE = "bough.yml"
ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that look like another


class Standalone:
    """What a script without an agent runs with.

    Attributes:
        facts: The content of its job.json.
        attempt_dir: The attempt's folder, None where none could be made.
        origin: Where the values came from, for messages.
        remedy: What to do about a missing value, "" where bough.yml is there.
    """

    def __init__(self, model: str | None, cwd: str) -> None:
        path = find_definition(cwd)
        values, its_model, self.origin, self.remedy = _defaults(path, cwd)
        job_id = new_id()
        base = os.path.join(os.path.dirname(path) if path else cwd, FOLDER)
        folder = os.path.join(base, job_id)
        self.facts: dict[str, object] = {
            "job_id": job_id, "attempt": 1, "model": model or its_model, "optimization": None, "number": None,
            "commit": None, "values": values, "max_epochs": None, "checkpoint_dir": os.path.join(folder, "checkpoints"),
            "kpi": {"channel": None, "direction": None},
        }  # fmt: skip
        self.facts.update(identity(cwd))
        self.attempt_dir = _make(base, folder, self.facts)


def new_id() -> str:
    """Return a random id of 8 letters and digits, the first one a letter."""
    first, rest = os.urandom(1), os.urandom(7)
    return ID_LETTERS[first[0] % 24] + "".join(ID_LETTERS[byte & 31] for byte in rest)


def find_definition(cwd: str) -> str | None:
    """Return the nearest bough.yml from `cwd` upwards, None where there is none.

    The search ends at the root of the git repository, at the home folder and at /.
    """
    home = os.path.expanduser("~")
    folder = os.path.abspath(cwd)
    while True:
        path = os.path.join(folder, FILE)
        if os.path.isfile(path):
            return path
        parent = os.path.dirname(folder)
        if parent == folder or folder == home or os.path.exists(os.path.join(folder, ".git")):
            return None
        folder = parent


def _defaults(path: str | None, cwd: str) -> tuple[dict[str, object], str | None, str, str]:
    """Return default values, the model, where they came from, and the remedy when there is no source of them."""
    if path is None:
        origin = cwd + ": there is no bough.yml in it or above it"
        return {}, None, origin, "Give default=, or write a bough.yml: bough init."
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        origin = path + ": this Python has no PyYAML to read it with"
        return {}, None, origin, "Install it (pip install pyyaml), or give default=."
    from bough.definition import load

    found = load(path)
    values: dict[str, object] = {}
    values.update(found.defaults())
    return values, found.model, path, ""


def _make(base: str, folder: str, facts: dict[str, object]) -> str | None:
    """Make the attempt's folder and say where it is; None, and a warning, where that is not possible."""
    try:
        os.makedirs(os.path.join(folder, _layout.JOURNALS), mode=0o700)
        _write(os.path.join(base, ".gitignore"), "*\n")
        _write(os.path.join(folder, _layout.JOB), any_value(facts) + "\n")
    except OSError as error:
        say(folder + " cannot be made (" + str(error.strerror) + "): this run is not recorded.")
        return None
    if not rank():
        say("no agent runs this script; its journal is in " + folder)
    return folder


def _write(path: str, content: str) -> None:
    """Write a file that others read: under a temporary name first."""
    temporary = path + "." + str(os.getpid())
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(temporary, path)


def read_job(attempt_dir: str) -> dict[str, object]:
    """Return what the agent wrote for the script.

    Raises:
        UsageError: It cannot be read.
    """
    path = os.path.join(attempt_dir, _layout.JOB)
    try:
        with open(path, encoding="utf-8") as file:
            facts = loads(file.read())
    except (OSError, ValueError) as error:
        raise UsageError(
            "The job's file " + path + " cannot be read: " + str(error) + ".",
            "It is named by " + _layout.ATTEMPT_DIR + "; unset that to run without an agent.",
        ) from None
    if not isinstance(facts, dict) or not isinstance(facts.get("values"), dict):
        raise UsageError(
            "The job's file " + path + " is not one of bough's.",
            "It is named by " + _layout.ATTEMPT_DIR + "; unset that to run without an agent.",
        )
    return facts
