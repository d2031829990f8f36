"""scikit-learn: the callback protocol of 1.9, and the scorer."""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from bough.errors import UsageError
from bough.integrations.sklearn import Callback, scorer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def test_a_fit_reports_the_score_of_each_iteration_before_its_progress(reports: Any) -> None:
    pytest.importorskip("sklearn.callback", reason="the protocol came with scikit-learn 1.9")
    model = LogisticRegression(max_iter=20)

    model.set_callbacks(Callback("accuracy", kpi="accuracy", job=reports.job)).fit(X, Y)

    points = reports.points("accuracy")
    assert [x for x, _ in points] == list(range(1, len(points) + 1))
    assert len(points) == model.n_iter_[0]
    assert reports.lines("g")[-1][3] == model.n_iter_[0]
    assert reports.channels()["accuracy"]["kpi"] is True
    assert reports.order("accuracy")[:4] == ["kpi", "progress 1", "kpi", "progress 2"]
    assert points[-1][1] == model.score(X, Y)


def test_the_callback_follows_the_protocol_and_goes_to_other_processes(reports: Any) -> None:
    protocol = pytest.importorskip("sklearn.callback", reason="the protocol came with scikit-learn 1.9")

    callback = Callback(job=reports.job)

    assert isinstance(callback, protocol.FitCallback)
    assert callback.__getstate__() == {"scoring": None, "kpi": None, "maximize": True}


def test_a_scorer_reports_each_fold_and_scores_as_before(reports: Any) -> None:
    model = LogisticRegression()

    scores = cross_val_score(model, X, Y, cv=3, scoring=scorer("accuracy", kpi=True, job=reports.job))

    assert np.array_equal(scores, cross_val_score(model, X, Y, cv=3, scoring="accuracy"))
    assert reports.points("accuracy") == [(i + 1, score) for i, score in enumerate(scores.tolist())]
    assert reports.channels()["accuracy"]["kpi"] is True


def test_a_score_that_is_not_a_number_stays_that(reports: Any) -> None:
    def broken(estimator: Any, x: Any, y: Any) -> float:
        return float("nan")

    scorer(broken, job=reports.job)(None, X, Y)

    assert reports.points("broken") == [(1, "nan")]


def test_a_scorer_needs_a_name(reports: Any) -> None:
    from functools import partial

    with pytest.raises(UsageError, match=r"the scorer has no name for its channel. Give it one: scorer\("):
        scorer(partial(max, 1), job=reports.job)
