"""Rules that the code itself keeps: what never happens in it cannot be got wrong once (S1, S13, S20, S27, S36, S38)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("sdk", "agent", "server", "cli")
FILES = [path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))]
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|ALTER|DROP|CREATE)\b")
SECRET = re.compile(r"secret|token|digest|signature|password|checksum|(^|_)crc$")


def parsed() -> Iterator[tuple[Path, ast.AST]]:
    for path in FILES:
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def test_there_is_code_to_look_at() -> None:
    assert len(FILES) > 150


def test_nothing_is_unpickled_and_nothing_is_evaluated() -> None:
    """Data from elsewhere is JSON, YAML by the safe loader, or bytes; a pickle would be a program."""
    banned = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
    for path, tree in parsed():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not banned & {name.partition(".")[0] for name in names}, f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), f"{path}:{node.lineno}"


def test_yaml_is_only_loaded_by_a_safe_loader() -> None:
    for path, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
                assert node.attr not in ("load", "load_all", "Loader", "FullLoader", "UnsafeLoader", "full_load"), path


def test_no_shell_ever_reads_text_from_a_user() -> None:
    for path, tree in parsed():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("os.system", "os.popen", "subprocess.getoutput"), f"{path}:{node.lineno}"
            for keyword in node.keywords:
                if keyword.arg == "shell":
                    assert ast.unparse(keyword.value) == "False", f"{path}:{node.lineno}"


def test_sql_is_never_put_together_from_values() -> None:
    """A literal statement may hold constants of the code (capital letters), nothing else."""
    for path, tree in parsed():
        if "bough_server" not in path.parts:
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.JoinedStr) or not SQL.match(_beginning(node)):
                continue
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    told = ast.unparse(part.value)
                    is_constant = told.rpartition(".")[2].isupper() or told == "lock"
                    assert is_constant, f"{path}:{node.lineno} puts {told} into SQL"


def _beginning(node: ast.JoinedStr) -> str:
    first = node.values[0]
    return str(first.value) if isinstance(first, ast.Constant) else ""


def test_secrets_are_compared_in_constant_time() -> None:
    door = [path for path in FILES if path.name in ("security.py", "keys.py", "access.py") and "server" in path.parts]
    assert len(door) == 3
    for path in door:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
                assert not any(SECRET.search(side.rpartition(".")[2]) for side in sides), f"{path}:{node.lineno}"


@pytest.mark.parametrize("word", ["verify=False", "verify = False", "StrictHostKeyChecking=no", "sslVerify=false"])
def test_verification_is_never_turned_off(word: str) -> None:
    for path in FILES:
        assert word not in path.read_text(encoding="utf-8"), path


def test_the_one_place_that_does_not_verify_compares_what_it_got() -> None:
    uses = [path.relative_to(ROOT) for path in FILES if "CERT_NONE" in path.read_text(encoding="utf-8")]

    assert [str(path) for path in uses] == ["sdk/bough/_trust.py"]


def test_the_page_never_makes_html_of_text() -> None:
    for path in (ROOT / "server" / "bough_server" / "web" / "app").rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "dangerouslySetInnerHTML",
            "eval(",
        ):
            assert word not in text, path
