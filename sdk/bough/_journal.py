"""The journal: the append-only file in which one process of a job reports.

Promises:
- one line, one ``os.write``: what `append` returned from survives a SIGKILL, and nothing is read, locked or sent;
- lines of a writer are numbered 0, 1, 2, … in the order of the file, from any number of threads, from signal
  handlers and from atexit;
- one file per writing process: a fork gets a file of its own, with a header and the channels known so far. Python
  calls us in the child of every fork, which costs a send nothing; asking for the pid each time would be 6 % of it;
- trouble (a full disk, a folder that is not writable) never reaches the training: lines wait in bounded memory, are
  written as soon as it works again, and what did not fit is counted in a gap line.
"""

from __future__ import annotations

import errno
import os
import sys
from _thread import RLock
from time import time

from bough import _numbers
from bough._json import loads
from bough.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
else:
    from _collections import deque  # without the rest of collections

MAX_LINE = 65536  # bytes, newline included
MAX_WAITING = 8 << 20  # bytes of lines that wait in memory while the file cannot be written
EXIT_WAIT_S = 60  # how long a process that ends on a full disk waits for room: what it has in memory dies with it

# What the last line left behind. IN_WORK outlasts a line only if an exception came in its middle.
CALM, TROUBLED, IN_WORK = range(3)

_write = os.write


def say(sentence: str) -> None:
    """Tell the person one sentence on stderr; where there is no stderr, nobody."""
    try:
        sys.stderr.write("bough: " + sentence + "\n")
        sys.stderr.flush()
    except Exception:  # a closed or broken stderr is not the training's problem
        pass


class Journal:
    """The journal file of this process; in a fork, the one of the fork.

    Args:
        folder: Where the files go; made when missing. None: nothing is recorded.
        prefix: How its name begins, where it does not speak for one process of the job: "stdout", "output". None: pid.

    Attributes:
        path: The file of this process, None when nothing is recorded. It exists once `begin` or `append` was called.
    """

    def __init__(self, folder: str | None, prefix: str | None = None) -> None:
        self._folder = folder
        self._prefix = prefix
        self._definitions: list[str] = []
        self._said: set[str] = set()
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        """Start a file that is this process's own, also in a fork; the path that ends any trouble opens it."""
        pid = os.getpid()
        self.writer = (self._prefix or str(pid)) + "-" + os.urandom(4).hex()
        self.path = os.path.join(self._folder, self.writer + ".jsonl") if self._folder else None
        self._lock = RLock()  # reentrant: a signal handler may report while its own thread is reporting
        self._is_mine = self._lock._is_owned  # type: ignore[attr-defined]  # pyright: ignore
        self._nested: deque[tuple[str, str]] = deque()
        self._fd = -1
        self._n = 0
        self._state = TROUBLED  # until it is open
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._torn = False
        self._is_disk_full = False
        self._pid = pid

    def move(self, folder: str | None) -> None:
        """Go on as a new writer in another folder, with no channels: for processes that run one job after another."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._folder, self._definitions = folder, []
            self._renew()

    def begin(self) -> None:
        """Open the file, so that its header tells readers that the script reports at all."""
        with self._lock:
            self._state = IN_WORK
            self._state = CALM if self._recover() else TROUBLED

    def define(self, rest: str) -> None:
        """Write a channel's definition, here and first thing into the file of every later fork."""
        self.append("c", rest)
        self._definitions.append(rest)

    def append(self, kind: str, rest: str) -> None:
        """Write one line; never raises because of trouble with the file.

        Args:
            kind: The letter of the line.
            rest: What follows number and time: ASCII, JSON values joined by commas.
        """
        if self._is_mine():  # a signal handler or a finalizer, in the middle of this thread's own line
            self._nested.append((kind, rest))
            return
        try:
            with self._lock:
                state, self._state = self._state, IN_WORK
                if state == CALM:
                    self._state = self._append_at_once(kind, rest)
                else:
                    self._state = self._append_troubled(kind, rest, state)
        finally:
            while self._nested:
                self.append(*self._nested.popleft())

    def _append_at_once(self, kind: str, rest: str) -> int:
        n = self._n
        # Microseconds as "…e-6" are half the cost of formatting the float, and the same number.
        line = f'["{kind}",{n},{int(time() * 1000000)}e-6,{rest}]\n'.encode()
        if len(line) > MAX_LINE:
            self._refuse(line)
            return CALM
        try:
            written = _write(self._fd, line)
        except OSError as error:
            if not _is_own(error):
                raise
            return self._fail(line, 0, error)
        if written != len(line):
            return self._fail(line, written, None)
        self._n = n + 1
        return CALM

    # -- trouble ----------------------------------------------------------------------------------------------

    def _append_troubled(self, kind: str, rest: str, state: int) -> int:
        """Write what waits, then the line; let it wait where that is not possible. Returns the new state."""
        if self.path is None:
            return TROUBLED
        if state == IN_WORK:  # an exception came in the middle of the last line
            self._settle()
        is_well = self._recover()
        line = _format(kind, self._n, rest)
        if len(line) > MAX_LINE:
            self._refuse(line)
        elif self._lost:  # a gap has begun: it ends when all that waits is written
            self._lost += 1
        else:
            self._keep(line)
            is_well = is_well and self._recover()
        return CALM if is_well else TROUBLED

    def _keep(self, line: bytes) -> None:
        """Let a line wait under its number, or count it as lost when too many wait already."""
        if self._waiting_bytes + len(line) > MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._n += 1

    def _recover(self) -> bool:
        """Open the file if need be, write what waits; return whether all of it is written."""
        if self.path is None:
            return False
        if self._n == 0:
            self._keep_first_lines()
        try:
            if self._fd < 0:
                self._open(self.path)
            while self._waiting:
                self._write_first_waiting()
                if self._lost and not self._waiting:
                    lost, self._lost = self._lost, 0
                    self._keep(_format("x", self._n, str(lost)))
        except OSError as error:
            if not _is_own(error):
                raise
            self._is_disk_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._warn(error)
            return False
        return True

    def _keep_first_lines(self) -> None:
        first = [("h", _header(self.writer, self._pid)), *(("c", rest) for rest in self._definitions)]
        self._waiting.extend(_format(kind, n, rest) for n, (kind, rest) in enumerate(first))
        self._waiting_bytes = sum(map(len, self._waiting))
        self._n = len(self._waiting)

    def _open(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        try:
            self._fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # made by ourselves: an exception came before its number was stored
            self._fd = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))

    def _write_first_waiting(self) -> None:
        data = b"\n" + self._waiting[0] if self._torn else self._waiting[0]
        written = _write(self._fd, data)
        self._torn = written != len(data)
        if written >= len(data) - 1:  # where only the newline is missing, the next line's first byte brings it
            self._waiting_bytes -= len(self._waiting.popleft())
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fail(self, line: bytes, written: int, error: OSError | None) -> int:
        """A line was not written, or not whole: the next one starts with a newline, and this one comes again."""
        self._torn = True
        if written == len(line) - 1:
            self._n += 1
        else:
            self._keep(line)
        self._warn(error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return TROUBLED

    def _warn(self, error: OSError) -> None:
        if "suspended" not in self._said:
            import atexit

            atexit.register(self._at_exit)
        self._say_once(
            "suspended",
            "the journal " + str(self.path) + " cannot be written: " + (error.strerror or str(error)) + ". Up to "
            "8 MiB of reports wait in memory until it can be; the script goes on.",
        )

    def _at_exit(self) -> None:
        """Try once more to write what waits, at the end of the process; on a full disk, for a while."""
        with self._lock:
            if self._state == IN_WORK:
                self._settle()
            if self._pid != os.getpid() or self._recover():
                return
            if not (self._is_disk_full and self._await_room()):
                say(str(len(self._waiting) + self._lost) + " lines could not be written to " + str(self.path) + ".")

    def _await_room(self) -> bool:
        """Wait until what waits is written, or somebody wants the process to end; return whether it is."""
        from time import monotonic, sleep

        limit = str(EXIT_WAIT_S) + " s"
        say("the disk of " + str(self.path) + " is full; waiting up to " + limit + " for room. Free some space.")
        deadline = monotonic() + EXIT_WAIT_S
        try:
            while monotonic() < deadline:
                sleep(0.2)
                if self._recover():
                    return True
        except KeyboardInterrupt:  # it is being stopped
            pass
        return False

    def _refuse(self, line: bytes) -> None:
        self._say_once(
            "refused",
            "a report of " + str(len(line)) + " bytes was left out: a line may have " + str(MAX_LINE) + ". "
            "Send less at once. It starts with " + line[:80].decode("ascii", "replace"),
        )

    def _say_once(self, topic: str, sentence: str) -> None:
        if topic not in self._said:
            self._said.add(topic)
            say(sentence)

    def _settle(self) -> None:
        """After an interruption, make numbers and waiting lines agree with what the file really holds."""
        last = -1
        if self._fd >= 0:
            tail = _tail(str(self.path), 2 * MAX_LINE)
            self._torn = not tail.endswith(b"\n")
            last = _last_number(tail)
        while self._waiting and _number_of(self._waiting[0]) <= last:
            self._waiting.popleft()
        self._waiting_bytes = sum(map(len, self._waiting))
        self._n = (_number_of(self._waiting[-1]) if self._waiting else last) + 1


def _format(kind: str, n: int, rest: str) -> bytes:
    return f'["{kind}",{n},{time():.6f},{rest}]\n'.encode()


def _number_of(line: bytes) -> int:
    """Return the number of a line, -1 when it is torn."""
    try:
        return int(loads(line.decode("ascii"))[1])
    except (ValueError, IndexError, TypeError):
        return -1


def _last_number(tail: bytes) -> int:
    """Return the number of the last whole line of a file's end, -1 when there is none."""
    for line in reversed(tail.split(b"\n")):
        number = _number_of(line)
        if number >= 0:
            return number
    return -1


def _tail(path: str, size: int) -> bytes:
    """Return the last `size` bytes of a file."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.lseek(file, max(0, os.fstat(file).st_size - size), os.SEEK_SET)
        return os.read(file, size)
    finally:
        os.close(file)


def _is_own(error: BaseException) -> bool:
    """Is this trouble with the file, not something that a signal handler threw in the middle (a TimeoutError, say)?"""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return isinstance(error, OSError) and trace is not None and trace.tb_frame.f_code.co_filename in _OWN_FILES


_OWN_FILES = (_is_own.__code__.co_filename, os.makedirs.__code__.co_filename)


def _header(writer: str, pid: int) -> str:
    argv = [str(argument) for argument in getattr(sys, "argv", [])]
    facts = {
        "writer": writer,
        "pid": pid,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "sdk": __version__,
        "argv": argv if sum(map(len, argv)) < 8000 else [*argv[:1], _numbers.CUT_MARK],
        "rank": rank(),
    }
    return _numbers.any_value(facts)


def rank() -> int | None:
    """Return which of several cooperating processes this is, as its launcher says; None without a launcher."""
    for name in ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return None
