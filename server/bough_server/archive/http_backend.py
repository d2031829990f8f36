"""Git over HTTP: the smart protocol through git's own ``http-backend``, streamed both ways.

Nothing is buffered, so that a push of any size costs no memory here, and few backends run at once, because each may
take a core and much memory. Who may do what is decided before (`bough_server.api.git`); here a push can only add
``refs/bough/code/<sha>``, and records below ``refs/bough/incoming/`` where that is allowed, whatever it asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from bough import _git
from bough.errors import Unavailable
from bough_server.archive.records import INCOMING_REFS
from bough_server.archive.repositories import CODE_REFS, Repositories

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BACKENDS = 4
_CHUNK = 64 * 1024
_STDERR_BYTES = 4000
_END_S = 10.0  # that git is given to end by itself once it has answered
_MAX_HEAD_BYTES = 16 * 1024

_PATH = re.compile(
    r"/(?P<owner>[^/]+)/(?P<name>[^/]+)\.git/(?P<route>info/refs|git-upload-pack|git-receive-pack)", re.ASCII
)
_SERVICES = ("git-upload-pack", "git-receive-pack")

log = logging.getLogger("bough.git")


@dataclass(frozen=True, slots=True)
class GitRequest:
    """One request of git's smart protocol.

    Attributes:
        model: ``owner/name``; not checked yet.
        service: ``git-upload-pack`` (a fetch) or ``git-receive-pack`` (a push).
        route: ``info/refs`` or the service itself.
    """

    model: str
    service: str
    route: str

    @property
    def is_push(self) -> bool:
        """Whether it wants to write."""
        return self.service == "git-receive-pack"


def parse(method: str, path: str, query: str) -> GitRequest | None:
    """Return what a request below ``/git`` asks for, or None when it is no route of the smart protocol.

    Args:
        method: GET or POST.
        path: What follows ``/git``, decoded.
        query: The query string as it came.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    route = found["route"]
    service = query.removeprefix("service=") if route == "info/refs" else route
    if service not in _SERVICES or method != ("GET" if route == "info/refs" else "POST"):
        return None
    return GitRequest(f"{found['owner']}/{found['name']}", service, route)


class HttpBackend:
    """Runs ``git http-backend`` for requests that were allowed.

    Args:
        repositories: Where the repositories are; one that is missing is made.
        backends: How many may run at the same time; more wait.
    """

    def __init__(self, repositories: Repositories, backends: int = BACKENDS) -> None:
        self.repositories = repositories
        self._free = asyncio.Semaphore(backends)

    async def serve(
        self,
        asked: GitRequest,
        headers: Mapping[str, str],
        user: str,
        receive: Receive,
        send: Send,
        may_bring_records: bool = False,
    ) -> None:
        """Answer one request.

        Args:
            asked: What `parse` returned.
            headers: The request's headers, names in lower case.
            user: Who asks, for git's reflog.
            receive: ASGI's source of the body.
            send: ASGI's sink of the answer.
            may_bring_records: Whether a push may add to ``refs/bough/incoming/``.

        Raises:
            UsageError: The model's name is not acceptable.
            Unavailable: git could not be started, or died before it answered.
        """
        path = await asyncio.to_thread(self.repositories.ensure, asked.model)
        async with self._free, self._process(asked, headers, user, may_bring_records) as process:
            feeding = asyncio.create_task(_feed(process, receive))
            try:
                await _answer(process, send)
            finally:
                feeding.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await feeding
        log.debug("%s of %s answered", asked.route, path)

    @contextlib.asynccontextmanager
    async def _process(
        self, asked: GitRequest, headers: Mapping[str, str], user: str, may_bring_records: bool
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        options = [
            f"core.hooksPath={self.repositories.hooks}",
            "receive.hideRefs=refs/",
            f"receive.hideRefs=!{CODE_REFS}",
            f"uploadpack.hideRefs={INCOMING_REFS}",
        ]
        if may_bring_records:
            options.append(f"receive.hideRefs=!{INCOMING_REFS}")
        arguments = [part for option in options for part in ("-c", option)]
        process = await asyncio.create_subprocess_exec(
            *_git.command([*arguments, "http-backend"]),
            env=_git.environment(env=self._variables(asked, headers, user)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        listening = asyncio.create_task(_listen(process))
        try:
            yield process
            # It has answered, and ends. To signal it now would take its exit code from under asyncio, which complains.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _END_S)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            await process.wait()
            await listening

    def _variables(self, asked: GitRequest, headers: Mapping[str, str], user: str) -> dict[str, str]:
        variables = {
            "GIT_PROJECT_ROOT": str(self.repositories.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{asked.model}.git/{asked.route}",
            "QUERY_STRING": f"service={asked.service}" if asked.route == "info/refs" else "",
            "REQUEST_METHOD": "GET" if asked.route == "info/refs" else "POST",
            "REMOTE_USER": user,
            "REMOTE_ADDR": "",
        }
        passed = {
            "content-type": "CONTENT_TYPE",
            "content-length": "CONTENT_LENGTH",
            "content-encoding": "HTTP_CONTENT_ENCODING",
            "git-protocol": "GIT_PROTOCOL",
        }
        variables.update({name: headers[header] for header, name in passed.items() if header in headers})
        return variables


async def _feed(process: asyncio.subprocess.Process, receive: Receive) -> None:
    """Hand the request's body to git; end git when the client goes away."""
    assert process.stdin is not None
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            return
        more = message.get("more_body", False)
        with contextlib.suppress(ConnectionError):  # git has read enough
            process.stdin.write(message.get("body", b""))
            await process.stdin.drain()
    process.stdin.close()


async def _listen(process: asyncio.subprocess.Process) -> None:
    """Keep git's stderr from filling its pipe; the first lines go to the log."""
    assert process.stderr is not None
    kept = b""
    while chunk := await process.stderr.read(_CHUNK):
        kept = (kept + chunk)[:_STDERR_BYTES]
    if kept:
        log.warning("git: %s", _git.clean(kept).strip().replace("\n", " | "))


async def _answer(process: asyncio.subprocess.Process, send: Send) -> None:
    assert process.stdout is not None
    head, rest = await _read_head(process.stdout)
    status, headers = _parse_head(head)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while rest:
        await send({"type": "http.response.body", "body": rest, "more_body": True})
        rest = await process.stdout.read(_CHUNK)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _read_head(stdout: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the CGI header block and what was read beyond it."""
    read = b""
    while b"\r\n\r\n" not in read:
        chunk = await stdout.read(_CHUNK)
        if not chunk or len(read) > _MAX_HEAD_BYTES:
            raise Unavailable("git did not answer.", "Try again; the coordinator's log says why.")
        read += chunk
    head, _, rest = read.partition(b"\r\n\r\n")
    return head, rest or await stdout.read(_CHUNK)


def _parse_head(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    status, headers = 200, []
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return status, headers
