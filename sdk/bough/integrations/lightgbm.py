"""LightGBM: a callback that reports every evaluation of a boosting round.

::

    lightgbm.train(params, data, valid_sets=[valid], valid_names=["valid"], callbacks=[callback(kpi="valid/l2")])
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

from lightgbm.callback import EarlyStopException

from bough.integrations.reporting import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from bough._job import Job


def callback(
    kpi: Optional[str] = None, maximize: Optional[bool] = None, job: Optional[Job] = None
) -> Callable[[Any], None]:
    """Return a callback that reports ``<data>/<metric>``; x is the round from 1, in ``cv`` the deviation is ``…/std``.

    Args:
        kpi: The metric that the optimization looks at; None: bough.yml or the script names it.
        maximize: More of it is better; None: as LightGBM says of the metric.
        job: None is this process's.
    """
    metrics = Metrics(job, kpi, maximize)

    def report(env: Any) -> None:
        done = env.iteration - env.begin_iteration + 1
        for entry in sorted(env.evaluation_result_list or [], key=lambda entry: entry[0] + "/" + entry[1] == kpi):
            data, metric, value, is_higher_better = entry[:4]
            found: Dict[str, Any] = {data + "/" + metric: value}
            metrics.send(done, found, maximize=bool(is_higher_better))
            if len(entry) > 4:
                metrics.send(done, {data + "/" + metric + "/std": entry[4]}, maximize=False)
        metrics.progress(done, env.end_iteration - env.begin_iteration)
        if metrics.should_stop():
            raise EarlyStopException(env.iteration, env.evaluation_result_list or [])

    report.order = 100  # type: ignore[attr-defined]  # after LightGBM's own, early_stopping excepted
    return report
