"""AETROS's Keras modules: the callback, the integration that needed no callback, the optimizer from hyperparameters.

For the Keras of any time, 2 or 3: the framework is imported when the callback is made.
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from bough._journal import say
from bough.aetros.job import JobBackend, start_job
from bough.integrations.reporting import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

ACCURACY = ("accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")


def KerasCallback(
    job: JobBackend, model: Any = None, insights: bool = False, insights_x: object = None,
    confusion_matrix: bool = False, validation_data: object = None, validation_data_size: object = None,
) -> Any:  # fmt: skip
    """Return the callback that `JobBackend.create_keras_callback` promised.

    Raises:
        Exception: Insights without ``insights_x``, or a confusion matrix without ``validation_data``, as AETROS did.
    """
    if insights and insights_x is None:
        raise Exception("Can not build Keras callback with active insights but with invalid `insights_x` as input.")
    if confusion_matrix and validation_data is None:
        raise Exception("Can not build Keras callback with active confusion_matrix but with no `validation_data`.")
    if insights:
        say("pictures of layers are left out; accuracy, loss and learning rate are reported.")
    keras = _keras()
    base: Any = keras.callbacks.Callback

    class Reporting(base):
        """Hands the events of a training to an `Epochs`."""

        def __init__(self) -> None:
            super().__init__()
            self._epochs = Epochs(job, validation_data if confusion_matrix else None)

        def on_train_begin(self, logs: Any = None) -> None:
            self._epochs.begin(self.model, self.params or {}, str(keras.__version__))

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self._epochs.batch(batch + 1, self.params or {}, logs or {})

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._epochs.end(epoch + 1, self.model, self.params or {}, logs or {})
            if job.should_stop():
                self.model.stop_training = True

    return Reporting()


class Epochs:
    """What AETROS's callback reported of a training: accuracy in percent, loss, learning rate, progress.

    A metric that is missing stays missing, and NaN stays NaN: AETROS sent 0 and -1, which an optimizer believed.
    """

    def __init__(self, job: JobBackend, validation: Any = None) -> None:
        self._job = job
        self._validation = validation  # (x, y) for the confusion matrix, or None
        self._accuracy: Any = None
        self._loss: Any = None
        self._rate: Any = None
        self._has_validation = False

    def begin(self, model: Any, params: Dict[str, Any], version: str) -> None:
        """A training begins."""
        self._job.set_status("TRAINING")
        optimizer = getattr(model, "optimizer", None)
        count = getattr(model, "count_params", None)
        self._job.set_info("Keras version", version)
        self._job.set_info("optimizer", type(optimizer).__name__)
        if count is not None:
            self._job.set_info("parameters", int(count()))
        self._job.progress(0, _epochs_of(params))

    def batch(self, done: int, params: Dict[str, Any], logs: Dict[str, Any]) -> None:
        """A batch is finished."""
        total = params.get("steps")
        if total:
            self._job.batch(done, total, logs.get("size"))

    def end(self, epoch: int, model: Any, params: Dict[str, Any], logs: Dict[str, Any]) -> None:
        """An epoch is finished: loss, then accuracy, which may be the KPI, then the progress."""
        found = {name: scalar(value) for name, value in logs.items()}
        self._send_loss(epoch, found)
        self._send_rate(epoch, model)
        self._send_confusion(epoch, model)
        self._send_accuracy(epoch, found)
        self._job.progress(epoch, _epochs_of(params))

    def _send_loss(self, epoch: int, logs: Dict[str, Any]) -> None:
        if logs.get("loss") is None:
            return
        if self._loss is None:
            self._loss = self._job.create_loss_channel()
        self._loss.send(epoch, logs["loss"], logs.get("val_loss"))

    def _send_rate(self, epoch: int, model: Any) -> None:
        optimizer = getattr(model, "optimizer", None)
        rate = getattr(optimizer, "learning_rate", getattr(optimizer, "lr", None))
        try:
            value = float(rate)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return
        if self._rate is None:
            self._rate = self._job.create_channel("learning rate")
        self._rate.send(epoch, value)

    def _send_confusion(self, epoch: int, model: Any) -> None:
        """Keep how often each class was taken for each; AETROS's matrix had the true classes as rows."""
        if not isinstance(self._validation, (tuple, list)) or len(self._validation) < 2:
            return  # a generator's samples are gone once they are drawn
        x, y = self._validation[:2]
        truth, predicted = _classes(y), _classes(model.predict(x, verbose=0))
        size = max([*truth, *predicted], default=0) + 1
        rows = [[0] * size for _ in range(size)]
        for true, taken in zip(truth, predicted):  # noqa: B905
            rows[true][taken] += 1
        self._job.add_insight_confusion_matrix(epoch, rows)

    def _send_accuracy(self, epoch: int, logs: Dict[str, Any]) -> None:
        name = next((name for name in ACCURACY if logs.get(name) is not None), None)
        if name is None:
            return
        validation = logs.get("val_" + name)
        if self._accuracy is None:
            self._has_validation = validation is not None
            traces = ["training", "validation"] if self._has_validation else ["training"]
            self._accuracy = self._job.create_channel(
                "accuracy", traces, main=True, kpi=not self._job.has_kpi, kpiTrace=len(traces) - 1
            )
        percent = [_percent(logs[name])] + ([_percent(validation)] if self._has_validation else [])
        self._accuracy.send(epoch, percent)


def _classes(y: Any) -> List[int]:
    """Return the class of each sample: the largest of several outputs, or whether a single one is above a half."""
    rows = y.tolist() if hasattr(y, "tolist") else list(y)
    flat: List[Any] = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    if any(isinstance(row, list) for row in flat):
        return [row.index(max(row)) for row in flat]
    is_share = any(value != int(value) for value in flat)
    return [int(value > 0.5) if is_share else int(value) for value in flat]


def _percent(share: Optional[float]) -> float:
    return float("nan") if share is None else float(share) * 100.0


def _epochs_of(params: Dict[str, Any]) -> Any:
    return params.get("epochs", params.get("nb_epoch"))


def KerasIntegration(
    name: Any = None, model: Any = None, api_key: object = None, insights: bool = False, **more: Any
) -> JobBackend:
    """Report every later ``model.fit`` of this model, without a callback in the script. Returns the job.

    Args:
        name: ``owner/model``.
        model: A Keras model; its ``fit`` and ``fit_generator`` get the callback added.
        api_key: Accepted and ignored, wherever a script wrote it.
        insights: See `KerasCallback`; images of layers are left out.
        **more: Further arguments of that time, ignored.
    """
    if not hasattr(model, "fit") and hasattr(api_key, "fit"):  # a key between name and model
        model = api_key
    job = start_job(name if isinstance(name, str) else None)
    callback = job.create_keras_callback(model)
    for method in ("fit", "fit_generator"):
        if hasattr(model, method):
            setattr(model, method, _with_callback(getattr(model, method), callback))
    return job


def _with_callback(fit: Any, callback: Any) -> Any:
    def fitting(*args: Any, **kwargs: Any) -> Any:
        kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), callback]
        return fit(*args, **kwargs)

    return fitting


def optimizer_factory(job: Any) -> Any:
    """Return the Keras optimizer that the choice group ``keras_optimizer`` names, with its values.

    Args:
        job: The job, or the group as a dict with ``$value``.

    Raises:
        ValueError: The choice is no optimizer of Keras.
    """
    if isinstance(job, dict):
        chosen = str(job["$value"])
        values = dict(job[chosen])
    else:
        chosen = str(job.get_parameter("keras_optimizer"))
        values = dict(job.get_parameter("keras_optimizer", return_group=True))
    keras = _keras()
    names = {name.lower(): name for name in ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "Adamax")}
    if chosen.lower() not in names:
        raise ValueError("the optimizer " + chosen + " is none of " + ", ".join(sorted(names)) + ".")
    rate, decay = values.pop("learning_rate", None), values.pop("decay", None)
    options = {name: value for name, value in values.items() if value is not None}
    is_old = int(str(keras.__version__).split(".")[0]) < 3
    if rate:
        options["lr" if is_old else "learning_rate"] = rate
    if decay and is_old:
        options["decay"] = decay
    elif decay:  # Keras 2: rate / (1 + decay * step)
        schedule = keras.optimizers.schedules.InverseTimeDecay
        options["learning_rate"] = schedule(rate or 0.01, decay_steps=1, decay_rate=decay)
    return getattr(keras.optimizers, names[chosen.lower()])(**options)


def _keras() -> Any:
    try:
        import keras
    except ImportError:
        from tensorflow import keras
    return keras


__all__ = ["KerasCallback", "KerasIntegration", "optimizer_factory"]
