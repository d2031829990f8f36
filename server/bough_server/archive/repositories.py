"""The coordinator's own bare repositories, one per model: ``<home>/git/<owner>/<name>.git``.

Each holds the code of every commit that a job ran (``refs/bough/code/<sha>``) and the records of ended jobs. Names from
outside are checked before they become a path, a repository appears whole or not at all, and git never runs anything in
one that was not written here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from bough import _git
from bough.errors import UsageError
from bough_server.archive.records import INCOMING_REFS

CODE_REFS = "refs/bough/code/"
BRANCH = "refs/heads/main"  # the commit that was sent last; nobody can push to it
MAX_PUSH_BYTES = 4 * 1024**3  # of one push; a model's code is not the place for data sets

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# Its exit and its words go back to the one who pushes; git applies a ref only when this agrees.
_UPDATE_HOOK = f"""#!/bin/sh
case "$1" in
{INCOMING_REFS}jobs/*|{INCOMING_REFS}optimizations/*|{INCOMING_REFS}models/*|{INCOMING_REFS}kept/*)
    if [ -n "$(printf %s "$2" | tr -d 0)" ]; then
        echo "$1 was pushed before and is being checked. Push it again in a moment." >&2
        exit 1
    fi ;;
"{CODE_REFS}$3") ;;
*)
    echo "$1 must be named by the commit it points to: push <commit>:{CODE_REFS}<commit>." >&2
    exit 1 ;;
esac
if [ "$(git cat-file -t "$3" 2>/dev/null)" != commit ]; then
    echo "$3 is not a commit. Push a commit." >&2
    exit 1
fi
"""

# The newest commit that was pushed is what a plain clone stands on.
_POST_UPDATE_HOOK = f"""#!/bin/sh
for ref in "$@"; do
    case "$ref" in {CODE_REFS}*) git update-ref {BRANCH} "${{ref#{CODE_REFS}}}" ;; esac
done
"""

_CONFIG = f"""
[gc]
\tauto = 0
[receive]
\tautogc = false
\tmaxInputSize = {MAX_PUSH_BYTES}
[uploadpack]
\tallowAnySHA1InWant = true
[http]
\treceivepack = true
[pack]
\tthreads = 1
[core]
\tfsync = committed
"""


def split_model(model: str) -> tuple[str, str]:
    """Return owner and name of a model such as ``me/digits``.

    Raises:
        UsageError: It is not one owner and one name, or either may not be a folder's name.
    """
    owner, slash, name = model.partition("/")
    if not slash or not is_name(owner) or not is_name(name):
        raise UsageError(
            f"{model!r} is no name of a model.",
            "Use owner/name, each of letters, digits, '.', '_' and '-', beginning with a letter or digit.",
        )
    return owner, name


def is_name(text: str) -> bool:
    """Tell whether a text may be the owner or the name of a model, and so a folder here."""
    forbidden = text.endswith((".git", ".lock", ".")) or ".." in text
    return _NAME.fullmatch(text) is not None and not forbidden


def sweep(repository: Path) -> None:
    """Remove what a fast-import left that was killed or found no room; none may run there.

    Its lock on a pack would stay for ever, and stop the very batch that is written again: the pack is the same.
    """
    for pattern in ("objects/pack/tmp_*", "fast_import_crash_*"):  # ours: pushes have folders of their own
        for left in repository.glob(pattern):
            left.unlink(missing_ok=True)
    for keep in repository.glob("objects/pack/*.keep"):
        with contextlib.suppress(FileNotFoundError):
            if keep.stat().st_size < 100 and keep.read_bytes().strip() in (b"", b"fast-import"):  # not of a push
                keep.unlink()


def stand(repository: Path) -> None:
    """Let a repository into which no commit was pushed have a branch all the same: at the newest commit of its code.

    Raises:
        GitFailed: The repository is damaged, or the disk is full.
    """
    place = str(repository)
    if _git.run(["for-each-ref", "--", BRANCH], git_dir=place):
        return
    newest = ["for-each-ref", "--sort=-committerdate", "--count=1", "--format=%(objectname)", "--", CODE_REFS]
    if oid := _git.run(newest, git_dir=place).decode().strip():
        _git.run(["update-ref", BRANCH, oid], git_dir=place)


class Repositories:
    """The folder of all repositories.

    Args:
        root: ``<home>/git``; made when it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.hooks = self.root / ".hooks"
        self.hooks.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_hook()
        self._sweep()

    def path(self, model: str) -> Path:
        """Return where the repository of a model is or would be.

        Raises:
            UsageError: The name of the model is not acceptable.
        """
        owner, name = split_model(model)
        return self.root / owner / f"{name}.git"

    def ensure(self, model: str) -> Path:
        """Return the repository of a model, made now if it is not there yet.

        Raises:
            UsageError: The name of the model is not acceptable.
            GitFailed: git is missing or the disk is full.
        """
        path = self.path(model)
        if not path.exists():
            self._create(path)
        return path

    def models(self) -> list[str]:
        """Return the models that have a repository."""
        return sorted(f"{path.parent.name}/{path.name.removesuffix('.git')}" for path in self.root.glob("*/*.git"))

    def _create(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            _git.run(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(making)])
            with (making / "config").open("a") as config:
                config.write(_CONFIG)
            making.rename(path)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            if not path.is_dir():  # otherwise another request has made it at the same time
                raise
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise

    def _write_hook(self) -> None:
        for name, text in (("update", _UPDATE_HOOK), ("post-update", _POST_UPDATE_HOOK)):
            fresh = self.hooks / f".{name}"
            fresh.write_text(text)
            fresh.chmod(0o700)
            os.replace(fresh, self.hooks / name)

    def _sweep(self) -> None:
        """Remove what a killed coordinator left half made."""
        for left in self.root.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        for repository in self.root.glob("*/*.git"):
            sweep(repository)
        for ref in self.root.glob("*/*.git/refs/bough/**/*"):  # a machine that lost power
            if ref.is_file() and ref.stat().st_size == 0:
                ref.unlink(missing_ok=True)
