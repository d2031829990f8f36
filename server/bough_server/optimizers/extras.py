"""What an algorithm needs beside the extra `server`, looked for by name before an optimization starts."""

from __future__ import annotations

from importlib import metadata

from bough.errors import UsageError

NEEDS = {
    "optuna-tpe": ("optuna",),
    "optuna-gp": ("optuna", "torch"),
    "optuna-cmaes": ("optuna", "cmaes"),
}


def check_installed(algorithm: str) -> None:
    """Raise `UsageError` with the line for pip if this algorithm cannot run in this Python."""
    there = optional_versions()
    missing = [name for name in NEEDS.get(algorithm, ()) if name not in there]
    if missing == ["torch"]:
        raise UsageError(f"algorithm {algorithm} needs PyTorch: pip install torch where the coordinator runs.")
    if missing:
        what = f"algorithm {algorithm} needs the extra optuna: pip install 'bough[optuna]' where the coordinator runs."
        raise UsageError(what)


def optional_versions() -> dict[str, str]:
    """Return the version of each optional package that is installed, by name."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for names in NEEDS.values() for name in names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
