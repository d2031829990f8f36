"""The arrows of ARCHITECTURE.md, read from the imports of every module; nothing is imported to find out."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = {"bough": "sdk", "bough_agent": "agent", "bough_server": "server", "bough_cli": "cli"}

# package → the parts of bough it may import besides itself.
ALLOWED = {
    "bough": set[str](),
    "bough_agent": {"bough"},
    "bough_server": {"bough"},
    "bough_cli": {"bough", "bough_agent", "bough_server"},
}
# Inside the coordinator: layer → the layers it must not know.
UNKNOWN_TO = {
    "bough_server.store": (
        "bough_server.service",
        "bough_server.api",
        "bough_server.optimizers",
        "bough_server.archive",
    ),
    "bough_server.optimizers": (
        "bough_server.store",
        "bough_server.service",
        "bough_server.api",
        "bough_server.archive",
        "bough_server.coordinator",
        "bough_server.desks",
    ),
    "bough_server.archive": ("bough_server.api", "bough_server.desks"),
    "bough_server.service": ("bough_server.api", "bough_server.desks", "bough_server.coordinator"),
    "bough_server.desks": ("bough_server.api", "bough_server.coordinator"),
}
# What an installation without [server] does not have.
ONLY_WITH_SERVER = {
    "hyperopt",
    "numpy",
    "sklearn",
    "scipy",
    "fastapi",
    "starlette",
    "uvicorn",
    "msgspec",
    "sqlalchemy",
    "alembic",
}
# Each costs a training's start more than all of bough may (reference: milliseconds of CPU).
EXPENSIVE = {
    "typing",
    "dataclasses",
    "pathlib",
    "uuid",
    "logging",
    "subprocess",
    "inspect",
    "threading",
    "socket",
    "yaml",
}
YAML_ONLY_IN = ("bough.definition", "bough._standalone")  # what reads a bough.yml


# What a script asks for by importing it, and nothing of bough does: each for the framework that the script uses.
FRAMEWORKS_OF = {
    "bough.aetros.keras": ("keras", "tensorflow"),
    "bough.aetros.layers": ("numpy",),
    "bough.aetros.training": ("numpy",),
    "bough.integrations.keras": ("keras",),
    "bough.integrations.lightgbm": ("lightgbm",),
    "bough.integrations.lightning": ("lightning", "pytorch_lightning"),
    "bough.integrations.sklearn": ("sklearn",),
    "bough.integrations.transformers": ("transformers",),
    "bough.integrations.xgboost": ("xgboost",),
}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Yield dotted name and path of each module of a package."""
    folder = ROOT / PARTS[package]
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports_of(name: str, path: Path) -> set[str]:
    """Every module that this one imports anywhere, relative ones resolved; `from a import b` gives a and a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            found.add(origin)
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    return found


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("package", PARTS)
def test_imports_between_the_parts_point_one_way(package: str) -> None:
    forbidden = set(PARTS) - ALLOWED[package] - {package}

    wrong = [
        f"{name} imports {module}"
        for name, path in modules(package)
        for module in sorted(imports_of(name, path))
        if module.split(".")[0] in forbidden
    ]

    assert wrong == []


@pytest.mark.parametrize("layer", UNKNOWN_TO)
def test_a_layer_of_the_coordinator_does_not_know_those_above_it(layer: str) -> None:
    wrong = [
        f"{name} imports {module}"
        for name, path in modules("bough_server")
        if is_within(name, layer)
        for module in sorted(imports_of(name, path))
        if any(is_within(module, above) for above in UNKNOWN_TO[layer])
    ]

    assert wrong == []


def test_the_sdk_imports_the_standard_library_only() -> None:
    """It runs in other people's environments. Only what reads a bough.yml needs yaml, and imports it late."""
    wrong = [
        f"{name} imports {module}"
        for name, path in modules("bough")
        for module in sorted(imports_of(name, path))
        if module.split(".")[0] not in sys.stdlib_module_names | {"bough", "__future__"}
        and not (module.split(".")[0] == "yaml" and any(is_within(name, one) for one in YAML_ONLY_IN))
        and module.split(".")[0] not in FRAMEWORKS_OF.get(name, ())
    ]

    assert wrong == []


@pytest.mark.parametrize("package", ["bough", "bough_agent"])
def test_what_a_base_installation_runs_needs_nothing_of_the_server_extra(package: str) -> None:
    wrong = [
        f"{name} imports {module}"
        for name, path in modules(package)
        for module in sorted(imports_of(name, path))
        if module.split(".")[0] in ONLY_WITH_SERVER and module.split(".")[0] not in FRAMEWORKS_OF.get(name, ())
    ]

    assert wrong == []


def test_importing_bough_brings_no_expensive_module_along() -> None:
    """Measured in an interpreter without site, against an empty one: only what bough itself asks for counts."""
    code = "import sys; before = set(sys.modules); import bough; print(*sorted(set(sys.modules) - before))"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'sdk')!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert EXPENSIVE.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("folder", PARTS.values())
def test_the_outer_folders_are_no_packages(folder: str) -> None:
    """One `__init__.py` there, and `import agent` would shadow a user's own module."""
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("package", PARTS)
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    """A folder without `__init__.py` imports from the checkout and is missing from the wheel."""
    folders = {path.parent for name, path in modules(package) if "migrations" not in name.split(".")}

    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}

    assert [name for package in PARTS for name, _ in modules(package) if vague & set(name.split("."))] == []


def test_a_wrong_arrow_would_be_found(tmp_path: Path) -> None:
    """The reader of imports itself: plain, from, relative, and inside a function."""
    module = tmp_path / "probe.py"
    module.write_text(
        "import bough_agent.daemon\nfrom bough_server import store\nfrom . import x\nfrom ..api import routes\n"
        "def f():\n    import sqlalchemy.sql\n"
    )

    found = imports_of("bough_server.service.probe", module)

    assert found >= {
        "bough_agent.daemon",
        "bough_server.store",
        "bough_server.service.x",
        "bough_server.api.routes",
        "sqlalchemy.sql",
    }
