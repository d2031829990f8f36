"""scikit-learn: a callback of its protocol (1.9 and later), and a scorer that reports, for any version.

::

    estimator.set_callbacks(Callback(scoring="accuracy", kpi="accuracy"))     # each iteration of fit
    cross_val_score(estimator, x, y, scoring=scorer("accuracy", kpi=True))    # each fold
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportOptionalCall=false
from __future__ import annotations

from sklearn.metrics import check_scoring, get_scorer

import bough
from bough.errors import UsageError
from bough.integrations.reporting import Metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from bough._job import Job


class Callback:
    """Reports the score of an estimator after each iteration of its fit, and the iterations as progress.

    It follows the protocol `sklearn.callback.FitCallback`. The score is that on the data that scikit-learn hands to
    callbacks: the training data. Iterations of sub-estimators are left out: they would mix with those of the outer one.

    Args:
        scoring: As for `cross_val_score`: a name, several, or a callable; None: the estimator's own score.
        kpi: The score that the optimization looks at: its name, ``score`` where it has none.
        maximize: More of it is better, as scikit-learn's scorers are made.
        job: None is this process's.
    """

    def __init__(
        self, scoring: Any = None, kpi: Optional[str] = None, maximize: bool = True, job: Optional[Job] = None
    ) -> None:
        self._scoring = scoring
        self._metrics = Metrics(job, kpi, maximize)
        self._done = 0

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin a fit."""
        self._done = 0
        self._scorer = check_scoring(estimator, [self._scoring] if isinstance(self._scoring, str) else self._scoring)

    def teardown(self, estimator: Any, context: Any) -> None:
        """End a fit."""

    def on_fit_task_begin(self, estimator: Any, context: Any, **_: Any) -> None:
        """Do nothing at the beginning of an iteration."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None, metadata: Optional[Dict[str, Any]] = None,
        fitted_estimator: Any = None,
    ) -> bool:  # fmt: skip
        """Send the score after an iteration, then say that it is finished; True ends the iterations."""
        parent = context.parent
        if parent is None or parent.parent is not None:  # the whole fit, or an iteration inside of an iteration
            return False
        if X is None:  # an iteration that was begun and never ran, as the last one of LogisticRegression
            return False
        self._done += 1
        if fitted_estimator is not None:
            found = self._scorer(fitted_estimator, X, y, **(metadata or {}))
            self._metrics.send(self._done, found if isinstance(found, dict) else {"score": found})
        self._metrics.progress(self._done, parent.max_subtasks)
        return self._metrics.should_stop()

    def __getstate__(self) -> Dict[str, Any]:
        return {"scoring": self._scoring, "kpi": self._metrics.kpi, "maximize": self._metrics.maximize}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        Callback.__init__(self, state["scoring"], state["kpi"], state["maximize"], bough.start_job())


def scorer(
    scoring: Any, name: Optional[str] = None, kpi: bool = False, job: Optional[Job] = None
) -> Callable[[Any, Any, Any], Any]:
    """Return a scorer that scores as ``scoring`` does and reports each score; x counts them from 1.

    Args:
        scoring: A name that scikit-learn knows, or a callable (estimator, X, y) → number.
        name: Of the channel; None: that of the scoring.
        kpi: The optimization looks at it. Its value is the last score; for their mean say ``reduce: mean(5)`` in
            bough.yml.
        job: None is this process's.

    Raises:
        UsageError: ``scoring`` is a callable without a name, and ``name`` is missing.
    """
    inner = get_scorer(scoring) if isinstance(scoring, str) else scoring
    called = name or (scoring if isinstance(scoring, str) else getattr(scoring, "__name__", None))
    if not called:
        raise UsageError("the scorer has no name for its channel.", "Give it one: scorer(scoring, name='accuracy').")
    return _Scorer(inner, called, kpi, job)


class _Scorer:
    """A class, so that joblib can hand it to other processes: there it reports into a journal of their own."""

    def __init__(self, inner: Any, name: str, kpi: bool, job: Optional[Job]) -> None:
        self._inner = inner
        self._name = name
        self._kpi = kpi
        self._metrics = Metrics(job, name if kpi else None, True)
        self._count = 0

    def __call__(self, estimator: Any, x: Any, y: Any = None, **more: Any) -> Any:
        value = self._inner(estimator, x, y, **more)
        self._count += 1
        self._metrics.send(self._count, {self._name: value})
        return value

    def __getstate__(self) -> Dict[str, Any]:
        return {"inner": self._inner, "name": self._name, "kpi": self._kpi}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        _Scorer.__init__(self, state["inner"], state["name"], state["kpi"], bough.start_job())
