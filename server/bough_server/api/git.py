"""``/git/<owner>/<model>.git``: who may fetch and push; the rest is git's (`bough_server.archive.http_backend`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from bough.errors import BoughError, Forbidden, NotFound
from bough_server.api.security import Access
from bough_server.archive.http_backend import GitRequest, HttpBackend, parse
from bough_server.archive.repositories import split_model
from bough_server.service.identity import ADMIN, AGENT, READ, USER, Key


class GitApp:
    """An ASGI application, mounted at ``/git``.

    Args:
        backend: Answers what is allowed.
        access: Knows the keys.
        on_records: Is told the model when somebody may have pushed records of it.
    """

    def __init__(self, backend: HttpBackend, access: Access, on_records: Callable[[str], None]) -> None:
        self._backend = backend
        self._access = access
        self._on_records = on_records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of git's."""
        started = False

        async def sending(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._answer(scope, receive, sending)
        except BoughError as error:
            if started:
                raise
            reply = PlainTextResponse(f"{error}\n", error.status)  # plain text is what git shows to its user
            if error.status == 401:  # what makes git ask its user or its credential helper
                reply.headers["WWW-Authenticate"] = 'Basic realm="bough"'
            await reply(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else ""
        key = await self._access.key_of(headers, scope["method"], address)
        path = scope["path"].removeprefix("/git")
        asked = parse(scope["method"], path, scope["query_string"].decode("latin-1"))
        if asked is None:
            raise NotFound(
                "this is no address of git's smart protocol.", "Clone <coordinator>/git/<owner>/<model>.git."
            )
        check(key, asked)
        may_bring_records = asked.is_push and key.scope in (ADMIN, USER)
        await self._backend.serve(asked, headers, key.id, receive, send, may_bring_records)
        if may_bring_records and asked.route == asked.service:
            self._on_records(asked.model)


def check(key: Key, asked: GitRequest) -> None:
    """Refuse what this key may not do.

    Agents run every model's jobs, so they fetch all and push the code of models that are known by URL; a user's key is
    for the models of that user. Records are brought by users, never by agents.

    Raises:
        Forbidden: The key is not for this repository, or may not push.
        UsageError: The model's name is not acceptable.
    """
    owner, _ = split_model(asked.model)
    if key.scope in (ADMIN, AGENT) or (key.scope == USER and key.user == owner):
        return
    if key.scope == READ and not asked.is_push and key.user in ("", owner):
        return
    what = "push to" if asked.is_push else "fetch from"
    do = f"Use a key of the user {owner} or an admin key"
    if key.scope == USER and asked.is_push:
        do += f", or name the model {key.user}/… in its bough.yml"
    raise Forbidden(f"key {key.name} may not {what} {asked.model}.", f"{do}.")
