"""What `import bough` costs is what it loads: this module holds the list, benchmarks/send.py the time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).resolve().parents[3] / "sdk"
LIST = "import sys, json; before = set(sys.modules); %s; print(json.dumps(sorted(set(sys.modules) - before)))"


def _loaded(code: str, tmp_path: Path) -> set[str]:
    program = f"import sys; sys.path.insert(0, {str(SDK)!r}); {LIST % code}"
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_bough_loads_only_itself(tmp_path: Path) -> None:
    loaded = _loaded("import bough", tmp_path)

    # An interpreter with an editable installation has loaded __future__ before.
    assert loaded - {"__future__"} == {"bough", "bough.version"}


def test_a_started_job_loads_nothing_expensive(tmp_path: Path) -> None:
    loaded = _loaded("import bough; bough.start_job().create_channel('a').send(1, 0.5)", tmp_path)

    heavy = {"typing", "dataclasses", "pathlib", "uuid", "logging", "subprocess", "yaml", "threading"}
    assert loaded & (heavy | {"re", "enum", "json", "collections", "functools", "contextlib"}) == set()
