"""What AETROS reported of a Keras training, epoch by epoch; the callback hands it Keras's events."""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from bough._images import Image
from bough._journal import say
from bough._json import loads
from bough.integrations.reporting import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from bough.aetros.job import JobBackend

ACCURACY = ("accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")


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
        optimizer: Any = getattr(model, "optimizer", None)
        rate: Any = getattr(optimizer, "learning_rate", getattr(optimizer, "lr", None))
        try:
            value = float(rate)
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
        for true, taken in zip(truth, predicted):
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


def drawn(validation: Any, size: Any) -> Any:
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
    optimizer: Any = getattr(model, "optimizer", None)
    found: List[Tuple[str, Any]] = [("Keras version", str(getattr(keras, "__version__", "")))]
    backend = getattr(keras, "backend", None)
    for name, fact in (("backend", "backend"), ("Keras floatx", "floatx")):
        if hasattr(backend, fact):
            found.append((name, str(getattr(backend, fact)())))
    found.append(("optimizer", type(optimizer).__name__))
    try:
        settings = dict(optimizer.get_config())
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
