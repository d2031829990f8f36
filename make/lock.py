"""Print what is installed here, each version with the hashes of its files, as pip takes it back.

The hashes come from the registry that pip is configured with, through pip itself (``pip download``'s report); the
registry's address is not printed, since every mirror has the same files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

OWN = "bough"


def wanted() -> list[str]:
    """Return ``name==version`` of everything that is installed, without bough itself and pip."""
    found = {one.metadata["Name"].lower(): one.version for one in metadata.distributions()}
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in (OWN, "pip")]


def main() -> int:
    """Print the lock file."""
    pins = wanted()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    done = subprocess.run([*command, "--report", "-", *pins], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr[-2000:], file=sys.stderr)
        return 1
    print("# What `make check` ran with, on Linux and this Python. Made by `make lock`.")
    for item in sorted(json.loads(done.stdout)["install"], key=lambda item: item["metadata"]["name"].lower()):
        about, archive = item["metadata"], item["download_info"]["archive_info"]
        print(f"{about['name'].lower()}=={about['version']} \\\n    --hash=sha256:{archive['hashes']['sha256']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
