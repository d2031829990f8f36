"""The coordinator as a program: how it starts, says where it is, refuses, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tests.integration.api.running import running

from bough.errors import BoughError, UsageError
from bough_server.app import listen, main
from bough_server.config import Config

_PROGRAM = """
import sys
from pathlib import Path
from bough_server.app import main
from bough_server.config import Config
sys.exit(main(Config(Path(sys.argv[1]), port=0), lambda line: print(line, flush=True)))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "coordinator"


@pytest.fixture
def program(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _PROGRAM, str(home)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def address(home: Path) -> dict[str, str]:
    until = time.monotonic() + 30
    while not (home / "coordinator.json").exists():
        assert time.monotonic() < until, "the coordinator did not start"
        time.sleep(0.02)
    found: dict[str, str] = json.loads((home / "coordinator.json").read_text())
    return found


def test_it_says_where_it_is_while_it_answers_and_ends_in_order(program: subprocess.Popen[bytes], home: Path) -> None:
    found = address(home)

    assert requests.get(f"{found['url']}/api/v1/health", timeout=10).json() == {
        "ok": True,
        "version": found["version"],
        "instance": found["instance"],
    }
    assert int(found["pid"]) == program.pid
    for name in ("coordinator.json", "admin.key", "session.key", "coordinator.db"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    program.send_signal(signal.SIGTERM)
    out, err = program.communicate(timeout=30)
    assert (program.returncode, err) == (0, b"")
    assert f"coordinator listens on {found['url']}".encode() in out
    assert not (home / "coordinator.json").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_open_page_and_a_waiting_agent_do_not_keep_it_from_ending(
    program: subprocess.Popen[bytes], home: Path, name: str
) -> None:
    found = address(home)
    key = {"Authorization": f"Bearer {(home / 'admin.key').read_text().strip()}"}
    body = {
        "name": "a",
        "slots": 1,
        "version": "0",
        "epoch": "e",
        "boot_id": "b",
        "host": "h",
        "system": {},
        "labels": [],
    }
    agent = requests.post(f"{found['url']}/api/v1/agents", json=body, headers=key, timeout=10).json()["agent_id"]
    bell = f"{found['url']}/api/v1/agents/{agent}/bell"
    now = requests.get(bell, params={"after": 0, "wait": 0}, headers=key, timeout=10).json()["bell"]
    waiting = threading.Thread(
        target=lambda: requests.get(bell, params={"after": now, "wait": 60}, headers=key, timeout=90)
    )
    waiting.start()
    with requests.get(f"{found['url']}/api/v1/events?topic=agents", headers=key, stream=True, timeout=60) as stream:
        assert next(stream.iter_lines(chunk_size=1)).startswith(b"id: ")

        program.send_signal(getattr(signal, name))
        program.communicate(timeout=20)

    waiting.join(timeout=20)
    assert not waiting.is_alive()
    assert program.returncode == 0


def test_a_port_in_use_is_named_with_what_to_do(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(UsageError, match=rf"port {port} on 127\.0\.0\.1 is in use\. .*--port 0 takes a free one"):
            main(Config(home, port=port), print)

    assert not (home / "coordinator.json").exists()


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1, port 0: .*Give an address of this machine"):
        listen("192.0.2.1", 0)


def test_a_second_coordinator_of_the_same_home_is_refused(home: Path) -> None:
    with running(Config(home, port=0)) as first:
        with pytest.raises(BoughError, match="another coordinator"), running(Config(home, port=0)):
            pass

        assert first.call("GET", "/api/v1/me").status_code == 200


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match=r"cannot be made: .*Choose another folder: --home\."):
        main(Config(tmp_path / "file" / "home", port=0), print)


def test_after_a_restart_keys_and_sessions_go_on(home: Path) -> None:
    with running(Config(home, port=0)) as first:
        link = first.call("POST", "/api/v1/login-links").json()["url"]
        cookie = first.call("GET", link, key="", allow_redirects=False).headers["Set-Cookie"].partition(";")[0]

    with running(Config(home, port=0)) as second:
        assert second.admin == first.admin
        assert second.call("GET", "/api/v1/me", key="", headers={"Cookie": cookie}).json()["scope"] == "admin"
