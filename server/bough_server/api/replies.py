"""What every answer looks like: JSON, and errors as ``{error, detail, remedy}`` whoever raised them.

No answer holds a traceback, a path of this machine or a line of SQL.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bough.errors import BoughError

log = logging.getLogger("bough.api")

_REMEDIES = {
    404: "Check the address; the routes are in /api/v1/openapi.json.",
    405: "Use a method that the header Allow names.",
}


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def error_reply(status: int, code: str, what: str, do: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as clients read it (`bough.errors.from_reply`)."""
    return json_reply({"error": code, "detail": what, "remedy": do}, status, headers)


def from_error(error: BoughError) -> Response:
    """Return the answer for an error that bough raised on purpose."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="bough"'
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(retry_after_s)))
    return error_reply(error.status, error.code, error.what, error.do, headers)


def install(app: FastAPI) -> None:
    """Make every error of the application, and of the framework below it, an answer of this form."""
    app.add_exception_handler(BoughError, _on_bough_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_bug)


async def _on_bough_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BoughError)
    return from_error(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {404: "there is nothing at this address.", 405: f"{request.method[:20]} is not possible here."}
    code = "not_found" if error.status_code == 404 else "usage"
    return error_reply(
        error.status_code,
        code,
        what.get(error.status_code, "the request was refused."),
        _REMEDIES.get(error.status_code, "Correct the request."),
        dict(error.headers or {}),
    )


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(str(part) for part in fault['loc'][1:])}: {fault['msg']}" for fault in error.errors()[:3]]
    return error_reply(422, "usage", f"the request is not valid: {'; '.join(faults)[:500]}.", "Correct the request.")


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_reply(
        500, "error", "the coordinator could not answer: it has a fault.", "Look at its log, and report what it says."
    )
