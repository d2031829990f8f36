"""Pictures of a Keras model's layers, as AETROS's insights had them: what each makes of one sample, and its filters.

Convolutions, poolings and dense layers, and those that are named besides. A layer's output is one picture: a mosaic of
its maps, or its values as a square. numpy, which Keras has, is imported when it is needed.
"""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from math import ceil, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Tuple

MOST_TILES = 144  # maps of one layer
MOST_VALUES = 16384  # of a layer that is no map
MOST_LAYERS = 50
_KINDS = ("Conv", "Dense", "SeparableConv", "DepthwiseConv")


def pictures(keras: Any, model: Any, sample: Any, additional: Any = None) -> Iterator[Tuple[str, str, Any]]:
    """Yield (name, label, picture) for each layer; a picture is a uint8 array (height, width).

    Args:
        keras: The module, Keras 2 or 3.
        model: One whose layers are known: of the functional API, or sequential and built.
        sample: One input, without the dimension of the batch; for several inputs a list of such.
        additional: Names of further layers, or the layers.
    """
    layers = chosen(model, additional)
    outputs = [layer.output for layer in layers]
    found = keras.Model(model.inputs, outputs).predict(_batch(model, sample), verbose=0) if outputs else []
    first_is_channels = keras.backend.image_data_format() == "channels_first"
    for layer, output in zip(layers, found if len(outputs) > 1 else [found]):
        yield layer.name, type(layer).__name__, mosaic(output[0], first_is_channels)
        weights = layer.get_weights()
        if type(layer).__name__.startswith(_KINDS) and weights and weights[0].ndim == 4 and weights[0].shape[0] > 1:
            kernels = weights[0].mean(axis=2)  # (height, width, filters): what it looks for in any of its inputs
            yield layer.name + "/filters", "filters of " + layer.name, mosaic(kernels, False)


def chosen(model: Any, additional: Any = None) -> List[Any]:
    """Return the layers that are shown, in the model's order."""
    wanted = {getattr(one, "name", one) for one in additional or ()}
    found = []
    for layer in model.layers:
        kind = type(layer).__name__
        is_shown = kind.startswith(_KINDS) or "Pooling" in kind or layer.name in wanted
        if is_shown and hasattr(getattr(layer, "output", None), "shape"):  # one output
            found.append(layer)
    return found[:MOST_LAYERS]


def mosaic(values: Any, first_is_channels: bool) -> Any:
    """Return values of any shape as one picture: maps side by side with a line between, from black to white."""
    import numpy as np

    values = np.asarray(values, dtype="float32")
    if values.ndim != 3:
        flat = values.reshape(-1)[:MOST_VALUES]
        side = ceil(sqrt(max(1, flat.size)))
        return _grey(np.pad(flat, (0, side * side - flat.size)).reshape(side, side))
    maps = np.moveaxis(values, 0, -1) if first_is_channels else values
    height, width, count = maps.shape
    count = min(count, MOST_TILES)
    across = ceil(sqrt(count))
    picture = np.zeros((ceil(count / across) * (height + 1), across * (width + 1)), dtype="uint8")
    for number in range(count):
        y, x = number // across * (height + 1), number % across * (width + 1)
        picture[y : y + height, x : x + width] = _grey(maps[:, :, number])
    return picture[:-1, :-1]


def _grey(values: Any) -> Any:
    """Return numbers as grey levels, the lowest black, the highest white; what is not finite is black."""
    import numpy as np

    is_finite = np.isfinite(values)
    low, high = (values[is_finite].min(), values[is_finite].max()) if is_finite.any() else (0.0, 0.0)
    level = (np.where(is_finite, values, low) - low) / (high - low if high > low else 1.0)
    return (level * 255).astype("uint8")


def _batch(model: Any, sample: Any) -> Any:
    """Return the sample with a dimension for the batch, unless it has one."""
    import numpy as np

    if len(model.inputs) > 1:
        return [_one(np.asarray(part), one) for part, one in zip(sample, model.inputs)]
    return _one(np.asarray(sample), model.inputs[0])


def _one(array: Any, wanted: Any) -> Any:
    """Return a batch of one; what does not fit is found here, since Keras would not train on after its own error."""
    shape = tuple(wanted.shape)
    batch = array[None] if array.ndim < len(shape) else array[:1]
    fits = batch.ndim == len(shape) and all(w in (None, is_) for w, is_ in zip(shape[1:], batch.shape[1:]))
    if not fits or batch.dtype.kind not in "biuf":
        raise ValueError("the sample has the shape " + str(array.shape) + ", the model takes " + str(shape[1:]))
    return batch
