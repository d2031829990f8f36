"""Repositories that want to run something, fill a disk or lead elsewhere: nothing of them is obeyed.

Who speaks to git, submodules, programs that git itself would run, files of this machine. URLs, refs, protocols and the
environment of git are in tests/unit/agent/test_git_runner.py.
"""

from __future__ import annotations

import ast
import os
import random
import subprocess
from pathlib import Path

import pytest

from bough import _git, _git_links
from bough.errors import BoughError, UsageError
from bough_agent.sources import Sources, Unresolved
from bough_agent.workspace import CheckoutFailed, Workspace
from bough_cli import source

ROOT = Path(__file__).resolve().parents[2]
MODEL, GIT = "me/model", "/me/model.git"
DEFINITION = "model: me/model\ncommand: python train.py\n"


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists as soon as anything hostile ran."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "home" / "bough"))
    return tmp_path / "canary"


@pytest.fixture
def served(tmp_path: Path, canary: Path) -> Path:
    """The coordinator's repository of the model."""
    assert not canary.exists()
    bare = tmp_path / "served" / "me" / "model.git"
    _git.run(["init", "-q", "--bare", str(bare)])
    return bare


def write(bare: Path, stream: bytes) -> str:
    """Write a commit by fast-import, which takes what `git add` would refuse; return its id."""
    head = b"commit refs/heads/made\ncommitter a <a@b> 1 +0000\ndata 1\nc\n"
    _git.run(["fast-import", "--quiet", "--done", "--force"], git_dir=str(bare), input=head + stream + b"done\n")
    commit = _git.resolve(str(bare), "refs/heads/made")
    _git.run(["update-ref", f"refs/bough/code/{commit}", commit], git_dir=str(bare))
    return commit


def file(path: str, text: str, mode: str = "100644") -> bytes:
    content = text.encode()
    return f'M {mode} inline "{path}"\ndata {len(content)}\n'.encode() + content + b"\n"


def workspace(tmp_path: Path, served: Path) -> Workspace:
    url = served.parents[1].as_uri()
    return Workspace(tmp_path / "agent", url, None, random.Random(1), allow_file=True, sleep=lambda _: None)


def test_only_what_reads_the_users_own_repository_uses_gitpython() -> None:
    users = set()
    for path in [*ROOT.glob("*/bough*/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            if any(name == "git" or name.startswith("git.") for name in names):
                users.add(path.name)

    assert users == {"source.py", "snapshot.py", "completing.py"}


def test_attributes_filters_and_hooks_run_nothing_when_a_tree_is_made(
    tmp_path: Path, served: Path, canary: Path
) -> None:
    """Not even those that the agent's user has configured: a tree is the commit, on every machine."""
    run = f"sh -c 'touch {canary}; cat'"
    config = f'[filter "evil"]\n\tsmudge = {run}\n\tclean = {run}\n\tprocess = touch {canary}\n'
    config += f"[core]\n\tfsmonitor = touch {canary}\n\thooksPath = {tmp_path}/hooks\n\tsshCommand = touch {canary}\n"
    (tmp_path / "home" / ".gitconfig").write_text(config)
    (tmp_path / "hooks").mkdir()
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (tmp_path / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
    commit = write(served, file(".gitattributes", "* filter=evil ident\n") + file("train.py", "$Id$\n"))
    canary.unlink(missing_ok=True)  # the reference transaction of this very test's set-up

    tree = workspace(tmp_path, served).tree(0, MODEL, GIT, commit)

    assert (tree / "train.py").is_file()
    assert not canary.exists()


@pytest.mark.parametrize(
    "path",
    [".git/config", ".GIT/hooks/post-checkout", "x/.git/config", "git~1/config", "../outside", "a/../../b", ".git"],
    ids=["git", "case", "deep", "short", "up", "through", "file"],
)
def test_paths_that_lead_into_git_or_out_of_the_tree_are_not_written(
    tmp_path: Path, served: Path, canary: Path, path: str
) -> None:
    try:
        commit = write(served, file("train.py", "1") + file(path, "evil", "100755"))
    except _git.GitFailed:
        return  # git does not even take it in
    work = workspace(tmp_path, served)

    try:
        tree = work.tree(0, MODEL, GIT, commit)
    except BoughError:
        tree = tmp_path / "agent" / "trees"
    found = [place for place in tmp_path.rglob("*") if place.is_file() and place.read_bytes() == b"evil"]

    assert all(place.is_relative_to(tree) and ".git" not in place.parts for place in found), found
    assert not canary.exists()


def test_links_are_made_and_never_written_through(tmp_path: Path, served: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first = write(served, file("link", str(outside), "120000") + file("train.py", "1"))
    second = write(served, file("link/planted", "evil") + file("train.py", "2"))
    work = workspace(tmp_path, served)

    work.tree(0, MODEL, GIT, first)
    tree = work.tree(0, MODEL, GIT, second)

    assert list(outside.iterdir()) == []
    assert (tree / "link" / "planted").read_text() == "evil"


def test_a_submodule_that_wants_to_run_something_is_left_an_empty_folder(
    tmp_path: Path, served: Path, canary: Path
) -> None:
    modules = (
        f'[submodule "../../hooks"]\n\tpath = lib\n\turl = ext::sh -c touch% {canary}\n\tupdate = !touch {canary}\n'
    )
    link = f'M 160000 {"ab" * 20} "lib"\n'.encode()
    commit = write(served, file(".gitmodules", modules) + link + file("bough.yml", DEFINITION))

    tree = workspace(tmp_path, served).tree(0, MODEL, GIT, commit)

    assert list((tree / "lib").iterdir()) == []
    with pytest.raises(UsageError, match="has submodules"):
        source.find(served.as_uri(), ref="made")
    with pytest.raises(Unresolved, match="has submodules"):
        Sources(tmp_path / "s", served.parents[1].as_uri(), None, allow_file=True).resolve(GIT, served.as_uri(), "made")
    assert not canary.exists()


def test_a_tree_of_ten_to_the_tenth_files_is_refused_before_anything_walks_it(tmp_path: Path, served: Path) -> None:
    blob = _git.run(["hash-object", "-w", "--stdin"], git_dir=str(served), input=b"x").decode().strip()
    below, kind, mode = blob, "blob", "100644"
    for _ in range(10):
        lines = "".join(f"{mode} {kind} {below}\tf{i}\n" for i in range(10)).encode()
        below, kind, mode = _git.run(["mktree"], git_dir=str(served), input=lines).decode().strip(), "tree", "040000"
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a"}
    commit = _git.run(["commit-tree", "-m", "bomb", below], git_dir=str(served), env=who).decode().strip()
    _git.run(["update-ref", f"refs/bough/code/{commit}", commit], git_dir=str(served))

    with pytest.raises(CheckoutFailed, match=r"has too many files, or too deep folders\. At most 2,000,000 files"):
        workspace(tmp_path, served).tree(0, MODEL, GIT, commit)
    with pytest.raises(UsageError, match="too many files"):
        _git_links.check(str(served), commit, "here")


def test_folders_without_end_are_refused(tmp_path: Path, served: Path) -> None:
    commit = write(served, file("/".join(["d"] * 300) + "/f", "x"))

    with pytest.raises(CheckoutFailed, match="too deep folders"):
        workspace(tmp_path, served).tree(0, MODEL, GIT, commit)


def test_an_ordinary_commit_is_counted_right(served: Path) -> None:
    commit = write(served, b"".join(file(f"a{n % 7}/b{n % 3}/{n}", "x") for n in range(100)))

    _git_links.check_size(str(served), commit, "here")
    root = _git.run(["rev-parse", f"{commit}^{{tree}}"], git_dir=str(served)).strip()
    assert len(root) == 40


def test_objects_of_a_file_url_are_copied_and_never_linked(tmp_path: Path, served: Path) -> None:
    commit = write(served, file("train.py", "1"))

    workspace(tmp_path, served).tree(0, MODEL, GIT, commit)

    links = {path.stat().st_nlink for path in (tmp_path / "agent" / "cache").rglob("*") if path.is_file()}
    assert links == {1}


def test_a_git_that_is_a_link_or_a_file_elsewhere_is_the_users_own_or_nothing(tmp_path: Path, canary: Path) -> None:
    """A folder whose .git leads to another repository is read as git reads it, and runs none of its programs."""
    real, place = tmp_path / "real", tmp_path / "place"
    for folder in (real, place):
        folder.mkdir()
    (real / "bough.yml").write_text(DEFINITION)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=real, check=True)
    (place / "bough.yml").write_text(DEFINITION)
    (place / ".git").symlink_to(real / ".git")

    assert source.find(str(place)).commit == source.find(str(real)).commit
    (place / ".git").unlink()
    (place / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(BoughError):
        source.find(str(place))
    assert not canary.exists()


def test_a_bare_repository_inside_of_a_tree_is_never_taken_for_one_by_chance(tmp_path: Path, canary: Path) -> None:
    place = tmp_path / "embedded"
    _git.run(["init", "-q", "--bare", str(place)])
    _git.run(["config", "core.fsmonitor", f"touch {canary}"], git_dir=str(place))

    with pytest.raises(_git.GitFailed):
        _git.run(["status"], cwd=str(place))

    assert not canary.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_another_user_is_a_sentence_with_guidance(tmp_path: Path, canary: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    (place / "bough.yml").write_text(DEFINITION)
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    subprocess.run(["chown", "-RP", "12345", "--", str(place)], check=True)

    with pytest.raises(BoughError, match=r"cannot be read: .*dubious ownership.* belongs to another user"):
        source.find(str(place))
    assert not canary.exists()
