"""Clients that dawdle, one byte at a time or not at all: each is closed, and nobody else notices (C17, S24)."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.api.running import Running, running

from bough_server.api import connections
from bough_server.config import Config

MANY = int(os.environ.get("BOUGH_SLOW_CLIENTS", "60"))  # `make chaos`: 500
HOW_LONG_S = 1.0


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A coordinator whose patience is short, so that the tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "HEAD_S", HOW_LONG_S)
        patch.setattr(connections, "WINDOW_S", HOW_LONG_S)
        patch.setattr(connections, "STALL_S", HOW_LONG_S)
        patch.setattr(connections, "LOOK_S", 0.1)
        with running(Config(tmp_path_factory.mktemp("home") / "coordinator", port=0)) as found:
            yield found


def opened(api: Running) -> socket.socket:
    host, port = api.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def closed_after(connection: socket.socket, drip: bytes = b"", every_s: float = 0.1, limit_s: float = 15.0) -> float:
    """Send ``drip`` now and then; return after how many seconds the other side closed the connection."""
    started = time.monotonic()
    connection.settimeout(every_s)
    while time.monotonic() - started < limit_s:
        try:
            if drip:
                connection.send(drip)
            if connection.recv(4096) == b"":
                return time.monotonic() - started
        except TimeoutError:
            continue
        except OSError:
            return time.monotonic() - started
    raise AssertionError("it was not closed")


HEAD = (
    b"POST /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
)


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_head_that_does_not_end_is_not_waited_for(hasty: Running, drip: bytes) -> None:
    with opened(hasty) as connection:
        if drip:
            connection.send(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

        assert HOW_LONG_S * 0.8 < closed_after(connection, drip) < HOW_LONG_S * 5


def test_a_second_request_whose_head_does_not_end_is_not_waited_for(hasty: Running) -> None:
    with opened(hasty) as connection:
        connection.send(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in connection.recv(4096)
        connection.send(b"GET /api/v1/hea")

        assert closed_after(connection, b"x") < HOW_LONG_S * 5


def test_a_body_that_trickles_is_not_waited_for(hasty: Running) -> None:
    with opened(hasty) as connection:
        connection.send(HEAD % hasty.admin.encode() + b"Content-Length: 60000\r\n\r\n{")

        assert closed_after(connection, b" ") < HOW_LONG_S * 5


def test_a_body_that_comes_steadily_is_waited_for(hasty: Running) -> None:
    body = b'{"name": "steady", "scope": "read"}' + b" " * 60_000
    with opened(hasty) as connection:
        connection.send(HEAD % hasty.admin.encode() + b"Content-Length: %d\r\n\r\n" % len(body))
        step = len(body) // 12
        for start in range(0, len(body), step):
            connection.send(body[start : start + step])
            time.sleep(HOW_LONG_S / 4)  # three times as long as anyone may be silent

        assert b" 201 " in connection.recv(4096)


def test_a_reply_that_nobody_takes_is_given_up(hasty: Running, tmp_path: Path) -> None:
    """Many requests for something long are sent, and nothing is read."""
    with opened(hasty) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        deadline = time.monotonic() + 30
        connection.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                connection.send(request)
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            raise AssertionError("it was not given up")


def test_a_stream_of_events_in_which_nothing_happens_stays_open(hasty: Running) -> None:
    with opened(hasty) as connection:
        head = b"GET /api/v1/events?topic=agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n"
        connection.send(head % hasty.admin.encode())
        while b"event: hello" not in connection.recv(4096):
            pass

        with pytest.raises(AssertionError, match="was not closed"):
            closed_after(connection, limit_s=HOW_LONG_S * 4)


def test_many_of_them_do_not_keep_others_waiting(hasty: Running) -> None:
    waiting = selectors.DefaultSelector()
    slow = [opened(hasty) for _ in range(MANY)]
    for n, connection in enumerate(slow):
        start = b"GET / HTTP/1.1\r\nX: " if n % 2 else HEAD % hasty.admin.encode() + b"Content-Length: 60000\r\n\r\n{"
        connection.send(start)
        connection.setblocking(False)
        waiting.register(connection, selectors.EVENT_READ)
    opened_at, left, took = time.monotonic(), MANY, []

    while left and time.monotonic() - opened_at < 60:
        before = time.monotonic()
        assert hasty.call("GET", "/api/v1/me").status_code == 200
        took.append(time.monotonic() - before)
        for key, _ in waiting.select(0.05):
            try:
                is_over = key.fileobj.recv(4096) == b""  # type: ignore[union-attr]
            except OSError:
                is_over = True
            if is_over:
                waiting.unregister(key.fileobj)
                left -= 1

    assert left == 0, "some were never closed"
    assert sorted(took)[int(len(took) * 0.99)] < 1.0
    for connection in slow:
        connection.close()
