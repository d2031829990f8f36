"""The supervisor: the parent of one attempt, from its first command until nothing of it is left.

It is forked from the spawner into a session of its own and needs nobody: agent, spawner and coordinator may die. It
promises that

- the commands run in order, and the first failure ends the series;
- limits hold: time on the monotonic clock, without pauses, epochs as the SDK asks through `control/limit`, the size of
  the log;
- `control/stop` says why before any signal is sent, so the cause of an end never has to be guessed from exit codes;
- `exit.json` is written once, last, and only when the tree of the attempt is empty.

It polls `control/` every `SUPERVISOR_POLL_S`, but sleeps in sigtimedwait, so the end of a command is seen at once.
Processes that are left when the last command ends by itself get `LINGER_S` to finish, then SIGTERM, `SURVIVOR_S`,
and SIGKILL. What a command leaves behind lives on while the next commands of the series run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bough import _layout as layout
from bough._journal import say
from bough.errors import Conflict, UsageError
from bough_agent import closing, ladder, leader, output, processes
from bough_agent.ladder import Rung, Stage, Times, Want
from bough_agent.pausing import Pause
from bough_agent.reports import Reports
from bough_agent.sampling import Sampler

LINGER_S = 0.5  # resource trackers and the like end by themselves a moment after their parent
SURVIVOR_S = 2.0  # from SIGTERM to SIGKILL for what the last command left behind
RETRY_S = 1.0  # between two tries to write exit.json on a full disk
RETRIES = 60  # where it is not for want of room: then the attempt is lost, and its slot is free
SIZES_S = 1.0  # between two looks at the sizes of journals
DESIRED_BYTES = 1 << 16
SUPERVISOR_OOM_SCORE = -500

PAUSE = "pause"
_WANTS = {"stop": Want.STOP, "kill": Want.KILL}
JOURNAL_CAUSE = "journal"  # of a stop because log or journals outgrew their limit
SCRIPT_CAUSE = "script"  # of a stop because the program printed that it failed; its words are in the journal


@dataclass(frozen=True)
class Spec:
    """What the agent asks of a supervisor: spec.json, read."""

    job_id: str
    attempt: int
    marker: str
    commands: list[dict[str, Any]]
    cwd: str
    env: dict[str, str]
    max_time_s: float | None
    times: Times
    log_limit: int | None
    limits: dict[str, Any]
    output: tuple[str, ...]
    reporting: dict[str, int]  # how much it may report
    max_epochs: float | None
    kpi_channel: str | None

    @classmethod
    def read(cls, folder: str) -> Spec:
        """Return the spec of an attempt.

        Raises:
            UsageError: There is none, or it is not complete.
        """
        path = os.path.join(folder, layout.SPEC)
        try:
            with open(path, "rb") as file:
                row = json.load(file)
            return cls(
                job_id=row["job_id"],
                attempt=row["attempt"],
                marker=row["marker"],
                commands=row["commands"],
                cwd=row["cwd"],
                env={**row["env"], layout.MARKER: row["marker"]},
                max_time_s=row.get("max_time_s"),
                times=Times(row["grace_s"], row["term_s"]),
                log_limit=row.get("log_limit"),
                limits=row.get("confinement") or {},
                output=tuple(row.get("output") or ()),
                reporting={**layout.LIMITS, **(row.get("limits") or {})},
                max_epochs=row.get("max_epochs"),
                kpi_channel=(row.get("kpi") or {}).get("channel"),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"{path} cannot be used as the spec of an attempt ({type(error).__name__}: {error})."
            raise UsageError(what, "The agent writes it before it asks for a supervisor.") from error


def run(folder: str, report: Callable[[], None]) -> None:
    """Supervise the attempt in this folder, from start to exit.json.

    Must be called in the main thread of a process that does nothing else: it becomes the leader of a session, a
    subreaper, and changes its signals.

    Args:
        folder: The attempt's folder, absolute; `spec.json` is in it.
        report: Called when the attempt is held and `supervisor.json` is written, before anything is started.

    Raises:
        UsageError: The spec cannot be used.
        Conflict: Another supervisor holds the attempt, or it has ended.
    """
    os.setsid()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)  # what ends agents and sessions does not end trials
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGCHLD})  # taken by sigtimedwait
    leader.become_subreaper()
    leader.prefer_for_oom(SUPERVISOR_OOM_SCORE)
    spec = Spec.read(folder)
    lock = _hold(folder)
    _introduce(folder)
    report()
    _Supervision(folder, spec).run()
    os.close(lock)


def is_supervised(folder: str) -> bool:
    """Return whether a supervisor lives that holds this attempt. To be asked by other processes only."""
    try:
        handle = os.open(os.path.join(folder, layout.SUPERVISOR_LOCK), os.O_RDWR)
    except OSError:  # there is none, or the trial put something else there
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _hold(folder: str) -> int:
    """Take the attempt's lock, which is held until this process ends."""
    handle = os.open(os.path.join(folder, layout.SUPERVISOR_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(f"the attempt in {folder} has a supervisor already.", "Wait for it to end.") from None
    if os.path.exists(os.path.join(folder, layout.EXIT)):
        os.close(handle)
        raise Conflict(f"the attempt in {folder} has ended.", "Start another attempt in another folder.")
    return handle


def _introduce(folder: str) -> None:
    """Write who supervises. It need not outlive a power failure: after one, the boot id is another."""
    identity = {
        "boot_id": processes.boot_id(),
        "pid": os.getpid(),
        "start_ticks": processes.start_ticks(os.getpid()),
        "nonce": os.urandom(16).hex(),
        "started_at": time.time(),
    }
    closing.write_json(os.path.join(folder, layout.SUPERVISOR), identity, is_durable=False)


class _Supervision:
    """One attempt under way."""

    def __init__(self, folder: str, spec: Spec) -> None:
        self.folder = folder
        self.spec = spec
        self.started_at = time.time()
        self.started = time.monotonic()
        self.command: str | None = None
        self.leader: int | None = None  # its pid until it has been waited for
        self.status: int | None = None  # of the last leader, as waitpid gives it
        self.exit_code: int | None = None  # of a command that could not be started
        self.error: str | None = None
        self.want = Want.RUN
        self.cause: str | None = None
        self.stopped_at: float | None = None
        self.sizes_at_stop: dict[str, int] | None = None
        self.rung = Rung()
        self.times = spec.times
        self.steps: list[tuple[str, float]] = []
        self.usage = {"user_s": 0.0, "system_s": 0.0, "max_rss_bytes": 0}
        self.has_children = False
        self.has_full_disk = False  # when a command of it failed
        self.sizes_due = self.started  # when the sizes of its journals are looked at next
        self.sync = closing.Sync(folder)
        self.pause = Pause(folder, spec.marker, self.started)
        self.sampler = Sampler(folder)
        facts = {"max_epochs": spec.max_epochs, "kpi": {"channel": spec.kpi_channel}, "limits": spec.reporting}
        self.reports = Reports(folder, spec.cwd, facts, self._reach_limit, self._hear_end)

    def run(self) -> None:
        """Run the commands, see the tree end, and write exit.json."""
        try:
            log = self._make_room()
        except OSError as error:
            why = f"the attempt's folder {self.folder} cannot be written ({error.strerror})."
            self.error = f"{why} Free some space there, or check who owns it."
        else:
            output.speak_into(log)
            self._supervise(log)
            output.hand_in(self.folder, self.spec.cwd, self.spec.output, self.spec.reporting)
            os.close(log)
        self._close()

    def _make_room(self) -> int:
        """Make the folders that the script writes to, and return the log, opened for appending."""
        os.makedirs(self._path(layout.CONTROL), mode=0o700, exist_ok=True)
        os.makedirs(self._path(layout.JOURNALS), mode=0o700, exist_ok=True)
        return os.open(self._path(layout.LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _supervise(self, log: int) -> None:
        try:
            self._run_commands(log)
            self._see_out()
            self.reports.look(is_last=True)
        except Exception as error:  # a fault of bough's own must not leave a trial behind, nor its end unsaid
            self.error = f"the supervisor failed ({type(error).__name__}: {error}). Please report this as a bug."
            ladder.sweep(self.spec.marker, os.getpid(), self.times, self._reap)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    # -- running --------------------------------------------------------------------------------------------------

    def _run_commands(self, log: int) -> None:
        for command in self.spec.commands:
            self._watch(log)  # a stop may have come before the start, or between two commands
            if self.want is not Want.RUN:
                return
            self.command, self.status = command["name"], None
            self.sync.join()  # fork with one thread only
            try:
                self.leader = leader.start(command["argv"], self.spec.cwd, self.spec.env, log, self.spec.limits)
            except leader.CannotStart as error:
                self.exit_code, self.error = error.exit_code, str(error)
                return
            self._attend(log)
            if self.status != 0:
                self.has_full_disk = closing.is_full(self.folder)
                return

    def _attend(self, log: int) -> None:
        """Watch over the leader until it has ended or the tree is dead."""
        self._reap()
        while self.leader is not None and not self.rung.is_over:
            self._watch(log)
            self._climb()
            self.sync.perhaps(time.monotonic())
            if not self.pause.is_on:
                self.sampler.perhaps(self.pause.running_s(time.monotonic()))
            signal.sigtimedwait({signal.SIGCHLD}, self._pause())
            self._reap()

    def _see_out(self) -> None:
        """Wait until nothing of the attempt is left, and help it along.

        Everything that was started here descends from this process, and as it is a subreaper, from one of its
        children: when there is no child left, waited for or not, there is no descendant. That is enough for a trial
        that ended by itself. Only where something had to be stopped is the machine searched for the marker too: for
        what somebody else started on behalf of the attempt.
        """
        self.pause.end(time.monotonic())  # the leader may have been killed meanwhile
        if self.rung.stage is Stage.RUNNING:  # no leader was interrupted
            self._linger()
            if not self.has_children:
                return
            self.want = max(self.want, Want.END)
            self.times = Times(self.times.grace_s, min(self.times.term_s, SURVIVOR_S), self.times.unkillable_s)
        while not self.rung.is_over:
            self._look_for_kill()
            self._climb()
            self.sync.perhaps(time.monotonic())
            if not self.rung.is_over:
                signal.sigtimedwait({signal.SIGCHLD}, self._pause())
            self._reap()

    def _linger(self) -> None:
        """Give what the leader left behind a moment to end by itself."""
        deadline = time.monotonic() + LINGER_S
        self._reap()
        while self.has_children and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, layout.SUPERVISOR_POLL_S)
            self._reap()

    def _reap(self) -> None:
        """Wait for every child that has ended: leaders, and orphans that were handed to this process."""
        self.has_children = True
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.has_children = False
                return
            if pid == 0:
                return
            self.usage["user_s"] += usage.ru_utime
            self.usage["system_s"] += usage.ru_stime
            self.usage["max_rss_bytes"] = max(self.usage["max_rss_bytes"], usage.ru_maxrss * 1024)
            if pid == self.leader:
                self.leader, self.status = None, status

    # -- watching -------------------------------------------------------------------------------------------------

    def _watch(self, log: int) -> None:
        """See whether a stop is due: by the time limit, the SDK, the coordinator or the size of the log. Or a pause."""
        self.reports.look()  # first: what was printed before a stop counts, and may hold a cause of its own
        limit = self.spec.max_time_s
        if limit is not None and self.pause.running_s(time.monotonic()) >= limit:
            self._stop(layout.MAX_TIME, Want.STOP)
        if os.path.exists(self._path(layout.LIMIT)):
            self._stop(layout.MAX_EPOCHS, Want.STOP)
        if self.cause is None:
            self._watch_sizes(log)
        desired, cause = self._desired()
        if desired in _WANTS:
            self._stop(cause, _WANTS[desired])
        self.pause.follow(desired == PAUSE and self.cause is None, time.monotonic())

    def _watch_sizes(self, log: int) -> None:
        """See whether it prints or reports more than it may; journals are measured once a second."""
        if self.spec.log_limit is not None and os.fstat(log).st_size > self.spec.log_limit:
            self._too_much(f"its log has more than {self.spec.log_limit} bytes. Print less.")
        if time.monotonic() < self.sizes_due:
            return
        self.sizes_due = time.monotonic() + SIZES_S
        limit = self.spec.reporting["journal_bytes"]
        if sum(closing.journal_sizes(self.folder).values()) > limit:
            self._too_much(f"its journals have more than {limit} bytes. Report less often: each point is a line.")

    def _too_much(self, what: str) -> None:
        self.error = f"it was stopped: {what}"
        say(self.error)
        self._stop(JOURNAL_CAUSE, Want.STOP)

    def _look_for_kill(self) -> None:
        """Hear the coordinator while the tree is being ended; a stop is nothing new then."""
        if self._desired()[0] == "kill":
            self.want = Want.KILL

    def _desired(self) -> tuple[str, str]:
        """Return what control/desired.json wants, and why. A file that cannot be read wants nothing."""
        try:
            with closing.open_regular(self._path(layout.DESIRED)) as file:
                row = json.loads(file.read(DESIRED_BYTES))
            return str(row["desired"]), str(row.get("cause") or layout.USER)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "run", ""

    def _stop(self, cause: str, want: Want) -> None:
        """Decide that the attempt is stopped: note how far the journals are, say why; signals come after.

        The first cause stands; a later one can only hurry.
        """
        if self.cause is None:
            self.cause = cause
            self.stopped_at = time.time()
            self.sizes_at_stop = closing.journal_sizes(self.folder)
            self._say_why()
        self.want = max(self.want, want)

    def _reach_limit(self) -> None:
        """What the program printed says that its epochs are done."""
        self._stop(layout.MAX_EPOCHS, Want.STOP)

    def _hear_end(self, how: str) -> None:
        """What the program printed says that it has failed, or is given up: it does not go on."""
        self._stop(SCRIPT_CAUSE, Want.STOP)

    def _say_why(self) -> None:
        """Write control/stop. On a full disk the stop must happen all the same; exit.json repeats the cause."""
        try:
            stop = {"cause": self.cause, "at": self.stopped_at}
            closing.write_json(self._path(layout.STOP), stop, is_durable=False)
        except OSError:
            return

    # -- ending ---------------------------------------------------------------------------------------------------

    def _climb(self) -> None:
        """Go up the ladder if it is time, and do what the stage asks for."""
        if self.want is Want.RUN:
            return
        before = self.rung.stage
        self.rung = ladder.climb(self.rung, time.monotonic(), self.want, self._is_empty(), self.times)
        if self.rung.stage is before:
            return
        if self.rung.stage is Stage.INTERRUPTED and self.leader is not None:
            self._step(signal.SIGINT)
            processes.send_to_group(self.leader, signal.SIGINT, signal.SIGCONT)
        elif self.rung.stage is Stage.TERMINATED:
            self._step(signal.SIGTERM)
            for process in processes.members(self.spec.marker, os.getpid()):
                processes.send(process, signal.SIGTERM, signal.SIGCONT)
        elif self.rung.stage is Stage.KILLING:
            self._kill()

    def _kill(self) -> None:
        """Kill until nothing is left."""
        self._step(signal.SIGKILL)
        if self.leader is not None:
            processes.send_to_group(self.leader, signal.SIGKILL)
        left = ladder.sweep(self.spec.marker, os.getpid(), self.times, self._reap)
        self.rung = Rung(Stage.UNKILLABLE if left else Stage.OVER, time.monotonic())
        if left:
            self.error = unkillable([process.pid for process in left], self.times.unkillable_s)

    def _is_empty(self) -> bool:
        """Return whether this look finds nothing; the machine is searched only when no child is left."""
        return not self.has_children and not processes.members(self.spec.marker, os.getpid())

    def _pause(self) -> float:
        """Return how long to sleep: until the next poll, or less where the next thing is due earlier, in seconds."""
        if self.rung.empty_looks:
            return ladder.PAUSE_S
        due = layout.SUPERVISOR_POLL_S
        if self.spec.max_time_s is not None and self.want is Want.RUN and not self.pause.is_on:
            due = min(due, self.spec.max_time_s - self.pause.running_s(time.monotonic()))
        return max(due, 0.0)

    def _step(self, signum: signal.Signals) -> None:
        self.steps.append((signum.name, time.time()))

    # -- closing --------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Write exit.json; on a full disk, wait for room, since without it the attempt has no end."""
        self.sync.join()
        for writer in closing.journal_sizes(self.folder):
            closing.sync_file(closing.journal_path(self.folder, writer))
        document = self._exit(time.time(), time.monotonic())
        tries = 0
        while tries < RETRIES:
            try:
                closing.write_json(self._path(layout.EXIT), document, is_durable=True)
                return
            except (FileNotFoundError, NotADirectoryError):  # the attempt's folder is gone: nobody wants to know
                return
            except PermissionError:  # a trial closed it
                tries += 1
                self._open_up()
            except OSError as error:
                tries += error.errno not in (errno.ENOSPC, errno.EDQUOT)
                time.sleep(RETRY_S)

    def _open_up(self) -> None:
        """Make the attempt's folder writable again, or leave it for the next try."""
        with contextlib.suppress(OSError):
            os.chmod(self.folder, 0o700)
            return
        time.sleep(RETRY_S)

    def _exit(self, ended_at: float, now: float) -> dict[str, object]:
        exit_code, signal_name = self.exit_code, None
        if self.exit_code is None and self.status is not None:
            exit_code, signal_name = leader.describe(self.status)
        return {
            "job_id": self.spec.job_id,
            "attempt": self.spec.attempt,
            "exit_code": exit_code,
            "signal": signal_name,
            "command": self.command,
            "cause": self.cause,
            "error": self.error,
            "started_at": self.started_at,
            "ended_at": ended_at,
            "duration_s": round(self.pause.running_s(now), 6),
            "paused_s": round(self.pause.paused_s(now), 6),
            "stopped_at": self.stopped_at,
            "ladder": self.steps,
            "log": closing.measure(self._path(layout.LOG)),
            "journals": closing.measure_journals(self.folder, self.sizes_at_stop),
            "usage": self.usage,
            "disk_full": self.has_full_disk,
        }


def unkillable(pids: list[int], after_s: float) -> str:
    """Return the sentence about processes that outlived SIGKILL."""
    names = ", ".join(str(pid) for pid in pids)
    noun = "process" if len(pids) == 1 else "processes"
    return (
        f"{noun} {names} did not die within {after_s:g} s of SIGKILL (unkillable). "
        "Look for a hanging disk, network file system or device on this machine."
    )
