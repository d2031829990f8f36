"""What --dirty sends is the working tree, all of it and nothing else; the user's repository stays byte for byte."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.cli.conftest import DEFINITION, git

from bough.errors import UsageError
from bough_cli import source
from bough_cli.snapshot import bytes_text

Repository = Callable[..., Path]


def state_of(place: Path) -> dict[str, bytes]:
    """Everything of a repository that is not an object."""
    kept = {}
    for path in sorted((place / ".git").rglob("*")):
        name = str(path.relative_to(place / ".git"))
        if path.is_file() and "objects" not in path.parts:
            kept[name] = path.read_bytes()
    return kept


def tree(place: Path, commit: str) -> dict[str, str]:
    """The files of a commit with their modes."""
    lines = git(place, "ls-tree", "-r", "-z", commit).split("\0")
    return {line.partition("\t")[2]: line[:6] for line in lines if line}


def show(place: Path, commit: str, path: str) -> str:
    return git(place, "show", f"{commit}:{path}")


@pytest.fixture
def messy(repository: Repository) -> Path:
    """A repository in which everything has happened that can happen to a file."""
    names = ("kept", "edited", "deleted", "staged", "staged then edited", "unstaged", "renamed", "mode", "trusted")
    place = repository({"bough.yml": DEFINITION, ".gitignore": "*.log\n", **{name: f"{name}\n" for name in names}})
    (place / "kept").write_text("for the stash\n")
    git(place, "stash", "push", "-q")
    (place / "edited").write_text("2\n")
    (place / "deleted").unlink()
    (place / "staged").write_text("2\n")
    (place / "staged then edited").write_text("2\n")
    git(place, "add", "staged", "staged then edited")
    (place / "staged then edited").write_text("3\n")
    git(place, "rm", "-q", "--cached", "unstaged")
    git(place, "mv", "renamed", "new place")
    (place / "mode").chmod(0o755)
    (place / "link").symlink_to("kept")
    (place / "dangling").symlink_to("/nowhere/at/all")
    (place / 'new\nline\tand "quotes" é').write_text("odd\n")
    (place / "-option").write_text("x\n")
    (place / ":(top)magic").write_text("x\n")
    (place / "noted").write_text("only its name was staged\n")
    git(place, "add", "--intent-to-add", "noted")
    git(place, "update-index", "--assume-unchanged", "trusted")
    (place / "trusted").write_text("changed all the same\n")
    (place / "ignored.log").write_text("")
    (place / ".bough").mkdir()
    (place / ".bough" / "journal.jsonl").write_text("")
    git(place, "config", "core.splitIndex", "true")
    return place


def test_the_commit_holds_the_working_tree_as_it_is_on_disk(messy: Path) -> None:
    found = source.find(str(messy), dirty=True)

    held = tree(messy, found.commit)
    assert sorted(held) == sorted(
        [
            *(".gitignore", "bough.yml", "kept", "edited", "staged", "staged then edited", "unstaged", "new place"),
            *("mode", "trusted", "link", "dangling", 'new\nline\tand "quotes" é', "-option", ":(top)magic", "noted"),
        ]
    )
    assert (held["mode"], held["link"], held["dangling"], held["kept"]) == ("100755", "120000", "120000", "100644")
    for name, text in (("edited", "2"), ("staged", "2"), ("staged then edited", "3"), ("new place", "renamed")):
        assert show(messy, found.commit, name) == text
    assert show(messy, found.commit, "noted") == "only its name was staged"
    assert show(messy, found.commit, "trusted") == "changed all the same"
    assert show(messy, found.commit, "dangling") == "/nowhere/at/all"


def test_index_stash_refs_and_configuration_stay_byte_for_byte(messy: Path) -> None:
    git(messy, "status")  # which may refresh the index
    assert "stash@{0}" in git(messy, "stash", "list")
    before = state_of(messy)

    first = source.find(str(messy), dirty=True)

    assert state_of(messy) == before
    assert source.find(str(messy), dirty=True).commit == first.commit
    git(messy, "fsck", "--strict")


def test_unmerged_files_are_sent_as_they_lie_there(repository: Repository) -> None:
    place = repository({"bough.yml": DEFINITION, "a": "1\n"})
    git(place, "checkout", "-q", "-b", "other")
    (place / "a").write_text("2\n")
    git(place, "commit", "-qam", "two")
    git(place, "checkout", "-q", "main")
    (place / "a").write_text("3\n")
    git(place, "commit", "-qam", "three")
    with pytest.raises(Exception, match="non-zero exit status"):
        git(place, "merge", "other")

    found = source.find(str(place), dirty=True)

    assert "<<<<<<<" in show(place, found.commit, "a")


def test_a_sparse_checkout_sends_also_what_is_not_checked_out(repository: Repository) -> None:
    place = repository({"bough.yml": DEFINITION, "in/a": "1\n", "out/b": "1\n"})
    git(place, "sparse-checkout", "set", "in")
    (place / "in" / "a").write_text("2\n")

    found = source.find(str(place), dirty=True)

    assert sorted(tree(place, found.commit)) == ["bough.yml", "in/a", "out/b"]
    assert show(place, found.commit, "in/a") == "2"


# -- much data ------------------------------------------------------------------------------------------------


@pytest.fixture
def large(repository: Repository) -> Path:
    """A repository with 2 GB that git does not hold, which cost no disk."""
    place = repository()
    (place / "data").mkdir()
    for name, size in (("big.bin", 2 * 1000**3), ("small.bin", 5)):
        with (place / "data" / name).open("wb") as file:
            file.truncate(size)
    return place


def test_two_gigabytes_are_named_and_not_sent_where_nobody_can_be_asked(large: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"2\.0 GB in 2 files of .* would be sent \(data/big\.bin 2\.0 GB, data/small\.bin 5 B\)\. "
        r"Name them in \.gitignore .* or start with --large",
    ):
        source.find(str(large), dirty=True)
    objects = sum(path.stat().st_size for path in (large / ".git" / "objects").rglob("*") if path.is_file())
    assert objects < 100_000


def test_whoever_sits_there_is_asked_before_much_is_sent(large: Path) -> None:
    os.truncate(large / "data" / "big.bin", 101 * 1000**2)
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    with pytest.raises(UsageError, match=r"101 MB in 2 files"):
        source.find(str(large), dirty=True, agree=no)
    assert asked == [
        f"101 MB in 2 files of {large} would be sent (data/big.bin 101 MB, data/small.bin 5 B). Send them?"
    ]
    found = source.find(str(large), dirty=True, agree=lambda _question: True)

    assert "data/big.bin" in tree(large, found.commit)


def test_sizes_are_told_in_units() -> None:
    told = [bytes_text(count) for count in (0, 999, 1000, 12_345_678, 2_000_000_000, 5e12)]

    assert told == ["0 B", "999 B", "1 kB", "12.3 MB", "2.0 GB", "5000.0 GB"]


# -- repositories inside --------------------------------------------------------------------------------------


@pytest.fixture
def outer(repository: Repository, tmp_path: Path) -> Path:
    """A repository with a submodule, which has one itself."""
    inner = repository({"inner.py": "1\n"}, name="inner")
    middle = repository({"middle.py": "1\n"}, name="middle")
    allow = ("-c", "protocol.file.allow=always")
    git(middle, *allow, "submodule", "add", "-q", str(inner), "deep")
    git(middle, "commit", "-qm", "deep")
    place = repository({"bough.yml": DEFINITION, "train.py": "1\n"}, name="outer")
    git(place, *allow, "submodule", "add", "-q", str(middle), "lib/middle")
    git(place, "commit", "-qm", "lib")
    git(place, *allow, "submodule", "update", "-q", "--init", "--recursive")
    assert tmp_path in place.parents
    return place


def content(found: source.Source, path: str) -> str:
    """A file of a source, wherever its objects are."""
    from bough import _git
    from bough_cli.completing import alternates

    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates(found.objects)}
    return _git.run(["show", f"{found.commit}:{path}"], git_dir=str(found.git_dir), env=env).decode()


def test_the_files_of_submodules_are_part_of_the_commit_that_is_sent(outer: Path) -> None:
    before = state_of(outer)
    found = source.find(str(outer))

    assert found.commit != git(outer, "rev-parse", "HEAD")
    assert git(outer, "rev-parse", f"{found.commit}^") == git(outer, "rev-parse", "HEAD")
    assert content(found, "lib/middle/middle.py") == "1\n"
    assert content(found, "lib/middle/deep/inner.py") == "1\n"
    assert (found.origin["base"], found.origin["inside"]) == (git(outer, "rev-parse", "HEAD"), ["lib/middle"])
    assert found.origin["dirty"] is False
    assert source.find(str(outer)).commit == found.commit
    assert state_of(outer) == before


def test_a_changed_submodule_is_a_change_and_dirty_sends_it(outer: Path) -> None:
    (outer / "lib" / "middle" / "deep" / "inner.py").write_text("2\n")

    with pytest.raises(UsageError, match=r"uncommitted changes in 1 file \(lib/middle\)"):
        source.find(str(outer))
    found = source.find(str(outer), dirty=True)

    assert content(found, "lib/middle/deep/inner.py") == "2\n"
    assert content(found, "lib/middle/middle.py") == "1\n"


def test_a_submodule_that_is_not_here_is_named_with_what_brings_it(outer: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(outer), "fresh")

    with pytest.raises(UsageError, match=r"the submodule lib/middle is not checked out here.*git submodule update"):
        source.find(str(tmp_path / "fresh"))
    git(outer, "update-index", "--cacheinfo", f"160000,{'ab' * 20},lib/middle")
    git(outer, "commit", "-qm", "a commit that nobody has")
    with pytest.raises(UsageError, match=r"commit abababababab of the submodule lib/middle is not on this machine"):
        source.find(str(outer), ref="HEAD")


def test_an_untracked_repository_inside_is_sent_with_its_files(repository: Repository) -> None:
    place = repository()
    nested = repository({"n.py": "1\n"}, name="repo/nested")
    (nested / "n.py").write_text("2\n")

    found = source.find(str(place), dirty=True)

    assert content(found, "nested/n.py") == "2\n"


def test_a_repository_inside_that_has_no_commit_is_named(repository: Repository) -> None:
    place = repository()
    (place / "nested").mkdir()
    git(place / "nested", "init", "-q")
    (place / "nested" / "x").write_text("")

    with pytest.raises(UsageError, match=r"the repository nested inside of .* has no commit yet.*Commit in it"):
        source.find(str(place), dirty=True)


def test_a_url_with_submodules_is_refused_because_agents_fetch_none(outer: Path) -> None:
    with pytest.raises(UsageError, match=r"has submodules \(lib/middle\), which agents do not fetch\. Clone it"):
        source.find(outer.as_uri())


# -- Git LFS --------------------------------------------------------------------------------------------------

CONTENT = b"weights " * 1000


def pointer(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"


@pytest.fixture
def pointing(repository: Repository) -> Path:
    """A repository whose weights are kept by Git LFS; git-lfs itself need not be installed."""
    files = {"bough.yml": DEFINITION, ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"}
    return repository({**files, "weights.bin": pointer(CONTENT), "docs.md": pointer(b"a text that looks alike")[:60]})


def test_files_of_git_lfs_are_sent_with_their_contents(pointing: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    stored = pointing / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    stored.parent.mkdir(parents=True)
    stored.write_bytes(CONTENT)

    found = source.find(str(pointing))

    assert content(found, "weights.bin") == CONTENT.decode()
    assert show(pointing, found.commit, "docs.md").startswith("version https://git-lfs")
    assert found.origin["inside"] == ["weights.bin"]


def test_the_content_may_also_lie_in_the_working_tree(pointing: Path) -> None:
    (pointing / "weights.bin").write_bytes(CONTENT)
    git(pointing, "update-index", "--assume-unchanged", "weights.bin")

    assert content(source.find(str(pointing), ref="HEAD"), "weights.bin") == CONTENT.decode()


@pytest.mark.parametrize("stored", [None, b"damaged"], ids=["missing", "damaged"])
def test_content_that_is_not_here_is_named_with_what_brings_it(pointing: Path, stored: bytes | None) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    if stored is not None:
        place = pointing / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4]
        place.mkdir(parents=True)
        (place / digest).write_bytes(stored)

    with pytest.raises(UsageError, match=r"weights\.bin is kept by Git LFS.*not on this machine\. Run: git lfs pull"):
        source.find(str(pointing))


def test_much_of_git_lfs_is_asked_about_too(pointing: Path) -> None:
    (pointing / "weights.bin").write_text(pointer(CONTENT).replace("size 8000", "size 3000000000"))
    git(pointing, "commit", "-qam", "more")

    with pytest.raises(UsageError, match=r"3\.0 GB in 1 files of .* would be sent \(weights\.bin 3\.0 GB\)"):
        source.find(str(pointing))


def test_a_url_with_files_of_git_lfs_is_refused(pointing: Path) -> None:
    with pytest.raises(
        UsageError, match=r"files that Git LFS keeps elsewhere \(weights\.bin\).*Clone it \(git lfs pull"
    ):
        source.find(pointing.as_uri())


def test_a_change_within_the_second_of_the_last_commit_is_not_missed(repository: Repository) -> None:
    """Same size, same second: git tells it only by the time of the index, which a copy must keep."""
    place = repository({"bough.yml": DEFINITION, "a": "1\n"})
    for round_ in range(3):
        (place / "a").write_text(f"{round_}\n")
        git(place, "add", "a")
        (place / "a").write_text(f"{round_ + 5}\n")

        assert show(place, source.find(str(place), dirty=True).commit, "a") == f"{round_ + 5}"


def test_no_file_system_monitor_and_no_hook_is_asked_and_a_clean_filter_runs_as_for_git_add(
    repository: Repository, tmp_path: Path
) -> None:
    """A monitor may say that nothing changed; a filter is what keeps a secret out of git."""
    place = repository({"bough.yml": DEFINITION, ".gitattributes": "secret filter=hide\n", "train.py": "1\n"})
    canary = tmp_path / "canary"
    liar = tmp_path / "monitor"
    liar.write_text(f"#!/bin/sh\ntouch {canary}\nprintf 'x\\0'\n")
    liar.chmod(0o755)
    for name in ("post-index-change", "pre-commit", "post-commit"):
        hook = place / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(liar.read_text())
        hook.chmod(0o755)
    git(place, "config", "core.fsmonitor", str(liar))
    git(place, "config", "filter.hide.clean", "sed s/hunter2/hidden/")
    (place / "train.py").write_text("2\n")
    (place / "secret").write_text("hunter2\n")
    nested = place / "nested"  # a bare repository that came with a download: git must not take its word
    git(place, "init", "-q", "--bare", str(nested))
    (nested / "config").write_text(f"[core]\n\tbare = true\n\tfsmonitor = {liar}\n")

    found = source.find(str(place), dirty=True).commit

    assert show(place, found, "train.py") == "2"
    assert show(place, found, "secret") == "hidden"
    assert not canary.exists()
