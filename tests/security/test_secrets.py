"""Secrets stay where they are: not in the store, not in logs, not in a dump of anything (S10, S26, S39)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from tests.integration.api.running import Running, running

from bough_server import backup
from bough_server.config import Config
from bough_server.service.clock import SystemClock


def secret_of(token: str) -> str:
    """The part of a token that nobody may read anywhere."""
    return token.split("_")[3]


def test_no_file_of_the_home_but_the_admins_own_holds_a_key(tmp_path: Path) -> None:
    with running(Config(tmp_path / "home", port=0)) as api:
        tokens = [api.admin, api.key("user", "me"), api.key("agent"), api.key("read")]
        for token in tokens:
            api.call("GET", "/api/v1/me", key=token)
        link = api.call("POST", "/api/v1/login-links").json()["url"].partition("=")[2]
        cookie = api.call("GET", f"/login?code={link}", key="", allow_redirects=False).headers["Set-Cookie"]
        session = (api.home / "session.key").read_text().strip()
        files = {path: path.read_bytes() for path in api.home.rglob("*") if path.is_file()}
        with contextlib.closing(sqlite3.connect(f"file:{api.home}/coordinator.db?mode=ro", uri=True)) as store:
            files[Path("dump")] = "\n".join(store.iterdump()).encode()

    for path, content in files.items():
        for token in tokens:
            if path.name != "admin.key":
                assert secret_of(token).encode() not in content, path
        assert link.encode() not in content, path
        assert cookie.partition("=")[2].partition(";")[0].encode() not in content, path
        if path.name != "session.key":
            assert session.encode() not in content, path


def test_nobody_else_may_read_a_file_of_the_home_or_of_a_backup(tmp_path: Path) -> None:
    config = Config(tmp_path / "home", port=0, tls=True)
    pytest.importorskip("cryptography", reason="it comes with bough[server]")
    with running(Config(tmp_path / "home", port=0)):
        backup.back_up(config, tmp_path / "backup", SystemClock())
        loose = [
            path
            for folder in (tmp_path / "home", tmp_path / "backup")
            for path in (folder, *folder.rglob("*"))
            if stat.S_IMODE(path.lstat().st_mode) & 0o077 and ".git" not in str(path)
        ]

    assert loose == []
    assert os.stat(tmp_path / "home").st_mode & 0o777 == 0o700


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with running(Config(tmp_path / "home", port=0)):
        pass
    (tmp_path / "home" / "admin.key").chmod(0o644)

    with (
        pytest.raises(Exception, match=r"others can read .*admin\.key\. Run: chmod 600"),
        running(Config(tmp_path / "home", port=0)),
    ):
        pass


def test_what_is_logged_about_requests_holds_no_key(api: Running, caplog: pytest.LogCaptureFixture) -> None:
    token = api.key("user", "me")
    with caplog.at_level(logging.DEBUG):
        for path in ("/api/v1/me", "/api/v1/nothing", f"/api/v1/jobs/{token}", f"/login?code={token}"):
            api.call("GET", path, key=token)
        api.call("POST", "/api/v1/optimizations", key=token, data=b"{", headers={"Content-Type": "application/json"})

    others = ("urllib3", "uvicorn.access")  # the client's, and one that the coordinator gives no handler
    said = [record.getMessage() for record in caplog.records if not record.name.startswith(others)]
    assert not any(secret_of(token) in line for line in said)


def test_errors_do_not_repeat_a_key(api: Running) -> None:
    token = api.key("read")

    replies = [
        api.call("POST", "/api/v1/keys", key=token, json={"name": "x", "scope": "read"}),
        api.call("GET", "/api/v1/me", key=token[:-1] + ("1" if token[-1] == "0" else "0")),
        api.call("GET", "/api/v1/me", key=token.replace("_read_", "_admin_")),
    ]

    for reply in replies:
        assert reply.status_code in (401, 403)
        assert secret_of(token) not in json.dumps(dict(reply.headers)) + reply.text
