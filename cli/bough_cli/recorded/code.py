"""The code of a recorded run: its commit where that is known and there, else an empty one; and its definition."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from bough import _git, _git_code, definition
from bough.errors import BoughError
from bough_cli.client import Client
from bough_cli.recorded.folder import Recorded
from bough_cli.source import FILE, PUSH_S

_NOBODY = {"NAME": "bough", "EMAIL": "bough@localhost", "DATE": "@0 +0000"}


def definition_of(recorded: Recorded, user: str) -> dict[str, Any]:
    """Return the bough.yml beside the run as JSON; where there is none that names this model, the least there can be.

    Args:
        recorded: The run.
        user: Owner of the model, where the run names none.
    """
    beside = recorded.folder.parent.parent / FILE
    model = recorded.facts.get("model")
    try:
        found = definition.load(str(beside)).raw if beside.is_file() else None
    except BoughError:  # it was changed since: the values are those of the run all the same
        found = None
    if found is not None and model in (None, found.get("model")):
        return found
    return {"model": model or f"{user}/{_plain(recorded.folder.parent.parent.name)}", "command": "python by-hand.py"}


def bring(recorded: Recorded, client: Client, model: str) -> tuple[str, str]:
    """Push the commit that the run knows; return it with the model's folder in it.

    Where the run was outside of git, or its commit is not there any more, it is a commit without files.
    """
    place = str(recorded.folder.parent.parent)
    commit = str(recorded.facts.get("commit") or "")
    try:
        top = _git.run(["rev-parse", "--show-toplevel"], cwd=place).decode().strip()
        git_dir = _git.run(["rev-parse", "--absolute-git-dir"], cwd=place).decode().strip()
        _git.run(["cat-file", "-e", f"{commit}^{{commit}}"], git_dir=git_dir)
    except _git.GitFailed:
        return _push_nothing(client, model), ""
    if (Path(git_dir) / "shallow").exists():  # the coordinator keeps whole histories
        return _push_nothing(client, model), ""
    _push(client, model, git_dir, commit)
    folder = os.path.relpath(os.path.realpath(place), os.path.realpath(top))
    return commit, "" if folder == "." else folder


def _push_nothing(client: Client, model: str) -> str:
    """Push the commit without files, the same one for every run, and return it."""
    who = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in _NOBODY.items()}
    with tempfile.TemporaryDirectory(prefix="bough-") as git_dir:
        _git.run(["init", "--quiet", "--bare", git_dir])
        tree = _git.run(["hash-object", "-t", "tree", "-w", "--stdin"], git_dir=git_dir, input=b"").decode().strip()
        words = "A run by hand whose code is in no commit"
        commit = _git.run(["commit-tree", tree, "-m", words], git_dir=git_dir, env=who).decode().strip()
        _push(client, model, git_dir, commit)
    return commit


def _push(client: Client, model: str, git_dir: str, commit: str) -> None:
    url = f"{client.url}/git/{model}.git"
    _git_code.push(git_dir, url, commit, client.address.key, PUSH_S)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:60] or "by-hand"
