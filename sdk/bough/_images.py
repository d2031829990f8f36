"""Pictures as PNG or JPEG, from whatever holds one: bytes, a path, PIL, numpy, torch, matplotlib.

None of these is imported: what the script made brings its own methods along.
"""

from __future__ import annotations

import os

from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_BYTES = 16 << 20  # of one picture, encoded
MAX_SIDE = 8192  # pixels
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
REMEDY = "Send PNG or JPEG as bytes or as a path, a PIL image, an array or tensor, or a figure."


class Image:
    """A picture of an insight.

    Args:
        name: Names it among those of the same x.
        pil_image: The picture, in any form that `encoded` takes.
        label: For people.
        pos: Where it stands among the others; None: in the order of time.
        title: Another name for label.
    """

    def __init__(
        self, name: object, pil_image: object, label: object = None, pos: object = None, title: object = None
    ) -> None:
        self.name = str(name)
        self.image = pil_image
        self.label = label if label is not None else title
        self.pos = pos


def encoded(image: object) -> tuple[bytes, str]:
    """Return a picture as bytes, and "png" or "jpg".

    Raises:
        UsageError: It is no picture, or too large.
    """
    data = _bytes_of(image)
    if len(data) > MAX_BYTES:
        raise UsageError(
            "The image has " + str(len(data)) + " bytes, " + str(MAX_BYTES) + " are allowed.", "Make it smaller."
        )
    if data.startswith(PNG):
        return data, "png"
    if data.startswith(JPEG):
        return data, "jpg"
    raise UsageError("The image is neither PNG nor JPEG.", REMEDY)


def _bytes_of(image: Any) -> bytes:
    if isinstance(image, Image):
        return _bytes_of(image.image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, str) or hasattr(image, "__fspath__"):
        return _read(os.fspath(image))
    if callable(getattr(image, "savefig", None)):  # a figure of matplotlib
        return _written(lambda file: image.savefig(file, format="png"))
    if callable(getattr(image, "save", None)) and hasattr(image, "mode") and hasattr(image, "size"):
        return _of_pil(image)
    for step in ("detach", "cpu", "numpy"):  # a tensor of torch
        if not hasattr(image, "astype") and callable(getattr(image, step, None)):
            image = getattr(image, step)()
    if hasattr(image, "astype") and hasattr(image, "shape"):
        return _of_array(image)
    raise UsageError("There is no image in " + type(image).__name__ + ".", REMEDY)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            "The image " + path + " cannot be read: " + str(error.strerror) + ".", "Give the path of a PNG or JPEG."
        ) from None


def _written(write: Any) -> bytes:
    from io import BytesIO

    file = BytesIO()
    write(file)
    return file.getvalue()


def _of_pil(image: Any) -> bytes:
    """Photographs become JPEG, what is small or not opaque PNG."""
    _check_sides(image.size[0], image.size[1])
    if image.mode in ("RGB", "L") and image.size[0] * image.size[1] > 256 * 256:
        return _written(lambda file: image.save(file, format="JPEG", quality=85))
    shown = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    return _written(lambda file: shown.save(file, format="PNG"))


def _of_array(array: Any) -> bytes:
    """Return an array as PNG: (h, w), (h, w, 1|3|4) or (1|3|4, h, w); uint8, bool, or numbers of 0 … 1 or 0 … 255."""
    shape = tuple(int(length) for length in array.shape)
    if len(shape) == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
        shape = (shape[1], shape[2], shape[0])
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or 0 in shape:
        raise UsageError(
            "An array of the shape " + str(tuple(array.shape)) + " is no image.", "Send (height, width) or (…, 3)."
        )
    _check_sides(shape[1], shape[0])
    return _png(shape[1], shape[0], shape[2], _levels(array).tobytes())


def _levels(array: Any) -> Any:
    """Return the values of an array as uint8."""
    kind = str(array.dtype)
    if kind == "uint8":
        return array
    if kind == "bool":
        return array.astype("uint8") * 255
    if kind.startswith(("float", "bfloat")):
        array = array.astype("float64")
        array[array != array] = 0.0  # NaN is black
        array = array.clip(-1e9, 1e9)
        if float(array.max()) <= 1.0:
            array = array * 255.0 + 0.5
    if not kind.startswith(("float", "bfloat", "int", "uint")):
        raise UsageError("An array of " + kind + " is no image.", "Send numbers of 0 to 255, or of 0 to 1.")
    return array.clip(0, 255).astype("uint8")


def _check_sides(width: int, height: int) -> None:
    if width > MAX_SIDE or height > MAX_SIDE:
        raise UsageError(
            "The image has " + str(width) + " x " + str(height) + " pixels.",
            "Make it smaller: " + str(MAX_SIDE) + " a side at most.",
        )


def _png(width: int, height: int, depth: int, pixels: bytes) -> bytes:
    """Return a PNG (ISO/IEC 15948): one IDAT, no filter."""
    from struct import pack
    from zlib import compress, crc32

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data) & 0xFFFFFFFF)

    row = width * depth
    lines = b"".join([b"\0" + pixels[start : start + row] for start in range(0, row * height, row)])
    colour = {1: 0, 3: 2, 4: 6}[depth]
    head = pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", head) + chunk(b"IDAT", compress(lines, 6)) + chunk(b"IEND", b"")
