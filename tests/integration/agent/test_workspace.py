"""Caches and trees with real git: clean for each attempt, whole again after damage."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.agent.conftest import Repository

from bough_agent.workspace import RACY_NS, CheckoutFailed, FetchFailed, Workspace, inside

MODEL, GIT = "me/model", "/me/model.git"


def files(tree: Path) -> dict[str, str]:
    return {str(p.relative_to(tree)): p.read_text() for p in sorted(tree.rglob("*")) if p.is_file()}


@pytest.fixture
def workspace(tmp_path: Path, repository: Repository) -> Workspace:
    url = f"file://{repository.bare.parents[1]}"
    return Workspace(tmp_path / "home", url, None, random.Random(1), allow_file=True, sleep=lambda _: None)


def test_a_tree_is_the_commit_and_holds_no_git(workspace: Workspace, repository: Repository) -> None:
    first = repository.commit({"train.py": "1", "deep/er/data.txt": "x"})
    second = repository.commit({"train.py": "2"})

    assert files(workspace.tree(0, MODEL, GIT, first)) == {"deep/er/data.txt": "x", "train.py": "1"}
    assert files(workspace.tree(0, MODEL, GIT, second))["train.py"] == "2"
    assert files(workspace.tree(0, MODEL, GIT, first))["train.py"] == "1"
    assert files(workspace.tree(1, MODEL, GIT, second))["train.py"] == "2"
    assert not list(workspace.tree(0, MODEL, GIT, first).glob(".git*"))


def settled(workspace: Workspace, commit: str) -> Path:
    """Return a tree that is known to be clean: looked at when its last change was longer ago than a clock tick."""
    workspace.tree(0, MODEL, GIT, commit)
    time.sleep(1.2 * RACY_NS / 1e9)
    return workspace.tree(0, MODEL, GIT, commit)


def sets_the_time_back(tree: Path) -> None:
    before = (tree / "train.py").stat()
    (tree / "train.py").write_text("8")
    os.utime(tree / "train.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def edits(tree: Path) -> None:
    (tree / "train.py").write_text("9")  # same size as before
    (tree / "deep" / "data.txt").unlink()


def adds(tree: Path) -> None:
    (tree / "cache").mkdir()
    (tree / "cache" / "x.pyc").write_text("ignored by .gitignore")
    (tree / ".gitignore").write_text("*")


def plants_repositories(tree: Path) -> None:
    for folder in (tree, tree / "deep", tree / "new"):
        folder.mkdir(exist_ok=True)
        subprocess.run(["git", "init", "-q", str(folder)], check=True)


def plants_a_git_file(tree: Path) -> None:
    (tree / "deep" / ".git").write_text("gitdir: /nowhere\n")


def closes(tree: Path) -> None:
    (tree / "shut").mkdir()
    (tree / "shut" / "x").write_text("x")
    (tree / "shut").chmod(0)
    (tree / "deep").chmod(0)


def links(tree: Path) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "deep").symlink_to(tree.parents[4] / "outside")


def makes_executable(tree: Path) -> None:
    (tree / "train.py").chmod(0o755)


def removes_all(tree: Path) -> None:
    shutil.rmtree(tree)


def replaces_the_tree(tree: Path) -> None:
    shutil.rmtree(tree)
    tree.symlink_to(tree.parents[4] / "outside")


@pytest.mark.parametrize(
    "litter",
    [
        edits,
        adds,
        plants_repositories,
        plants_a_git_file,
        closes,
        links,
        makes_executable,
        removes_all,
        replaces_the_tree,
        sets_the_time_back,
    ],
)
@pytest.mark.parametrize("is_known_to_be_clean", [False, True])
def test_nothing_that_a_trial_leaves_reaches_the_next(
    workspace: Workspace,
    repository: Repository,
    tmp_path: Path,
    litter: Callable[[Path], None],
    is_known_to_be_clean: bool,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    commit = repository.commit({"train.py": "1", "deep/data.txt": "x", ".gitignore": "*.pyc\n"})
    tree = settled(workspace, commit) if is_known_to_be_clean else workspace.tree(0, MODEL, GIT, commit)
    expected = files(tree)

    litter(tree)
    again = workspace.tree(0, MODEL, GIT, commit)

    assert files(again) == expected
    assert not [path for path in again.rglob("*") if path.name == ".git" or path.is_symlink()]
    assert not os.access(again / "train.py", os.X_OK)
    assert not again.is_symlink()
    assert (outside / "precious").read_text() == "mine"


def test_an_untouched_tree_is_handed_out_again_without_git(
    workspace: Workspace, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit({"train.py": "1"})
    tree = settled(workspace, commit)
    shutil.move(tmp_path / "home" / "cache", tmp_path / "away")

    assert workspace.tree(0, MODEL, GIT, commit) == tree

    (tree / "train.py").write_text("2")
    shutil.rmtree(repository.bare)
    with pytest.raises(FetchFailed):
        workspace.tree(0, MODEL, GIT, commit)


def test_a_damaged_cache_is_fetched_again(workspace: Workspace, repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({"train.py": "1"})
    workspace.tree(0, MODEL, GIT, commit)
    cache = tmp_path / "home" / "cache" / "me" / "model.git"
    for path in (cache / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")

    assert files(workspace.tree(1, MODEL, GIT, commit)) == {"train.py": "1"}


def test_a_stale_lock_and_a_damaged_index_are_no_obstacle(
    workspace: Workspace, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit({"train.py": "1"})
    workspace.tree(0, MODEL, GIT, commit)
    index = tmp_path / "home" / "trees" / "0" / ".index" / "me" / "model"
    index.write_bytes(b"rubbish")
    index.with_name("model.lock").touch()

    assert files(workspace.tree(0, MODEL, GIT, commit)) == {"train.py": "1"}


def test_only_the_pinned_commit_is_fetched_and_only_once(
    workspace: Workspace, repository: Repository, tmp_path: Path
) -> None:
    first = repository.commit({"train.py": "1"})
    second = repository.commit({"train.py": "2"})
    workspace.tree(0, MODEL, GIT, second)
    repository.bare.rename(repository.bare.with_name("away.git"))

    assert files(workspace.tree(1, MODEL, GIT, second)) == {"train.py": "2"}
    refs = subprocess.run(
        [
            "git",
            "--git-dir",
            str(tmp_path / "home" / "cache" / "me" / "model.git"),
            "for-each-ref",
            "--format=%(refname)",
        ],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    assert refs == [f"refs/bough/code/{second}"]
    with pytest.raises(FetchFailed, match=rf"commit {first[:7]} of me/model could not be fetched"):
        workspace.tree(0, MODEL, GIT, first)


def test_a_commit_that_nobody_pushed_is_one_sentence(workspace: Workspace, repository: Repository) -> None:
    repository.commit({"train.py": "1"})

    with pytest.raises(
        CheckoutFailed, match=r"commit fffffff is not in me/model on the coordinator\. Push it, or start"
    ):
        workspace.tree(0, MODEL, GIT, "f" * 40)


def test_the_configuration_of_this_machine_does_not_change_the_tree(
    workspace: Workspace, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit({"train.py": "1\n"})
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / ".gitconfig").write_text("[core]\n\tautocrlf = true\n\tworktree = /nowhere\n")
    monkeypatch.setenv("HOME", str(tmp_path / "h"))

    assert (workspace.tree(0, MODEL, GIT, commit) / "train.py").read_bytes() == b"1\n"


def test_a_folder_must_be_in_the_tree_also_through_links(tmp_path: Path) -> None:
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "out").symlink_to("/etc")

    assert inside(tmp_path / "tree", "a", None) == tmp_path / "tree" / "a"
    assert inside(tmp_path / "tree", ".", ".") == tmp_path / "tree"
    with pytest.raises(CheckoutFailed, match="folder out leads out of the repository"):
        inside(tmp_path / "tree", "out")
    with pytest.raises(CheckoutFailed, match="there is no folder nope in this commit"):
        inside(tmp_path / "tree", "nope")
