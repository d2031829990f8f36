"""Files that a job hands in: their contents are copied into the attempt's folder, so that what changes later changes
nothing.

Promises: a content lies in ``files/<sha256>-<bytes>``, whole or not at all, once however often it is handed in; its
journal line is written after it. Whatever is wrong with a file (gone, too large, a strange name, a full disk) is one
clear line in the log, and the training goes on.
"""

from __future__ import annotations

import os
import stat

from bough import _layout, _numbers, _paths
from bough._journal import Journal, say

CHUNK = 1 << 20
TRIES = 3  # for a file that changes while it is read
SKIPPED = (".git", ".bough")  # folders that are never handed in with another one


class NotTaken(Exception):
    """Why something was not handed in: the end of a sentence."""


class Files:
    """Where the files of a job go.

    Args:
        attempt_dir: The attempt's folder; None where nothing is recorded.
        journal: Where they are reported.
        limits: Of job.json: the most bytes of one file and of all, and how many contents; what is missing or no
            number is that of `_layout.LIMITS`.
        base: The folder that paths are relative to; None: the working folder.
    """

    def __init__(
        self, attempt_dir: str | None, journal: Journal, limits: dict[str, object] | None, base: str | None = None
    ) -> None:
        self._folder = os.path.join(attempt_dir, _layout.FILES) if attempt_dir else None
        self._journal = journal
        self._limits = dict(_layout.LIMITS)
        for name, value in (limits or {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                self._limits[name] = int(value)
        self._base = base
        self._count = 0
        self.names: dict[str, None] = {}  # what this process handed in, in that order

    # -- what scripts ask for ---------------------------------------------------------------------------------

    def hand_in(self, path: object, name: str | None = None, title: str | None = None) -> int:
        """Hand in a file, or a folder with all it holds; return how many files that were.

        Args:
            path: Of the file or folder.
            name: What it is called in the job; None: its path from the working folder, without leading ``../``.
            title: For people.
        """
        try:
            source = os.path.join(self._base or os.getcwd(), os.fspath(path))  # type: ignore[call-overload]
        except (TypeError, OSError) as error:
            self._refuse(repr(path), str(error))
            return 0
        if isinstance(source, bytes):
            source = os.fsdecode(source)
        called = self._called(source) if name is None else tidy(str(name))
        if not os.path.isdir(source):
            return int(self._hand_in_one(source, called, title))
        return self._hand_in_folder(source, called, title)

    def put(self, data: bytes, name: str, title: str | None = None) -> str | None:
        """Hand in bytes as a file called `name`; return that name, or None where it was not possible.

        ``{sha}`` in the name stands for the first 8 digits of the checksum.
        """
        try:
            self._check(name)
            content = self._keep(len(data), iter((data,)))
        except NotTaken as reason:
            self._refuse(name, str(reason))
            return None
        name = name.replace("{sha}", content[:8])
        self._report(name, content, title)
        return name

    # -- one file ---------------------------------------------------------------------------------------------

    def _called(self, source: str) -> str:
        return tidy(os.path.relpath(source, self._base or os.getcwd()))

    def _hand_in_folder(self, source: str, called: str, title: str | None) -> int:
        taken = 0
        root = os.path.realpath(source)
        for folder, folders, files in os.walk(source):
            folders[:] = sorted(name for name in folders if name not in SKIPPED)
            inner = os.path.relpath(folder, source)
            prefix = called if inner == "." else called + "/" + inner
            for file in sorted(files):
                path = os.path.join(folder, file)
                if os.path.islink(path) and not os.path.realpath(path).startswith(root + os.sep):
                    self._refuse(path, "it is a link that leaves its folder")
                    continue
                if len(self.names) >= self._limits["files"]:
                    self._refuse(source, "it holds more than the " + str(self._limits["files"]) + " files of a job")
                    return taken
                taken += self._hand_in_one(path, tidy(prefix + "/" + file), title)
        return taken

    def _hand_in_one(self, path: str, name: str, title: str | None) -> bool:
        try:
            self._check(name)
            content = self._copy(path)
        except NotTaken as reason:
            self._refuse(path, str(reason))
            return False
        except (OSError, ValueError) as error:
            self._refuse(path, getattr(error, "strerror", None) or str(error))
            return False
        self._report(name, content, title)
        return True

    def _check(self, name: str) -> None:
        if self._folder is None:
            raise NotTaken("this run is not recorded")
        fault = _paths.fault_of(name)
        if fault is not None:
            raise NotTaken("its name " + fault)

    def _copy(self, path: str) -> str:
        """Keep the content of a file; return its `<sha256>-<bytes>`."""
        content = ""
        for left in range(TRIES, 0, -1):
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
            try:
                before = os.fstat(handle)
                if not stat.S_ISREG(before.st_mode):
                    raise NotTaken("it is no ordinary file")
                self._check_size(before.st_size)
                content = self._keep(before.st_size, _chunks(handle))
                after = os.fstat(handle)
            finally:
                os.close(handle)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return content
            if left == 1:
                say(shown(path) + " was changed while it was handed in: it is kept as it was read.")
        return content

    def _check_size(self, size: int) -> None:
        most = self._limits["file_bytes"]
        if size > most:
            raise NotTaken("it has " + str(size) + " bytes, a file may have " + str(most))

    def _keep(self, expected: int, chunks: object) -> str:
        """Write chunks into a content file of their own; return its name."""
        from hashlib import sha256

        assert self._folder is not None
        self._check_size(expected)
        count, total = self._kept()
        if count >= self._limits["files"]:
            raise NotTaken("the job has handed in as many files as it may (" + str(self._limits["files"]) + ")")
        if total + expected > self._limits["files_bytes"]:
            raise NotTaken("the job may hand in " + str(self._limits["files_bytes"]) + " bytes in all")
        self._count += 1
        temporary = os.path.join(self._folder, ".new-" + str(os.getpid()) + "-" + str(id(self)) + str(self._count))
        digest, size = sha256(), 0
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with open(temporary, "wb", opener=_private) as file:
                for chunk in chunks:  # type: ignore[attr-defined]
                    size += len(chunk)
                    self._check_size(size)
                    digest.update(chunk)
                    file.write(chunk)
            name = digest.hexdigest() + "-" + str(size)
            os.rename(temporary, os.path.join(self._folder, name))
        except OSError as error:
            _remove(temporary)
            raise NotTaken("it cannot be copied to " + self._folder + ": " + str(error.strerror)) from None
        except NotTaken:
            _remove(temporary)
            raise
        return name

    def _kept(self) -> tuple[int, int]:
        """Return how many contents the job has kept, and their bytes: the names say it."""
        assert self._folder is not None
        try:
            names = [name for name in os.listdir(self._folder) if name[64:65] == "-" and name[65:].isdigit()]
        except OSError:
            return 0, 0
        return len(names), sum(int(name[65:]) for name in names)

    # -- words ------------------------------------------------------------------------------------------------

    def _report(self, name: str, content: str, title: str | None) -> None:
        sha256, _, size = content.partition("-")
        facts = '{"sha256":"' + sha256 + '","bytes":' + size + ',"title":'
        facts += ("null" if title is None else _numbers.text(str(title)[:500])) + "}"
        self._journal.append("f", _numbers.text(name) + "," + facts)
        self.names[name] = None

    def _refuse(self, path: str, reason: str) -> None:
        say("the file " + shown(path) + " was not handed in: " + reason + ".")


def tidy(path: str) -> str:
    """Return a path with ``/``, without what leads out of its folder: the name of a file in its job."""
    parts = os.path.normpath(path.replace(os.sep, "/")).replace(os.sep, "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def shown(path: str) -> str:
    """Return a path for a sentence, on one line whatever it holds."""
    return path if path.isprintable() and len(path) <= 200 else repr(path)[:200]


def _chunks(handle: int) -> object:
    while True:
        chunk = os.read(handle, CHUNK)
        if not chunk:
            return
        yield chunk


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)


def _remove(path: str) -> None:
    try:  # noqa: SIM105  (importing contextlib costs more than this says)
        os.unlink(path)
    except OSError:  # it was never made, or its folder is gone
        pass
