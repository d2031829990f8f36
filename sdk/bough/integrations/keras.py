"""Keras 3: a callback that reports every metric of an epoch, the learning rate, and the epochs.

::

    model.fit(x, y, epochs=30, validation_data=…, callbacks=[Callback(kpi="val_accuracy")])
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

import keras

from bough.integrations.reporting import Metrics, scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from bough._job import Job

LEARNING_RATE = "learning_rate"


class Callback(keras.callbacks.Callback):
    """Reports the logs of each epoch under Keras's own names (``loss``, ``val_loss``, …), x is the epoch from 1.

    Args:
        kpi: The metric that the optimization looks at; None: bough.yml or the script names it.
        maximize: More of it is better; None: less is, where the name says loss or error.
        job: None is this process's.
    """

    def __init__(self, kpi: Optional[str] = None, maximize: Optional[bool] = None, job: Optional[Job] = None) -> None:
        super().__init__()
        self._metrics = Metrics(job, kpi, maximize)

    def on_epoch_end(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """Send what Keras measured in this epoch, then say that it is finished."""
        found = {name: scalar(value) for name, value in (logs or {}).items()}
        rate = learning_rate(self.model)
        if rate is not None:
            found.setdefault(LEARNING_RATE, rate)
        self._metrics.send(epoch + 1, found)
        self._metrics.progress(epoch + 1, (self.params or {}).get("epochs"))
        if self._metrics.should_stop():
            self.model.stop_training = True

    def on_train_batch_end(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """Ask Keras to stop when the job is to stop."""
        if self._metrics.should_stop():
            self.model.stop_training = True


def learning_rate(model: Any) -> Optional[float]:
    """Return the learning rate of a model's optimizer as it is now; None where it has none."""
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    try:
        return None if rate is None else float(rate)
    except (TypeError, ValueError):
        return None
