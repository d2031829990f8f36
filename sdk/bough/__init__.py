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
    from typing import Any

    from bough._channel import Channel, LossChannel
    from bough._channel import Channel as JobChannel
    from bough._images import Image as JobImage
    from bough._job import Job
    from bough._minimize import minimize
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
    "history",
    "minimize",
    "read_tensorboard",
    "start_job",
    "to_hyperopt",
]


def start_job(
    name: str | None = None, api_key: object = None, api_token: object = None, live: bool | None = None
) -> Job:
    """Return this process's job; the first call starts it, later ones return the same.

    Args:
        name: The model, ``owner/name``. Only used where no agent runs the script: an agent knows better.
        api_key: Accepted from old scripts and ignored; bough needs no account.
        api_token: The same.
        live: Where no agent runs the script, show it on the coordinator that one is logged in to, while it runs. None:
            if the variable BOUGH_LIVE says so.

    Raises:
        UsageError: ``bough.yml`` is wrong, or the folder the agent named cannot be read.
    """
    from bough._job import start

    return start(name, live)


def context() -> Job:
    """Return this process's job: `start_job` without a name."""
    return start_job()


def read_tensorboard(
    folder: str, kpi: str | None = None, maximize: bool | None = None, follow: bool = True, job: Job | None = None
) -> int:
    """Report the scalars that this script writes for TensorBoard, live: a thread looks once a second, and at the end.

    Args:
        folder: Of the event files and of runs below it; it need not exist yet.
        kpi: The tag that the optimization looks at; None: bough.yml names it.
        maximize: More of it is better; None: less is, where the name says loss or error.
        follow: False: read what is there now, without a thread.
        job: None is this process's.

    Returns:
        How many points were reported at once; 0 with follow.
    """
    from bough.tensorboard import read_tensorboard as read

    return read(folder, job, kpi, maximize, follow)


def history(
    id: str, points: bool = False, frame: bool = False, coordinator: str | None = None, key: str | None = None
) -> Any:
    """Return the trials of an optimization, or a job, from the coordinator that the command line uses.

    Args:
        id: Of an optimization or a job, or the beginning of it.
        points: Every point instead of every trial.
        frame: As a pandas DataFrame.
        coordinator: Its address; None: BOUGH_COORDINATOR, the login, or the one that runs here.
        key: None: BOUGH_SECURE_KEY, or that of the login.

    Returns:
        A list of dicts with the columns of ``bough export``, or a DataFrame.

    Raises:
        UsageError: No coordinator is known, or pandas is missing.
        BoughError: It refused, or does not answer.
    """
    from bough._history import history as read

    return read(id, points, frame, coordinator, key)


def to_hyperopt(id: str, coordinator: str | None = None, key: str | None = None) -> Any:
    """Return the ended trials of an optimization as `hyperopt.Trials`, to go on with or to analyse.

    Labels are the full paths of hyperparameters; see `history` for the arguments and errors.
    """
    from bough._history import to_hyperopt as read

    return read(id, coordinator, key)


_HOMES = {
    "BoughError": ("bough.errors", "BoughError"),
    "Channel": ("bough._channel", "Channel"),
    "Job": ("bough._job", "Job"),
    "JobChannel": ("bough._channel", "Channel"),
    "JobImage": ("bough._images", "Image"),
    "LossChannel": ("bough._channel", "LossChannel"),
    "minimize": ("bough._minimize", "minimize"),
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
