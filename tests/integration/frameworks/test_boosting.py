"""XGBoost and LightGBM, the real libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = (X[:, 0] + 0.1 * RNG.normal(size=80) > 0).astype(float)


def _xgboost() -> tuple[Any, Any, Any]:
    xgboost = pytest.importorskip("xgboost", reason="install xgboost-cpu, or run: make frameworks")
    from bough.integrations.xgboost import Callback

    return xgboost, Callback, (xgboost.DMatrix(X[:60], Y[:60]), xgboost.DMatrix(X[60:], Y[60:]))


def test_xgboost_reports_every_round_the_kpi_before_the_progress(reports: Any) -> None:
    xgboost, callback, (train, valid) = _xgboost()
    kpi = "valid/logloss"

    xgboost.train(
        {"objective": "binary:logistic", "nthread": 1}, train, 5, evals=[(train, "train"), (valid, "valid")],
        callbacks=[callback(kpi=kpi, rounds=5, job=reports.job)], verbose_eval=False,
    )  # fmt: skip

    assert [x for x, _ in reports.points(kpi)] == [1, 2, 3, 4, 5]
    assert reports.order(kpi) == [word for i in range(1, 6) for word in ("kpi", f"progress {i}")]
    assert reports.channels()[kpi]["maximize"] is False
    assert len(reports.points("train/logloss")) == 5


def test_xgboost_ends_when_the_job_is_to_stop(reports: Any) -> None:
    xgboost, callback, (train, valid) = _xgboost()
    reports.stop()

    xgboost.train(
        {"objective": "binary:logistic", "nthread": 1}, train, 50, evals=[(valid, "valid")],
        callbacks=[callback(job=reports.job)], verbose_eval=False,
    )  # fmt: skip

    assert len(reports.points("valid/logloss")) == 1


def test_xgboosts_cross_validation_reports_mean_and_deviation(reports: Any) -> None:
    pytest.importorskip("pandas", reason="xgboost.cv needs pandas; run: make frameworks")
    xgboost, callback, (train, _) = _xgboost()

    xgboost.cv({"objective": "binary:logistic", "nthread": 1}, train, 2, nfold=2, callbacks=[callback(job=reports.job)])

    assert {"test/logloss", "test/logloss/std"} <= set(reports.channels())


def _lightgbm() -> tuple[Any, Any, Any, Any]:
    lightgbm = pytest.importorskip("lightgbm", reason="install lightgbm, or run: make frameworks")
    from bough.integrations.lightgbm import callback

    train = lightgbm.Dataset(X[:60], Y[:60])
    return lightgbm, callback, train, lightgbm.Dataset(X[60:], Y[60:], reference=train)


PARAMS = {"objective": "binary", "metric": ["auc", "binary_logloss"], "verbose": -1, "num_threads": 1, "min_data": 1}


def test_lightgbm_reports_every_round_and_knows_the_direction(reports: Any) -> None:
    lightgbm, callback, train, valid = _lightgbm()

    lightgbm.train(PARAMS, train, 4, valid_sets=[valid], valid_names=["valid"],
                   callbacks=[callback(kpi="valid/auc", job=reports.job)])  # fmt: skip

    assert reports.order("valid/auc") == [word for i in range(1, 5) for word in ("kpi", f"progress {i}")]
    assert reports.channels()["valid/auc"]["maximize"] is True
    assert reports.channels()["valid/binary_logloss"]["maximize"] is False
    assert reports.lines("g")[-1][3:] == [4, 4]


def test_lightgbm_ends_when_the_job_is_to_stop_and_keeps_its_model(reports: Any) -> None:
    lightgbm, callback, train, valid = _lightgbm()
    reports.stop()

    model = lightgbm.train(PARAMS, train, 50, valid_sets=[valid], callbacks=[callback(job=reports.job)])

    assert model.current_iteration() == 1
    assert len(reports.lines("g")) == 1
