"""The hardened git runner: what git may be told, what it may see, and what comes back when it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough import _git
from bough.errors import NotFound, UsageError


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    _git.run(["init", "-q", "-b", "main", str(folder)])
    (folder / "train.py").write_text("print(1)\n")
    _git.run(["add", "."], cwd=str(folder))
    _git.run(["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"], cwd=str(folder))
    return folder


@pytest.mark.parametrize(
    "url",
    [
        "https://host/me/model.git",
        "http://127.0.0.1:8400/git/me/model.git",
        "ssh://git@host:22/me/model.git",
        "git@github.com:me/model.git",
        "host:me/model",
    ],
)
def test_an_ordinary_url_is_accepted(url: str) -> None:
    assert _git.check_url(url) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ext::sh -c touch% x", "space or a control"),
        ("ext::sh", "not one that git may follow"),
        ("fd::17", "not one that git may follow"),
        ("--upload-pack=touch", "not one that git may follow"),
        ("ssh://-oProxyCommand=x/y", "is not complete"),
        ("git@-oProxyCommand=x:y", "is not complete"),
        ("https:///x", "is not complete"),
        ("https://host/%0aHost", "space or a control"),
        ("https://me:secret@host/x", "holds a credential"),
        ("ssh://me:secret@host/x", "holds a credential"),
        ("file:///srv/x.git", "a file on one machine"),
        ("/srv/x.git", "is not complete"),
        ("", "is not complete"),
    ],
)
def test_a_url_that_could_run_something_or_holds_a_credential_is_refused(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        _git.check_url(url)

    assert "secret" not in str(caught.value)


def test_a_file_url_is_accepted_where_files_are_allowed() -> None:
    assert _git.check_url("file:///srv/x.git", allow_file=True) == "file:///srv/x.git"


@given(st.text())
def test_whatever_is_accepted_is_neither_an_option_nor_a_helper_nor_two_words(url: str) -> None:
    try:
        _git.check_url(url, allow_file=True)
    except UsageError:
        return

    assert not url.startswith("-")
    assert not any(c.isspace() for c in url)


def test_a_ref_is_resolved_to_the_full_id(repo: Path) -> None:
    sha = _git.resolve(str(repo / ".git"), "main")

    assert _git.is_sha(sha)
    assert _git.resolve(str(repo / ".git"), sha[:8]) == sha


@pytest.mark.parametrize("ref", ["--upload-pack=touch x", "-h", "@{-1}", ":/nope", "HEAD^{/x}", "", "no-such", "a\nb"])
def test_a_ref_that_is_no_commit_is_not_found_and_runs_nothing(repo: Path, ref: str) -> None:
    with pytest.raises(NotFound, match=r"ref .* is not in .*Check its spelling"):
        _git.resolve(str(repo / ".git"), ref)


def test_the_callers_git_variables_and_bough_s_secrets_do_not_reach_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("BOUGH_SECURE_KEY", "k")

    env = _git.environment()

    assert not {"GIT_DIR", "GIT_TRACE", "BOUGH_SECURE_KEY"} & set(env)
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert env["GIT_ALLOW_PROTOCOL"] == "https:http:ssh"
    assert _git.environment(allow_file=True)["GIT_ALLOW_PROTOCOL"].endswith(":file")


def test_the_token_is_in_the_environment_and_never_in_the_arguments() -> None:
    assert _git.environment(token="s3cret")["GIT_CONFIG_VALUE_0"] == "Authorization: Bearer s3cret"
    assert "s3cret" not in " ".join(_git.command(["fetch"], with_token=True))


def test_a_token_of_two_lines_is_refused() -> None:
    with pytest.raises(UsageError, match="control character"):
        _git.environment(token="a\nX-Evil: 1")


def test_what_git_says_is_stripped_of_control_characters_and_credentials() -> None:
    raw = b"\x1b[2Jfatal: https://me:pw@host/x\nAuthorization: Bearer abc\r\n\x9btok3n"

    assert _git.clean(raw, "tok3n").split("\n")[:2] == ["[2Jfatal: https://***@host/x", "Authorization: ***"]
    assert "tok3n" not in _git.clean(raw, "tok3n")


def test_a_clone_of_a_file_is_refused_by_git_itself_unless_allowed(repo: Path, tmp_path: Path) -> None:
    clone = ["clone", "-q", "--bare", "--", "file://" + str(repo)]

    with pytest.raises(_git.GitFailed, match="git clone failed: transport 'file' not allowed"):
        _git.run([*clone, str(tmp_path / "a.git")])

    _git.run([*clone, str(tmp_path / "b.git")], allow_file=True)
    assert _git.resolve(str(tmp_path / "b.git"), "main")


def test_a_hook_and_a_file_system_monitor_of_the_repository_do_not_run(repo: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for hook in (repo / ".git" / "hooks" / "pre-commit", repo / "monitor"):
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\ntouch " + str(canary) + "\n")
        hook.chmod(0o755)
    subprocess.run(["git", "-C", str(repo), "config", "core.fsmonitor", str(repo / "monitor")], check=True)

    _git.run(["status"], cwd=str(repo))
    _git.run(["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "x", "--allow-empty"], cwd=str(repo))

    assert not canary.exists()


def test_a_folder_that_is_no_repository_is_one_sentence_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(_git.GitFailed, match=r"git status failed: not a git repository.*Run git init and commit"):
        _git.run(["status"], cwd=str(tmp_path))


def test_a_missing_folder_and_a_missing_git_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(_git.GitFailed, match="there is no folder"):
        _git.run(["status"], cwd=str(tmp_path / "gone"))

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(_git.GitFailed, match="git is not installed, or not on PATH"):
        _git.run(["status"])


def test_at_the_timeout_git_and_its_helpers_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    with pytest.raises(_git.GitFailed, match=r"git hash-object took longer than 0.2 s and was ended"):
        _git.run(["hash-object", str(fifo)], timeout_s=0.2)


def test_input_goes_in_and_bytes_come_out(repo: Path) -> None:
    oid = _git.run(["hash-object", "-w", "--stdin"], cwd=str(repo), input=b"\x00\xff").decode().strip()

    assert _git.run(["cat-file", "blob", oid], git_dir=str(repo / ".git")) == b"\x00\xff"


def test_importing_bough_does_not_import_the_runner() -> None:
    check = "import sys, bough; sys.exit('bough._git' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": "sdk"}, check=False).returncode == 0
