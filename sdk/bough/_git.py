"""The one runner of the ``git`` binary for everything that touches a remote, an agent's tree or text from elsewhere.

It promises:

* git gets an argument list, never a shell; no hook, no file-system monitor, no bare repository found by chance, no
  submodule and no template runs or is read.
* git sees none of the caller's ``GIT_*`` variables, asks no question, and speaks only https, http and ssh, and file
  where the caller allows it.
* a bearer token reaches git through its environment, never through its command line, and goes to no other host.
* a coordinator with a certificate of its own is recognized by that one, as everywhere (`bough._trust`).
* what git says on stderr is free of control characters, of credentials in URLs and of the token before anyone sees it.
* at the timeout, and on Ctrl-C, git ends together with its helpers.

Standard library only, Python 3.7. ``import bough`` does not import this module.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence

from bough import _layout
from bough.errors import BoughError, NotFound, UsageError

TIMEOUT_S = 60.0  # for commands on local files; fetches and pushes pass their own

_FIXED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "safe.bareRepository=explicit",
    "protocol.version=2",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "transfer.credentialsInUrl=die",
    "gc.auto=0",
    "maintenance.auto=false",
)
_PROTOCOLS = "https:http:ssh"
_SSH = "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes"
_KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")  # a private certificate authority is no way to inject anything
_STDERR_CHARS = 4000  # how much of git's words an error carries, counted from the end

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_USERINFO = re.compile(r"(://)[^/@\s]+@")
_AUTHORIZATION = re.compile(r"(authorization:)[^\n]*", re.IGNORECASE)

_DAMAGE = re.compile(
    r"is corrupt|inflate: |unable to unpack|unable to read (?:tree|sha1 file|[0-9a-f]{40})|"
    r"bad (?:tree object|object HEAD)|missing (?:blob|tree|commit)|could not parse commit|garbage at end of|"
    r"packfile \S+ (?:cannot|is|does not|index)|index file \S+ is|cannot be accessed|failed to read object"
)

_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]"
_HTTP = re.compile(r"https?://(?:" + _HOST + r")(?::[0-9]{1,5})?/[^?#]+")
_SSH_URL = re.compile(r"ssh://(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:" + _HOST + r")(?::[0-9]{1,5})?/[^?#]+")
_SCP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:" + _HOST + r"):(?!-|//)[^:]+")
_FILE = re.compile(r"file:///[^?#]+")


class GitFailed(BoughError):
    """Git ended with an error, or did not end in time.

    Attributes:
        returncode: What git exited with; None when it was ended at the timeout or never started.
        stderr: What it said, stripped of control characters and secrets; at most 4,000 characters, the last ones.
    """

    code = "git"

    def __init__(self, what: str, do: str = "", returncode: int | None = None, stderr: str = "") -> None:
        super().__init__(what, do)
        self.returncode = returncode
        self.stderr = stderr


def run(
    args: Sequence[str],
    cwd: str | None = None,
    git_dir: str | None = None,
    input: bytes | None = None,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    env: Mapping[str, str] | None = None,
    allow_file: bool = False,
) -> bytes:
    """Run ``git <args>`` and return what it wrote to stdout.

    Args:
        args: The command and its arguments. Text from elsewhere belongs behind ``--`` or ``--end-of-options``.
        cwd: The folder to run in; None is the current one.
        git_dir: The repository; None lets git find it from ``cwd``. A bare repository must be named here.
        input: What git reads from stdin; None is nothing.
        token: Sent as bearer token to the remote over http(s); None sends none.
        timeout_s: After so many seconds git and its helpers are killed.
        env: Variables to add, such as GIT_INDEX_FILE; they win over everything else.
        allow_file: Whether remotes may be ``file://`` or a path.

    Raises:
        GitFailed: git is missing, failed, or took too long.
    """
    argv = command(args, git_dir=git_dir, with_token=token is not None)
    is_ours = token is not None  # keys go to a coordinator only
    remote = next((argument for argument in args if is_ours and argument.startswith("https://")), None)
    variables = environment(token=token, env=env, allow_file=allow_file, remote=remote)
    name = "git " + (args[0] if args else "")
    if cwd is not None and not os.path.isdir(cwd):
        raise GitFailed("cannot run " + name + ": there is no folder " + cwd + ".", "Check the path.")
    returncode, out, raw = _communicate(argv, cwd, variables, input, timeout_s, name)
    if returncode != 0:
        raise _failed(name, returncode, clean(raw, token), git_dir or cwd or "")
    return out


def command(args: Sequence[str], git_dir: str | None = None, with_token: bool = False) -> list[str]:
    """Return the argument list that `run` would start, for callers that stream from or to git themselves."""
    argv = [_binary()]
    for option in _FIXED:
        argv += ["-c", option]
    if with_token:
        # No helper may store or answer for the token's host, and no redirect may carry the token away.
        argv += ["-c", "credential.helper=", "-c", "http.followRedirects=false"]
    if git_dir is not None:
        argv.append("--git-dir=" + git_dir)
    return argv + list(args)


def environment(
    token: str | None = None, env: Mapping[str, str] | None = None, allow_file: bool = False, remote: str | None = None
) -> dict[str, str]:
    """Return git's environment: the caller's without ``GIT_*`` and bough's secrets, and what makes git quiet.

    Args:
        token: As for `run`.
        env: As for `run`.
        allow_file: As for `run`.
        remote: The URL of the coordinator that git will speak with; its certificate may be one that was pinned.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not (name.startswith("GIT_") or name in _layout.SECRETS)
    }
    variables.update(
        GIT_TERMINAL_PROMPT="0",
        GIT_ASKPASS="false",
        SSH_ASKPASS="false",
        GIT_SSH_COMMAND=_SSH,
        GIT_ALLOW_PROTOCOL=_PROTOCOLS + (":file" if allow_file else ""),
        GIT_PROTOCOL_FROM_USER="0",
        GIT_LFS_SKIP_SMUDGE="1",
        GIT_OPTIONAL_LOCKS="0",
        GIT_TEMPLATE_DIR="",
        GIT_PAGER="cat",
        LC_ALL="C",
    )
    if token is not None:
        if _CONTROL.search(token) or "\n" in token:
            raise UsageError("the key holds a control character.", "Copy it again, in one line.")
        variables.update(
            GIT_CONFIG_COUNT="1",
            GIT_CONFIG_KEY_0="http.extraHeader",
            GIT_CONFIG_VALUE_0="Authorization: Bearer " + token,
        )
    if remote is not None:
        from bough import _trust  # loads ssl

        variables.update(_trust.git_environment(remote))
    variables.update(env or {})
    return variables


def resolve(git_dir: str, ref: str) -> str:
    """Return the full id of the commit that ``ref`` (branch, tag, id or expression) names in a repository.

    Raises:
        NotFound: There is no such commit.
        GitFailed: ``git_dir`` is no repository.
    """
    missing = NotFound(
        "ref " + " ".join(clean(ref).split()) + " is not in " + git_dir + ".", "Check its spelling, or fetch it first."
    )
    if not ref or "\0" in ref or "\n" in ref:
        raise missing
    try:
        out = run(["rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}"], git_dir=git_dir)
    except GitFailed as error:
        if error.returncode == 1:
            raise missing from None
        raise
    sha = out.decode("ascii", "replace").strip()
    if not is_sha(sha):
        raise missing
    return sha


def is_sha(text: str) -> bool:
    """Tell whether a text is the full, lower-case hexadecimal id of a git object."""
    return _SHA.fullmatch(text) is not None


def check_url(url: str, allow_file: bool = False) -> str:
    """Return ``url`` if git may be given it as a remote.

    https, http, ssh and the short form ``user@host:path`` are; ``file:///path`` is where ``allow_file`` says so.

    Raises:
        UsageError: It is none of these, names a helper or an option, or holds a credential.
    """
    shown = _USERINFO.sub(r"\1***@", clean(url))[:200]
    reason = _url_fault(url, allow_file)
    if reason:
        raise UsageError("git URL " + (shown or "''") + " " + reason[0], reason[1])
    return url


def clean(text: str | bytes, token: str | None = None) -> str:
    """Return text from elsewhere without control characters (newline and tab stay), credentials and the token."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if token:
        text = text.replace(token, "***")
    text = _AUTHORIZATION.sub(r"\1 ***", _USERINFO.sub(r"\1***@", text.replace("\r", "\n")))
    return _CONTROL.sub("", text)


def _url_fault(url: str, allow_file: bool) -> tuple[str, str] | None:
    if any(c.isspace() or not c.isprintable() for c in url) or re.search(r"%(?:[01][0-9a-f]|7f)", url, re.IGNORECASE):
        return "holds a space or a control character.", "Remove it."
    if url.startswith("-") or re.search(r"::(?![^\[]*\])", url):
        return "is not one that git may follow.", "Use https://, ssh:// or user@host:path."
    if re.match(r"https?://[^/]*@", url) or re.match(r"ssh://[^/@]*:[^/@]*@", url):
        return "holds a credential.", "Remove it, and let git's credential helper or an ssh key answer."
    if url.startswith("file:") and not allow_file:
        return "is a file on one machine.", "Use https:// or ssh://, or start the agent so that it allows file URLs."
    forms = (_HTTP, _SSH_URL, _FILE) if "://" in url else (_SCP,)
    if len(url) > 2000 or not any(form.fullmatch(url) for form in forms):
        return "is not complete.", "Use https://host/path, ssh://user@host/path or user@host:path."
    return None


def _binary() -> str:
    path = shutil.which("git")
    if path is None:
        raise GitFailed("git is not installed, or not on PATH.", "Install git 2.30 or newer, then try again.")
    return path


def _communicate(
    argv: list[str], cwd: str | None, env: dict[str, str], input: bytes | None, timeout_s: float, name: str
) -> tuple[int, bytes, bytes]:
    """Start git in its own session, so that a timeout or Ctrl-C ends its helpers too; return code, out and err."""
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise GitFailed(name + " did not start: " + str(error) + ".", "Check memory, limits and permissions.") from None
    with process:
        try:
            out, raw = process.communicate(input, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            what = "{} took longer than {:g} s and was ended.".format(name, timeout_s)
            raise GitFailed(what, "Check the connection to the remote, then try again.") from None
        except BaseException:
            _kill(process)
            raise
    return process.returncode, out, raw


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # not yet waited for, so the group is still ours
    process.communicate()


def is_damage(stderr: str) -> bool:
    """Tell whether git complains of a repository whose objects cannot be read."""
    return _DAMAGE.search(stderr) is not None


def _failed(name: str, returncode: int, stderr: str, place: str = "") -> GitFailed:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("hint:")]
    faults = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))] or lines[-1:]
    if place and is_damage(stderr) and "remote:" not in stderr:
        what = "the repository " + place + " is damaged: git cannot read an object of it."
        do = "Check it with git fsck --full; then fetch what it lacks from where it is whole, or clone it anew."
        return GitFailed(what, do, returncode, stderr[-_STDERR_CHARS:])
    said = faults[0].split(":", 1)[-1].strip() if faults else "exit code " + str(returncode)
    remedy = "" if faults and faults[0].startswith("remote:") else _remedy(stderr)  # the remote knows better
    return GitFailed(name + " failed: " + said.rstrip(".") + ".", remedy, returncode, stderr[-_STDERR_CHARS:])


def _remedy(stderr: str) -> str:
    if "dubious ownership" in stderr:
        return "The repository belongs to another user: run as that user, or name it in git's safe.directory."
    if "not a git repository" in stderr:
        return "Run git init and commit, or name a folder that is in a repository."
    if "Authentication failed" in stderr or "could not read Username" in stderr or "Permission denied" in stderr:
        return "Check the key or the credentials of this machine."
    if "Could not resolve host" in stderr or "unable to access" in stderr or "Connection refused" in stderr:
        return "Check the address and the network."
    if "No space left" in stderr:
        return "Free some disk space."
    return ""
