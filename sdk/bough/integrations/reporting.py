"""What the integrations share: metrics by name become channels, one of them may be the KPI."""

from __future__ import annotations

import bough
from bough._journal import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional, Set

    from bough._channel import Channel
    from bough._job import Job

MAX_CHANNELS = 500
OWN = "the script has a channel of that name with several traces, or of text."
LOSSES = ("loss", "error", "rmse", "mae", "mse", "mape", "logloss", "perplexity", "wer", "cer", "deviance")


class Metrics:
    """Sends metrics through channels, made when a metric first appears.

    Args:
        job: The job; None is this process's.
        kpi: Name of the metric that the optimization looks at; None: bough.yml or the script names it.
        maximize: More of it is better; None: less is, where the name says loss or error.
    """

    def __init__(self, job: Optional[Job] = None, kpi: Optional[str] = None, maximize: Optional[bool] = None) -> None:
        self.job = bough.start_job() if job is None else job
        self.kpi = kpi
        self.maximize = maximize
        self._channels: Dict[str, Optional[Channel]] = {}
        self._skipped: Set[str] = set()

    def send(self, x: Any, metrics: Mapping[str, Any], maximize: Optional[bool] = None) -> None:
        """Send what there is at x: numbers only, and NaN among them; what is None or no number is left out.

        Args:
            x: Epoch or step.
            metrics: By name; the KPI is sent last, so that all of the epoch is there when a limit is taken.
            maximize: What the framework knows of their direction; None: nothing.
        """
        for name in sorted(metrics, key=lambda name: name == self.kpi):
            value = metrics[name]
            if value is None or isinstance(value, (str, bytes)):
                continue
            channel = self._channel(str(name), maximize)
            if channel is not None:
                channel.send(x, value)

    def progress(self, done: Any, total: Any = None) -> None:
        """Report that so many epochs are finished."""
        self.job.progress(done, total)

    def should_stop(self) -> bool:
        """Whether the job is being stopped."""
        return self.job.should_stop()

    def _channel(self, name: str, maximize: Optional[bool]) -> Optional[Channel]:
        if name not in self._channels:
            self._channels[name] = self._made(name, maximize)
        return self._channels[name]

    def _made(self, name: str, maximize: Optional[bool]) -> Optional[Channel]:
        if len(self._channels) >= MAX_CHANNELS:
            self._skip("more", "there are " + str(MAX_CHANNELS) + " metrics already.")
            return None
        if name in self.job._channels:  # the script's own: of several traces, or of text, it is none for us
            known = self.job._channels[name][1]
            if len(known.traces) == 1 and known.type == known.NUMBER:
                return known
            self._skip(name, OWN)
            return None
        is_kpi = name == self.kpi
        wanted = self.maximize if self.maximize is not None else maximize
        better = not is_loss(name) if wanted is None else wanted
        return self.job.create_channel(name, kpi=is_kpi, main=is_kpi, max_optimization=better)

    def _skip(self, name: str, why: str) -> None:
        """Say once that a metric is not reported, and why."""
        if name not in self._skipped:
            self._skipped.add(name)
            say("the metric " + name[:100] + " is not reported: " + why)


def is_loss(name: str) -> bool:
    """Whether less of it is better, judged by its name alone."""
    words = name.lower().replace("-", "_").replace("/", "_").split("_")
    return any(word in LOSSES for word in words)


def scalar(value: Any) -> Any:
    """Return the number in a tensor or array of one element; anything else as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", 1) not in (0,):
        try:
            return item()
        except (TypeError, ValueError, RuntimeError):
            return value
    return value
