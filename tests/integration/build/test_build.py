"""What pip makes of a clone: the wheel's contents, with and without the page, and an installation of it alone."""

from __future__ import annotations

import re
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from tests.integration.build.conftest import ROOT, pip, run

pytestmark = pytest.mark.timeout(300)

PARTS = {"bough": "sdk", "bough_agent": "agent", "bough_server": "server", "bough_cli": "cli"}
WEB = "bough_server/web/"
LIBRARIES = {"preact.js", "preact-hooks.js", "htm.js", "echarts.js"}
LICENSES = {"preact.LICENSE.txt", "htm.LICENSE.txt", "echarts.LICENSE.txt", "echarts.NOTICE.txt"}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module_and_nothing_but_the_parts_of_bough(plain_wheel: Path) -> None:
    names = names_in(plain_wheel)

    modules = {
        str(path.relative_to(ROOT / folder))
        for package, folder in PARTS.items()
        for path in (ROOT / folder / package).rglob("*.py")
    }
    assert modules <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == set(PARTS)
    assert {f"{package}/py.typed" for package in PARTS} <= names


def test_a_build_without_the_page_ships_its_own_files_and_no_library_of_an_earlier_build(plain_wheel: Path) -> None:
    names = names_in(plain_wheel)

    assert {WEB + "index.html", WEB + "app/boot.js", WEB + "app/views/job.js", WEB + "app/style.css"} <= names
    assert [name for name in names if "vendor" in name or "stale" in name] == []


def test_a_wheel_made_from_the_sdist_has_the_page_with_its_licenses(source: Path, tmp_path: Path) -> None:
    """The long way: a clone, the sdist of it, the wheel of that; what earlier builds left behind stays behind."""
    made = run([sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, source], BOUGH_SKIP_WEB="1")
    assert made.returncode == 0, made.stdout + made.stderr
    sdist = next(tmp_path.glob("*.tar.gz"))

    done = pip("wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path / "wheel", sdist)

    assert done.returncode == 0, done.stdout + done.stderr
    names = names_in(next((tmp_path / "wheel").glob("*.whl")))
    assert {WEB + "vendor/" + name for name in LIBRARIES | LICENSES} <= names
    assert {WEB + "index.html", WEB + "app/main.js"} <= names
    assert [name for name in names if "stale" in name or "node_modules" in name] == []
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"examples/digits/bough.yml", "tests/test_architecture.py", "Makefile", "docs/protocol.md"} <= held
    assert [name for name in held if "vendor" in name] == []


def test_an_unreachable_registry_fails_an_editable_installation_with_one_sentence(source: Path, tmp_path: Path) -> None:
    """Editable is the trap: there, setuptools swallows an ordinary error of build_py and installs without the page."""
    target = tmp_path / "environment"
    venv.create(target, with_pip=True)

    done = run(
        [target / "bin" / "python", "-m", "pip", "install", "--no-deps", "--editable", source],
        npm_config_registry="http://127.0.0.1:9",
        npm_config_cache=str(tmp_path / "npm"),
    )

    assert done.returncode != 0
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "bough: " in line]
    assert len(said) == 1
    assert re.fullmatch(
        r"bough: npm could not fetch the page's libraries \(.*ECONNREFUSED.*\)\. Check the network and npm's registry "
        r"setting, or install without the page: BOUGH_SKIP_WEB=1\.",
        said[0],
    )
    assert run([target / "bin" / "python", "-c", "import bough"]).returncode != 0


def test_the_wheel_installed_alone_runs_and_brings_nothing_of_the_server(plain_wheel: Path, tmp_path: Path) -> None:
    """As on an agent's machine: one wheel, no extra."""
    target = tmp_path / "environment"
    venv.create(target, with_pip=True)
    python = target / "bin" / "python"

    done = run([python, "-m", "pip", "install", "--quiet", plain_wheel])

    assert done.returncode == 0, done.stdout + done.stderr
    said = run([target / "bin" / "bough", "--version"])
    assert said.returncode == 0, said.stderr
    assert "0.1.0" in said.stdout
    imports = "import bough, bough.definition, bough_agent.daemon, bough_agent.supervisor, bough_cli.main"
    assert run([python, "-W", "error", "-c", imports]).stderr == ""
    absent = ["sqlalchemy", "fastapi", "numpy", "hyperopt"]
    found = run([python, "-c", f"from importlib.util import find_spec as f; print([n for n in {absent} if f(n)])"])
    assert found.stdout == "[]\n"
