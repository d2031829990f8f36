"""The command line itself: help, failures as one sentence, exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bough.errors import NotFound
from bough_cli import main as entry
from bough_cli.main import COMMANDS, cli, main

PARTS = os.pathsep.join(path for path in sys.path if path)


def run(code: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": PARTS}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run a command that ends with an error."""

    @click.command("init")
    def command() -> None:
        raise error

    monkeypatch.setattr(entry.LazyGroup, "get_command", lambda self, ctx, name: command)
    return main(["init"])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_of_commands_is_that_of_the_command(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.get_short_help_str(limit=200).rstrip(".") == COMMANDS[name][1].rstrip(".")


def test_help_imports_nothing_heavy() -> None:
    heavy = ("requests", "rich", "git", "yaml", "bough_server", "bough_agent", "asyncio", "sqlalchemy", "psutil")
    loaded = f"print([name for name in {heavy!r} if name in sys.modules])"
    done = run(f"import sys; from bough_cli.main import main; main(['--help']); {loaded}")

    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "optimize" in done.stdout


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: bough" in capsys.readouterr().out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"bough \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["optimise"], r"bough: No such command 'optimise'.* See: bough --help"),
        (["optimize", "--max-trials", "x"], r"bough: Invalid value for '--max-trials'.* See: bough optimize --help"),
        (["optimize", "-p", "lr"], r"bough: Invalid value for -p: 'lr' is not of the form name=value\. See"),
        (["optimize", "-p", "lr=1", "-p", "lr=2"], r"lr is given twice\."),
        (["optimize", "/nowhere"], r"bough: Invalid value for DIR: there is no directory /nowhere\."),
        (["run", "--max-time", "10"], r"'10' is no time\. Write the unit: 90s, 10m or 1h30m\."),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    heard = capsys.readouterr()
    assert re.search(said, heard.err), heard.err
    assert (heard.out, heard.err.count("\n")) == ("", 1)


def test_what_a_user_did_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, NotFound("there is no job 7.", "See: bough job ls.")) == 1
    assert capsys.readouterr().err == "bough: there is no job 7. See: bough job ls.\n"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch, KeyboardInterrupt()) == 130


def test_what_the_system_refused_names_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, OSError(28, "No space left on device", "/disk/x")) == 1
    assert capsys.readouterr().err.startswith("bough: /disk/x: No space left on device. Look at")


def test_what_nobody_foresaw_is_a_sentence_that_names_the_file_with_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert failing(monkeypatch, ZeroDivisionError("by zero")) == 1

    said = capsys.readouterr().err
    found = re.fullmatch(
        r"bough: something unforeseen happened \(ZeroDivisionError: by zero\)\. Report .* in (\S+)\.\n", said
    )
    assert found, said
    assert "Traceback" in Path(found.group(1)).read_text()


def test_a_reader_that_goes_away_is_no_fault() -> None:
    no_reader = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1)"
    done = run(f"{no_reader}; from bough_cli.main import main; sys.exit(main(['--help']))")

    assert (done.returncode, done.stderr) == (1, "")
