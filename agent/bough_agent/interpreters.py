"""What a job's interpreter is and which packages it has: asked of the interpreter itself, once for each state of it.

Nothing of its site-packages is imported: the names of the folders that installers leave (``numpy-1.26.4.dist-info``)
say it all, which also works for interpreters as old as 3.7 and costs 20 ms. Variables of the environment are recorded
by an allow-list, because any other may hold a secret.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

TIMEOUT_S = 20.0
MAX_PACKAGES = 2000
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("PYTHONHASHSEED", "LANG", "LC_ALL", "TZ", "CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS", "XLA_FLAGS"),
)

# Runs in the interpreter that is described; Python 3.5 and newer. Prints one JSON line.
_QUESTION = r"""
import json, os, platform, sys
own = os.environ.get("BOUGH_NOT_A_PACKAGE")
found, folders = {}, []
for folder in sys.path:
    if not os.path.isdir(folder) or os.path.realpath(folder) == own:
        continue
    folders.append(folder)
    for name in sorted(os.listdir(folder)):
        stem, _, kind = name.rpartition(".")
        if kind not in ("dist-info", "egg-info"):
            continue
        package, _, rest = stem.partition("-")
        version = rest.split("-")[0]
        package = package.lower().replace("_", "-").replace(".", "-")
        if package and version and not package.startswith("~"):
            found.setdefault(package, version)
print(json.dumps({
    "python": platform.python_version(), "implementation": platform.python_implementation(),
    "executable": sys.executable, "machine": platform.machine(), "system": platform.system(),
    "packages": found, "folders": folders,
}))
"""


class Interpreters:
    """Describes interpreters, and remembers what it was told as long as nothing is installed or removed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[tuple[tuple[str, int], ...], Json]] = {}
        self._lock = threading.Lock()

    def describe(self, python: str | None, environ: Mapping[str, str], sdk: str = "") -> Json | None:
        """Return interpreter, packages and chosen variables of a job; None without a Python, or one that fails.

        Args:
            python: The interpreter that the job's commands find.
            environ: The job's whole environment.
            sdk: The folder of bough's own SDK, which is no package of the job.
        """
        if python is None:
            return None
        key = python, environ.get("PYTHONPATH", "")
        with self._lock:
            state, answer = self._known.get(key, ((), None))
            if answer is None or _state(python, answer["folders"]) != state:
                answer = ask(python, environ, sdk)
                if answer is None:
                    return None
                self._known[key] = _state(python, answer["folders"]), answer
        told = {name: value for name, value in answer.items() if name != "folders"}
        return {**told, "variables": {name: environ[name][:200] for name in VARIABLES if name in environ}}


def ask(python: str, environ: Mapping[str, str], sdk: str = "") -> Json | None:
    """Return what an interpreter says of itself, with the ``folders`` it looked into; None where it does not answer."""
    env = {**environ, "BOUGH_NOT_A_PACKAGE": os.path.realpath(sdk) if sdk else ""}
    try:
        done = subprocess.run(
            [python, "-c", _QUESTION],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("packages"), dict):
        return None
    packages = {str(name)[:100]: str(version)[:100] for name, version in answer["packages"].items()}
    answer["packages"] = dict(sorted(packages.items())[:MAX_PACKAGES])
    return answer


def _state(python: str, folders: list[str]) -> tuple[tuple[str, int], ...]:
    """Return what changes when a package comes or goes: the time of the folders it would be in."""
    found = []
    for place in (python, *folders):
        try:
            found.append((place, Path(place).stat().st_mtime_ns))
        except OSError:
            found.append((place, 0))
    return tuple(found)
