"""`bough push`: see `bough_cli.commands.pull`, its other direction."""

from bough_cli.commands.pull import push as command

__all__ = ["command"]
