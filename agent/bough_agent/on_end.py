"""The command that a job's definition wants to be run when it has ended: for alerts. What becomes of it is only said.

It runs in an empty folder of its own, without the job's code, with the environment of the job and ``BOUGH_JOB_*``. It
takes no slot and is killed, with what it started, after `MOST_S`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from bough_agent.messages import Claim, Json

MOST_S = 60.0


def variables(claim: Claim, exit: Json, outcome: str) -> dict[str, str]:
    """Return what the command is told, as variables of its environment; what is not known is empty."""
    told = {
        "ID": claim.job_id,
        "ATTEMPT": claim.attempt,
        "MODEL": claim.model,
        "OPTIMIZATION": claim.optimization,
        "NUMBER": claim.number,
        "COMMIT": claim.commit,
        "OUTCOME": outcome,
        "EXIT_CODE": exit.get("exit_code"),
        "SIGNAL": exit.get("signal"),
        "CAUSE": exit.get("cause"),
        "DURATION_S": exit.get("duration_s"),
    }
    return {f"BOUGH_JOB_{name}": "" if value is None else str(value) for name, value in told.items()}


def run(argv: Sequence[str], env: Mapping[str, str], most_s: float = MOST_S) -> str | None:
    """Run the command to its end; return what was wrong with it, None if nothing."""
    program = shutil.which(argv[0], path=env.get("PATH"))
    if program is None:
        return f"on_end: the command {argv[0]} was not found on this machine."
    with tempfile.TemporaryDirectory(prefix="bough-on-end-") as folder:
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"on_end: the command {argv[0]} could not be started ({error.strerror})."
        try:
            code = process.wait(most_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"on_end: {argv[0]} took longer than {most_s:g} s and was killed."
    return f"on_end: {argv[0]} ended with exit code {code}." if code else None
