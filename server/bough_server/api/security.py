"""Who may ask, and from where: keys, the page's session, hosts, origins, and the headers of every answer.

A program sends its key as bearer token. A browser gets a cookie once, by a link that works one time; whatever such a
browser asks to change must come from a page of this coordinator. Every route names the scopes it is for (`Allow`), and
admin may do everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bough.errors import Denied, Forbidden, NotFound
from bough_server.api.replies import error_reply
from bough_server.service.identity import ADMIN, AGENT, READ, USER, Key
from bough_server.service.keys import Keys, read_secret, write_secret
from bough_server.store import sight

LINK_S: Final = 600.0
SESSION_S: Final = 30 * 24 * 3600.0
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_FAILURES, _WINDOW_S = 10, 60.0
_ADDRESSES = 1000
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


class TooManyAttempts(Denied):
    """Too many requests with bad keys came from one address."""

    status = 429
    code = "unavailable"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many requests with a wrong key came from this address.", "Wait a minute.")
        self.retry_after_s = retry_after_s


class Failures:
    """Counts refused keys per address. Good keys are never refused for the bad ones of a neighbour.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, deque[float]] = {}

    def note(self, address: str) -> None:
        """Count one failure.

        Raises:
            TooManyAttempts: There were more than 10 within a minute.
        """
        now = self._clock()
        if address not in self._at and len(self._at) >= _ADDRESSES:
            self._at.pop(next(iter(self._at)))
        times = self._at.setdefault(address, deque(maxlen=_FAILURES))
        if len(times) == _FAILURES and now - times[0] < _WINDOW_S:
            raise TooManyAttempts(_WINDOW_S - (now - times[0]))
        times.append(now)


class Sessions:
    """One-time links and the cookies they become.

    Args:
        secret: Signs cookies; kept across restarts, so that an open page goes on.
        now: Seconds since the epoch.
    """

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self._secret = secret
        self._now = now
        self._used: dict[str, float] = {}  # code → until when it would have been good
        # Cookies do not know ports: coordinators on one machine must not take each other's.
        self.cookie = f"bough_{hashlib.sha256(secret).hexdigest()[:8]}"

    def link(self, key_id: str) -> str:
        """Return a code that opens one session with this key, once, within 10 minutes; any coordinator of this home
        takes it."""
        content = f"{key_id}.{int(self._now() + LINK_S)}.{secrets.token_urlsafe(32)}"
        return f"{content}.{self._sign('link ' + content)}"

    def redeem(self, code: str) -> str:
        """Return the value of the cookie that a code stands for; the code is used up here.

        Raises:
            Denied: The code is unknown, used or too old.
        """
        content, _, signature = code.rpartition(".")
        is_ours = hmac.compare_digest(signature.encode(), self._sign("link " + content).encode())
        key_id, until = content.split(".")[:2] if is_ours else ("", "0")
        now = self._now()
        self._used = {used: until_ for used, until_ in self._used.items() if until_ > now}
        if int(until) <= now or code in self._used:
            raise used_up()
        self._used[code] = float(until)
        content = f"{key_id}.{int(now + SESSION_S)}"
        return f"{content}.{self._sign(content)}"

    def key_id(self, cookie: str) -> str | None:
        """Return the id of the key that opened the session, or None when the cookie is not good (any more)."""
        content, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(content).encode()):
            return None
        key_id, _, until = content.partition(".")
        return key_id if int(until) > self._now() else None

    def _sign(self, content: str) -> str:
        return hmac.new(self._secret, content.encode(), hashlib.sha256).hexdigest()


def used_up() -> Denied:
    """Return the error for a link that opens nothing any more."""
    return Denied("this link was used or is older than 10 minutes.", "Get a fresh one: bough up, or bough login.")


def session_secret(home: Path) -> bytes:
    """Return the secret that signs the cookies of this home, made at the first start, readable by its owner only."""
    path = home / "session.key"
    text = read_secret(path)
    if text is None:
        text = secrets.token_hex(32)
        write_secret(path, text)
    return bytes.fromhex(text.strip())


@dataclass(frozen=True, slots=True)
class Access:
    """Finds the key that a request came with."""

    keys: Keys
    sessions: Sessions
    failures: Failures

    async def key_of(self, headers: Mapping[str, str], method: str, address: str) -> Key:
        """Return the key.

        Raises:
            Denied: There is none, or it is not good.
            Forbidden: A cookie came along with a request that another site may have made.
            TooManyAttempts: Too many bad keys came from this address.
        """
        try:
            token = bearer(headers.get("authorization", ""))
            if token is not None:
                return await self.keys.verify(token)
            key_id = self._session(headers)
            if key_id is None:
                raise Denied("this needs a key.", "Send it as bearer token, or open the page by a link: bough login.")
            key = await self.keys.by_id(key_id)
        except Forbidden:
            raise
        except Denied:
            if "authorization" in headers:
                self.failures.note(address)
            raise
        if method not in SAFE_METHODS:
            check_same_origin(headers)
        return key

    def _session(self, headers: Mapping[str, str]) -> str | None:
        value = cookie_value(headers.get("cookie", ""), self.sessions.cookie)
        return None if value is None else self.sessions.key_id(value)


class Allow:
    """A dependency of a route: the scopes it is for."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = frozenset((ADMIN, *scopes))

    async def __call__(self, request: Request) -> Key:
        """Return the key of the request.

        Raises:
            Denied: There is no good key.
            Forbidden: The key has another scope.
        """
        access: Access = request.app.state.access
        address = request.client.host if request.client else ""
        key = await access.key_of(request.headers, request.method, address)
        if key.scope not in self.scopes:
            raise Forbidden(
                f"key {key.name} has the scope {key.scope}, which may not do this.",
                f"Use a key of scope {' or '.join(sorted(self.scopes))}.",
            )
        see_what_is_its_own(key, request.path_params.get("owner"))
        return key


def see_what_is_its_own(key: Key, owner: str | None = None) -> None:
    """From now on this request sees what the bearer of ``key`` may see: a user, what belongs to the user's models.

    Args:
        key: Whose request it is.
        owner: The owner that its address names, if it names one.

    Raises:
        NotFound: The address names another one.
    """
    mine = key.user or None
    sight.see_only(mine)
    if mine is not None and owner is not None and owner != mine:
        raise NotFound(f"there is no model of {owner[:64]}.", "List them: bough optimization ls.")


READING = Allow(USER, READ)
CHANGING = Allow(USER)
AGENTS = Allow(AGENT)
SEEING_AGENTS = Allow(USER, READ, AGENT)
ANYONE = Allow(USER, READ, AGENT)
ADMINS = Allow()


def bearer(authorization: str) -> str | None:
    """Return the key in an Authorization header: a bearer token or, for git, the password of basic authentication."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def cookie_value(header: str, name: str) -> str | None:
    """Return one cookie of a Cookie header, or None."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return found.value if found else None


def check_same_origin(headers: Mapping[str, str]) -> None:
    """Refuse a change that a browser was made to send by a page of somewhere else.

    Raises:
        Forbidden: The request does not come from this coordinator's own page.
    """
    origin = headers.get("origin", "")
    own = headers.get("host", "")
    site = headers.get("sec-fetch-site", "same-origin")
    if origin not in (f"http://{own}", f"https://{own}") or site not in ("same-origin", "none"):
        raise Forbidden("this request came from another site's page.", "Use the coordinator's own page, or a key.")


def host_name(host: str) -> str:
    """Return the name in a Host header, without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


class Guard:
    """Around the whole application: answers only to its own names, and puts the headers on every answer.

    A page of another site can have its own name resolve to this machine; its requests carry that name as Host and end
    here. Addresses in numbers cannot be taken over like that, so they are allowed once the coordinator is reachable
    from outside.

    Args:
        app: What it guards.
        hosts: Names besides those of loopback.
        any_address: Whether numeric addresses are good.
        policy: The Content-Security-Policy.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], any_address: bool, policy: str) -> None:
        self._app = app
        self._hosts = hosts | _LOOPBACK
        self._any_address = any_address
        self._headers = {**_HEADERS, "content-security-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._completed(message.get("headers", []))}
            await send(message)

        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        app = self._app if self._is_own(host_name(host)) else _wrong_host
        await app(scope, receive, send_with_headers)

    def _is_own(self, name: str) -> bool:
        return name in self._hosts or (self._any_address and _is_address(name))

    def _completed(self, headers: Any) -> list[tuple[bytes, bytes]]:
        present = {bytes(name).lower() for name, _ in headers}
        missing = [(n.encode(), v.encode()) for n, v in self._headers.items() if n.encode() not in present]
        return [*headers, *missing]


async def _wrong_host(scope: Scope, receive: Receive, send: Send) -> None:
    reply = error_reply(
        421, "usage", "this coordinator does not answer to the name in the request.", "Use the address it printed."
    )
    await reply(scope, receive, send)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
