"""A real coordinator behind real HTTP on a free port, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bough_server.app import Server, serve
from bough_server.config import Config


@dataclass(frozen=True)
class Running:
    """A coordinator that answers."""

    url: str
    home: Path
    admin: str

    def call(self, method: str, path: str, key: str | None = None, **request: Any) -> requests.Response:
        """Send one request, as admin unless another key is given; ``key=""`` sends none."""
        headers = dict(request.pop("headers", {}))
        token = self.admin if key is None else key
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, headers=headers, timeout=20, **request)

    def key(self, scope: str, user: str = "") -> str:
        """Make a key and return its token."""
        reply = self.call("POST", "/api/v1/keys", json={"name": f"{scope} {user}", "scope": scope, "user": user})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["key"])


@contextlib.contextmanager
def running(config: Config) -> Iterator[Running]:
    """Run a coordinator in a thread of its own until the block ends."""
    ready: queue.Queue[tuple[str, Server, asyncio.AbstractEventLoop] | BaseException] = queue.Queue()

    def announce(url: str, server: Server) -> None:
        ready.put((url, server, asyncio.get_running_loop()))

    def run() -> None:
        try:
            asyncio.run(serve(config, lambda line: None, announce))
        except BaseException as error:
            ready.put(error)

    thread = threading.Thread(target=run, name="coordinator")
    thread.start()
    found = ready.get(timeout=30)
    if isinstance(found, BaseException):
        thread.join()
        raise found
    url, server, loop = found
    try:
        yield Running(url, config.home, (config.home / "admin.key").read_text().strip())
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(timeout=30)
        assert not thread.is_alive(), "the coordinator did not stop"
