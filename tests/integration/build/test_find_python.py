"""What `make demo` and `make test` say on a machine that lacks something: one sentence with what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "make" / "find-python"
OLD = '#!/bin/sh\ncase "$2" in *version_info*) exit 1;; esac\n'
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'
GOOD = "#!/bin/sh\nexit 0\n"


def ask(folder: Path, programs: dict[str, str], **env: str) -> subprocess.CompletedProcess[str]:
    """Ask on a machine that has these programs and no others."""
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return subprocess.run(["/bin/sh", SCRIPT], env={"PATH": str(folder), **env}, capture_output=True, text=True)


def test_the_newest_good_python_is_chosen(tmp_path: Path) -> None:
    found = ask(tmp_path, {"git": GOOD, "python3.12": WITHOUT_VENV, "python3.11": GOOD, "python3": OLD})

    assert (found.returncode, found.stdout, found.stderr) == (0, f"{tmp_path}/python3.11\n", "")


def test_a_python_that_is_named_is_taken(tmp_path: Path) -> None:
    found = ask(tmp_path, {"git": GOOD, "python3.12": GOOD, "mine": GOOD}, PYTHON=f"{tmp_path}/mine")

    assert found.stdout == f"{tmp_path}/mine\n"


@pytest.mark.parametrize(
    ("programs", "env", "said"),
    [
        ({"python3": GOOD}, {}, "bough needs git, and there is none on PATH. Install it"),
        ({"git": GOOD}, {}, "bough needs Python 3.11 or newer, and there is none on PATH. Install one, or"),
        ({"git": GOOD, "python3": OLD}, {}, "bough needs Python 3.11 or newer, and there is none on PATH."),
        ({"git": GOOD, "python3": WITHOUT_VENV}, {}, "cannot make virtual environments: its venv module is missing."),
        ({"git": GOOD, "python3": GOOD}, {"PYTHON": "/nope"}, "PYTHON=/nope is not a Python 3.11 or newer. Name"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, programs: dict[str, str], env: dict[str, str], said: str
) -> None:
    found = ask(tmp_path, programs, **env)

    assert found.returncode == 1
    assert found.stdout == ""
    assert said in found.stderr
    assert found.stderr.count("\n") == 1
