"""An optimization as a JSON file of hyperopt's documents: ``hyperopt.trials_from_docs(json.load(file))``."""

from __future__ import annotations

import json
from pathlib import Path

from bough._hyperopt import documents
from bough_cli.client import Client


def write(client: Client, optimization_id: str, target: Path) -> str:
    """Write the file, whole or not at all, and return what was written, in words."""
    search = client.get(f"/optimizations/{optimization_id}/asks")
    found = documents(search)
    temporary = target.with_name(target.name + ".part")
    temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
    temporary.replace(target)
    left_out = len(search["history"]) - len(found)
    words = f"{target}, {len(found)} trials"
    return words + (f"; {left_out} that the space of today could not have drawn are left out" if left_out else "")
