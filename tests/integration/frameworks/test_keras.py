"""Keras 3 with a backend that runs on a CPU: bough's callback, and what AETROS's scripts use."""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

import struct
from typing import Any

import pytest

keras = pytest.importorskip("keras", reason="Keras needs a backend of hundreds of megabytes; run: make frameworks")

import numpy as np  # noqa: E402

from bough.integrations.keras import Callback  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("float32")

AETROS_HEADER = """
import os, warnings
warnings.simplefilter("ignore")  # Keras's own
os.environ["KERAS_BACKEND"] = "jax"
import numpy as np, keras
import aetros.backend
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("float32")
def built(optimizer="sgd", metrics=("accuracy",)):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=list(metrics))
    return model
"""


def _model(metrics: tuple[str, ...] = ("accuracy",)) -> Any:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="binary_crossentropy", metrics=list(metrics))
    return model


def test_each_epochs_metrics_come_before_its_progress(reports: Any) -> None:
    callback = Callback(kpi="val_accuracy", job=reports.job)

    _model().fit(X, Y, epochs=3, validation_data=(X, Y), verbose=0, callbacks=[callback])

    assert set(reports.channels()) == {"accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"}
    assert [x for x, _ in reports.points("val_loss")] == [1, 2, 3]
    assert reports.order("val_accuracy") == [word for i in (1, 2, 3) for word in ("kpi", f"progress {i}")]
    assert reports.lines("g")[-1][3:] == [3, 3]
    assert reports.points("learning_rate")[0][1] == pytest.approx(0.1)
    assert (reports.channels()["val_loss"]["maximize"], reports.channels()["val_accuracy"]["kpi"]) == (False, True)


def test_a_diverged_loss_stays_nan_and_no_validation_is_made_up(reports: Any) -> None:
    _model(()).fit(X * np.nan, Y, epochs=1, verbose=0, callbacks=[Callback(job=reports.job)])

    assert reports.points("loss") == [(1, "nan")]
    assert set(reports.channels()) == {"loss", "learning_rate"}


def test_the_training_ends_after_the_batch_in_which_the_job_is_to_stop(reports: Any) -> None:
    reports.stop()

    _model().fit(X, Y, epochs=50, verbose=0, callbacks=[Callback(job=reports.job)])

    assert len(reports.points("loss")) == 1


def test_aetross_callback_reports_percent_loss_and_the_kpi(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        AETROS_HEADER
        + """
job = aetros.backend.start_job('user/model')
model = built()
callback = job.create_keras_callback(model, insights=True, insights_x=X[0], confusion_matrix=True,
                                     validation_data=(X, Y))
model.fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0, callbacks=[callback])
"""
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert attempt.infos()["backend"] == "jax"
    assert attempt.infos()["Keras floatx"] == "float32"
    assert attempt.infos()["optimizer.learning_rate"] > 0
    assert attempt.documents("graph")[""]
    matrix = attempt.documents("confusion_matrix")["2/"]
    assert sum(map(sum, matrix["rows"])) == 32
    right = matrix["rows"][0][0] + matrix["rows"][1][1]
    assert right / 32 * 100 == pytest.approx(attempt.points("accuracy")[-1][1][1])
    accuracy = attempt.channel("accuracy")
    assert (accuracy["traces"], accuracy["kpi"], accuracy["kpi_trace"]) == (["training", "validation"], True, 1)
    assert all(0 <= value <= 100 for _, pair in attempt.points("accuracy") for value in pair)
    assert max(pair[1] for _, pair in attempt.points("accuracy")) > 1
    assert [x for x, _ in attempt.points("loss")] == [1, 2]
    kept = [line[0] if line[0] == "g" else line[3] for line in attempt.lines("p", "g") if line[3] != "system/speed"]
    assert kept == ["g", "loss", "learning rate", "accuracy", "g", "loss", "learning rate", "accuracy", "g"]


LAYERS = """
import keras, numpy as np
job = aetros.backend.start_job('user/model')
images = np.random.default_rng(0).random((16, 12, 12, 1)).astype("float32")
labels = np.arange(16) % 3
def network():
    begin = keras.Input((12, 12, 1))
    maps = keras.layers.Conv2D(5, 3, activation="relu", name="first")(begin)
    maps = keras.layers.MaxPooling2D(name="pool")(maps)
    flat = keras.layers.Flatten(name="flat")(maps)
    end = keras.layers.Dense(3, activation="softmax", name="out")(keras.layers.Dropout(0.5)(flat))
    model = keras.Model(begin, end)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def test_aetross_callback_shows_what_layers_make_of_a_sample(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        AETROS_HEADER
        + LAYERS
        + """
model = network()
def batches():
    while True:
        yield images[:5], labels[:5]
callback = job.create_keras_callback(model, insights=True, insights_x=images[0], additional_insights_layer=["flat"],
                                     confusion_matrix=True, validation_data=batches(), validation_data_size=12)
model.fit(images, labels, epochs=2, verbose=0, callbacks=[callback])
"""
    )

    assert done.returncode == 0, done.stderr
    shown = attempt.documents("image")
    assert sorted(shown) == [
        f"{epoch}/{name}" for epoch in (1, 2) for name in ("first", "first/filters", "flat", "out", "pool")
    ]
    assert (shown["1/first"]["label"], shown["1/first/filters"]["label"]) == ("Conv2D", "filters of first")
    sizes = {name: _size_of(attempt, shown[f"2/{name}"]) for name in ("first", "first/filters", "pool", "flat", "out")}
    assert sizes == {
        "first": (3 * 11 - 1, 2 * 11 - 1), "first/filters": (3 * 4 - 1, 2 * 4 - 1), "pool": (3 * 6 - 1, 2 * 6 - 1),
        "flat": (12, 12), "out": (2, 2),
    }  # fmt: skip
    assert sum(map(sum, attempt.documents("confusion_matrix")["2/"]["rows"])) == 12


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("images[0][:3]", "left out: the sample has the shape (3, 12, 1), the model takes (12, 12, 1)"),
        ("'a'", "left out: the sample has the shape ()"),
        ("[[1], [2, 3]]", "pictures of layers are left out: "),
    ],
)
def test_a_sample_that_does_not_fit_costs_the_pictures_only(make_attempt: Any, sample: str, said: str) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        AETROS_HEADER
        + LAYERS
        + f"""
model = network()
callback = job.create_keras_callback(model, insights=True, insights_x={sample})
model.fit(images, labels, epochs=2, verbose=0, callbacks=[callback])
"""
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count(said) == 1
    assert len(attempt.points("accuracy")) == 2


def test_the_integration_of_the_first_year_shows_layers_and_classes(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        AETROS_HEADER
        + LAYERS
        + """
from aetros.keras import KerasIntegration
model = network()
KerasIntegration('user/model', model, insights=True, confusion_matrix=True)
model.fit(images, labels, epochs=1, validation_data=(images, labels), verbose=0)
"""
    )

    assert done.returncode == 0, done.stderr
    assert "1/first" in attempt.documents("image")
    assert sum(map(sum, attempt.documents("confusion_matrix")["1/"]["rows"])) == 16


def test_the_losses_of_several_outputs_stand_side_by_side(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        AETROS_HEADER
        + """
import keras
job = aetros.backend.start_job('user/model')
begin = keras.Input((X.shape[1],))
model = keras.Model(begin, [keras.layers.Dense(1, name="a")(begin), keras.layers.Dense(1, name="b")(begin)])
model.compile("sgd", ["mse", "mae"])
model.fit(X, [Y, Y], epochs=2, verbose=0, callbacks=[job.create_keras_callback(model)])
"""
    )

    assert done.returncode == 0, done.stderr
    assert attempt.channel("All loss")["traces"] == ["a_loss", "b_loss"]
    assert len(attempt.points("All loss")) == 2


def _size_of(attempt: Any, image: dict[str, Any]) -> tuple[int, int]:
    """Return (width, height) of a picture, as its PNG says."""
    (facts,) = [line[4] for line in attempt.lines("f") if line[3] == image["file"]]
    data = (attempt.folder / "files" / f"{facts['sha256']}-{facts['bytes']}").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_aetross_callback_makes_up_no_accuracy_for_a_regression(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        AETROS_HEADER
        + """
job = aetros.backend.start_job('user/model')
model = built(metrics=())
model.fit(X, Y, epochs=1, verbose=0, callbacks=[job.create_keras_callback(model)])
"""
    )

    assert done.returncode == 0, done.stderr
    assert "accuracy" not in {line[3] for line in attempt.lines("c")}
    assert attempt.points("loss")[0][1][1] == "nan"


@pytest.mark.parametrize("module", ["aetros.keras", "aetros.KerasIntegration"])
def test_the_integration_of_the_first_year_reports_without_a_callback(make_attempt: Any, module: str) -> None:
    attempt = make_attempt()
    call = "KerasIntegration('user/model', model, insights=True)"
    if module == "aetros.keras":
        call = "KerasIntegration('user/model', 'my-api-key', model)"

    done = attempt.ran(
        AETROS_HEADER
        + f"""
from {module} import KerasIntegration
model = built()
{call}
model.fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0)
"""
    )

    assert done.returncode == 0, done.stderr
    assert len(attempt.points("accuracy")) == 2


def test_the_optimizer_is_made_from_its_choice_group(make_attempt: Any) -> None:
    attempt = make_attempt(values={"keras_optimizer": "sgd", "keras_optimizer.sgd.learning_rate": 0.25,
                                   "keras_optimizer.sgd.momentum": 0.5, "keras_optimizer.sgd.nesterov": True,
                                   "keras_optimizer.sgd.decay": 0.1})  # fmt: skip

    done = attempt.ran(
        AETROS_HEADER
        + """
from aetros.keras import optimizer_factory
optimizer = optimizer_factory(aetros.backend.start_job('user/model'))
print(type(optimizer).__name__, optimizer.momentum, optimizer.nesterov, round(float(optimizer.learning_rate), 3))
print(type(optimizer_factory({'$value': 'adam', 'adam': {'learning_rate': 0.1, 'beta_1': None}})).__name__)
try:
    optimizer_factory({'$value': 'lion', 'lion': {}})
except ValueError as error:
    print(error)
"""
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "SGD 0.5 True 0.25", "Adam",
        "the optimizer lion is none of adadelta, adagrad, adam, adamax, rmsprop, sgd.",
    ]  # fmt: skip


def test_a_generated_model_is_trained_by_its_functions(make_attempt: Any) -> None:
    attempt = make_attempt(values={"batch_size": 8, "epochs": 2})
    script = (
        AETROS_HEADER
        + """
def get_datasets(trainer): return {'d': {'X_train': X, 'Y_train': Y}}
def get_training_data(trainer, datasets): return {'x': datasets['d']['X_train'], 'y': datasets['d']['Y_train']}
def get_validation_data(trainer, datasets): return {'x': X, 'y': Y}
def get_model(trainer): return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation='sigmoid')])
def get_loss(trainer): return 'binary_crossentropy'
def get_optimizer(trainer): return 'adam'
def compile(trainer, model, loss, optimizer): model.compile(loss=loss, optimizer=optimizer, metrics=['accuracy'])
def train(trainer, model, training, validation):
    model.fit(training['x'], training['y'], batch_size=trainer.get_batch_size(), epochs=trainer.settings['epochs'],
              verbose=0, validation_data=(validation['x'], validation['y']), callbacks=trainer.callbacks)
"""
    )

    done = attempt.ran("import sys; sys.argv[1:1] = ['--simple', 'model.py']\n"
                       "import pathlib; pathlib.Path('model.py').write_text(" + repr(script) + ")\n"
                       "from bough.aetros.__main__ import main; sys.exit(main(sys.argv[1:]))")  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert len(attempt.points("accuracy")) == 2
    assert [line[3] for line in attempt.lines("s")] == ["LOAD DATA", "CONSTRUCT", "COMPILING", "TRAINING"]


def test_insights_without_an_input_are_refused_as_they_were(make_attempt: Any) -> None:
    done = make_attempt().ran(
        AETROS_HEADER
        + """
job = aetros.backend.start_job('user/model')
for more in ({'insights': True}, {'confusion_matrix': True}):
    try:
        job.create_keras_callback(built(), **more)
    except Exception as error:
        print(error)
"""
    )

    assert done.returncode == 0, done.stderr
    assert [line.split("but")[0] for line in done.stdout.splitlines()] == [
        "Can not build Keras callback with active insights ",
        "Can not build Keras callback with active confusion_matrix ",
    ]
