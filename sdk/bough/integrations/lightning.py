"""PyTorch Lightning (``lightning`` or ``pytorch_lightning``): a logger for metrics, a callback for epochs and the stop.

::

    Trainer(max_epochs=30, logger=Logger(kpi="val_acc"), callbacks=[Reporter()])
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

try:
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers.logger import Logger as _Logger
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
except ImportError:  # the older name of the same
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers.logger import Logger as _Logger
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

import bough
from bough._numbers import any_value
from bough.integrations.reporting import Metrics, scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional

    from bough._job import Job


class Logger(_Logger):
    """Every metric that the module logs becomes a channel; x is Lightning's step. Rank 0 reports.

    Args:
        kpi: The metric that the optimization looks at; None: bough.yml or the script names it.
        maximize: More of it is better; None: less is, where the name says loss or error.
        job: None is this process's.
    """

    def __init__(self, kpi: Optional[str] = None, maximize: Optional[bool] = None, job: Optional[Job] = None) -> None:
        super().__init__()
        self._metrics = Metrics(job, kpi, maximize)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._metrics.job.model or "bough"

    @property
    def version(self) -> str:
        """The job's id."""
        return self._metrics.job.job_id

    @property
    def save_dir(self) -> str:
        """Where Lightning keeps its checkpoints unless told otherwise: later attempts of the job find them again."""
        return self._metrics.job.checkpoint_dir

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the module's own hyperparameters with the job."""
        found: Dict[str, Any] = dict(vars(params)) if not hasattr(params, "items") else dict(params)
        for name, value in found.items():
            if len(any_value(value)) < 10000:
                self._metrics.job.set_info("hparams/" + str(name)[:100], value)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: Optional[int] = None) -> None:
        """Send what was logged at this step."""
        found = {name: scalar(value) for name, value in metrics.items() if name != "epoch"}
        self._metrics.send(0 if step is None else step, found)


class Reporter(Callback):
    """Reports finished epochs, after all that Lightning logs of them, and ends the training when the job is to stop.

    An epoch counts as finished when the next one begins or the training ends: Lightning logs an epoch's last metrics
    after its callbacks.
    """

    def __init__(self, job: Optional[Job] = None) -> None:
        self._job = bough.start_job() if job is None else job
        self._reported = 0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Report the epochs that are finished by now."""
        self._report(trainer, int(trainer.current_epoch))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Ask Lightning to stop when the job is to stop."""
        if self._job.should_stop():
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the last epoch."""
        self._report(trainer, int(trainer.fit_loop.epoch_progress.current.completed))

    def _report(self, trainer: Any, done: int) -> None:
        if done > self._reported and trainer.is_global_zero:
            self._reported = done
            total = trainer.max_epochs
            self._job.progress(done, total if total is not None and total > 0 else None)
