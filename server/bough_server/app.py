"""The coordinator as a program: puts its parts together, serves them over HTTP, and ends without losing anything.

``main`` is what the command line calls. Once ``<home>/coordinator.json`` is there, the coordinator answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import Mount

from bough.errors import UsageError
from bough.version import __version__
from bough_server import tls
from bough_server.api import (
    access,
    agents,
    events,
    export,
    jobs,
    life,
    models,
    optimizations,
    page,
    recorded,
    records,
    replies,
    search,
    tables,
    wheel,
)
from bough_server.api.connections import Connection
from bough_server.api.git import GitApp
from bough_server.api.parts import Closing
from bough_server.api.security import Access, Failures, Guard, Sessions, session_secret
from bough_server.archive.archivist import Archivist
from bough_server.archive.http_backend import HttpBackend
from bough_server.archive.repositories import Repositories
from bough_server.archive.upkeep import Upkeep
from bough_server.config import Config
from bough_server.coordinator import Coordinator
from bough_server.service.clock import SystemClock
from bough_server.service.keys import Keys, write_secret
from bough_server.store.contents import ContentStore

ADDRESS_FILE = "coordinator.json"
ROUTED = (access, optimizations, life, search, tables, models, jobs, recorded, records, agents, export, events)
SHUTDOWN_S = 5  # how long open requests may take to end
_CONNECTIONS = 2000
_SWITCH_S = 0.0005  # a thread that writes records lets the one that answers go on so soon; Python's 5 ms add up
_PUBLIC = ("0.0.0.0", "::", "")

Say = Callable[[str], None]


def create_app(
    coordinator: Coordinator,
    access_: Access,
    repositories: Repositories,
    closing: Closing | None = None,
    hosts: frozenset[str] = frozenset(),
    any_address: bool = False,
    heartbeat_s: float = events.HEARTBEAT_S,
) -> FastAPI:
    """Return the HTTP application of a coordinator.

    Args:
        coordinator: What the routes call; started by the caller.
        access_: Keys and sessions.
        repositories: What ``/git`` serves.
        closing: Set when the coordinator stops, so that streams and long polls end.
        hosts: Names, besides those of loopback, that requests may name as Host.
        any_address: Whether they may also name any numeric address.
        heartbeat_s: How often an idle event stream sends a comment.
    """
    shown = page.Page()
    app = FastAPI(
        title="bough",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        middleware=[Middleware(Guard, hosts=hosts, any_address=any_address, policy=shown.policy())],
    )
    app.state.coordinator = coordinator
    app.state.access = access_
    app.state.closing = closing or Closing()
    app.state.instance = coordinator.ground.instance
    app.state.heartbeat_s = heartbeat_s
    replies.install(app)
    for module in ROUTED:
        app.include_router(module.router)
    app.include_router(wheel.router())
    app.router.routes.append(Mount("/git", GitApp(HttpBackend(repositories), access_, coordinator.records.take_soon)))
    app.include_router(page.router(shown))
    return app


@contextlib.asynccontextmanager
async def build(config: Config, closing: Closing | None = None) -> AsyncIterator[tuple[FastAPI, Coordinator]]:
    """Start everything of a coordinator but its HTTP server, and stop it again in the right order.

    Raises:
        BoughError: The home, the store or git is not usable; in one sentence.
    """
    _make_home(config.home)
    clock = SystemClock()
    coordinator = Coordinator(config)
    await coordinator.start()
    try:
        keys = Keys(coordinator.store, clock.now)
        with _held(config.home / "start.lock"):  # coordinators that share the home make its keys once
            await keys.ensure_admin(config.home)
            secret = session_secret(config.home)
        sessions = Sessions(secret, clock.now)
        repositories = coordinator.ground.repositories
        upkeep = Upkeep(clock.monotonic)
        archivist = Archivist(
            coordinator.store,
            repositories,
            upkeep=upkeep,
            is_mine=lambda: coordinator.ground.peers.leads,
            contents=ContentStore(config.contents),
        )
        coordinator.ground.delete_records = archivist.forget
        coordinator.ground.write_records = archivist.flush
        coordinator.ground.on_archivable = lambda changes: archivist.ring(changes.optimizations, changes.models)
        archivist.start()
        try:
            found = Access(keys, sessions, Failures(clock.monotonic))
            names, any_address = own_names(config.host)
            names |= frozenset(name.lower() for name in config.tls_names)
            yield create_app(coordinator, found, repositories, closing, names, any_address), coordinator
        finally:
            await archivist.stop()
    finally:
        await coordinator.stop()


def main(config: Config, say: Say, allow_plain_http: bool = False) -> int:
    """Run a coordinator until SIGTERM or SIGINT; return the exit code.

    Args:
        config: Where and how.
        say: Is given each line that a person should read.
        allow_plain_http: Whether it may be reachable from other machines although nothing is encrypted.

    Raises:
        BoughError: It cannot start; in one sentence.
    """
    os.umask(0o077)
    if not allow_plain_http and not config.tls:
        refuse_exposure(config.host)
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not _in_container():
        say("warning: the coordinator runs as root; a user of its own is safer.")
    sys.setswitchinterval(_SWITCH_S)
    asyncio.run(serve(config, say, lambda url, server: _settle()))
    return 0


def _settle() -> None:
    """Take what was loaded out of the garbage collector's rounds: half a million objects that stay, 0.1 s each time."""
    gc.collect()
    gc.freeze()


async def serve(config: Config, say: Say, ready: Callable[[str, Server], None] | None = None) -> None:
    """Serve until asked to stop, by a signal or by `Server.stop`.

    Args:
        config: Where and how.
        say: Is given each line that a person should read.
        ready: Is given the URL and the server once connections are accepted.

    Raises:
        BoughError: It cannot start; in one sentence.
    """
    closing = Closing()
    with contextlib.closing(listen(config.host, config.port, config.share_port)) as listener:
        url = url_of(config.host, listener.getsockname()[1], config.tls)
        async with build(config, closing) as (app, coordinator):
            certificate = certificate_of(config)
            server = Server(app, closing, certificate)
            own = None if certificate is None or config.tls_cert is not None else certificate[0]
            with _stopping_on_signals(server), _address_file(config.home, url, coordinator.ground.instance, own):
                say(f"coordinator listens on {url}" + _elsewhere(config.host, url))
                if own is not None:
                    say(f"its certificate is its own; connect to {_pinned(config, url, own)}")
                if ready is not None:
                    ready(url, server)
                await server.serve(sockets=[listener])


class Server(uvicorn.Server):
    """Uvicorn, told to stop by us: it would otherwise wait for streams that never end, or end by a signal."""

    def __init__(self, app: FastAPI, closing: Closing, certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_S,
                limit_concurrency=_CONNECTIONS,
                proxy_headers=False,
                http=Connection,
                ssl_certfile=certificate[0] if certificate else None,
                ssl_keyfile=certificate[1] if certificate else None,
            )
        )
        self._closing = closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def stop(self) -> None:
        """End: streams and long polls first, then open requests, then the server."""
        self._closing.event.set()
        self.should_exit = True


def listen(host: str, port: int, is_shared: bool = False) -> socket.socket:
    """Return a socket that already listens, so that whoever reads the address can connect.

    With ``is_shared`` other coordinators of this user may listen there too: the system hands each one its part.

    Raises:
        UsageError: The port is taken or not allowed, or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024, reuse_port=is_shared)
        # asyncio does this only for sockets that name their protocol, which accepted ones of this kind do not. Without
        # it each reply waits 40 ms for the client's delayed acknowledgement of its header.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} on {host} is in use.", "Stop what uses it, or choose another: --port 0 takes a free one."
            ) from None
        if error.errno == errno.EACCES:
            raise UsageError(f"port {port} may not be used by this user.", "Choose one above 1023.") from None
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror}.", "Give an address of this machine."
        ) from None


def url_of(host: str, port: int, is_tls: bool = False) -> str:
    """Return the URL at which a coordinator bound to this address is reached from here."""
    if host in _PUBLIC:
        host = "127.0.0.1"
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def certificate_of(config: Config) -> tuple[Path, Path] | None:
    """Return the files of the certificate and its key, made if need be; None without TLS.

    Raises:
        UsageError: They cannot be read, or do not belong together.
    """
    if not config.tls:
        return None
    if config.tls_cert is not None and config.tls_key is not None:
        found = config.tls_cert, config.tls_key
    else:
        names = frozenset((*config.tls_names, *(() if config.host in _PUBLIC else (config.host,))))
        with _held(config.home / "start.lock"):
            found = tls.ensure_certificate(config.home, names, SystemClock().now())
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*found)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificate {found[0]} cannot be used with the key {found[1]}: {error.strerror or error}.",
            "Give PEM files that belong together: --tls-cert FILE --tls-key FILE.",
        ) from None
    return found


def _pinned(config: Config, url: str, certificate: Path) -> str:
    """Return the address with the fingerprint, as others are to be given it."""
    if config.host in _PUBLIC:
        name = config.tls_names[0] if config.tls_names else socket.gethostname()
        url = f"https://{name}:{url.rpartition(':')[2]}"
    return f"{url}#{tls.fingerprint(certificate)}"


def _elsewhere(host: str, url: str) -> str:
    """Return what to add to this machine's ``url`` for other machines; nothing if they are kept out."""
    if host not in _PUBLIC:
        return ""
    return f"; on other machines: {url.partition(':')[0]}://{socket.gethostname()}:{url.rpartition(':')[2]}"


def own_names(host: str) -> tuple[frozenset[str], bool]:
    """Return which names a coordinator bound to this address has besides loopback's, and whether any number is one."""
    if is_loopback(host):
        return frozenset((host,)), False
    return frozenset(name.lower() for name in (host, socket.gethostname(), socket.getfqdn())), True


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_exposure(host: str) -> None:
    """Refuse to be reachable from other machines without encryption.

    Raises:
        UsageError: The address is not loopback.
    """
    if not is_loopback(host):
        raise UsageError(
            f"{host or 'every address'} is reachable from other machines, and keys would travel unencrypted.",
            "Encrypt: --tls. Or bind to 127.0.0.1 behind a proxy with TLS, or accept it: --allow-plain-http.",
        )


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{home} cannot be made: {error.strerror}.", "Choose another folder: --home.") from None


@contextlib.contextmanager
def _address_file(home: Path, url: str, instance: str, certificate: Path | None) -> Iterator[None]:
    """Tell programs of this user where the coordinator is, as long as it answers; of several, the first one does."""
    path = home / ADDRESS_FILE
    with _held(home / "address.lock", wait=False) as is_first:
        if is_first:
            with _written(path, url, instance, certificate):
                yield
        else:
            yield


@contextlib.contextmanager
def _held(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file; yield whether it is held, which it may not be if it was not waited for."""
    with open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


@contextlib.contextmanager
def _written(path: Path, url: str, instance: str, certificate: Path | None) -> Iterator[None]:
    content = {"url": url, "pid": os.getpid(), "instance": instance, "version": __version__}
    content["certificate"] = None if certificate is None else str(certificate)
    write_secret(path, json.dumps(content) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _stopping_on_signals(server: Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    in_main_thread = threading.current_thread() is threading.main_thread()  # elsewhere whoever runs it stops it
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if in_main_thread else ()
    for name in names:
        loop.add_signal_handler(name, server.stop)
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "container" in os.environ


__all__ = ["Server", "build", "create_app", "listen", "main", "serve"]
