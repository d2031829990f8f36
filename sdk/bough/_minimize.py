"""`bough.minimize`: the door. What is behind it needs more than this folder, so it is looked for when it is called."""

from __future__ import annotations

from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, Optional

ROOM = "bough_cli.minimizing"


def minimize(
    fn: Callable[[Any], Any],
    space: Mapping[str, Any],
    algorithm: str = "tpe",
    max_trials: int = 100,
    seed: Optional[int] = None,
    initial_random: int = 20,
    name: Optional[str] = None,
    stop_after: Optional[int] = None,
    coordinator: Optional[str] = None,
    key: Optional[str] = None,
    show: bool = True,
) -> Any:
    """Search for the values at which ``fn`` is lowest, in this process, one trial after the other.

    The points are those of ``hyperopt.fmin`` for the same seed, space and results. Each trial is recorded like any
    other: in the coordinator that one is logged in to, else in the one of this user that runs here, else in this
    user's store on this machine, which `bough up` shows.

    Args:
        fn: Is called with the values of a trial, a dict: ``values["lr"]``, ``values["optimizer.lr"]``; what is not
            active is not in it. ``values.job`` is the job, as in a script: channels, progress, `should_stop`. It
            returns the loss; or a dict with ``loss`` and perhaps ``status`` "ok" or "fail", as for hyperopt; or None
            where it reported its KPI through a channel of its own. An exception is a failed trial, and the search
            goes on; so does a loss that is NaN.
        space: ``{"lr": "loguniform(1e-4, 1)", "act": "choice(relu, tanh)"}``; a dict in it is a group. For
            defaults, choice groups and optional groups give both sections of a bough.yml:
            ``{"hyperparameters": {...}, "space": {...}}``.
        algorithm: random, tpe, annealing, grid, or one of Optuna's.
        max_trials: How many trials.
        seed: Of the search; None draws one.
        initial_random: tpe draws so many trials at random first.
        name: Of the model, ``name`` or ``owner/name``; default: the name of the function.
        stop_after: End after so many failures in a row; None: never.
        coordinator: Its URL; default: the one that is logged in to, or runs here.
        key: For that one.
        show: Print a line for each trial that is better, and how it ended.

    Returns:
        The result: ``best`` (values), ``loss``, ``trials`` (dicts with number, values, loss, state, message),
        ``optimization`` (its id), ``page`` (where it can be seen).

    Raises:
        UsageError: The space or an argument is wrong, or a part of bough is missing.
        Unavailable: The coordinator cannot be reached.
    """
    from importlib import import_module

    try:
        room = import_module(ROOM)
    except (ImportError, SyntaxError) as error:
        raise UsageError(
            "bough.minimize needs all of bough and Python 3.11 or later (" + str(error) + ").",
            "Install it: pip install 'bough[server]'.",
        ) from None
    return room.minimize(
        fn, space, algorithm, max_trials, seed, initial_random, name, stop_after, coordinator, key, show
    )
