"""Brings a commit to the coordinator's repository of a model, where agents fetch it: ``refs/bough/code/<commit>``.

Standard library only, Python 3.7.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from bough import _git

TRIES = 5
PAUSE_S = 0.2


def push(
    git_dir: str,
    url: str,
    commit: str,
    token: str | None,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    allow_file: bool = False,
) -> None:
    """Push one commit. That others push the same one at the same moment is fine.

    Args:
        git_dir: The repository that holds it.
        url: The coordinator's repository.
        commit: Its full id.
        token: The key of who pushes.
        timeout_s: After so many seconds it is given up.
        env: Variables for git to add.
        allow_file: Whether the repository may be ``file://``.

    Raises:
        GitFailed: It was refused, or git failed or took too long.
    """
    command = ["push", "--quiet", "--end-of-options", url, commit + ":refs/bough/code/" + commit]
    for number in range(1, TRIES + 1):
        try:
            _git.run(command, git_dir=git_dir, token=token, timeout_s=timeout_s, env=env, allow_file=allow_file)
            return
        except _git.GitFailed as error:
            # Somebody made the ref, or is just making it, since git asked for what is there.
            if number == TRIES or "cannot lock ref" not in error.stderr:
                raise
        time.sleep(PAUSE_S)
