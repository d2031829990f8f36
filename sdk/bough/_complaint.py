"""What becomes of a wrong call: one clear line in the log, and the training goes on.

A mistake in a report costs that report. Whoever trains for a week does not want to lose it to a loss that was None
once. The same subject is complained about a few times only: such lines come from loops.
"""

from __future__ import annotations

from bough._journal import say
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Method = TypeVar("Method", bound=Callable[..., Any])

MOST = 5  # lines about one subject
_counts: dict[str, int] = {}


def complain(subject: str, error: BaseException, outcome: str = "That report is left out.") -> None:
    """Say what was wrong with a report.

    Args:
        subject: What it was about, as "channel accuracy": the first few lines about it are said.
        error: What was wrong.
        outcome: What becomes of it; a sentence.
    """
    count = _counts[subject] = _counts.get(subject, 0) + 1
    if count <= MOST:
        text = str(error) if isinstance(error, UsageError) else type(error).__name__ + ": " + str(error)
        say(text[:2000].replace("\n", " ").replace("\r", " ") + " " + outcome)
    if count == MOST:
        say("more of that about " + subject[:200] + " is not said again.")


def spared(method: Method) -> Method:
    """Let a method of a job complain where it would raise; it returns None then."""

    def call(self: object, *args: object, **kwargs: object) -> object:
        try:
            return method(self, *args, **kwargs)
        except TypeError as error:  # wrong arguments of the call itself: the script's line is what matters
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                raise
            complain(method.__name__, error)
        except (UsageError, OSError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            complain(method.__name__, error)
        return None

    call.__name__ = method.__name__
    call.__doc__ = method.__doc__
    call.__wrapped__ = method  # type: ignore[attr-defined]  # what inspect shows as its signature
    return call  # type: ignore[return-value]
