"""What a coordinator knows, read back into a script or a notebook: the trials of an optimization, or its points.

With the standard library alone, so that any interpreter can; the coordinator is that of the command line: named by
BOUGH_COORDINATOR, logged in to, or running here.
"""

from __future__ import annotations

import json
import os

from bough import _layout
from bough.errors import BoughError, UsageError, from_reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

TIMEOUT_S = 60.0
_NOT_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def history(id_: str, points: bool, frame: bool, coordinator: Optional[str], key: Optional[str]) -> Any:
    """Return the rows of an export; see `bough.history`."""
    pandas: Any = _pandas() if frame else None
    url, token = find(coordinator, key)
    query = "?format=jsonl&points=" + ("true" if points else "false")
    try:
        text = fetch(url, token, "/optimizations/" + _quoted(id_) + "/export" + query)
    except BoughError as error:
        if error.status != 404:
            raise
        text = fetch(url, token, "/jobs/" + _quoted(id_) + "/export" + query)
    rows = [_row(line, points) for line in text.decode("utf-8").splitlines() if line]
    return rows if pandas is None else pandas.DataFrame(rows)


def to_hyperopt(id_: str, coordinator: Optional[str], key: Optional[str]) -> Any:
    """Return a `hyperopt.Trials` of an optimization; see `bough.to_hyperopt`."""
    try:
        from importlib import import_module

        hyperopt: Any = import_module("hyperopt")
    except ImportError:
        raise UsageError("there is no hyperopt in this Python.", "Install it: pip install hyperopt.") from None
    url, token = find(coordinator, key)
    from bough._hyperopt import documents

    found = documents(json.loads(fetch(url, token, "/optimizations/" + _quoted(id_) + "/asks")))
    return hyperopt.trials_from_docs(found) if found else hyperopt.Trials()


def _pandas() -> Any:
    try:
        from importlib import import_module

        return import_module("pandas")
    except ImportError:
        raise UsageError(
            "there is no pandas in this Python.", "Install it (pip install pandas), or leave out frame=True."
        ) from None


def _row(line: str, points: bool) -> Dict[str, Any]:
    """Return a row with numbers where the JSON had their names; texts of text channels stay texts."""
    row: Dict[str, Any] = json.loads(line)
    names = ("x", "y") if points else [name for name in row if name.startswith(("kpi", "channel."))]
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value in _NOT_FINITE:
            row[name] = _NOT_FINITE[value]
    return row


def find(coordinator: Optional[str] = None, key: Optional[str] = None) -> Tuple[str, Optional[str]]:
    """Return address and key of the coordinator.

    Raises:
        UsageError: None is named, none is logged in to, none runs here.
    """
    home = os.path.expanduser(os.environ.get(_layout.HOME) or "~/.bough")
    login = _json_file(os.path.join(home, "login.json"))
    local = _json_file(os.path.join(home, "coordinator", "coordinator.json"))
    url = coordinator or os.environ.get(_layout.COORDINATOR) or login.get("url") or local.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        remedy = "Log in to one (bough login URL), start one (bough up), or give coordinator=."
        raise UsageError("no coordinator is known here.", remedy)
    url = url.rstrip("/")
    token = key or os.environ.get(_layout.KEY)
    if not token and login.get("url") == url:
        token = login.get("key")
    if not token and local.get("url") == url:
        token = _text_file(os.path.join(home, "coordinator", "admin.key"))
    return url, token


def fetch(url: str, token: Optional[str], path: str) -> bytes:
    """Return the body of a GET below ``/api/v1``.

    Raises:
        BoughError: The coordinator refused, or does not answer.
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:  # the key goes to this address and to no other
            return None

    handlers: List[Any] = [NoRedirect()]
    if url.split("//")[1].split(":")[0].split("/")[0] in ("127.0.0.1", "localhost", "[::1]"):
        handlers.append(ProxyHandler({}))
    request = Request(url + "/api/v1" + path, headers={"Authorization": "Bearer " + token} if token else {})
    try:
        with build_opener(*handlers).open(request, timeout=TIMEOUT_S) as reply:
            return bytes(reply.read())
    except HTTPError as error:
        with error:
            raise _refusal(error.code, error.read(65536)) from None
    except (URLError, OSError) as error:
        raise from_reply(
            503, "unavailable", "the coordinator at " + url + " does not answer (" + str(error) + ").",
            "Start it with `bough up`, or check the address.",
        ) from None  # fmt: skip


def _refusal(status: int, body: bytes) -> BoughError:
    try:
        told = json.loads(body)
        return from_reply(status, str(told["error"]), str(told["detail"]), str(told.get("remedy") or ""))
    except (ValueError, KeyError, TypeError):
        return from_reply(status, "", "the coordinator answered with status " + str(status) + ".", "Check the address.")


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(str(text), safe="")


def _json_file(path: str) -> Dict[str, Any]:
    try:
        found = json.loads(_text_file(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text_file(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or None
    except OSError:
        return None
