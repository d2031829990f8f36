"""What a user signs and an agent verifies: which code is run, and how, so that a coordinator cannot make that up.

An agent that knows who may sign runs nothing else; then whoever holds the coordinator, its disk or its database cannot
start anything there. What is signed is model, commit, folder, commands, environment, working folder, needs and output;
values of hyperparameters are not: they are the search's to choose. Signatures are those of OpenSSH's ``ssh-keygen -Y``
(PROTOCOL.sshsig), which git uses for commits, too: every machine has it, and agents, whose jobs can read what they can,
need the public keys only. Standard library only, Python 3.7.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bough.errors import UsageError

FILE = "signing.key"  # in a home; beside it the public one, signing.key.pub
_NAMESPACE = "bough-job"
_WHO = "bough"
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_MOST = 8192  # letters of a signature
_TIMEOUT_S = 30.0


def make_key(path: str) -> None:
    """Make a pair of keys: the private one there, mode 0600, the public one beside it."""
    done = _run(["-q", "-t", "ed25519", "-N", "", "-C", "bough", "-f", path], b"")
    if done.returncode != 0:
        raise UsageError("the signing key " + path + " cannot be made: " + _said(done), "Check the folder.")


def sign(key: str, code: Mapping[str, Any]) -> str:
    """Return the signature of what `code_of` returned.

    Args:
        key: The file with the private key.
        code: What is signed.

    Raises:
        UsageError: It cannot be signed with that key.
    """
    done = _run(["-q", "-Y", "sign", "-n", _NAMESPACE, "-f", key], _content(code))
    if done.returncode != 0:
        raise UsageError(
            "the key " + key + " cannot sign: " + _said(done), "Make another one: remove it, then bough key signing."
        )
    return done.stdout.decode("ascii", "replace")


def is_signed(keys: Iterable[str], code: Mapping[str, Any], signature: str | None) -> bool:
    """Tell whether the owner of one of these public keys, as `read_keys` returns them, has signed this code."""
    if not signature or not signature.startswith(_BEGIN) or len(signature) > _MOST:
        return False
    with tempfile.TemporaryDirectory(prefix="bough-") as folder:
        allowed, made = os.path.join(folder, "allowed"), os.path.join(folder, "signature")
        with open(allowed, "w", encoding="utf-8") as file:
            file.writelines(_WHO + ' namespaces="' + _NAMESPACE + '" ' + key + "\n" for key in keys)
        with open(made, "w", encoding="utf-8") as file:
            file.write(signature)
        how = ["-q", "-Y", "verify", "-f", allowed, "-I", _WHO, "-n", _NAMESPACE, "-s", made]
        return _run(how, _content(code)).returncode == 0


def code_of(
    model: str,
    commit: str,
    folder: str,
    commands: Iterable[tuple[str, Sequence[str]]],
    env: Mapping[str, str],
    working_dir: str | None,
    needs: Mapping[str, Any] | None,
    output: Iterable[str],
) -> dict[str, Any]:
    """Return what is signed, written in one way however it was written before."""
    return {
        "model": model,
        "commit": commit,
        "folder": posixpath.normpath(folder.strip("/") or "."),
        "commands": [[name, list(argv)] for name, argv in commands],
        "env": dict(env),
        "working_dir": posixpath.normpath(working_dir or "."),
        "needs": dict(needs or {}),
        "output": list(output),
    }


def read_keys(path: str) -> list[str]:
    """Return the public keys in a file, one in each line as in ``id_ed25519.pub``, without their comments.

    Raises:
        UsageError: There is none, a line is none, or others can change the file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise UsageError(path + " cannot be read: " + str(error) + ".", "Check the path.") from None
    if mode & 0o022:
        raise UsageError("others can change " + path + ", which says who may sign.", "Run: chmod go-w " + path)
    if not rows or any(len(row) < 2 or not row[0].startswith(("ssh-", "ecdsa-", "sk-")) for row in rows):
        raise UsageError(
            path + " holds something else than public keys, one in each line.",
            "Make one: bough key signing prints where the public key lies.",
        )
    return [row[0] + " " + row[1] for row in rows]


def _content(code: Mapping[str, Any]) -> bytes:
    return json.dumps(code, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _run(arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise UsageError("ssh-keygen is not installed, or not on PATH.", "Install OpenSSH's client, 8.1 or newer.")
    return subprocess.run([program, *arguments], input=data, capture_output=True, timeout=_TIMEOUT_S, check=False)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return (lines[-1] if lines else "exit code " + str(done.returncode)).rstrip(".") + "."
