"""Without an agent a script reads its defaults through `bough.definition`, in whatever Python it uses, since 3.7."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SDK = Path(__file__).parents[3] / "sdk"
MODULES = sorted((SDK / "bough" / "definition").glob("*.py"))
ROOTS = (Path.home() / ".pyenv" / "versions", Path("/usr/local"), Path("/usr"))
VERSIONS = ("3.7", "3.8", "3.9", "3.10")

SCRIPT = """
import json
from bough.definition import Space, parse, replace_templates, schema

definition = parse({
    "model": "a/b", "command": "x {{args}}",
    "hyperparameters": {"lr": 0.5, "o": {"type": "choice_group", "choices": {"s": {"n": 3}, "t": {}}}},
    "optimization": {
        "algorithm": "grid",
        "space": {"lr": "range(0, 0.5, 0.005)", "o": "choice", "o.s.n": "uniformint(1, 3)"},
    },
})
assert Space.from_json(json.loads(json.dumps(definition.space.to_json()))) == definition.space
assert definition.settings.max_trials == 100 and schema()
try:
    parse({"model": "a/b", "command": "x", "hyperparametrs": {}})
except Exception as error:
    print(error)
argv = replace_templates(definition.commands[0].argv, definition.values({"o": "t"}))
print(json.dumps([definition.defaults(), argv]))
"""


def interpreter(version: str) -> str | None:
    found = [path for root in ROOTS for path in sorted(root.glob(f"{version}.*/bin/python"))]
    return str(found[-1]) if found else shutil.which("python" + version)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_the_syntax_is_that_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("version", VERSIONS)
def test_definitions_are_understood_by_old_interpreters(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    env = {**os.environ, "PYTHONPATH": str(SDK), "PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run([python, "-W", "error", "-c", SCRIPT], env=env, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    sentence, values = done.stdout.splitlines()
    assert sentence == "unknown key hyperparametrs in bough.yml. Did you mean hyperparameters?"
    assert json.loads(values) == [{"lr": 0.5, "o": "s", "o.s.n": 3}, ["x", "--lr=0.5", "--o=t"]]
