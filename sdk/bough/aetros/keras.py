"""AETROS's Keras modules: the callback, the integration that needed no callback, the optimizer from hyperparameters.

For the Keras of any time, 2 or 3: the framework is imported when the callback is made.
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from bough.aetros.job import JobBackend, start_job
from bough.aetros.training import Epochs, drawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
    samples = drawn(validation_data, validation_data_size) if confusion_matrix else None
    shown = (insights_x, additional_insights_layer) if insights else None
    keras = _keras()
    base: Any = keras.callbacks.Callback

    class Reporting(base):
        """Hands the events of a training to an `Epochs`."""

        def __init__(self) -> None:
            super().__init__()
            self._epochs = Epochs(job, samples, shown)

        def on_train_begin(self, logs: Any = None) -> None:
            self._epochs.begin(self.model, self.params or {}, keras)

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self._epochs.batch(batch + 1, self.params or {}, logs or {})

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._epochs.end(epoch + 1, self.model, self.params or {}, logs or {})
            if job.should_stop():
                self.model.stop_training = True

    return Reporting()


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
