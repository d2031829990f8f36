"""The wheel that the coordinator hands out, made from files that are installed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from bough.errors import NotFound
from bough_server.api.wheel import build

_FILES = {
    "bough/__init__.py": "VALUE = 1\n",
    "bough/__pycache__/__init__.cpython-311.pyc": "code",
    "bough_server/web/index.html": "<!doctype html>",
    "../../../bin/bough": "#!/bin/sh",
    "bough-0.1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: bough\nVersion: 0.1.0\n",
    "bough-0.1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "bough-0.1.0.dist-info/INSTALLER": "pip\n",
}


def installed(folder: Path, direct_url: dict[str, object] | None = None, without: str = "") -> Distribution:
    """Lay out what an installation leaves behind."""
    site = folder / "lib" / "python" / "site-packages"
    files = {name: text for name, text in _FILES.items() if not without or not name.startswith(without)}
    if direct_url is not None:
        files["bough-0.1.0.dist-info/direct_url.json"] = json.dumps(direct_url)
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    record = "".join(f"{name},,\n" for name in files)
    (site / "bough-0.1.0.dist-info" / "RECORD").write_text(record)
    return next(iter(distributions(name="bough", path=[str(site)])))


def test_it_holds_what_a_wheel_holds_and_can_be_installed(tmp_path: Path) -> None:
    name, content = build(installed(tmp_path / "one"))

    wheel = tmp_path / name
    wheel.write_bytes(content)
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(archive.namelist())
    assert names == [
        "bough-0.1.0.dist-info/METADATA",
        "bough-0.1.0.dist-info/RECORD",
        "bough-0.1.0.dist-info/WHEEL",
        "bough/__init__.py",
        "bough_server/web/index.html",
    ]
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    assert (target / "bough" / "__init__.py").read_text() == "VALUE = 1\n"
    assert build(installed(tmp_path / "two")) == (name, content)


def test_an_editable_install_has_no_wheel_and_says_so(tmp_path: Path) -> None:
    found = installed(tmp_path, {"url": "file:///x", "dir_info": {"editable": True}})

    with pytest.raises(NotFound, match=r"cannot hand out its wheel: it runs from an editable install\. Install bough"):
        build(found)


def test_a_source_tree_has_no_wheel_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot hand out its wheel: it runs from a source tree"):
        build(installed(tmp_path, without="bough/"))
