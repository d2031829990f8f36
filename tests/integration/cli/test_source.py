"""What is optimized: a folder, a ref, a working tree or a URL, and every way in which it may be none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.cli.conftest import DEFINITION, git

from bough.errors import DefinitionError, NotFound, UsageError
from bough_cli import source
from bough_cli.client import Address, Client

Repository = Callable[..., Path]


def test_a_folder_is_its_head_commit_with_the_definition_of_that_commit(repository: Repository) -> None:
    place = repository()

    found = source.find(str(place))

    assert found.commit == git(place, "rev-parse", "HEAD")
    assert (found.folder, found.definition.model) == ("", "me/small")
    assert found.origin == {"url": place.as_uri(), "branch": "main", "dirty": False}


def test_a_subfolder_and_its_bough_yml_itself_are_found_relative_to_the_root(repository: Repository) -> None:
    place = repository({"models/one/bough.yml": DEFINITION, "models/one/train.py": ""})

    assert source.find(str(place / "models" / "one")).folder == "models/one"
    assert source.find(str(place / "models" / "one" / "bough.yml")).folder == "models/one"
    assert source.find(str(place), folder="models/one").folder == "models/one"


def test_the_definition_of_another_ref_is_read_from_that_ref(repository: Repository) -> None:
    place = repository()
    git(place, "tag", "old")
    (place / "bough.yml").write_text(DEFINITION.replace("max_trials: 3", "max_trials: 9"))
    git(place, "commit", "-qam", "more")
    (place / "bough.yml").write_text("model: broken")

    found = source.find(str(place), ref="old")

    assert found.definition.settings.max_trials == 3
    assert found.commit == git(place, "rev-parse", "old")
    assert found.origin["branch"] == "old"


def test_uncommitted_changes_anywhere_in_the_repository_are_refused_by_name(repository: Repository) -> None:
    place = repository({"one/bough.yml": DEFINITION, "one/a.py": "", "two/b.py": "", ".gitignore": "*.log\n"})
    (place / "two" / "b.py").write_text("changed")
    (place / "new.py").write_text("")
    (place / "ignored.log").write_text("")
    (place / "one" / ".bough").mkdir()
    (place / "one" / ".bough" / "journal.jsonl").write_text("")

    with pytest.raises(
        UsageError, match=r"uncommitted changes in 2 files \(two/b.py, new.py\)\. Commit them, .*--dirty"
    ):
        source.find(str(place / "one"))


def test_dirty_sends_the_tree_as_it_is_and_changes_nothing_of_the_users(repository: Repository) -> None:
    files = {"bough.yml": DEFINITION, "train.py": "1", "gone.py": "", "staged.py": "1", ".gitignore": "*.log\n"}
    place = repository(files)
    head = git(place, "rev-parse", "HEAD")
    (place / "train.py").write_text("2")
    (place / "gone.py").unlink()
    (place / "staged.py").write_text("2")
    git(place, "add", "staged.py")
    (place / "staged.py").write_text("3")
    (place / "new name.py").write_text("new")
    (place / "run.log").write_text("")
    (place / ".bough").mkdir()
    (place / ".bough" / "x.jsonl").write_text("")
    status = git(place, "status", "--porcelain")  # git itself may refresh the index here
    index = (place / ".git" / "index").read_bytes()
    refs = git(place, "for-each-ref")

    found = source.find(str(place), dirty=True)

    assert found.origin["dirty"] is True
    listed = git(place, "ls-tree", "-r", "--name-only", found.commit).splitlines()
    assert sorted(listed) == [".gitignore", "bough.yml", "new name.py", "staged.py", "train.py"]
    assert git(place, "show", f"{found.commit}:staged.py") == "3"
    assert git(place, "rev-parse", f"{found.commit}^") == head
    assert (place / ".git" / "index").read_bytes() == index
    assert (git(place, "status", "--porcelain"), git(place, "for-each-ref")) == (status, refs)
    assert git(place, "stash", "list") == ""
    assert source.find(str(place), dirty=True).commit == found.commit


def test_dirty_with_nothing_changed_is_the_head_commit(repository: Repository) -> None:
    place = repository()

    found = source.find(str(place), dirty=True)

    assert (found.commit, found.origin["dirty"]) == (git(place, "rev-parse", "HEAD"), False)


def test_dirty_takes_a_definition_that_was_never_committed(repository: Repository) -> None:
    place = repository({"train.py": ""})
    (place / "bough.yml").write_text(DEFINITION)

    with pytest.raises(UsageError, match=r"1 file \(bough.yml\)"):
        source.find(str(place))
    assert source.find(str(place), dirty=True).definition.model == "me/small"


def test_a_linked_worktree_and_a_detached_head_work(repository: Repository, tmp_path: Path) -> None:
    place = repository()
    git(place, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    (tmp_path / "tree" / "train.py").write_text("other")

    found = source.find(str(tmp_path / "tree"), dirty=True)

    assert found.origin["branch"] is None
    assert git(place, "show", f"{found.commit}:train.py") == "other"


@pytest.mark.parametrize("ref", ["nope", "--upload-pack=touch x", "-h", "a b", "main:x", "", "main..main"])
def test_a_ref_that_does_not_exist_or_is_none_is_named(repository: Repository, ref: str) -> None:
    place = repository()

    with pytest.raises(UsageError, match=rf"the ref .*{re.escape(ref)}.* does not exist in .*Name a branch"):
        source.find(str(place), ref=ref)


def test_ref_and_dirty_exclude_each_other(repository: Repository) -> None:
    with pytest.raises(UsageError, match="--ref and --dirty exclude each other"):
        source.find(str(repository()), ref="main", dirty=True)


def test_a_directory_without_repository_commit_or_definition_says_what_to_do(
    repository: Repository, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(UsageError, match=r"plain is not in a git repository\. Make one: git init"):
        source.find(str(plain))
    git(plain, "init", "-q")
    with pytest.raises(UsageError, match=r"has no commit yet\. Make one: git add -A && git commit"):
        source.find(str(plain))
    with pytest.raises(DefinitionError, match=r"there is no bough.yml in .*bough init"):
        source.find(str(repository({"train.py": ""})))
    with pytest.raises(NotFound, match=r"there is no directory .*nowhere"):
        source.find(str(tmp_path / "nowhere"))


def test_a_wrong_definition_is_heard_of_before_the_changes_that_made_it(repository: Repository) -> None:
    place = repository()
    (place / "bough.yml").write_text(DEFINITION.replace("max_trials", "max_trails"))

    with pytest.raises(DefinitionError, match=r"max_trails.*max_trials.*bough.yml, line 14"):
        source.find(str(place))


def test_a_wrong_definition_of_a_commit_names_the_commit(repository: Repository) -> None:
    place = repository({"bough.yml": DEFINITION.replace("max_trials", "max_trails")})

    with pytest.raises(DefinitionError, match=r"max_trails.*bough.yml of commit [0-9a-f]{7}, line 14"):
        source.find(place.as_uri())


def test_a_file_url_with_a_folder_and_a_branch_is_fetched_into_a_cache(repository: Repository, own_home: Path) -> None:
    place = repository({"models/one/bough.yml": DEFINITION, "models/one/train.py": ""})
    git(place, "checkout", "-q", "-b", "other")
    git(place, "commit", "-q", "--allow-empty", "-m", "second")
    git(place, "checkout", "-q", "main")
    (place / "models" / "one" / "train.py").write_text("uncommitted changes are not part of a URL")
    url = place.as_uri()

    head = source.find(f"{url}#models/one")
    branch = source.find(url, ref="other", folder="models/one")
    exact = source.find(url, ref=branch.commit, folder="models/one")

    assert head.commit == git(place, "rev-parse", "main")
    assert branch.commit == exact.commit == git(place, "rev-parse", "other")
    assert head.origin == {"url": url, "branch": None, "dirty": False}
    assert head.git_dir.is_relative_to(own_home / "sources")


def test_a_bare_repository_is_a_url(repository: Repository, tmp_path: Path) -> None:
    place = repository()
    git(tmp_path, "clone", "-q", "--bare", str(place), "bare.git")

    assert source.find(str(tmp_path / "bare.git")).commit == git(place, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("HEAD", r"is damaged: its commit [0-9a-f]{12} cannot be read\."),
        ("HEAD:bough.yml", r"is damaged: bough\.yml in the root of commit [0-9a-f]{7} cannot be read\."),
    ],
)
def test_a_damaged_repository_is_not_taken_for_an_empty_one(repository: Repository, lost: str, said: str) -> None:
    place = repository()
    name = git(place, "rev-parse", lost)
    (place / ".git" / "objects" / name[:2] / name[2:]).unlink()

    with pytest.raises(UsageError, match=said) as raised:
        source.find(str(place))

    assert "git fsck" in raised.value.do


def test_urls_that_cannot_be_fetched_say_why(repository: Repository, tmp_path: Path) -> None:
    place = repository()
    with pytest.raises(UsageError, match=r"the ref nope does not exist in file://"):
        source.find(place.as_uri(), ref="nope")
    with pytest.raises(UsageError, match=r"cannot be fetched"):
        source.find((tmp_path / "nowhere").as_uri())
    with pytest.raises(UsageError, match=r"--dirty sends a working tree"):
        source.find(place.as_uri(), dirty=True)
    with pytest.raises(UsageError, match=r"git URL"):
        source.find("ext://sh -c touch% pwned")
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(UsageError, match=r"has no commit yet\. Push one"):
        source.find((tmp_path / "empty").as_uri())


def test_a_password_in_the_address_of_origin_is_not_handed_on(repository: Repository) -> None:
    place = repository()
    git(place, "remote", "add", "origin", "https://me:secret@example.org/me/small.git")

    assert source.find(str(place)).origin["url"] == "https://example.org/me/small.git"


def test_a_push_from_a_shallow_clone_says_how_to_complete_it(repository: Repository, tmp_path: Path) -> None:
    place = repository()
    git(place, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", place.as_uri(), "shallow")

    with pytest.raises(UsageError, match=r"shallow is a shallow clone, .* git fetch --unshallow"):
        source.find((tmp_path / "shallow").as_uri())
    with pytest.raises(UsageError, match=r"shallow.*git fetch --unshallow"):
        source.push(source.find(str(tmp_path / "shallow")), Client(Address("http://127.0.0.1:9", None, "")))


def test_a_bough_yml_that_names_a_url_leaves_the_commit_to_an_agent(tmp_path: Path) -> None:
    place = tmp_path / "no repository"
    place.mkdir()
    text = DEFINITION + "git: {url: 'https://example.org/me/x.git', branch: v2, folder: models/one}\n"
    (place / "bough.yml").write_text(text)

    found = source.find(str(place))
    other = source.find(str(place), ref="v3")

    assert (found.commit, found.folder, found.definition.model) == ("", "models/one", "me/small")
    assert found.origin == {"url": "https://example.org/me/x.git", "branch": "v2", "dirty": False}
    assert other.origin["branch"] == "v3"
    with pytest.raises(UsageError, match=r"--dirty sends a working tree, and bough.yml takes the code from https"):
        source.find(str(place), dirty=True)
    with pytest.raises(UsageError, match=r"the ref '--upload-pack=x' does not exist"):
        source.find(str(place), ref="--upload-pack=x")
    (place / "bough.yml").write_text(DEFINITION + "git: 'ext::sh -c touch% x'\n")
    with pytest.raises(UsageError, match="git URL ext::sh"):
        source.find(str(place))


def test_follow_branch_names_the_branch_and_where_it_is(repository: Repository) -> None:
    text = DEFINITION.replace("max_trials: 3", "max_trials: 3\n  follow_branch: true")
    place = repository({"models/bough.yml": text, "models/train.py": ""})

    found = source.find(str(place / "models"))
    assert (found.commit, found.folder) == ("", "models")
    assert found.origin == {"url": place.as_uri(), "branch": "main", "dirty": False}
    git(place, "remote", "add", "origin", "https://me:secret@example.org/x.git")
    assert source.find(str(place / "models")).origin["url"] == "https://example.org/x.git"
    with pytest.raises(UsageError, match="--dirty and follow_branch exclude each other"):
        source.find(str(place / "models"), dirty=True)
    git(place, "checkout", "-q", "--detach")
    with pytest.raises(UsageError, match=r"follow_branch needs a branch, and .* has none checked out.*--ref"):
        source.find(str(place / "models"))
    assert source.find(str(place / "models"), ref="main").origin["branch"] == "main"


@pytest.mark.parametrize("git_section", ["{url: 7}", "{follow_branch: maybe}", "{branch: [a]}", "{color: red}"])
def test_a_wrong_section_git_is_an_error_with_its_line(tmp_path: Path, git_section: str) -> None:
    (tmp_path / "bough.yml").write_text(DEFINITION + f"git: {git_section}\n")

    with pytest.raises(DefinitionError, match=r"git.*bough.yml, line 16"):
        source.find(str(tmp_path))
