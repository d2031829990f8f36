"""Speaks with a coordinator over HTTP: finds it and its key, asks, and turns refusals back into `bough.errors`.

Where the coordinator comes from, first match: the options ``--coordinator`` and ``--key``; the environment
(``BOUGH_COORDINATOR``, ``BOUGH_SECURE_KEY``); ``login.json``; a coordinator of this user that runs on this machine.
Reads and creates (with their idempotency key) are tried again when the connection breaks or the coordinator is busy.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bough import _layout, _trust
from bough.errors import BoughError, Denied, Unavailable, UsageError, from_reply
from bough_cli import home, wording

if TYPE_CHECKING:
    import requests

CONNECT_S = 5.0
READ_S = 60.0
PAUSES_S = (0.2, 0.6, 1.5)  # before the second, third and fourth try
LOGIN = "login.json"


@dataclass(frozen=True)
class Address:
    """Where a coordinator is, the key for it, and where both were found (for messages)."""

    url: str
    key: str | None
    found: str


class Client:
    """One coordinator as seen with one key. Closes its connections with ``with``."""

    def __init__(self, address: Address) -> None:
        import requests

        self.url = address.url
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = not _is_loopback(address.url)  # no proxy and no .netrc between us and ourselves
        if address.key:
            self.session.headers["Authorization"] = f"Bearer {address.key}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON reply to ``GET /api/v1<path>``; None values of the query are left out."""
        return wording.harmless(self.reply("GET", path, query=query).json())

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON reply to a POST that changes something that exists; tried once."""
        return wording.harmless(self.reply("POST", path, body=body or {}, tries=1).json())

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON reply to a PATCH; tried once."""
        return wording.harmless(self.reply("PATCH", path, body=body, tries=1).json())

    def create(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON reply to a POST that makes something; repeating it makes nothing twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return wording.harmless(self.reply("POST", path, body=body, headers=headers).json())

    def send_bytes(self, path: str, content: bytes, kind: str) -> Any:
        """Return the JSON reply to a POST of bytes that may be sent again without a second effect."""
        reply = self.reply("POST", path, content=content, headers={"Content-Type": kind})
        return wording.harmless(reply.json())

    def delete(self, path: str) -> None:
        """Delete what is at the path."""
        self.reply("DELETE", path)

    def agents(self) -> list[dict[str, Any]]:
        """Return the agents that the coordinator knows, by name."""
        told = self.get("/agents")
        rows: list[dict[str, Any]] = told["rows"] if isinstance(told, dict) else told
        return sorted(rows, key=lambda row: str(row["name"]))

    def create_key(self, name: str, scope: str, user: str = "", expires_s: float | None = None) -> dict[str, Any]:
        """Return a new key, its text under ``secret``: nobody can ask for that again."""
        body = {"name": name, "scope": scope, "user": user, "expires_s": expires_s}
        row: dict[str, Any] = self.create("/keys", body)
        return {"secret": row.pop("key"), **row}

    def log(self, job_id: str, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]:
        """Return (bytes of the job's log from the offset, how many bytes it has so far)."""
        reply = self.reply("GET", f"/jobs/{job_id}/log", query={"offset": offset, "limit": limit})
        return reply.content, int(reply.headers.get("Bough-Log-Bytes", offset + len(reply.content)))

    def download(self, path: str, **query: Any) -> Iterator[bytes]:
        """Yield the body of a GET in pieces; a refusal is raised before the first."""
        with self.reply("GET", path, query=query, stream=True) as reply:
            yield from reply.iter_content(1 << 16)

    def pages(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """Return up to ``limit`` rows of a list that comes in pages."""
        rows: list[dict[str, Any]] = []
        while len(rows) < limit:
            page = self.get(path, limit=min(limit - len(rows), 200), offset=len(rows), **query)
            rows += page["rows"]
            if not page["rows"] or len(rows) >= page["total"]:
                break
        return rows

    def page_link(self) -> str:
        """Return an address that opens the page once; the plain address where this key may not make one."""
        try:
            return self.url + str(self.post("/login-links")["url"])
        except BoughError:
            return self.url

    def reply(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        tries: int = 1 + len(PAUSES_S),
        content: bytes | None = None,
    ) -> requests.Response:
        """Return a good reply.

        Raises:
            BoughError: The coordinator refused; the class is that of its reply.
            Unavailable: It does not answer.
        """
        given = {name: _query_text(value) for name, value in (query or {}).items() if value is not None}
        for pause_s in (*PAUSES_S[: tries - 1], None):
            try:
                return self._once(method, path, given, body, headers, stream, content)
            except Unavailable:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    def _once(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,
        headers: dict[str, str] | None,
        stream: bool,
        content: bytes | None = None,
    ) -> requests.Response:
        import requests

        try:
            reply = self.session.request(
                method,
                f"{self.url}/api/v1{path}",
                params=query,
                json=body,
                data=content,
                headers=headers,
                stream=stream,
                timeout=(CONNECT_S, READ_S),
                allow_redirects=False,
                verify=_trust.authority_for(self.url),
            )
        except requests.RequestException as error:
            raise self.silent(error) from None
        if not reply.ok:
            raise _refusal(reply, self.address)
        return reply

    def silent(self, why: Exception | None = None) -> Unavailable:
        """Return the error for a coordinator that does not answer, or not so that it can be trusted."""
        distrusted = None if why is None else _trust.distrust(self.url, why)
        return distrusted or Unavailable(
            f"the coordinator at {self.url} does not answer.", "Start it with `bough up`, or check the address."
        )


def connect(url: str | None = None, key: str | None = None) -> Client:
    """Return a client of the coordinator that the options, the environment, the login or this machine name.

    Raises:
        Unavailable: There is none.
    """
    address = find(url, key)
    if address is None:
        raise Unavailable(
            "no coordinator is running here and none is configured.",
            "Start one with `bough up`, or name one with `bough login URL` or --coordinator URL.",
        )
    return Client(address)


def find(url: str | None = None, key: str | None = None) -> Address | None:
    """Return the coordinator to use, or None where none is named and none of this user's runs here.

    Raises:
        UsageError: The address is none.
    """
    named, found = url, "--coordinator"
    if named is None:
        named, found = os.environ.get(_layout.COORDINATOR) or None, _layout.COORDINATOR
    key = key or os.environ.get(_layout.KEY) or None
    login = home.read_json(home.home() / LOGIN) or {}
    if named is None and login.get("url"):
        named, found = str(login["url"]), str(home.home() / LOGIN)
    if named is None:
        local = running_here()
        return None if local is None else Address(local.url, key or local.key, local.found)
    clean = check_address(named)
    return Address(clean, key or _known_key(clean, login), found)


def running_here(folder: Path | None = None) -> Address | None:
    """Return the coordinator of this user that runs on this machine, or None; one that was killed does not count.

    Raises:
        Unavailable: One runs, with a certificate that is not trusted here.
    """
    folder = folder or home.coordinator_home()
    told = home.read_json(folder / "coordinator.json")
    if told is None or not _is_alive(told.get("pid")):
        return None
    if told.get("certificate"):  # its own
        _trust.remember(str(told.get("url")), str(told["certificate"]))
    address = Address(str(told.get("url")), home.read_text(folder / "admin.key"), str(folder))
    health = health_of(address.url)
    return address if health is not None and health.get("instance") == told.get("instance") else None


def health_of(url: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """Return what ``GET /health`` says, or None where nothing that speaks so answers in time.

    Raises:
        Unavailable: Something does, with a certificate that is not trusted here.
    """
    import requests

    with requests.Session() as session:
        session.trust_env = not _is_loopback(url)
        try:
            where = f"{url}/api/v1/health"
            reply = session.get(where, timeout=timeout_s, allow_redirects=False, verify=_trust.authority_for(url))
            said = reply.json() if reply.ok else None
        except (requests.RequestException, ValueError) as error:
            distrusted = _trust.distrust(url, error)
            if distrusted is not None:
                raise distrusted from None
            return None
    return said if isinstance(said, dict) else None


def check_address(url: str) -> str:
    """Return a coordinator's address as ``http(s)://host[:port][/path]`` without a slash at its end.

    The fingerprint of its certificate may stand behind a ``#``: that certificate is trusted from then on.

    Raises:
        UsageError: It is not one, or holds a password.
        Denied: The coordinator shows another certificate.
    """
    from urllib.parse import urlsplit

    url, fingerprint = _trust.split(url)
    trusted = home.home() / _trust.FOLDER
    _trust.load(str(trusted))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(ord(c) < 33 for c in url):
        raise UsageError(f"{url!r} is no address of a coordinator.", "Write it like http://host:8400.")
    if parts.username or parts.password:
        raise UsageError("the address of a coordinator holds no key.", "Give the key with --key, or `bough login URL`.")
    clean = url.split("?")[0].rstrip("/")
    if fingerprint is not None:
        home.folder()
        _trust.pin(clean, fingerprint, str(trusted))
    return clean


def _known_key(url: str, login: dict[str, Any]) -> str | None:
    """The key that belongs to this address: that of the login, or of the coordinator of this user that runs here."""
    if login.get("url") == url and login.get("key"):
        return str(login["key"])
    local = home.read_json(home.coordinator_home() / "coordinator.json") or {}
    return home.read_text(home.coordinator_home() / "admin.key") if local.get("url") == url else None


def _refusal(reply: requests.Response, address: Address) -> BoughError:
    try:
        told = wording.harmless(reply.json())
    except ValueError:
        told = None
    if not isinstance(told, dict) or "detail" not in told:
        return from_reply(
            reply.status_code,
            "",
            f"{address.url} answered with status {reply.status_code}, and not as a coordinator does.",
            "Check the address.",
        )
    error = from_reply(
        reply.status_code, str(told.get("error", "")), str(told["detail"]), str(told.get("remedy") or "")
    )
    if type(error) is Denied and not address.key:
        return Denied(f"the coordinator at {address.url} wants a key.", f"Give one: bough login {address.url}.")
    return error


def _query_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _is_loopback(url: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
