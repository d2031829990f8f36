"""The SDK as models import it: a folder that holds the package ``bough`` and nothing else.

It goes at the end of the PYTHONPATH of jobs, whatever interpreter they use, so it must bring no other package along.
The folder is named by version and content: agents of different versions do not meet, and a change is a new folder.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import bough._layout
from bough.version import __version__


def inject(home: Path) -> Path:
    """Return ``<home>/sdk/<version>-<hash>``, whose ``bough`` is the SDK of this agent. It is made once, atomically."""
    source = Path(bough._layout.__file__).parent
    files = sorted(path for path in source.rglob("*.py") if "__pycache__" not in path.parts)
    folder = home / "sdk" / f"{__version__}-{_digest(source, files)}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as temporary:
        made = Path(temporary) / "sdk"
        for path in files:
            target = made / "bough" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        # An interpreter that writes no bytecode would compile the SDK anew in each job.
        compileall.compile_dir(made, quiet=2, stripdir=str(made), prependdir=str(folder))
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # else another agent of this home was faster
                raise
    return folder


def _digest(source: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(source)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]
