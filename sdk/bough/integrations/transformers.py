"""Hugging Face ``Trainer``: a callback that reports what it logs, its evaluations and its epochs.

::

    Trainer(…, callbacks=[Callback(kpi="eval_accuracy")])
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

from transformers import TrainerCallback

from bough.integrations.reporting import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from bough._job import Job


class Callback(TrainerCallback):
    """Reports under Transformers' own names (``loss``, ``eval_loss``, …); x is the global step. Rank 0 reports.

    An epoch counts as finished when the next one begins or the training ends: the Trainer evaluates after its
    ``on_epoch_end``.

    Args:
        kpi: The metric that the optimization looks at; None: bough.yml or the script names it.
        maximize: More of it is better; None: less is, where the name says loss or error.
        job: None is this process's.
    """

    def __init__(self, kpi: Optional[str] = None, maximize: Optional[bool] = None, job: Optional[Job] = None) -> None:
        self._metrics = Metrics(job, kpi, maximize)
        self._reported = 0

    def on_log(self, args: Any, state: Any, control: Any, logs: Optional[Dict[str, Any]] = None, **kwargs: Any) -> None:
        """Send what the Trainer logs; its evaluations come here too."""
        if state.is_world_process_zero:
            found = {name: value for name, value in (logs or {}).items() if name != "epoch"}
            self._metrics.send(state.global_step, found)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the Trainer to stop when the job is to stop."""
        if self._metrics.should_stop():
            control.should_training_stop = True

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the epochs that are finished by now."""
        self._report(args, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the last epoch."""
        self._report(args, state)

    def _report(self, args: Any, state: Any) -> None:
        done = int((state.epoch or 0) + 1e-6)
        if done > self._reported and state.is_world_process_zero:
            self._reported = done
            total = args.num_train_epochs
            self._metrics.progress(done, int(total) if total and args.max_steps <= 0 else None)
