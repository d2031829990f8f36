"""What a model script imports: its hyperparameters in, its metrics out.

::

    import bough
    job = bough.start_job()
    lr = job.get_parameter("optimizer.lr")
    accuracy = job.create_channel("accuracy", kpi=True)
    accuracy.send(epoch, value)
    job.progress(epoch, total)

Promises: standard library only, Python 3.7 and later; importing it loads nothing else, starts nothing and patches
nothing. What is reported survives a SIGKILL, and trouble of bough's own never stops a training.
"""

from __future__ import annotations

from bough.version import __version__

TYPE_CHECKING = False  # typing costs 6 ms; type checkers know this name
if TYPE_CHECKING:
    from bough._channel import Channel, LossChannel
    from bough._channel import Channel as JobChannel
    from bough._images import Image as JobImage
    from bough._job import Job
    from bough.errors import BoughError, UsageError

__all__ = [
    "BoughError",
    "Channel",
    "Job",
    "JobChannel",
    "JobImage",
    "LossChannel",
    "UsageError",
    "__version__",
    "context",
    "start_job",
]


def start_job(name: str | None = None, api_key: object = None, api_token: object = None) -> Job:
    """Return this process's job; the first call starts it, later ones return the same.

    Args:
        name: The model, ``owner/name``. Only used where no agent runs the script: an agent knows better.
        api_key: Accepted from old scripts and ignored; bough needs no account.
        api_token: The same.

    Raises:
        UsageError: ``bough.yml`` is wrong, or the folder the agent named cannot be read.
    """
    from bough._job import start

    return start(name)


def context() -> Job:
    """Return this process's job: `start_job` without a name."""
    return start_job()


_HOMES = {
    "BoughError": ("bough.errors", "BoughError"),
    "Channel": ("bough._channel", "Channel"),
    "Job": ("bough._job", "Job"),
    "JobChannel": ("bough._channel", "Channel"),
    "JobImage": ("bough._images", "Image"),
    "LossChannel": ("bough._channel", "LossChannel"),
    "UsageError": ("bough.errors", "UsageError"),
}

if not TYPE_CHECKING:  # a type checker knows the names from above

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError("module 'bough' has no attribute " + repr(name))
        from importlib import import_module

        found: object = getattr(import_module(home[0]), home[1])
        globals()[name] = found
        return found
