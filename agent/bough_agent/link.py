"""The agent's line to its coordinator: three calls over HTTP, each with a time limit, each error with its class.

Whatever goes wrong on the way (no network, a proxy's page, half a reply) is `Unavailable`: the same call may be made
again, for ever, because every call is idempotent. `Backoff` says when.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Sequence
from typing import Any

import requests
from requests.auth import AuthBase

from bough import _trust
from bough.errors import BoughError, Unavailable, from_reply
from bough.version import __version__
from bough_agent.messages import Json, Reply, read_reply
from bough_agent.parts import Part

CONNECT_S = 5.0
READ_S = 30.0
BACKOFF_LEAST_S = 0.5
BACKOFF_MOST_S = 30.0
SYNC_TYPE = "application/x-bough-sync"


class TooLarge(BoughError):
    """The coordinator, or a proxy before it, takes only smaller messages."""

    status = 413
    code = "too_large"


class Fault(Unavailable):
    """The coordinator failed to handle this very message: another one may do."""

    status = 500
    code = "error"


class _Bearer(AuthBase):
    """The key as a header. An object of its own, because requests would let ~/.netrc overwrite a plain header."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Link:
    """One connection to a coordinator, for one thread.

    Args:
        url: Address of the coordinator, without a trailing slash.
        key: The agent's key.
        read_s: How long a reply may take, seconds.
    """

    def __init__(self, url: str, key: str, read_s: float = READ_S) -> None:
        self._url = url
        self._read_s = read_s
        self._session = requests.Session()
        self._session.auth = _Bearer(key)
        self._session.headers["User-Agent"] = f"bough-agent/{__version__}"

    def register(self, body: Json) -> Json:
        """Introduce the agent; return ``agent_id``, ``instance`` and the coordinator's times."""
        reply = self._call("POST", "/api/v1/agents", json=body)
        if not isinstance(reply.get("agent_id"), str):
            raise Unavailable(f"{self._url} did not say which agent this is.", "Check that it is a bough coordinator.")
        return reply

    def sync(self, agent_id: str, header: Json, parts: Sequence[Part]) -> Reply:
        """Send a heartbeat with everything that is to be said; return the answer."""
        line = json.dumps({**header, "parts": [part.header() for part in parts]}, separators=(",", ":"))
        data = b"".join([line.encode(), b"\n", *(part.data for part in parts)])
        path = f"/api/v1/agents/{agent_id}/sync"
        return read_reply(self._call("POST", path, data=data, headers={"Content-Type": SYNC_TYPE}))

    def bell(self, agent_id: str, after: int, wait_s: float) -> int:
        """Wait until something changed for this agent, at most ``wait_s``; return the number of the change."""
        path = f"/api/v1/agents/{agent_id}/bell"
        reply = self._call("GET", path, params={"after": after, "wait": f"{wait_s:g}"}, extra_s=wait_s)
        bell = reply.get("bell")
        return bell if isinstance(bell, int) else after

    def close(self) -> None:
        """Drop the connection; a call that waits in another thread fails."""
        self._session.close()

    def _call(self, method: str, path: str, extra_s: float = 0.0, **more: Any) -> Json:
        try:
            answer = self._session.request(
                method,
                self._url + path,
                timeout=(CONNECT_S, self._read_s + extra_s),
                allow_redirects=False,
                verify=_trust.authority_for(self._url),
                **more,
            )
            return self._read(answer)
        except requests.RequestException as error:
            distrusted = _trust.distrust(self._url, error)
            raise distrusted or Unavailable(
                f"the coordinator at {self._url} cannot be reached ({_reason(error)}).",
                "Check that it runs, and the address.",
            ) from None

    def _read(self, answer: requests.Response) -> Json:
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        body = None
        if kind == "application/json":
            with contextlib.suppress(ValueError):
                body = answer.json()
        if answer.status_code == 413:
            raise TooLarge(f"{self._url} does not take messages of this size.")
        if not isinstance(body, dict):
            raise Unavailable(
                f"{self._url} answered with status {answer.status_code} and {kind or 'nothing'} instead of JSON.",
                "Check the address, and whether a proxy answers in the coordinator's place.",
            )
        if not 200 <= answer.status_code < 300:
            what = str(body.get("detail") or f"the coordinator answered with status {answer.status_code}.")
            if answer.status_code == 500:
                raise Fault(what, str(body.get("remedy") or ""))
            raise from_reply(answer.status_code, str(body.get("error", "")), what, str(body.get("remedy") or ""))
        return body


class Backoff:
    """How long to wait before the next try: full jitter up to a bound that doubles with each failure."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._bound_s = BACKOFF_LEAST_S

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._bound_s = BACKOFF_LEAST_S

    def next_s(self) -> float:
        """Return the seconds to wait after one more failure."""
        bound_s, self._bound_s = self._bound_s, min(BACKOFF_MOST_S, self._bound_s * 2)
        return self._rng.uniform(BACKOFF_LEAST_S / 2, bound_s)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    text = str(error)
    for sign in ("Connection refused", "Name or service not known", "Temporary failure in name resolution"):
        if sign in text:
            return sign[0].lower() + sign[1:]
    return type(error).__name__
