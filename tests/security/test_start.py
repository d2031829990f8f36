"""What a coordinator refuses to start with: openness that nobody asked for, and secrets on its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Run ``bough coordinator …`` and return its exit code and what it said."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BOUGH_")},
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli")),
        "BOUGH_HOME": str(tmp_path / "home"),
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "bough_cli", "coordinator", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "keys would travel unencrypted. Encrypt: --tls."),
        (["--host", "::"], "keys would travel unencrypted. Encrypt: --tls."),
        (["--database", "postgresql://me:secret@db/bough"], "Put the password into ~/.pgpass"),
        (["--share-port"], "a coordinator with its store in a file is the only one and shares no port."),
        (["--tls-cert", "x.pem"], "a certificate and its key belong together."),
        (["--tls-cert", "/x.pem", "--tls-key", "/x.key", "--port", "0"], "the certificate /x.pem cannot be used"),
        (["restore", "/"], "is no backup, or one that was not finished."),
        (["check"], "holds no coordinator."),
    ],
)
def test_a_start_that_would_be_wrong_is_refused_in_one_sentence(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    code, output = start(tmp_path, *arguments)

    assert code == 1, output
    assert said in output
    assert "Traceback" not in output
    assert "secret" not in output
