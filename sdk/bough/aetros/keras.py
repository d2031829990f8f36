"""AETROS's Keras modules: the callback, the integration that needed no callback, the optimizer from hyperparameters.

For the Keras of any time, 2 or 3: the framework is imported when the callback is made.
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from bough._images import Image
from bough._journal import say
from bough._json import loads
from bough.aetros.job import JobBackend, start_job
from bough.integrations.reporting import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

ACCURACY = ("accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")


def KerasCallback(
    job: JobBackend, model: Any = None, insights: bool = False, insights_x: object = None,
    confusion_matrix: bool = False, validation_data: object = None, validation_data_size: object = None,
    additional_insights_layer: object = None,
) -> Any:  # fmt: skip
    """Return the callback that `JobBackend.create_keras_callback` promised.

    Args:
        job: Where it is reported.
        model: Ignored: Keras tells the callback which one it is.
        insights: After each epoch, pictures of what the layers make of a sample, and of their filters.
        insights_x: That sample, one input without the dimension of the batch.
        confusion_matrix: After each epoch, how often each class of ``validation_data`` was taken for each.
        validation_data: (x, y), or a generator of such batches.
        validation_data_size: How many samples to draw from a generator.
        additional_insights_layer: Names of layers to show besides convolutions, poolings and dense ones.

    Raises:
        Exception: Insights without ``insights_x``, or a confusion matrix without ``validation_data``, as AETROS did.
    """
    if insights and insights_x is None:
        raise Exception("Can not build Keras callback with active insights but with invalid `insights_x` as input.")
    if confusion_matrix and validation_data is None:
        raise Exception("Can not build Keras callback with active confusion_matrix but with no `validation_data`.")
    drawn = _drawn(validation_data, validation_data_size) if confusion_matrix else None
    shown = (insights_x, additional_insights_layer) if insights else None
    keras = _keras()
    base: Any = keras.callbacks.Callback

    class Reporting(base):
        """Hands the events of a training to an `Epochs`."""

        def __init__(self) -> None:
            super().__init__()
            self._epochs = Epochs(job, drawn, shown)

        def on_train_begin(self, logs: Any = None) -> None:
            self._epochs.begin(self.model, self.params or {}, keras)

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

    def __init__(self, job: JobBackend, validation: Any = None, shown: Any = None) -> None:
        self._job = job
        self._validation = validation  # (x, y) for the confusion matrix, or None
        self._shown = shown  # (sample, names of further layers) for pictures of layers, or None
        self._keras: Any = None
        self._losses: Any = None
        self._accuracy: Any = None
        self._loss: Any = None
        self._rate: Any = None
        self._has_validation = False

    def begin(self, model: Any, params: Dict[str, Any], keras: Any = None) -> None:
        """A training begins."""
        self._keras = keras
        self._job.set_status("TRAINING")
        for name, value in _facts(model, keras):
            self._job.set_info(name, value)
        try:
            self._job.set_graph(loads(model.to_json()))
        except Exception as error:  # a model that Keras cannot describe
            say("the graph of the model is left out: " + str(error)[:300].replace("\n", " "))
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
        self._send_losses(epoch, found)
        self._send_rate(epoch, model)
        self._send_confusion(epoch, model)
        self._send_pictures(epoch, model)
        self._send_accuracy(epoch, found)
        self._job.progress(epoch, _epochs_of(params))

    def _send_loss(self, epoch: int, logs: Dict[str, Any]) -> None:
        if logs.get("loss") is None:
            return
        if self._loss is None:
            self._loss = self._job.create_loss_channel()
        self._loss.send(epoch, logs["loss"], logs.get("val_loss"))

    def _send_losses(self, epoch: int, logs: Dict[str, Any]) -> None:
        """The losses of a model with several outputs, side by side."""
        names = [name for name in logs if name.endswith("_loss") and not name.startswith("val_")]
        if self._losses is None and len(names) > 1:
            self._losses = self._job.create_channel("All loss", names), names
        if self._losses is not None:
            channel, names = self._losses
            channel.send(epoch, [_plain(logs.get(name)) for name in names])

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
            return
        x, y = self._validation[:2]
        truth, predicted = _classes(y), _classes(model.predict(x, verbose=0))
        size = max([*truth, *predicted], default=0) + 1
        rows = [[0] * size for _ in range(size)]
        for true, taken in zip(truth, predicted):  # noqa: B905
            rows[true][taken] += 1
        self._job.add_insight_confusion_matrix(epoch, rows)

    def _send_pictures(self, epoch: int, model: Any) -> None:
        if self._shown is None or self._keras is None:
            return
        from bough.aetros import layers

        try:
            found = list(layers.pictures(self._keras, model, *self._shown))
        except Exception as error:  # a model without known layers, a sample that does not fit
            self._shown = None
            say("pictures of layers are left out: " + str(error)[:300].replace("\n", " "))
            return
        images = [Image(name, picture, label, pos) for pos, (name, label, picture) in enumerate(found)]
        self._job.add_insight_images(epoch, images)

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


def _drawn(validation: Any, size: Any) -> Any:
    """Return (x, y); of a generator so many samples, once: they are gone once they are drawn.

    Raises:
        Exception: A generator without a size, as AETROS did.
    """
    if isinstance(validation, (tuple, list)) or not hasattr(validation, "__next__"):
        return validation
    if not size:
        raise Exception("Can not build Keras callback with a generator as `validation_data` without its size.")
    import numpy as np

    xs: List[Any] = []
    ys: List[Any] = []
    while sum(map(len, ys)) < size:
        x, y = next(validation)[:2]
        xs.append(np.asarray(x))
        ys.append(np.asarray(y))
    return np.concatenate(xs)[:size], np.concatenate(ys)[:size]


def _facts(model: Any, keras: Any) -> List[Tuple[str, Any]]:
    """Return what AETROS noted of a training."""
    optimizer = getattr(model, "optimizer", None)
    found: List[Tuple[str, Any]] = [("Keras version", str(getattr(keras, "__version__", "")))]
    backend = getattr(keras, "backend", None)
    for name, fact in (("backend", "backend"), ("Keras floatx", "floatx")):
        if hasattr(backend, fact):
            found.append((name, str(getattr(backend, fact)())))
    found.append(("optimizer", type(optimizer).__name__))
    try:
        settings = dict(optimizer.get_config())  # type: ignore[union-attr]
    except Exception:  # no optimizer, or one of the user's own
        settings = {}
    plain = (bool, int, float, str)
    found += [("optimizer." + name, value) for name, value in settings.items() if isinstance(value, plain)]
    count = getattr(model, "count_params", None)
    return found if count is None else [*found, ("parameters", int(count()))]


def _plain(value: Optional[float]) -> float:
    return float("nan") if value is None else float(value)


def _percent(share: Optional[float]) -> float:
    return float("nan") if share is None else float(share) * 100.0


def _epochs_of(params: Dict[str, Any]) -> Any:
    return params.get("epochs", params.get("nb_epoch"))


def KerasIntegration(
    name: Any = None, model: Any = None, api_key: object = None, insights: bool = False,
    confusion_matrix: bool = False, insight_sample: Any = None, **more: Any
) -> JobBackend:
    """Report every later ``model.fit`` of this model, without a callback in the script. Returns the job.

    Args:
        name: ``owner/model``.
        model: A Keras model; its ``fit`` and ``fit_generator`` get the callback added.
        api_key: Accepted and ignored, wherever a script wrote it.
        insights: See `KerasCallback`.
        confusion_matrix: See there; of the ``validation_data`` that ``fit`` gets.
        insight_sample: See there (``insights_x``); else the first sample that ``fit`` gets.
        **more: Further arguments of that time, ignored.
    """
    if not hasattr(model, "fit") and hasattr(api_key, "fit"):  # a key between name and model
        model = api_key
    job = start_job(name if isinstance(name, str) else None)

    def callback(x: Any, validation: Any) -> Any:
        sample = x[0] if insight_sample is None and hasattr(x, "shape") else insight_sample
        has_pairs = isinstance(validation, (tuple, list))
        return job.create_keras_callback(
            model, insights=insights and sample is not None, insights_x=sample,
            confusion_matrix=confusion_matrix and has_pairs, validation_data=validation if has_pairs else None,
        )  # fmt: skip

    for method in ("fit", "fit_generator"):
        if hasattr(model, method):
            setattr(model, method, _with_callback(getattr(model, method), callback))
    return job


def _with_callback(fit: Any, make: Any) -> Any:
    def fitting(*args: Any, **kwargs: Any) -> Any:
        callback = make(args[0] if args else kwargs.get("x"), kwargs.get("validation_data"))
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
