"""What keeps a command from starting becomes one sentence with a remedy."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bough_agent import leader, processes
from bough_agent.leader import CannotStart


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def refused(tmp_path: Path, argv: list[str], cwd: Path | None = None, **env: str) -> CannotStart:
    """Try to start a command that cannot be started."""
    log = os.open(tmp_path / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with pytest.raises(CannotStart) as caught:
            leader.start(argv, str(cwd or tmp_path), {"PATH": "/usr/bin:/bin", **env}, log)
    finally:
        os.close(log)
    return caught.value


def test_the_first_program_on_the_path_is_found(tmp_path: Path) -> None:
    program(tmp_path / "a" / "train", mode=0o644)
    wanted = program(tmp_path / "b" / "train")
    program(tmp_path / "c" / "train")

    path = ":".join(str(tmp_path / name) for name in "abc")

    assert leader.find("train", "/", path) == str(wanted)


def test_a_program_with_a_slash_is_looked_for_from_the_working_folder(tmp_path: Path) -> None:
    wanted = program(tmp_path / "bin" / "train")

    assert leader.find("bin/train", str(tmp_path), "/nowhere") == str(wanted)
    assert leader.find(str(wanted), "/", "/nowhere") == str(wanted)


def test_a_folder_on_the_path_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()

    with pytest.raises(CannotStart, match=r"the command train was not found on this machine \(PATH .*\)\. Install it"):
        leader.find("train", "/", str(tmp_path))


def test_an_empty_path_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"the command train was not found on this machine \(PATH is empty\)"):
        leader.find("train", str(tmp_path), "")


def test_a_missing_file_names_where_it_was_looked_for(tmp_path: Path) -> None:
    error = refused(tmp_path, ["./train.sh"])

    assert str(error) == (
        f"the command ./train.sh was not found (looked for {tmp_path}/./train.sh). "
        "Commit the file, or correct `command` in bough.yml."
    )
    assert error.exit_code == 127


def test_a_file_that_may_not_be_executed_says_how_to_change_that(tmp_path: Path) -> None:
    program(tmp_path / "train.sh", mode=0o644)

    error = refused(tmp_path, ["./train.sh"])

    assert str(error) == (
        "the command ./train.sh may not be executed. "
        "Make it so with chmod +x and commit that, or name its interpreter in `command`, as in: bash ./train.sh"
    )
    assert error.exit_code == 126


def test_a_script_without_a_first_line_is_no_program(tmp_path: Path) -> None:
    program(tmp_path / "train.sh", text="echo hello\n")

    error = refused(tmp_path, ["./train.sh"])

    assert str(error).startswith("the command ./train.sh is no program that this machine can run. Give it a first line")
    assert error.exit_code == 126


def test_a_missing_interpreter_is_not_mistaken_for_a_missing_file(tmp_path: Path) -> None:
    program(tmp_path / "train.sh", text="#!/usr/bin/python2.1\r\n")

    error = refused(tmp_path, ["./train.sh"])

    assert str(error) == (
        "the interpreter of the command ./train.sh was not found. "
        "Install it, or correct the first line of the file (beware of Windows line ends)."
    )
    assert error.exit_code == 127


def test_a_missing_working_folder_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path, ["true"], cwd=tmp_path / "data")

    assert str(error).startswith(f"the folder {tmp_path}/data, in which the command runs, does not exist. Commit it")


def test_an_empty_command_is_refused(tmp_path: Path) -> None:
    assert str(refused(tmp_path, [])) == "a command is empty. Name a program in `command` in bough.yml."


def test_arguments_beyond_what_the_kernel_takes_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, ["true", "x" * 10_000_000])

    assert str(error) == (
        "the command true could not be started: Argument list too long. Correct `command` or `env` in bough.yml."
    )


def test_an_environment_that_cannot_be_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, ["true"], NAME="nul \0 inside")

    assert str(error).startswith("the command true could not be started: embedded null byte. Correct `command`")


def test_a_failed_start_leaves_no_child(tmp_path: Path) -> None:
    program(tmp_path / "train.sh", text="echo hello\n")
    before = processes.children()

    refused(tmp_path, ["./train.sh"])

    assert processes.children() == before


@pytest.mark.parametrize(
    ("status", "described"),
    [(0, (0, None)), (7 << 8, (7, None)), (signal.SIGKILL, (None, "SIGKILL")), (40, (None, "SIG40"))],
)
def test_an_exit_status_is_a_code_or_the_name_of_a_signal(
    status: int, described: tuple[int | None, str | None]
) -> None:
    assert leader.describe(status) == described
