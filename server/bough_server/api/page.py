"""The page: static files, read once at the start, so that no request ever becomes a path.

The strict Content-Security-Policy allows no inline script but the import map, by the hash of what ``index.html`` holds.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent.parent / "web"

_SERVED = ("app", "vendor")
_LATER = ("vendor/echarts.js",)  # loaded with the first chart
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_IMPORT_MAP = re.compile(rb'<script type="importmap"[^>]*>(.*?)</script>', re.DOTALL)
_POLICY = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_WITHOUT = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>bough</title><p>This coordinator was installed '
    "without its page. Install it again without BOUGH_SKIP_WEB to have it: pip install --force-reinstall "
    "'bough[server]'. Everything else works: see bough --help.</p></html>"
)


_WORTH_PACKING = 1024  # bytes


class _File:
    """One file, and the same packed, made when it is first asked for."""

    def __init__(self, content: bytes, kind: str) -> None:
        self.content = content
        self.kind = kind
        self.tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    @cached_property
    def packed(self) -> bytes:
        """The content as gzip; always the same bytes."""
        return gzip.compress(self.content, 6, mtime=0)


class Page:
    """The files of the page.

    Args:
        folder: Holds index.html, app/ and vendor/.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.is_complete = (folder / "index.html").is_file() and (folder / "vendor").is_dir()
        self._files: dict[str, _File] = {}
        if self.is_complete:
            self._read(folder)
        else:
            self._files["index.html"] = _File(_WITHOUT.encode(), "text/html; charset=utf-8")

    def policy(self) -> str:
        """Return the Content-Security-Policy for this page."""
        maps = _IMPORT_MAP.findall(self._files["index.html"].content)
        hashes = "".join(f" 'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in maps)
        return _POLICY.format(hashes=hashes)

    def answer(self, name: str, known_tag: str | None, accepts_gzip: bool = False) -> Response | None:
        """Return the answer for one file, or None when there is none of this name."""
        file = self._files.get(name)
        if file is None:
            return None
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if known_tag == file.tag:
            return Response(status_code=304, headers=headers)
        if accepts_gzip and len(file.content) > _WORTH_PACKING:
            return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.kind)
        return Response(file.content, headers=headers, media_type=file.kind)

    def _read(self, folder: Path) -> None:
        paths = [folder / "index.html"]
        for name in _SERVED:
            paths += (path for path in (folder / name).rglob("*") if path.is_file())
        for path in paths:
            self._files[path.relative_to(folder).as_posix()] = _File(path.read_bytes(), _kind(path))
        index = self._files["index.html"]
        wanted = sorted(name for name in self._files if name.endswith(".js") and name not in _LATER)
        self._files["index.html"] = _File(with_preloads(index.content, wanted), index.kind)


def with_preloads(index: bytes, modules: Sequence[str]) -> bytes:
    """Return index.html with a link to each module behind its import map.

    Modules name each other, so that a browser would find them level by level, a round trip each: now it asks for all.
    """
    links = "".join(f'\n    <link rel="modulepreload" href="./{name}">' for name in modules).encode()
    return _IMPORT_MAP.sub(lambda found: found[0] + links, index, count=1)


def _kind(path: Path) -> str:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def router(page: Page) -> APIRouter:
    """Return the routes of the page."""
    routes = APIRouter(include_in_schema=False)

    async def page_itself(request: Request) -> Response:
        """Return index.html; which view it shows is in the fragment of its address."""
        return _or_missing(page.answer("index.html", *_wishes(request)))

    async def file(request: Request) -> Response:
        """Return one file of the page."""
        name = request.url.path.removeprefix("/")
        return _or_missing(page.answer(name, *_wishes(request)))

    routes.add_api_route("/", page_itself, methods=["GET"])
    for folder in _SERVED:
        routes.add_api_route(f"/{folder}/{{path:path}}", file, methods=["GET"])
    return routes


def _wishes(request: Request) -> tuple[str | None, bool]:
    return request.headers.get("if-none-match"), "gzip" in request.headers.get("accept-encoding", "")


def _or_missing(answer: Response | None) -> Response:
    if answer is None:
        raise HTTPException(404)
    return answer
