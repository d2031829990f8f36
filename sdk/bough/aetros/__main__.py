"""``python -m bough.aetros train.py [ARGUMENTS]``: an AETROS script by hand, without an agent.

``--simple`` runs a generated model (functions get_model, get_loss, get_optimizer, compile and train) as AETROS's
``start-simple`` did; its data come from a function ``get_datasets(trainer)`` in the same file, where AETROS asked its
server.
"""

from __future__ import annotations

import os
import runpy
import sys


def injected() -> str:
    """Return the folder in which the package ``aetros`` lies."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_injected")


def main(arguments: list[str]) -> int:
    """Run the script as ``__main__``; returns 2 where none is named."""
    is_simple = arguments[:1] == ["--simple"]
    script = arguments[1 if is_simple else 0 :]
    if not script or script[0].startswith("-"):
        sys.stderr.write("bough: no script is named. Write: python -m bough.aetros [--simple] train.py [ARGUMENTS].\n")
        return 2
    if not os.path.isfile(script[0]):
        sys.stderr.write("bough: there is no script " + script[0] + ". Check the path.\n")
        return 2
    sys.path[0] = os.path.dirname(os.path.abspath(script[0]))
    sys.path.append(injected())  # last: an aetros of one's own comes first
    sys.argv = script
    if is_simple:
        from bough.aetros.simple import run

        run(runpy.run_path(script[0], run_name="model_provider"))
    else:
        runpy.run_path(script[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
