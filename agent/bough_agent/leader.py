"""The leader: the process of a command, started the way a shell on a terminal would have started it.

It gets its own session and process group, stdin from /dev/null, stdout and stderr into the log file (a file and no
pipe: so it never dies with its reader), every signal back at its default and none blocked, and dies with its
supervisor. What keeps it from starting becomes one sentence for the user.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from bough.errors import BoughError

NOT_FOUND = 127  # the exit codes that shells use
NOT_EXECUTABLE = 126
LEADER_OOM_SCORE = 300  # the trial rather than its supervisor is taken when memory runs out

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

# Loaded once, before any fork: a forked child must not import.
_LIBC = ctypes.CDLL(None, use_errno=True)


class CannotStart(BoughError):
    """The command could not be started.

    Args:
        what: What happened.
        do: What to do about it.
        exit_code: The exit code that a shell would give it.
    """

    def __init__(self, what: str, do: str, exit_code: int) -> None:
        super().__init__(what, do)
        self.exit_code = exit_code


def become_subreaper() -> None:
    """Make this process the parent of every descendant that loses its own."""
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def gain_no_rights() -> None:
    """Let this thread, and all that it starts from now on, gain no rights by sudo and its like."""
    _LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def prefer_for_oom(score: int) -> None:
    """Say how readily the kernel should take this process when memory runs out; refused is as good as done."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        pass


def find(program: str, cwd: str, path: str) -> str:
    """Return the absolute path of a program, as the shell would find it from `cwd` with this PATH.

    Raises:
        CannotStart: There is none, or it may not be executed.
    """
    if "/" in program:
        candidates = [os.path.join(cwd, program)]
    else:
        candidates = [os.path.join(cwd, folder, program) for folder in path.split(os.pathsep)]
    files = [candidate for candidate in candidates if os.path.isfile(candidate)]
    for file in files:
        if os.access(file, os.X_OK):
            return file
    if files:
        raise not_executable(program)
    if "/" in program:
        raise CannotStart(f"the command {program} was not found (looked for {candidates[0]}).", PATH_REMEDY, NOT_FOUND)
    where = f"the command {program} was not found on this machine (PATH {path or 'is empty'})."
    raise CannotStart(where, PROGRAM_REMEDY, NOT_FOUND)


PATH_REMEDY = "Commit the file, or correct `command` in bough.yml."
PROGRAM_REMEDY = "Install it there, or name another one in `command` in bough.yml."


def not_executable(program: str) -> CannotStart:
    """Return the error for a file that is there, but may not be executed."""
    do = f"Make it so with chmod +x and commit that, or name its interpreter in `command`, as in: bash {program}"
    return CannotStart(f"the command {program} may not be executed.", do, NOT_EXECUTABLE)


def start(
    argv: Sequence[str], cwd: str, env: Mapping[str, str], log: int, limits: Mapping[str, Any] | None = None
) -> int:
    """Start a command and return the pid of its leader, which is also its process group and its session.

    Must be called by the main thread: the leader is killed when the thread that forked it ends.

    Args:
        argv: Program and arguments.
        cwd: The folder it runs in.
        env: Its whole environment.
        log: A descriptor opened for appending, for stdout and stderr.
        limits: What it and its descendants are kept to: ``cgroup`` (a folder), ``nice``, ``data_bytes``; they may use
            sudo and its like only with ``may_gain``.

    Raises:
        CannotStart: It could not be started; nothing is left behind.
    """
    if not argv:
        raise CannotStart("a command is empty.", "Name a program in `command` in bough.yml.", NOT_FOUND)
    if not os.path.isdir(cwd):
        do = "Commit it (git keeps no empty folders), or correct `working_dir` in bough.yml."
        raise CannotStart(f"the folder {cwd}, in which the command runs, does not exist.", do, NOT_FOUND)
    file = find(argv[0], cwd, env.get("PATH", os.defpath))
    receiver, sender = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(file, argv, cwd, env, log, sender, parent, limits or {})
    os.close(sender)
    with open(receiver, "rb") as pipe:
        failure = pipe.read()  # empty once the program runs: the descriptor closes as it is executed
    if failure:
        os.waitpid(pid, 0)
        raise _refused(argv[0], failure.decode(errors="replace"))
    return pid


def _become(
    file: str,
    argv: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    log: int,
    sender: int,
    parent: int,
    limits: Mapping[str, Any],
) -> NoReturn:
    """Turn this forked child into the command; never returns."""
    try:
        os.setsid()
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the supervisor died before it could be asked for
            os._exit(1)
        prefer_for_oom(LEADER_OOM_SCORE)
        _confine(limits)
        os.chdir(cwd)
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, target)
        _reset_signals()
        os.execve(file, list(argv), env)
    except OSError as error:
        os.write(sender, str(error.errno).encode())
    except BaseException as error:
        os.write(sender, str(error).encode(errors="replace"))
    os._exit(1)


def _confine(limits: Mapping[str, Any]) -> None:
    """Keep this process, and what it will start, to its limits. One that is lower already stays.

    None of them gains rights that the agent's user does not have (prctl(2), PR_SET_NO_NEW_PRIVS), unless that is
    allowed; and none leaves its memory, with the data in it, on the disk when it crashes, unless it asks for that.
    """
    if not limits.get("may_gain"):
        gain_no_rights()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if limits.get("cgroup"):
        with open(os.path.join(limits["cgroup"], "cgroup.procs"), "w") as file:
            file.write("0")
    if limits.get("nice"):
        os.nice(limits["nice"])
    if limits.get("data_bytes"):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = limits["data_bytes"] if hard == resource.RLIM_INFINITY else min(hard, limits["data_bytes"])
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _reset_signals() -> None:
    """Put every signal back to its default and block none: what was ignored at start would stay so for ever.

    A shell without job control starts what it puts into the background with SIGINT ignored, nohup ignores SIGHUP,
    and Python itself ignores SIGPIPE.
    """
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(signum, signal.SIG_DFL)
        except OSError:  # kept by the C library for itself
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _refused(program: str, failure: str) -> CannotStart:
    """Return the error for a program that the kernel would not execute."""
    if failure == str(errno.EACCES):
        return not_executable(program)
    if failure == str(errno.ENOEXEC):
        do = f"Give it a first line such as #!/bin/sh, or name its interpreter in `command`, as in: sh {program}"
        return CannotStart(f"the command {program} is no program that this machine can run.", do, NOT_EXECUTABLE)
    if failure == str(errno.ENOENT):
        do = "Install it, or correct the first line of the file (beware of Windows line ends)."
        return CannotStart(f"the interpreter of the command {program} was not found.", do, NOT_FOUND)
    reason = os.strerror(int(failure)) if failure.isdigit() else failure
    do = "Correct `command` or `env` in bough.yml."
    return CannotStart(f"the command {program} could not be started: {reason}.", do, NOT_EXECUTABLE)


def describe(status: int) -> tuple[int | None, str | None]:
    """Return (exit code, None), or (None, the name of the signal) for one that was killed by a signal.

    Args:
        status: As waitpid gives it.
    """
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status), None
    number = os.WTERMSIG(status)
    try:
        return None, signal.Signals(number).name
    except ValueError:  # a real-time signal
        return None, f"SIG{number}"
