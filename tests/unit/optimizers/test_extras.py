"""An algorithm whose packages are missing is refused with the line for pip, seen in interpreters without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bough_server.optimizers.extras import NEEDS, check_installed

ROOT = Path(__file__).resolve().parents[3]


def said(algorithm: str, *packages: Path) -> str:
    """Return the error in an interpreter that has the standard library, bough, and what lies in `packages`."""
    path = [str(ROOT / "sdk"), str(ROOT / "server"), *map(str, packages)]
    code = (
        f"import sys; sys.path += {path!r}\n"
        "from bough_server.optimizers.extras import check_installed\n"
        f"try: check_installed({algorithm!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("algorithm", NEEDS)
def test_without_the_extra_the_line_for_pip_is_said(algorithm: str) -> None:
    expected = f"algorithm {algorithm} needs the extra optuna: pip install 'bough[optuna]' where the coordinator runs."

    assert said(algorithm) == f"UsageError {expected}\n"


def test_the_gaussian_process_needs_torch_besides(tmp_path: Path) -> None:
    info = tmp_path / "optuna-5.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 5.0.0\n")

    expected = "algorithm optuna-gp needs PyTorch: pip install torch where the coordinator runs."
    assert said("optuna-gp", tmp_path) == f"UsageError {expected}\n"
    assert said("optuna-tpe", tmp_path) == ""
    assert "needs the extra optuna" in said("optuna-cmaes", tmp_path)


@pytest.mark.parametrize("algorithm", ["random", "tpe", "annealing", "grid"])
def test_the_others_need_nothing(algorithm: str) -> None:
    check_installed(algorithm)
