"""A program that answers each line on stdin from a process that has never answered before: as after a restart.

It reads what the optimizer process reads (`bough_server.optimizers.worker`), and forks for every line.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

from bough_server.optimizers import registry
from bough_server.optimizers.worker import Search


def main() -> None:
    """Answer until stdin ends."""
    warnings.simplefilter("ignore")  # hyperopt takes the logarithm of a 0 that it drew, and goes on as it means to
    assert registry.ALGORITHMS
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(json.dumps(Search().ask(json.loads(line))), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(1)


if __name__ == "__main__":
    main()
