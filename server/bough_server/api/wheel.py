"""The coordinator's own wheel, so that an agent's machine needs only pip and this address.

An installed package has no wheel any more; one is put together again from the files that its RECORD names. From an
editable install or a source tree that is not possible, and the answer says so.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution

from fastapi import APIRouter, Response

from bough.errors import NotFound

_LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_DATE = (1980, 1, 1, 0, 0, 0)  # the same files give the same wheel


def build(found: Distribution) -> tuple[str, bytes]:
    """Return file name and content of the wheel that a distribution was installed from.

    Raises:
        NotFound: It was not installed from one.
    """
    if _is_editable(found):
        raise _no_wheel("it runs from an editable install")
    files = [file for file in found.files or [] if _belongs(file)]
    info = next((file.parts[0] for file in files if file.parts[0].endswith(".dist-info")), None)
    if info is None or not any(file.parts[0] == "bough" and file.suffix == ".py" for file in files):
        raise _no_wheel("it runs from a source tree")
    contents = {file.as_posix(): file.read_binary() for file in sorted(files)}
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    return f"bough-{found.version}-py3-none-any.whl", _zip(contents)


def router() -> APIRouter:
    """Return the routes ``/wheel/`` (what pip's --find-links reads) and ``/wheel/<name>``."""
    routes = APIRouter(prefix="/wheel", include_in_schema=False)
    built: list[tuple[str, bytes]] = []

    def own() -> tuple[str, bytes]:
        if not built:
            built.append(build(_installed()))
        return built[0]

    @routes.get("/")
    def listed() -> Response:
        """List the one wheel there is."""
        name, _ = own()
        page = f'<!doctype html><html lang="en"><title>bough</title><a href="{name}">{name}</a></html>'
        return Response(page, media_type="text/html; charset=utf-8")

    @routes.get("/{name}")
    def wheel(name: str) -> Response:
        """Return the wheel."""
        known, content = own()
        if name != known:
            raise NotFound("there is no such wheel here.", f"Install {known} from /wheel/.")
        return Response(content, media_type="application/octet-stream")

    return routes


def _installed() -> Distribution:
    try:
        return distribution("bough")
    except PackageNotFoundError:
        raise _no_wheel("it runs from a source tree") from None


def _no_wheel(why: str) -> NotFound:
    return NotFound(
        f"this coordinator cannot hand out its wheel: {why}.", "Install bough from a wheel or from its source instead."
    )


def _is_editable(found: Distribution) -> bool:
    text = found.read_text("direct_url.json")
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))


def _belongs(file: PackagePath) -> bool:
    """Tell whether the wheel held a file: not what pip made of it, such as scripts and byte code."""
    if ".." in file.parts or "__pycache__" in file.parts or file.suffix == ".pyc":
        return False
    return not (file.parts[0].endswith(".dist-info") and file.name in _LEFT_OUT)


def _record(contents: dict[str, bytes], own_name: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={digest}", len(content)))
    writer.writerow((own_name, "", ""))
    return text.getvalue().encode()


def _zip(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return file.getvalue()
