"""One module per framework; each imports its framework, and nothing of bough imports any of them.

::

    from bough.integrations.keras import Callback              # callbacks=[Callback(kpi="val_accuracy")]
    from bough.integrations.lightning import Logger, Reporter  # Trainer(logger=Logger(…), callbacks=[Reporter()])
    from bough.integrations.transformers import Callback       # Trainer(callbacks=[Callback(kpi="eval_loss", …)])
    from bough.integrations.xgboost import Callback
    from bough.integrations.lightgbm import callback
    from bough.integrations.sklearn import Callback, scorer

All of them promise: a metric becomes a channel when it first appears; one that is missing stays missing, NaN stays NaN;
the epoch's metrics are sent before its progress; when the job is to stop, the framework is asked to stop.
"""
