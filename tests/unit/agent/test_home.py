"""The agent's folder: one agent at a time, private, and the same agent after a restart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bough.errors import Denied, UsageError
from bough_agent import resources
from bough_agent.home import FENCED_KEPT_S, Home, agent_home
from bough_agent.resources import Usage


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    before = os.umask(0o022)
    home = Home(tmp_path / "agents" / "a")
    yield home
    home.close()
    os.umask(before)


def test_a_second_agent_is_refused_until_the_first_has_gone(home: Home) -> None:
    with pytest.raises(UsageError, match=r"another agent is running in .* another --name or --home"):
        Home(home.root)

    home.close()
    Home(home.root).close()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"the agent's folder .* cannot be used: .*Choose another --home"):
        Home(tmp_path / "file" / "a")


def test_the_key_is_asked_for_once_and_kept_for_the_owner_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOUGH_SECURE_KEY", raising=False)
    with pytest.raises(Denied, match=r"this agent has no key\. Start it with --secure-key"):
        home.key(None)

    assert home.key(" k1\n") == home.key(None) == "k1"
    assert (home.root / "key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("BOUGH_SECURE_KEY", "k2")
    assert home.key(None) == "k2"


def test_an_agent_that_comes_back_is_itself_but_not_after_a_reboot_or_on_another_machine(home: Home) -> None:
    first = home.epoch("boot-1")

    assert home.epoch("boot-1") == first
    assert home.epoch("boot-2") != first


def test_what_was_put_aside_goes_after_a_week(home: Home) -> None:
    folder = home.attempt("job", 1)
    folder.mkdir()
    home.retire(folder)
    kept = home.root / "fenced" / "job.1"
    made_at = kept.stat().st_mtime

    home.sweep(made_at + FENCED_KEPT_S - 1)
    assert kept.exists()
    home.sweep(made_at + FENCED_KEPT_S + 1)
    assert not kept.exists()


def test_a_name_that_is_no_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path))

    assert agent_home("gpu1") == tmp_path / "agents" / "gpu1"
    with pytest.raises(UsageError, match=r"agent name '\.\./x' is not possible"):
        agent_home("../x")


def usage(free: int, total: int) -> Usage:
    return Usage(0.0, 0.0, free, total)


def test_no_job_is_taken_when_the_disk_is_nearly_full() -> None:
    assert resources.refusal(usage(2 << 30, 100 << 30)) is None
    assert resources.refusal(usage(1 << 29, 8 << 30)) is None
    assert "only 512 MiB of disk are free, 1024 MiB are needed" in str(resources.refusal(usage(1 << 29, 100 << 30)))


def test_the_machine_is_described(tmp_path: Path) -> None:
    assert set(resources.system()) == {"cpus", "memory_bytes", "python", "platform"}
    seen = resources.usage(tmp_path).wire()
    assert set(seen) == {"cpu_percent", "memory_percent", "disk_free_bytes", "disk_percent", "gpus"}
    assert 0 <= seen["disk_percent"] <= 100
