"""A proxy between bough's parts that misbehaves when it is told to: it loses replies after the request was handled,
sends requests twice, cuts replies short, lets go of connections, or holds everything back as a dead link does.

It understands as much HTTP as bough speaks below /api; everything else (git) is passed on as bytes.
"""

from __future__ import annotations

import re
import select
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable

Decide = Callable[[str, int], str]  # (endpoint, how many of its requests came before) → what is done with the reply
PASS, DROP, TRUNCATE, DUPLICATE = "pass", "drop", "truncate", "duplicate"
_IDS = re.compile(r"/[a-z][a-z0-9]{7}(?=/|$)")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def endpoint_of(head: bytes) -> str:
    """Return method and path of a request, with {id} where ids are."""
    method, target, *_ = head.split(b"\r\n", 1)[0].decode().split(" ")
    return f"{method} {_IDS.sub('/{id}', target.partition('?')[0])}"


class Proxy:
    """Listens on a port of its own until it is closed.

    Args:
        port: Of the coordinator, on this machine.

    Attributes:
        done: What was done, by (endpoint, what), since `misbehave`.
    """

    def __init__(self, port: int) -> None:
        self.upstream = ("127.0.0.1", port)
        self._decide: Decide = lambda endpoint, n: PASS
        self.done: Counter[tuple[str, str]] = Counter()
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._is_cut = False
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    # -- faults ---------------------------------------------------------------------------------------------
    def misbehave(self, decide: Decide) -> None:
        """From now on do with each reply what is decided, and count anew."""
        with self._lock:
            self._decide = decide
            self._seen.clear()
            self.done.clear()

    def cut(self) -> None:
        """Let go of every connection, and of every new one at once, until `mend`."""
        self._is_cut = True
        self._let_go()

    def hold(self) -> None:
        """Pass on nothing in either direction, and let go of nothing, until `mend`."""
        self._flows.clear()

    def mend(self) -> None:
        """Work as a proxy should again."""
        self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        self.mend()
        self._server.shutdown()
        self._server.server_close()
        self._let_go()
        self._thread.join(10)

    def _let_go(self) -> None:
        with self._lock:
            for one in self._open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    # -- one connection -------------------------------------------------------------------------------------
    def serve(self, client: socket.socket) -> None:
        """Pass on requests and replies until one side goes."""
        if self._is_cut:
            return
        try:
            with socket.create_connection(self.upstream, 5) as upstream:
                upstream.settimeout(None)
                with self._lock:
                    self._open |= {client, upstream}
                try:
                    self._talk(client, upstream)
                finally:
                    with self._lock:
                        self._open -= {client, upstream}
        except (OSError, ValueError):
            return

    def _talk(self, client: socket.socket, upstream: socket.socket) -> None:
        rest = b""
        while True:
            head, rest = _until_head_ends(client, rest)
            if not head:
                return
            if b" /api/" not in head.split(b"\r\n", 1)[0]:
                upstream.sendall(head + rest)
                self._tunnel(client, upstream)
                return
            body, rest = _exactly(client, rest, _length_of(head))
            self._flows.wait()
            if not self._pass_on(client, upstream, head, body):
                return

    def _pass_on(self, client: socket.socket, upstream: socket.socket, head: bytes, body: bytes) -> bool:
        """Return whether the connection is of further use."""
        endpoint = endpoint_of(head)
        with self._lock:
            what = self._decide(endpoint, self._seen[endpoint])
            self._seen[endpoint] += 1
            self.done[endpoint, what] += 1
        upstream.sendall(head + body)
        reply = _reply(upstream)
        if what == DUPLICATE:
            upstream.sendall(head + body)
            reply = _reply(upstream)
        self._flows.wait()
        if what == DROP:
            return False
        client.sendall(reply[: len(reply) // 2] if what == TRUNCATE else reply)
        return what != TRUNCATE

    def _tunnel(self, client: socket.socket, upstream: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, upstream], [], [])
            for one in ready:
                data = one.recv(1 << 16)
                if not data:
                    return
                self._flows.wait()
                (upstream if one is client else client).sendall(data)


def _until_head_ends(connection: socket.socket, rest: bytes) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in rest:
        data = connection.recv(1 << 16)
        if not data:
            return b"", b""
        rest += data
    at = rest.index(b"\r\n\r\n") + 4
    return rest[:at], rest[at:]


def _exactly(connection: socket.socket, rest: bytes, n: int) -> tuple[bytes, bytes]:
    while len(rest) < n:
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionError("it went away")
        rest += data
    return rest[:n], rest[n:]


def _length_of(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found.group(1)) if found else 0


def _reply(upstream: socket.socket) -> bytes:
    head, rest = _until_head_ends(upstream, b"")
    if not head:
        raise ConnectionError("no reply")
    return head + _exactly(upstream, rest, _length_of(head))[0]


class Stranger:
    """A server that is no coordinator: it answers with a page, or closes the connection."""

    def __init__(self, answer: str) -> None:
        page = b"<html>please log in</html>"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        reply = head % len(page) + page if answer == "html" else b""
        self.asked = 0
        stranger = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(1 << 16)
                stranger.asked += 1
                self.request.sendall(reply)

        self._server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        self.address = ("127.0.0.1", int(self._server.server_address[1]))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Stranger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
