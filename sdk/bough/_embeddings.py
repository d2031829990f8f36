"""Embeddings: vectors with their words, as raw little-endian float32 and a list of names, one per line."""

from __future__ import annotations

import os
from array import array
from sys import byteorder

from bough.errors import UsageError

MAX_VECTORS = 1000000
MAX_DIMENSIONS = 10000


def read_word2vec(path: str, dimensions: object, header_with_dimensions: bool) -> tuple[bytes, bytes, int, int]:
    """Return (vectors, words, how many, dimensions) of a file in the text format of word2vec.

    Args:
        path: Lines of a word and its numbers, between blanks.
        dimensions: How many numbers each has; None: as the header or the first line says.
        header_with_dimensions: The first line is "count dimensions".

    Raises:
        UsageError: The file is not that; names the line.
    """
    if not path.endswith(".txt"):
        raise UsageError("The embedding " + path + " is no .txt.", "Save it in the text format of word2vec.")
    size = None if dimensions is None else int(dimensions)  # type: ignore[call-overload]
    values = array("f")
    words: list[str] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if number == 1 and header_with_dimensions:
                    size = _header(path, line, size)
                elif line.strip():
                    size = _vector(path, number, line, size, words, values)
    except OSError as error:
        raise UsageError(
            "The embedding " + path + " cannot be read: " + str(error.strerror) + ".", "Check its path."
        ) from None
    if not words or size is None:
        raise UsageError("The embedding " + path + " holds no vector.", "Each line is a word and its numbers.")
    if byteorder == "big":
        values.byteswap()
    return values.tobytes(), "\n".join(words).encode("utf-8", "replace") + b"\n", len(words), size


def _header(path: str, line: str, size: int | None) -> int:
    parts = line.split()
    if len(parts) != 2 or not parts[0].isdigit() or not parts[1].isdigit():
        raise UsageError(
            path + ", line 1: there is no header with count and dimensions.",
            "Write one, or give header_with_dimensions=False.",
        )
    if size is not None and size != int(parts[1]):
        raise UsageError(
            path + ", line 1: the header says " + parts[1] + " dimensions, asked for are " + str(size) + ".",
            "Leave out dimensions.",
        )
    return int(parts[1])


def _vector(path: str, number: int, line: str, size: int | None, words: list[str], values: array[float]) -> int:
    parts = line.rstrip().split(" ")
    size = len(parts) - 1 if size is None else size
    where = path + ", line " + str(number) + ": "
    if not 0 < size <= MAX_DIMENSIONS or len(words) >= MAX_VECTORS:
        raise UsageError(where + "there are too many vectors or dimensions.", "Hand in a part of them.")
    if len(parts) != size + 1:
        raise UsageError(where + str(len(parts) - 1) + " numbers, not " + str(size) + ".", "Correct the file.")
    try:
        values.extend([float(part) for part in parts[1:]])
    except (ValueError, OverflowError):
        raise UsageError(where + "not all of it is numbers.", "Correct the file.") from None
    words.append(parts[0])
    return size


def count_vectors(path: str, dimensions: object) -> int:
    """Return how many vectors of float32 a file holds.

    Raises:
        UsageError: It is not there, or not a whole number of them.
    """
    size: int = int(dimensions)  # type: ignore[call-overload]
    try:
        length = os.stat(path).st_size
    except OSError as error:
        raise UsageError(
            "The vectors " + path + " cannot be read: " + str(error.strerror) + ".", "Check their path."
        ) from None
    if not 0 < size <= MAX_DIMENSIONS or length % (4 * size):
        raise UsageError(
            path + " has " + str(length) + " bytes: no whole number of vectors of " + str(size) + " float32.",
            "Save raw float32, one vector after the other.",
        )
    count: int = length // (4 * size)
    return count
