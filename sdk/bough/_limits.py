"""The epoch limit: when it is reached, and how a script asks to be stopped there.

Promises: no order of a script's two lines, KPI and progress, loses the KPI of the last epoch; the limit is taken at
most once in a process; the supervisor signals the whole job, and only where none answers does the process signal
itself. The cause is written down before anybody is signalled.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from bough import _layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # what is needed of it: the module itself loads enum

POLL_S = 0.005
SIGNAL_WAIT_S = 1.0  # from control/stop to the signal; afterwards the user's handler only printed


class EpochLimit:
    """Decides when the limit is to be taken. No clock, no file: events in, "take it now" out.

    Where the KPI comes before progress, the limit is taken in the progress call that reaches it, provided the KPI
    came since the previous one. Otherwise it is armed, and taken right after the next KPI point or in the next
    progress call. A process without a KPI channel has nothing to wait for, unless it is a follower: rank 1 must not
    stop the job while rank 0 still computes the KPI of that epoch, so it waits for its own next progress call.

    Args:
        max_epochs: Epochs to run, None: without end.
        is_follower: This process has a rank above 0 in a group of processes.
    """

    def __init__(self, max_epochs: float | None, is_follower: bool = False) -> None:
        self.max_epochs = max_epochs
        self.is_follower = is_follower
        self.has_kpi = False
        self._kpi_is_first: bool | None = None
        self._kpi_came = False
        self._is_armed = False

    def kpi(self) -> bool:
        """A KPI point was written: is the limit to be taken now?"""
        if self._kpi_is_first is None:
            self._kpi_is_first = True
        self._kpi_came = True
        return self._is_armed

    def progress(self, epochs: float) -> bool:
        """So many epochs are finished: is the limit to be taken now?"""
        if self._kpi_is_first is None and epochs >= 1:
            self._kpi_is_first = False
        kpi_came, self._kpi_came = self._kpi_came, False
        if self.max_epochs is None:
            return False
        if self._is_armed:
            return True
        if not epochs >= self.max_epochs:  # also when it is NaN
            return False
        has_nothing_to_wait_for = not self.has_kpi and not self.is_follower
        if has_nothing_to_wait_for or (self._kpi_is_first and kpi_came):
            return True
        self._is_armed = True
        return False


class Control:
    """The control folder of an attempt, as the script sees it.

    Args:
        attempt_dir: The attempt's folder, None where no agent runs the script.
    """

    def __init__(self, attempt_dir: str | None) -> None:
        self._limit = os.path.join(attempt_dir, _layout.LIMIT) if attempt_dir else None
        self._stop = os.path.join(attempt_dir, _layout.STOP) if attempt_dir else None
        self._once = allocate_lock()
        self._looked_at = -1.0
        self._is_stopping = False

    def should_stop(self, now: float) -> bool:
        """Is the job being stopped? Looks at the disk at most every 50 ms of `now`, and never takes a yes back."""
        if not self._is_stopping and self._stop and now - self._looked_at >= _layout.SUPERVISOR_POLL_S:
            self._looked_at = now
            self._is_stopping = os.path.exists(self._stop)
        return self._is_stopping

    def begin(self) -> bool:
        """Return True to the first caller in this process, who then says so in the journal and calls `stop`."""
        if not self._once.acquire(False):
            return False
        self._is_stopping = True
        return True

    def stop(self) -> None:
        """Ask the supervisor to stop the job and wait for its signal; without an answer, signal this process.

        Returns when the script goes on nevertheless, because its handler did. Where the handler raises, as Python's
        own does, that exception comes out of here.
        """
        if self._ask() and self._answered():
            time.sleep(SIGNAL_WAIT_S)  # the signal ends this sleep, unless the handler only prints
            return
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # here the handler runs, at the latest

    def _ask(self) -> bool:
        """Put control/limit there, whole: the signal may come before this call has returned."""
        if self._limit is None:
            return False
        if os.path.exists(self._limit):  # another rank was first
            return True
        temporary = self._limit + "." + str(os.getpid())
        try:
            with open(temporary, "w", encoding="ascii") as file:
                file.write(_layout.MAX_EPOCHS)
            os.replace(temporary, self._limit)  # over another rank's, should it be there by now: it says the same
        except OSError:
            return False
        return True

    def _answered(self) -> bool:
        assert self._stop is not None
        deadline = time.monotonic() + _layout.LIMIT_WAIT_S
        while not os.path.exists(self._stop):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True
