"""A hostile model from the repository on: what a whole lab looks like after it."""

from __future__ import annotations

import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.e2e.conftest import Machine, Ran, git, processes_of, wait_for

HEAD = """\
model: me/hostile
command: {python} train.py
hyperparameters: {{x: 0.0}}
"""

SUICIDE = """\
import json, os, signal
pid = json.load(open(os.path.join(os.environ["BOUGH_ATTEMPT_DIR"], "supervisor.json")))["pid"]
os.kill(pid, signal.SIGKILL)
"""

SAYS = """\
import os, bough
job = bough.start_job()
bad = "\\x1b[31m\\x1b]0;owned\\x07<script>alert(1)</script>\\u202e"
job.set_status(bad)
job.set_info("<b>info", "=cmd|' /C calc'!A0" + bad)
kpi = job.create_channel("../../<b>=1+1", kpi=True)
kpi.send(1, 0.5)
print(bad, flush=True)
names = [n for n in os.environ if "KEY" in n or "SECRET" in n]
print("secrets:", [n for n in names if n.startswith("BOUGH")], flush=True)
job.fail(bad)
"""


def test_what_a_trial_says_reaches_a_terminal_without_its_control_characters(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    source = repository({"bough.yml": HEAD.format(python=sys.executable), "train.py": SAYS})
    machine.coordinator()
    machine.start("agent", "server", "--name", "one", "--coordinator", url_of(machine), BOUGH_SECURE_KEY=machine.key())

    ran = machine.bough("run", "--detach", str(source))
    job = ran.out.split()[1].rstrip(";")
    watched = machine.bough("job", "watch", job)
    told = Ran(watched.code, watched.out[watched.out.index(f"job {job}: FAILED") :], watched.err)
    assert "owned" in told.out

    for shown in (
        told,
        machine.bough("job", "show", job),
        machine.bough("job", "ls"),
        machine.bough("agent", "status"),
    ):
        assert "\x1b]" not in shown.out + shown.err
        assert "\x1b[31m" not in shown.out + shown.err
        assert "\x07" not in shown.out + shown.err
        assert "\u202e" not in shown.out + shown.err
    assert "secrets: []" in machine.bough("job", "log", job).out


def url_of(machine: Machine) -> str:
    return str(json.loads((machine.home / "coordinator" / "coordinator.json").read_text())["url"])


def test_no_file_and_no_process_shows_a_key_or_lets_others_read(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    waits = "import bough, time\njob = bough.start_job()\ntime.sleep(20)\n"
    source = repository({"bough.yml": HEAD.format(python=sys.executable), "train.py": waits})
    machine.coordinator()
    key = machine.key()
    machine.start("agent", "server", "--name", "one", "--coordinator", url_of(machine), "--secure-key", key)
    home = machine.home / "agents" / "one"

    job = json.loads(machine.bough("run", str(source), "--detach", "--json").out)["id"]
    spec = wait_for(lambda: next(home.glob("attempts/*/supervisor.json"), None), what="the attempt").with_name(
        "spec.json"
    )
    wait_for(lambda: any(line[-1:] == ["train.py"] for line in command_lines(machine)), what="the trial")

    secret = key.split("_")[3]
    for process in processes_of(machine.home):
        assert secret not in " ".join(process.cmdline())
        assert secret not in json.dumps(process.environ()), process.cmdline()
    assert secret not in spec.read_text()
    for path in machine.home.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "key":
            assert secret.encode() not in path.read_bytes(), path
    for path in [*home.rglob("*"), *(machine.home / "coordinator").rglob("*")]:
        inside_closed = any(not stat.S_IMODE(parent.stat().st_mode) & 0o077 for parent in path.parents)
        assert inside_closed or path.is_symlink(), path
    assert stat.S_IMODE(spec.stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    machine.bough("job", "stop", job, "--now")
    wait_for(lambda: not any(line[-1:] == ["train.py"] for line in command_lines(machine)), what="its end")


def command_lines(machine: Machine) -> list[list[str]]:
    """Of every process of this machine that is still there."""
    found = []
    for process in processes_of(machine.home):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(process.cmdline())
    return found


def test_a_trial_that_kills_its_supervisor_each_time_is_given_up(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    source = repository({"bough.yml": HEAD.format(python=sys.executable), "train.py": SUICIDE})
    machine.coordinator()
    machine.start("agent", "server", "--name", "one", "--coordinator", url_of(machine), BOUGH_SECURE_KEY=machine.key())

    ran = machine.bough("run", str(source), timeout_s=60)

    assert ran.code != 0
    assert "was lost 10 times" in ran.out + ran.err


def test_a_submodule_that_is_not_there_is_named_before_anything_is_sent(
    machine: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    pwned = tmp_path / "pwned"
    modules = f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {pwned}"\n'
    head = HEAD.format(python=sys.executable)
    source = repository({"bough.yml": head, "train.py": "print('ran')\n", ".gitmodules": modules})
    (source / "x").mkdir()
    subprocess.run(["git", "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x"], cwd=source, check=True)
    git(source, "commit", "-qm", "a submodule")
    machine.coordinator()

    ran = machine.bough("run", str(source), timeout_s=60)

    assert ran.code == 1
    assert "the submodule x is not checked out here, so its files cannot be sent. Run: git submodule" in ran.err
    assert not pwned.exists()


def test_a_hostile_repository_runs_nothing_but_the_command(
    machine: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    """Filters, hooks, submodules and links that are named like our files."""
    pwned = tmp_path / "pwned"
    source = repository(
        {
            "bough.yml": HEAD.format(python=sys.executable),
            "train.py": "import bough; bough.start_job(); print('ran')\n",
            ".gitattributes": "* filter=evil\n*.py diff=evil merge=evil\n",
            ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {pwned}"\n',
            ".gitconfig": f'[filter "evil"]\n\tsmudge = touch {pwned}\n[core]\n\tfsmonitor = touch {pwned}\n',
            "bough_agent/__init__.py": f"open({str(pwned)!r}, 'w')\n",
            "sitecustomize.py": f"open({str(pwned)!r}, 'w')\n",
        }
    )
    for name in ("spec.json", "exit.json", "journal", "control", ".bough"):
        (source / name).symlink_to("/etc/passwd")
    (source / "loop").symlink_to("loop")
    (source / "up").symlink_to("../../../..")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "links and a submodule that is none")
    machine.coordinator()
    machine.start("agent", "server", "--name", "one", "--coordinator", url_of(machine), BOUGH_SECURE_KEY=machine.key())

    ran = machine.bough("run", str(source), timeout_s=60)

    assert "Traceback" not in ran.err
    assert "ran" in ran.out, ran.out + ran.err
    assert not pwned.exists()
