"""The wheel at work: installed alone, it optimizes; served by its coordinator, it makes an agent's machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.build.conftest import pip

pytestmark = pytest.mark.timeout(300)

DEFINITION = """\
model: me/parabola
command: python train.py
hyperparameters: {x: 0.0}
optimization: {algorithm: random, max_trials: 3, seed: 1, space: {x: "uniform(-5, 5)"}}
"""
TRAIN = """\
import bough
job = bough.start_job()
job.create_channel("loss", kpi=True, max_optimization=False).send(1, job.get_parameter("x") ** 2)
"""


@pytest.fixture(scope="module")
def programs(plain_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with bough from the wheel, and its dependencies from where the tests run."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder)})
    done = pip("install", "--quiet", "--no-deps", "--prefix", folder, "--ignore-installed", plain_wheel)
    assert done.returncode == 0, done.stderr
    (Path(site) / "dependencies.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # its own .pth files are not read
    program = folder / "bin" / "bough"
    program.write_text(re.sub(r"\A#!.*", f"#!{folder}/bin/python", program.read_text()))
    return folder / "bin"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A bare machine: no `python` on PATH, nothing of the checkout, a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    names = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), **names}


@pytest.fixture
def repository(tmp_path: Path, environ: dict[str, str]) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "bough.yml").write_text(DEFINITION)
    (folder / "train.py").write_text(TRAIN)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], cwd=folder, env=environ, check=True)
    return folder


@pytest.fixture
def coordinator(programs: Path, environ: dict[str, str]) -> Iterator[str]:
    """A coordinator of that environment; yields its address."""
    place = Path(environ["HOME"]) / ".bough" / "coordinator" / "coordinator.json"
    command: list[str | Path] = [programs / "bough", "coordinator", "--port", "0"]
    process = subprocess.Popen(
        command, env=environ, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 60
    while not place.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the coordinator does not listen"
        time.sleep(0.05)
    yield json.loads(place.read_text())["url"]
    process.terminate()
    process.communicate(timeout=30)


def test_the_wheel_alone_optimizes_where_no_python_is_on_the_path(
    programs: Path, environ: dict[str, str], repository: Path
) -> None:
    """`python train.py` is run by the environment's own Python, and finds the SDK."""
    command: list[str | Path] = [programs / "bough", "optimize", repository]

    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    table = re.search(r"(\S+\.csv)", done.stdout)
    assert table is not None, done.stdout
    rows = Path(table[1]).read_text().splitlines()
    assert len(rows) == 1 + 3
    assert all(",DONE," in row for row in rows[1:])


def test_the_coordinator_serves_its_own_wheel_and_it_installs(
    coordinator: str, plain_wheel: Path, tmp_path: Path
) -> None:
    with urllib.request.urlopen(f"{coordinator}/wheel/") as page:
        name = re.search(r'href="([^"]+\.whl)"', page.read().decode())
    assert name is not None
    assert name[1] == plain_wheel.name

    target = tmp_path / "there"
    done = pip("install", "--quiet", "--no-deps", "--target", target, f"{coordinator}/wheel/{name[1]}")

    assert done.returncode == 0, done.stderr
    modules = {path.relative_to(target) for path in target.rglob("*.py") if path.parts[-2] != "bin"}
    assert Path("bough_agent/supervisor.py") in modules
    assert Path("bough_server/app.py") in modules
    env = {**os.environ, "PYTHONPATH": str(target)}
    said = subprocess.run([target / "bin" / "bough", "--version"], env=env, cwd="/", capture_output=True, text=True)
    assert "0.1.0" in said.stdout, said.stderr
