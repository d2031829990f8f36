"""Routes of keys, of the page's session, and the small ones: health, me, why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from bough.errors import Denied, UsageError
from bough.version import __version__
from bough_server.api.bodies import read_json
from bough_server.api.parts import TheCoordinator, body_of
from bough_server.api.replies import json_reply
from bough_server.api.security import ADMINS, ANYONE, READING, SESSION_S, Access, used_up
from bough_server.service.identity import USER, Key

router = APIRouter(tags=["access"])
AsAdmin = Annotated[Key, Depends(ADMINS)]
Reading = Annotated[Key, Depends(READING)]


@router.get("/api/v1/health")
async def health(request: Request) -> Response:
    """Say that the coordinator is there; needs no key."""
    return json_reply({"ok": True, "version": __version__, "instance": request.app.state.instance})


@router.get("/api/v1/me")
async def me(key: Annotated[Key, Depends(ANYONE)]) -> Response:
    """Say whose key this is."""
    return json_reply({"key_id": key.id, "name": key.name, "scope": key.scope, "user": key.user})


@router.get("/api/v1/why")
async def why(found: TheCoordinator, key: Reading) -> Response:
    """Say why nothing is running."""
    return json_reply(await found.why())


@router.get("/api/v1/keys")
async def listed(request: Request, key: AsAdmin) -> Response:
    """List keys, without their secrets."""
    rows = await _access(request).keys.list()
    return json_reply({"rows": rows, "total": len(rows)})


@router.post("/api/v1/keys", status_code=201, openapi_extra=body_of("name", "scope"))
async def create(request: Request, key: AsAdmin) -> Response:
    """Make a key; this answer is the only one that shows it."""
    body = await read_json(request)
    name, scope = body.get("name", ""), body.get("scope", "")
    user = body.get("user") or (name if scope == USER else "")
    expires_s = body.get("expires_s")
    if expires_s is not None and (isinstance(expires_s, bool) or not isinstance(expires_s, int | float)):
        raise UsageError("expires_s is no number.", "Send the seconds that the key is to be good for.")
    made, token = await _access(request).keys.create(name, scope, user, expires_s)
    shown = {"id": made.id, "name": made.name, "scope": made.scope, "user": made.user, "key": token}
    return json_reply(shown, 201)


@router.delete("/api/v1/keys/{key_id}")
async def revoke(request: Request, key: AsAdmin, key_id: str) -> Response:
    """Make a key worthless."""
    await _access(request).keys.revoke(key_id)
    return json_reply({"revoked": key_id})


@router.post("/api/v1/login-links")
async def link(request: Request, key: Reading) -> Response:
    """Make a link that opens the page once, within 10 minutes, with the rights of this key."""
    return json_reply({"url": f"/login?code={_access(request).sessions.link(key.id)}"})


@router.get("/login", include_in_schema=False)
async def login(request: Request, code: Annotated[str, Query(max_length=300)] = "") -> Response:
    """Turn a link into the cookie of a session."""
    sessions = _access(request).sessions
    try:
        value = sessions.redeem(code)
        if not await _access(request).keys.is_first_use(code):  # another coordinator, or this one before a restart
            raise used_up()
    except Denied:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        return RedirectResponse("/#/link", 303)  # somebody looks: the page says it, and takes a fresh one
    reply = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    reply.set_cookie(
        sessions.cookie, value, max_age=int(SESSION_S), path="/", httponly=True, samesite="strict", secure=secure
    )
    return reply


def _access(request: Request) -> Access:
    found: Access = request.app.state.access
    return found
