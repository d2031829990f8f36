"""XGBoost: a callback that reports every evaluation of a boosting round.

::

    xgboost.train(params, data, rounds, evals=[(valid, "valid")], callbacks=[Callback(kpi="valid/rmse", rounds=rounds)])
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

from xgboost.callback import TrainingCallback

from bough.integrations.reporting import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from bough._job import Job


class Callback(TrainingCallback):
    """Reports ``<data>/<metric>``, x is the round from 1; in ``cv`` the mean, and its deviation as ``…/std``.

    Args:
        kpi: The metric that the optimization looks at; None: bough.yml or the script names it.
        maximize: More of it is better; None: less is, where the name says loss or error.
        rounds: Planned, for the progress; None: unknown.
        job: None is this process's.
    """

    def __init__(
        self, kpi: Optional[str] = None, maximize: Optional[bool] = None, rounds: Optional[int] = None,
        job: Optional[Job] = None,
    ) -> None:  # fmt: skip
        self._metrics = Metrics(job, kpi, maximize)
        self._rounds = rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Dict[str, Dict[str, Any]]) -> bool:
        """Send the evaluations of this round, then say that it is finished; True ends the training."""
        found: Dict[str, Any] = {}
        for data, metrics in evals_log.items():
            for metric, values in metrics.items():
                name, last = data + "/" + metric, values[-1]
                if isinstance(last, tuple):
                    found[name], found[name + "/std"] = last
                else:
                    found[name] = last
        self._metrics.send(epoch + 1, found)
        self._metrics.progress(epoch + 1, self._rounds)
        return self._metrics.should_stop()
