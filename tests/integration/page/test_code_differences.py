"""What differs between the code of two jobs, as git says it, from the coordinator's repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running, running

from bough_server.archive import differences
from bough_server.config import Config

BASE = {"train.py": "lr = 0.1\nprint(lr)\n", "old.py": "x = 1\n" * 30, "gone.txt": "bye\n", "same.txt": "same\n"}


def git(path: Path, *args: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run(["git", *who, *args], cwd=path, check=True, capture_output=True, text=True).stdout.strip()


def commit(path: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    git(path, "add", "-A")
    git(path, "commit", "-qm", "one")
    return git(path, "rev-parse", "HEAD")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "code"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    return path


def started(api: Running, code: Path, model: str, sha: str) -> str:
    """Push the commit as the command line does, and queue a job of it; return the id of the job."""
    definition = {"model": model, "command": "true", "hyperparameters": {"x": 1}}
    body = {"definition": definition, "commit": sha, "folder": "", "source": {}, "values": {}}
    reply = api.call("POST", "/api/v1/jobs", json=body)
    assert reply.status_code == 201, reply.text
    address = api.url.replace("://", f"://x:{api.admin}@") + f"/git/{model}.git"
    git(code, "push", "-q", address, f"{sha}:refs/bough/code/{sha}")
    return str(reply.json()["id"])


def test_changed_moved_new_and_removed_files_are_told_with_their_lines(tmp_path: Path, code: Path) -> None:
    first = commit(code, {**BASE, "big.txt": "a" * 2_000_000, "data.bin": b"\0\1"})
    git(code, "mv", "old.py", "new name.py")
    git(code, "rm", "-q", "gone.txt")
    second = commit(
        code, {"train.py": "lr = 0.2\nprint(lr)\n", "more.py": "1\n", "big.txt": "b" * 2_000_000, "data.bin": b"\0"}
    )

    with running(Config(tmp_path / "home", port=0)) as api:
        mine, other = started(api, code, "me/code", first), started(api, code, "me/code", second)
        elsewhere = started(api, code, "me/elsewhere", second)
        told: dict[str, Any] = api.call("GET", f"/api/v1/jobs/{mine}/diff?to={other}").json()
        across = api.call("GET", f"/api/v1/jobs/{mine}/diff?to={elsewhere}").json()
        same = api.call("GET", f"/api/v1/jobs/{other}/diff?to={other}").json()
        body = {
            "definition": {"model": "me/code", "command": "true", "hyperparameters": {}},
            "folder": "",
            "source": {},
        }
        nowhere = api.call("POST", "/api/v1/jobs", json={**body, "commit": "0" * 40, "values": {}}).json()["id"]
        missing = api.call("GET", f"/api/v1/jobs/{mine}/diff?to={nowhere}")

    files = {one["path"]: one for one in told["files"]}
    assert set(files) == {"train.py", "new name.py", "gone.txt", "more.py", "big.txt", "data.bin"}
    assert told["total"] == 6
    assert "-lr = 0.1\n+lr = 0.2\n" in files["train.py"]["patch"]
    assert (files["train.py"]["added"], files["train.py"]["removed"]) == (1, 1)
    assert (files["new name.py"]["old_path"], files["new name.py"]["added"]) == ("old.py", 0)
    assert files["gone.txt"]["patch"].endswith("-bye\n")
    assert files["more.py"]["patch"].endswith("+1\n")
    assert (files["big.txt"]["added"], files["big.txt"]["patch"]) == (None, None)
    assert files["data.bin"]["patch"] is None
    assert (told["from"]["commit"], told["to"]["job"]) == (first, other)
    assert across["files"] == told["files"]
    assert (same["files"], same["total"]) == ([], 0)
    assert missing.status_code == 404
    assert "cannot be compared" in missing.json()["detail"]
    assert missing.json()["remedy"] == "A commit is here once an agent or the command line has pushed it."


def test_of_a_huge_change_the_first_files_are_shown_and_all_are_counted(code: Path) -> None:
    first = commit(code, {"zero": ""})
    many = {f"file{n:04}": f"{n}\n" * 20 for n in range(differences.MOST_FILES + 20)}
    second = commit(code, dict(many))

    found, total = differences.between(code / ".git", first, second)

    assert total == len(many)
    assert len(found) == differences.MOST_FILES
    assert sum(one.patch is not None for one in found) == differences.MOST_LINES // 20
