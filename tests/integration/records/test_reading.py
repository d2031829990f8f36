"""Records in a clone, without any coordinator: listed, found, read, compared and taken out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.records.conftest import END, Clone, git

from bough.errors import NotFound, UsageError
from bough_cli.records.index import Index
from bough_cli.records.record import Record
from bough_cli.records.sources import Sources


def test_a_clone_lists_its_records_newest_first_filtered_and_sorted(clone: Clone) -> None:
    clone.write([clone.made(1, 0.3), clone.made(2, 0.1, state="FAILED", end_reason="error"), clone.made(3, 0.2)])
    clone.write([clone.made(4, optimization=None, id="manual77", model="me/other", created_at=END)])

    def numbers(*options: str) -> list[int | None]:
        return [row["number"] for row in json.loads(clone.bough("job", "ls", "--json", *options))]

    assert numbers() == [3, 2, 1, None]
    assert numbers("--state", "failed") == [2]
    assert numbers("--manual") == [None]
    assert numbers("--optimization", "op") == [3, 2, 1]
    assert numbers("--model", "me/other") == [None]
    assert numbers("--sort", "kpi", "--optimization", "opt1") == [2, 3, 1]
    assert numbers("--sort", "p.lr", "--descending", "--limit", "2", "--optimization", "opt1") == [1, 3]
    assert "lr=0.1" in clone.bough("job", "ls")


def test_the_rows_are_those_of_the_protocol(clone: Clone) -> None:
    ref = clone.record(7, 0.25)

    (row,) = json.loads(clone.bough("job", "ls", "--json"))

    assert row["values"] == {"lr": 0.25, "layers": 2}
    assert (row["record"], row["attempts"], row["agent"], row["kpi"]) == (ref, 1, "gpu1", 0.25 / 3)
    assert row["last"] == {"loss": 0.25 / 3}


def test_what_was_listed_once_is_read_from_the_cache_and_what_changed_anew(clone: Clone) -> None:
    clone.record(1)
    assert len(Index(str(clone.git_dir))) == 1
    read: list[tuple[int, int]] = []
    clone.record(2)
    git(clone.place, "update-ref", "-d", "refs/bough/jobs/opt1/0001-job00001")

    index = Index(str(clone.git_dir), lambda done, total: read.append((done, total)))

    assert read == [(1, 1)]
    assert [row["number"] for row in index.rows()] == [2]


@pytest.mark.parametrize("damage", ["not a database", ""], ids=["text", "empty"])
def test_a_damaged_cache_is_made_anew(clone: Clone, damage: str) -> None:
    clone.record(1)
    Index(str(clone.git_dir))
    (clone.git_dir / "bough" / "records.db").write_text(damage)

    assert [row["number"] for row in Index(str(clone.git_dir)).rows()] == [1]


def test_a_clone_that_cannot_be_written_is_listed_all_the_same(clone: Clone) -> None:
    clone.record(1)
    (clone.git_dir / "bough").write_text("in the way")

    assert [row["number"] for row in Index(str(clone.git_dir)).rows()] == [1]


def test_a_damaged_record_is_a_row_without_facts_and_says_so_when_it_is_opened(clone: Clone) -> None:
    clone.record(1, files={"job.json": b"{not json", "parameters.json": b"[" * 100_000})

    index = Index(str(clone.git_dir))

    assert [(row["id"], row["state"], row["values"]) for row in index.rows()] == [("job00001", None, {})]
    with pytest.raises(UsageError, match=r"job\.json in the record of trial 1 of opt1 is damaged.*bough pull"):
        _ = Record.of(str(clone.git_dir), index.find("job00001")).job


def test_a_record_of_a_newer_format_is_not_guessed_at(clone: Clone) -> None:
    clone.record(1, format=2)

    with pytest.raises(UsageError, match=r"has format 2, and this bough knows only 1\. Install a newer one"):
        _ = Sources(str(clone.place)).record("opt1/1").job


@pytest.mark.parametrize(
    "name", ["job00002", "opt1/2", "op/2", "opt1/0002-job00002"], ids=["id", "number", "prefix", "padded"]
)
def test_a_record_is_found_by_id_prefix_or_number(clone: Clone, name: str) -> None:
    clone.write([clone.made(1), clone.made(2), clone.made(12)])

    assert Index(str(clone.git_dir)).find(name).row["number"] == 2
    assert Index(str(clone.git_dir)).find("job00012"[:7]).row["number"] == 12


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nope", "there is no record of job nope here"),
        ("", "there is no record of job  here"),
        ("job", "job job is ambiguous: job00001 and job00002 begin like that"),
        ("opt1/9", "there is no record of job opt1/9 here"),
        ("nope/1", "there is no record of optimization nope here"),
        ("opt1/x", "'opt1/x' is no trial"),
        ("opt1/" + "9" * 30, "is no trial"),
        ("refs/heads/main", "there is no record of job refs/heads/main here"),
        ("--upload-pack=x", "there is no record of job --upload-pack=x here"),
    ],
    ids=["unknown", "empty", "ambiguous", "number", "optimization", "letters", "long", "ref", "option"],
)
def test_what_names_no_record_says_so(clone: Clone, name: str, said: str) -> None:
    clone.write([clone.made(1), clone.made(2)])

    with pytest.raises(NotFound, match=said):
        Index(str(clone.git_dir)).find(name)


def test_a_state_that_no_record_has_and_a_column_that_does_not_exist_are_named(clone: Clone) -> None:
    clone.record(1)

    said = clone.bough("job", "ls", "--state", "RUNNING", code=1)
    assert "no record is in a state RUNNING. There are: DONE, FAILED, ABORTED" in said
    said = clone.bough("job", "ls", "--sort", "colour", code=1)
    assert "jobs cannot be sorted by colour. Sort by one of: number" in said


def test_files_and_cat_show_what_the_job_left_and_the_code(clone: Clone) -> None:
    clone.record(1, files={"train.py": b"below .bough\n", "channels/loss%2Fall.csv": b"x\n"})

    listed = clone.bough("job", "files", "opt1/1")
    assert ".bough/channels/loss%2Fall.csv" in listed
    assert " bough.yml" not in listed
    assert " bough.yml" in clone.bough("job", "files", "opt1/1", "--code")
    assert clone.ran("job", "cat", "opt1/1", "bough.yml").stdout == (clone.place / "bough.yml").read_bytes()
    assert clone.ran("job", "cat", "opt1/1", "train.py").stdout == b"below .bough\n"
    assert clone.ran("job", "cat", "opt1/1", ".bough/log.txt").stdout == b"trained\n"
    assert clone.ran("job", "log", "opt1/1").stdout == b"trained\n"
    assert "holds no file ../x. See: bough job files job00001" in clone.bough("job", "cat", "opt1/1", "../x", code=1)
    assert "holds no file a\nb" in clone.bough("job", "cat", "opt1/1", "a\nb", code=1)


def test_show_tells_from_the_record_what_the_coordinator_would(clone: Clone) -> None:
    clone.record(1, 0.3, infos={"note": "x"}, channels=[{"name": "loss", "points": 3}])

    said = clone.bough("job", "show", "job00001")

    assert "trial 1 of opt1" in said
    assert "note  x" in said
    assert json.loads(clone.bough("job", "show", "opt1/1", "--json"))["channels"] == [{"name": "loss", "points": 3}]


def test_diff_shows_code_hyperparameters_environment_and_result_side_by_side(clone: Clone) -> None:
    clone.record(1, 0.3)
    (clone.place / "train.py").write_text("print(1)\n")
    git(clone.place, "commit", "-qam", "shorter")
    environment = {"python": "3.12.1", "packages": {"numpy": "1.26.4", "scipy": "1.14"}}
    clone.record(2, 0.1, commit=git(clone.place, "rev-parse", "HEAD"), environment=environment)

    said = clone.bough("job", "diff", "opt1/1", "opt1/2")

    assert "train.py" in said
    assert "1 insertion(+)" in said
    assert ".bough" not in said
    assert "  lr  0.3" in said
    assert "layers" not in said
    assert "3.11.7" in said
    assert "packages.scipy" in said
    assert "packages.numpy" not in said
    assert "-import bough" in clone.bough("job", "diff", "opt1/1", "opt1/2", "--patch")
    told = json.loads(clone.bough("job", "diff", "job00001", "job00002", "--json"))
    assert told["code"] == [{"path": "train.py", "added": 1, "deleted": 8}]
    assert told["parameters"] == {"lr": [0.3, 0.1]}
    assert told["result"]["kpi"] == [0.3 / 3, 0.1 / 3]
    same = clone.bough("job", "diff", "opt1/1", "opt1/1")
    assert same.count("the same") == 3


def test_a_diff_runs_no_program_that_configuration_or_attributes_name(clone: Clone, tmp_path: Path) -> None:
    (clone.place / ".gitattributes").write_text("*.py diff=evil\n")
    git(clone.place, "add", "-A")
    git(clone.place, "commit", "-qm", "attributes")
    clone.record(1, commit=git(clone.place, "rev-parse", "HEAD"))
    (clone.place / "train.py").write_text("other\n")
    git(clone.place, "commit", "-qam", "other")
    clone.record(2, commit=git(clone.place, "rev-parse", "HEAD"))
    canary = tmp_path / "canary"
    for name in ("diff.external", "diff.evil.textconv", "diff.evil.command"):
        git(clone.place, "config", name, f"touch {canary}")

    clone.bough("job", "diff", "opt1/1", "opt1/2", "--patch")

    assert not canary.exists()


def test_checkout_fills_a_new_folder_and_never_one_that_holds_anything(clone: Clone, tmp_path: Path) -> None:
    clone.record(1, 0.3)
    (clone.place / "train.py").write_text("uncommitted")

    assert "trial 1 of opt1 is in opt1-1" in clone.bough("job", "checkout", "opt1/1")
    taken = clone.place / "opt1-1"
    assert sorted(path.name for path in taken.iterdir()) == [".bough", "bough.yml", "train.py"]
    assert "start_job" in (taken / "train.py").read_text()
    assert json.loads((taken / ".bough" / "parameters.json").read_text())["lr"] == 0.3
    assert "opt1-1 is not empty. Name a folder that is" in clone.bough("job", "checkout", "opt1/1", code=1)
    assert "is not empty" in clone.bough("job", "checkout", "opt1/1", ".", code=1)
    assert (clone.place / "train.py").read_text() == "uncommitted"
    (tmp_path / "link").symlink_to(taken)
    assert "is not empty" in clone.bough("job", "checkout", "opt1/1", str(tmp_path / "link"), code=1)


def test_checkout_makes_a_worktree_or_a_branch_to_go_on_from(clone: Clone, tmp_path: Path) -> None:
    clone.record(1)
    tree = tmp_path / "tree"

    clone.bough("job", "checkout", "opt1/1", str(tree), "--branch", "again")

    assert git(tree, "branch", "--show-current") == "again"
    assert git(tree, "rev-parse", "HEAD^") == clone.commit
    other = str(tmp_path / "other")
    said = clone.bough("job", "checkout", "opt1/1", other, "--branch", "again", code=1)
    assert "there is a branch again already" in said
    for name in ("-x", "a..b", ""):
        said = clone.bough("job", "checkout", "opt1/1", other, "--worktree", f"--branch={name}", code=1)
        assert "is no name of a branch" in said


def test_a_mirror_a_worktree_and_a_named_clone_are_read_alike(clone: Clone, tmp_path: Path) -> None:
    clone.record(1)
    git(tmp_path, "clone", "-q", "--mirror", str(clone.place), "mirror.git")
    git(clone.place, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    here = clone.bough("job", "ls")

    assert "job00001" in here
    assert clone.bough("job", "ls", cwd=tmp_path / "mirror.git") == here
    assert clone.bough("job", "ls", cwd=tmp_path / "tree") == here
    assert clone.bough("job", "ls", "--repo", str(clone.place), cwd=tmp_path) == here


def test_a_place_without_records_says_where_they_come_from(clone: Clone, tmp_path: Path) -> None:
    for arguments in (["ls"], ["diff", "a", "b"], ["log", "a"]):
        said = clone.bough("job", *arguments, code=1)
        assert "here is no clone with records. Go to a clone and bring them (bough pull" in said
    assert "there is no directory nowhere" in clone.bough("job", "ls", "--repo", "nowhere", code=1)
    (tmp_path / "plain").mkdir()
    assert "is not in a git repository" in clone.bough("job", "ls", "--repo", str(tmp_path / "plain"), code=1)


def test_a_repository_that_lost_its_objects_is_called_damaged(clone: Clone) -> None:
    clone.record(1)
    shutil.rmtree(clone.git_dir / "objects")
    (clone.git_dir / "objects").mkdir()

    assert "cannot be read" in clone.bough("job", "files", "opt1/1", code=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_another_user_is_not_read(clone: Clone, tmp_path: Path) -> None:
    clone.record(1)
    git(tmp_path, "clone", "-q", "--mirror", str(clone.place), "mirror.git")
    for place in (clone.place, tmp_path / "mirror.git"):
        subprocess.run(["chown", "-RP", "12345", "--", str(place)], check=True)

    assert "belongs to another user" in clone.bough("job", "ls", code=1)
    assert "belongs to another user" in clone.bough("job", "ls", code=1, cwd=tmp_path / "mirror.git")


def test_names_in_records_cannot_steer_the_terminal(clone: Clone) -> None:
    clone.record(1, agent="\x1b[2Jgpu", message="a\x9bb", state="DONE")

    said = clone.bough("job", "ls")

    assert "\x1b" not in said
    assert "\x9b" not in said


def test_refs_that_are_no_records_are_left_alone(clone: Clone) -> None:
    for name in ("jobs/opt1/x", "jobs/opt2/1", "jobs/a/b/0001-x", "jobs/0001-x"):
        git(clone.place, "update-ref", f"refs/bough/{name}", clone.commit)
    clone.record(2)

    assert [row["number"] for row in Index(str(clone.git_dir)).rows()] == [2]


def test_of_a_job_that_ran_once_more_the_last_record_counts(clone: Clone) -> None:
    first = clone.record(1, 0.3)
    later = clone.made(1, 0.3, kpi=0.7, attempt=2)
    clone.write([type(later)(f"{first}.2", later.parent, later.ended_at, later.message, later.files)])
    index = Index(str(clone.git_dir))

    assert [(row["kpi"], row["record"]) for row in index.rows()] == [(0.7, f"{first}.2")]
    assert index.find("job00001").row["kpi"] == 0.7
    assert index.find("opt1/1").row["kpi"] == 0.7
    assert index.find(first).row["kpi"] == 0.3 / 3


def test_a_checkout_names_what_only_points_elsewhere(clone: Clone, tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n"
    (clone.place / "weights.bin").write_text(pointer)
    git(clone.place, "add", "-A")
    git(clone.place, "update-index", "--add", "--cacheinfo", f"160000,{'12' * 20},library")
    git(clone.place, "commit", "-qm", "points")
    clone.record(1, commit=git(clone.place, "rev-parse", "HEAD"))

    said = clone.bough("job", "checkout", "opt1/1", str(tmp_path / "out"))

    assert "weights.bin is a pointer of Git LFS: its content is not part of the record.\n" in said
    assert "library is a submodule, and its commit is not part of the record.\n" in said
    assert "train.py" not in said.replace("its code", "")
    assert (tmp_path / "out" / "weights.bin").read_text() == pointer
