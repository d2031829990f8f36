"""The line to the coordinator over real HTTP: each kind of answer becomes its class of error."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bough.errors import Conflict, Denied, Unavailable, UsageError
from bough_agent.link import Backoff, Link, TooLarge

Serve = Callable[..., Link]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that give one answer to everything; return a link to each."""
    servers: list[HTTPServer] = []
    links: list[Link] = []

    def start(status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None) -> Link:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                seen.append(self.headers["Authorization"])
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        seen: list[str] = []
        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        link = Link(f"http://127.0.0.1:{server.server_address[1]}", "the-key", read_s=5)
        link.seen = seen  # type: ignore[attr-defined]
        links.append(link)
        return link

    yield start
    for link in links:
        link.close()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "denied", Denied),
        (409, "conflict", Conflict),
        (400, "usage", UsageError),
        (503, "unavailable", Unavailable),
    ],
)
def test_an_error_comes_back_as_its_class_with_the_coordinator_s_words(
    serve: Serve, status: int, code: str, kind: type[Exception]
) -> None:
    link = serve(status, b'{"error": "%s", "detail": "what.", "remedy": "do."}' % code.encode())

    with pytest.raises(kind, match=r"^what\. do\.$"):
        link.register({})


def test_a_proxy_s_page_is_no_answer(serve: Serve) -> None:
    with pytest.raises(Unavailable, match="answered with status 200 and text/html instead of JSON"):
        serve(200, b"<html>", "text/html").register({})


def test_broken_json_is_no_answer(serve: Serve) -> None:
    with pytest.raises(Unavailable, match="instead of JSON"):
        serve(200, b'{"agent_id": ').register({})


def test_half_an_answer_is_no_answer(serve: Serve) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        serve(200, b"{}", headers={"Content-Length": "100"}).register({})


def test_something_else_that_speaks_json_is_not_taken_for_a_coordinator(serve: Serve) -> None:
    with pytest.raises(Unavailable, match="did not say which agent this is"):
        serve(200, b"{}").register({})


def test_a_redirect_is_not_followed_with_the_key(serve: Serve) -> None:
    other = serve(200, b"{}")

    with pytest.raises(Unavailable, match="status 302"):
        serve(302, b"", "text/plain", {"Location": other._url}).register({})

    assert other.seen == []  # type: ignore[attr-defined]


def test_a_message_that_is_too_large_is_told_apart(serve: Serve) -> None:
    with pytest.raises(TooLarge, match="does not take messages of this size"):
        serve(413, b"", "text/plain").register({})


def test_nobody_there_is_one_sentence() -> None:
    link = Link("http://127.0.0.1:1", "k")

    with pytest.raises(Unavailable, match=r"cannot be reached \(connection refused\)\. Check that it runs"):
        link.register({})
    link.close()


def test_the_key_is_sent_even_where_netrc_knows_another(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login me password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    link = serve(200, b'{"agent_id": "a"}')

    link.register({})

    assert link.seen == ["Bearer the-key"]  # type: ignore[attr-defined]


def test_waiting_grows_to_half_a_minute_and_begins_anew_after_a_success() -> None:
    backoff = Backoff(random.Random(1))

    waits = [backoff.next_s() for _ in range(200)]
    backoff.reset()

    assert max(waits[:2]) <= 1.0
    assert 25 < max(waits) <= 30
    assert min(waits) >= 0.25
    assert backoff.next_s() <= 0.5
