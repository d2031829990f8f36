"""Run the command as ``python -m bough_cli``: how bough starts its own daemons."""

import sys

from bough_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
