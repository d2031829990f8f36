"""The page's files as they lie in the repository: nothing of others, nothing from elsewhere, nothing inline."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WEB = ROOT / "server" / "bough_server" / "web"
MODULES = sorted((WEB / "app").rglob("*.js"))
INDEX = (WEB / "index.html").read_text()


def import_map() -> dict[str, str]:
    found = re.search(r'<script type="importmap">(.*?)</script>', INDEX, re.DOTALL)
    assert found is not None
    imports: dict[str, str] = json.loads(found[1])["imports"]
    return imports


def test_the_lock_names_packages_and_hashes_but_no_address() -> None:
    lock = (WEB / "package-lock.json").read_text()

    assert "resolved" not in lock
    packages = {name: one for name, one in json.loads(lock)["packages"].items() if name}
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "omit-lockfile-registry-resolved=true" in (WEB / ".npmrc").read_text().splitlines()


def test_the_page_pins_exact_versions() -> None:
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]

    assert set(wanted) == {"echarts", "htm", "preact"}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())


def test_no_file_of_the_repository_names_a_package_registry() -> None:
    hosts = ["registry." + name for name in ("npmjs.org", "npmmirror.com", "yarnpkg.com")] + [
        "pypi" + ".org/simple",
        "files." + "pythonhosted.org",
    ]
    listing = ["git", "grep", "-l", "-I", "-i", "-F", *[word for host in hosts for word in ("-e", host)]]

    found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)

    assert found.stderr == ""
    assert found.stdout == ""


def test_the_only_inline_script_is_the_import_map_and_nothing_is_styled_inline() -> None:
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", INDEX, re.DOTALL)

    assert [attributes.strip() for attributes, text in scripts if text] == ['type="importmap"']
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", INDEX)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_makes_no_markup_of_text_and_asks_nobody_else(module: Path) -> None:
    text = module.read_text()

    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerously|\beval\(|new Function|https?://", text
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_import_of_a_module_leads_to_a_file_or_to_a_library_of_the_import_map(module: Path) -> None:
    wanted = re.findall(r'(?:from|import|import\()\s*"([^"]+)"', module.read_text())

    for name in wanted:
        if name.startswith("."):
            assert (module.parent / name).resolve().is_file(), name
        else:
            assert name in import_map()


def test_the_build_fetches_what_the_import_map_names() -> None:
    libraries = re.findall(r'"[\w./-]+": "([\w.-]+\.js)"', (ROOT / "setup.py").read_text())

    assert sorted(import_map().values()) == sorted("./vendor/" + name for name in libraries)
