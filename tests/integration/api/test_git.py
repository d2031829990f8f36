"""Git over HTTP with the real git on both sides."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tests.integration.api.running import Running

from bough import _git
from bough._git import GitFailed
from bough_server.archive import commits
from bough_server.archive.records import RecordData
from bough_server.archive.repositories import Repositories


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A repository of a user, with one commit."""
    path = tmp_path / "work"
    _git.run(["init", "--quiet", str(path)])
    commit(path, {"train.py": b"print(1)\n"})
    return path


def commit(path: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (path / name).write_bytes(content)
    _git.run(["add", "."], cwd=str(path))
    author = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    _git.run(["commit", "--quiet", "--allow-empty", "-m", "c"], cwd=str(path), env=author)
    return head(path)


def head(path: Path) -> str:
    return _git.run(["rev-parse", "HEAD"], cwd=str(path)).decode().strip()


def push(api: Running, key: str, path: Path, refspec: str, model: str = "me/digits") -> None:
    _git.run(["push", f"{api.url}/git/{model}.git", refspec], cwd=str(path), token=key)


def refs(api: Running, model: str = "me/digits") -> dict[str, str]:
    out = _git.run(["ls-remote", f"{api.url}/git/{model}.git", "refs/bough/*"], token=api.admin).decode()
    return {name: sha for sha, name in (line.split() for line in out.splitlines())}


def code(sha: str) -> str:
    return f"{sha}:refs/bough/code/{sha}"


def test_code_that_was_pushed_is_fetched_by_its_id_alone(api: Running, work: Path, tmp_path: Path) -> None:
    sha = head(work)
    push(api, api.key("user", "me"), work, code(sha))

    cache = tmp_path / "cache"
    _git.run(["init", "--quiet", "--bare", str(cache)])
    address = f"{api.url}/git/me/digits.git"
    _git.run(["fetch", "--depth=1", address, sha], git_dir=str(cache), token=api.key("agent"))

    assert _git.run(["cat-file", "blob", f"{sha}:train.py"], git_dir=str(cache)) == b"print(1)\n"
    assert refs(api)[f"refs/bough/code/{sha}"] == sha


@pytest.mark.parametrize(
    ("refspec", "said"),
    [
        ("HEAD:refs/heads/main", "deny updating a hidden ref"),
        ("HEAD:refs/bough/jobs/manual/0000-x", "deny updating a hidden ref"),
        ("HEAD:refs/bough/code/main", "must be named by the commit it points to"),
        ("HEAD:refs/bough/code/" + "0" * 40, "must be named by the commit it points to"),
        ("HEAD^{tree}:refs/bough/code/TREE", "is not a commit. Push a commit."),
    ],
)
def test_nothing_but_code_under_its_own_name_can_be_pushed(api: Running, work: Path, refspec: str, said: str) -> None:
    tree = _git.run(["rev-parse", "HEAD^{tree}"], cwd=str(work)).decode().strip()

    with pytest.raises(GitFailed) as refused:
        push(api, api.admin, work, refspec.replace("TREE", tree), "me/refused")

    assert said in refused.value.stderr
    assert refs(api, "me/refused") == {}


def test_code_that_was_pushed_cannot_be_taken_away_or_moved(api: Running, work: Path) -> None:
    first = head(work)
    push(api, api.admin, work, code(first), "me/kept")
    second = commit(work, {"train.py": b"print(2)\n"})

    for refspec in (f":refs/bough/code/{first}", f"+{second}:refs/bough/code/{first}"):
        with pytest.raises(GitFailed, match="push failed"):
            push(api, api.admin, work, refspec, "me/kept")

    assert refs(api, "me/kept") == {f"refs/bough/code/{first}": first}


@pytest.mark.parametrize(
    ("scope", "user", "model", "may_fetch", "may_push"),
    [
        ("user", "me", "me/scoped", True, True),
        ("user", "you", "me/scoped", False, False),
        ("agent", "", "me/scoped", True, True),
        ("read", "", "me/scoped", True, False),
        ("admin", "", "me/scoped", True, True),
    ],
)
def test_a_key_opens_the_repositories_it_is_for(
    api: Running, work: Path, scope: str, user: str, model: str, may_fetch: bool, may_push: bool
) -> None:
    key = api.key(scope, user)

    def works(action: Callable[[], object]) -> bool:
        try:
            action()
        except GitFailed as error:
            if "403" not in error.stderr:
                raise
            return False
        return True

    assert works(lambda: push(api, key, work, code(head(work)), model)) is may_push
    assert works(lambda: _git.run(["ls-remote", f"{api.url}/git/{model}.git"], token=key)) is may_fetch


def test_git_s_user_reads_why_a_key_was_refused(api: Running, work: Path) -> None:
    with pytest.raises(GitFailed) as refused:
        push(api, api.key("user", "you"), work, code(head(work)), "me/scoped")

    assert refused.match(
        r"^git push failed: key user you may not push to me/scoped\. "
        r"Use a key of the user me or an admin key, or name the model you/… in its bough\.yml\.$"
    )


def test_without_a_key_git_is_asked_for_one(api: Running) -> None:
    reply = api.call("GET", "/git/me/digits.git/info/refs?service=git-upload-pack", key="")

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Basic realm="bough"'
    assert reply.text.startswith("this needs a key.")


def test_the_key_may_be_the_password_of_basic_authentication(api: Running) -> None:
    address = api.url.replace("http://", f"http://anyone:{api.admin}@")

    done = subprocess.run(
        ["git", "ls-remote", f"{address}/git/me/basic.git"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path",
    [
        "/git/me/digits.git/HEAD",
        "/git/me/digits.git/config",
        "/git/me/digits.git/objects/info/packs",
        "/git/me/digits.git/info/refs",
        "/git/.hooks/update",
        "/git/",
        "/git/me/digits/info/refs?service=git-upload-pack",
    ],
)
def test_the_dumb_protocol_is_not_spoken(api: Running, path: str) -> None:
    reply = api.call("GET", path)

    assert reply.status_code == 404
    assert reply.text.startswith("this is no address of git's smart protocol.")


@pytest.mark.parametrize("model", ["..%2f..%2fx/y", "me/x%00", ".hooks/update", "me/a.git", "-x/y"])
def test_a_name_that_is_no_model_makes_no_folder(api: Running, model: str) -> None:
    before = sorted(path.name for path in (api.home / "git").iterdir())

    reply = api.call("GET", f"/git/{model}.git/info/refs?service=git-upload-pack")

    assert reply.status_code in (400, 404)
    assert sorted(path.name for path in (api.home / "git").iterdir()) == before


def test_a_push_and_a_fetch_of_many_megabytes_come_through_whole(api: Running, work: Path, tmp_path: Path) -> None:
    sha = commit(work, {"data.bin": os.urandom(20 * 1024 * 1024)})

    push(api, api.admin, work, code(sha), "me/large")
    cache = tmp_path / "cache"
    _git.run(["init", "--quiet", "--bare", str(cache)])
    _git.run(["fetch", f"{api.url}/git/me/large.git", sha], git_dir=str(cache), token=api.admin)

    assert _git.run(["rev-parse", f"{sha}:data.bin"], git_dir=str(cache)) == _git.run(
        ["rev-parse", "HEAD:data.bin"], cwd=str(work)
    )


def test_many_at_once_wait_for_each_other_and_all_get_through(api: Running, work: Path) -> None:
    shas = [commit(work, {"n": str(n).encode()}) for n in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda sha: push(api, api.admin, work, code(sha), "me/busy"), shas))

    assert set(refs(api, "me/busy").values()) == set(shas)


def test_git_on_the_server_reads_no_body_that_is_cut_off(api: Running) -> None:
    """A client that promises more than it sends, then hangs up, leaves no process behind."""
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /git/me/cut.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 1000000\r\n"
            b"Authorization: Bearer " + api.admin.encode() + b"\r\n\r\n0000"
        )
        _wait(lambda: _backends(api) == 1)

    _wait(lambda: _backends(api) == 0)


def _backends(api: Running) -> int:
    mine = psutil.Process().children(recursive=True)
    return sum(1 for process in mine if "http-backend" in _words(process))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _wait(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    until = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(("scope", "may"), [("user", True), ("agent", False)])
def test_records_are_brought_by_users_and_checked_at_once(api: Running, work: Path, scope: str, may: bool) -> None:
    key, model = api.key(scope, "me" if may else ""), f"me/brought-{scope}"
    ref = "refs/bough/incoming/jobs/manual/0000-abcdefgh"

    if not may:
        with pytest.raises(GitFailed) as refused:
            push(api, key, work, f"HEAD:{ref}", model)
        assert "deny updating a hidden ref" in refused.value.stderr
        return
    push(api, key, work, f"HEAD:{ref}", model)
    told = api.call("POST", "/api/v1/incoming", key, json={"model": model})

    assert told.status_code == 200
    assert told.json() == {
        "accepted": [],
        "kept": [],
        "known": [],
        "refused": [
            {
                "ref": "refs/bough/jobs/manual/0000-abcdefgh",
                "detail": "refs/bough/jobs/manual/0000-abcdefgh lacks job.json, or it is too large.",
            }
        ],
    }
    assert refs(api, model) == {}
    other = api.call("POST", "/api/v1/incoming", api.key("user", "you"), json={"model": model})
    assert other.status_code == 403


def test_what_waits_to_be_checked_is_not_replaced(tmp_path: Path, work: Path) -> None:
    """Two coordinators that bring the same ref: the second one waits for the verdict on the first."""
    repositories = Repositories(tmp_path / "git")
    place = str(repositories.ensure("me/digits"))
    ref = "refs/bough/incoming/jobs/manual/0000-abcdefgh"
    first = head(work)
    hooks = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath"}
    env = {**hooks, "GIT_CONFIG_VALUE_0": str(repositories.hooks)}
    receive = f"git -c core.hooksPath={repositories.hooks} receive-pack"
    command = ["push", "--quiet", f"--receive-pack={receive}", place]
    _git.run([*command, f"HEAD:{ref}"], cwd=str(work), allow_file=True, env=env)
    commit(work, {"train.py": b"print(2)\n"})

    with pytest.raises(GitFailed, match="was pushed before and is being checked"):
        _git.run([*command, f"HEAD:{ref}"], cwd=str(work), allow_file=True, env=env)

    assert _git.run(["rev-parse", ref], git_dir=place).decode().strip() == first


def test_a_user_clones_a_model_with_plain_git_and_the_key_is_nowhere(
    api: Running, work: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (work / "bough.yml").write_text("model: me/cloned\ncommand: python train.py\n")
    for text in (b"print(2)\n", b"print(3)\n"):
        newest = commit(work, {"train.py": text})
        push(api, api.admin, work, code(newest), "me/cloned")
    repository = Repositories(api.home / "git").ensure("me/cloned")
    commits.write(
        repository, [RecordData("refs/bough/jobs/manual/0000-abcdefgh", newest, 1.0, "a job\n", {"log.txt": b"x"})]
    )
    parts = [str(Path(__file__).resolve().parents[3] / part) for part in ("sdk", "agent", "server", "cli")]
    helper = f"!{sys.executable} -m bough_cli git-credential"
    user = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(parts)}
    user |= {"BOUGH_COORDINATOR": api.url, "BOUGH_SECURE_KEY": api.admin, "GIT_TERMINAL_PROMPT": "0"}
    url = f"{api.url}/git/me/cloned.git"

    def run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = ["git", *args]
        return subprocess.run(
            command, cwd=tmp_path, env={**user, **environ}, capture_output=True, text=True, timeout=60
        )

    done = run("clone", "-c", f"credential.helper={helper}", "-c", "remote.origin.fetch=refs/bough/*:refs/bough/*", url)

    assert done.returncode == 0, done.stderr
    assert "empty" not in done.stderr
    clone = tmp_path / "cloned"
    assert (clone / "train.py").read_bytes() == b"print(3)\n"
    assert head(clone) == newest
    assert _git.run(["branch", "--show-current"], cwd=str(clone)) == b"main\n"
    names = _git.run(["for-each-ref", "--format=%(refname)", "refs/bough/jobs"], cwd=str(clone)).decode()
    assert names == "refs/bough/jobs/manual/0000-abcdefgh\n"
    assert api.admin not in (clone / ".git" / "config").read_text()
    assert run("-C", "cloned", "fetch", "-q").returncode == 0
    elsewhere = run("clone", "-c", f"credential.helper={helper}", url, "other", BOUGH_COORDINATOR="http://127.0.0.1:1")
    assert elsewhere.returncode != 0, "the key of one coordinator is no other's"
    assert "Unknown child process" not in caplog.text
    with pytest.raises(GitFailed, match="push failed"):
        push(api, api.admin, work, f"{newest}:refs/heads/main", "me/cloned")
