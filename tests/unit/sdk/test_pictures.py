"""Pictures in any form become PNG or JPEG; none of the packages that make them is imported."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.sdk.conftest import Lines, Said

from bough import JobImage, UsageError
from bough._images import encoded
from bough._job import Job


def pixels(png: bytes) -> tuple[int, int, int, bytes]:
    """Return width, height, channels and the bytes of a PNG of ours: one IDAT, no filter."""
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += length + 12
    width, height, _, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    depth = {0: 1, 2: 3, 6: 4}[colour]
    raw = zlib.decompress(chunks[b"IDAT"])
    rows = [raw[i : i + width * depth + 1] for i in range(0, len(raw), width * depth + 1)]
    assert {row[0] for row in rows} == {0}
    return width, height, depth, b"".join(row[1:] for row in rows)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 255]], np.uint8), (2, 1, 1, b"\x00\xff")),
        (np.array([[0.0, 1.0], [0.5, float("nan")]]), (2, 2, 1, b"\x00\xff\x80\x00")),
        (np.array([[0.0, 255.0, 300.0, -5.0]], np.float32), (4, 1, 1, b"\x00\xff\xff\x00")),
        (np.array([[True, False]]), (2, 1, 1, b"\xff\x00")),
        (np.array([[[1, 2, 3], [4, 5, 6]]]), (2, 1, 3, b"\x01\x02\x03\x04\x05\x06")),
        (np.arange(6).reshape(3, 1, 2), (2, 1, 3, b"\x00\x02\x04\x01\x03\x05")),
        (np.zeros((1, 1, 4)), (1, 1, 4, b"\0\0\0\0")),
        (np.array([[float("inf"), float("-inf")]]), (2, 1, 1, b"\xff\x00")),
    ],
)
def test_an_array_becomes_a_png_of_the_same_pixels(array: Any, expected: tuple[int, int, int, bytes]) -> None:
    data, ending = encoded(array)

    assert ending == "png"
    assert pixels(data) == expected


class Tensor:
    """What a tensor of torch offers: no array, but the way to one."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.array


class Figure:
    """What a figure of matplotlib offers."""

    def savefig(self, file: io.BytesIO, format: str) -> None:
        file.write(encoded(np.zeros((1, 1)))[0])


def test_tensors_and_figures_are_asked_for_their_picture() -> None:
    assert pixels(encoded(Tensor(np.array([[7]], np.uint8)))[0]) == (1, 1, 1, b"\x07")
    assert pixels(encoded(Figure())[0]) == (1, 1, 1, b"\x00")


def test_bytes_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    jpeg = b"\xff\xd8\xff and more"
    (tmp_path / "a.jpg").write_bytes(jpeg)

    assert encoded(jpeg) == (jpeg, "jpg")
    assert encoded(tmp_path / "a.jpg") == (jpeg, "jpg")
    assert encoded(JobImage("a", bytearray(jpeg), title="b")) == (jpeg, "jpg")


@pytest.mark.parametrize(("mode", "size", "ending"), [("RGB", (10, 5), "png"), ("RGB", (500, 300), "jpg"),
                                                      ("RGBA", (500, 300), "png"), ("CMYK", (10, 5), "png"),
                                                      ("L", (10, 5), "png"), ("P", (10, 5), "png")])  # fmt: skip
def test_images_of_pil_are_saved_by_pil(mode: str, size: tuple[int, int], ending: str) -> None:
    image = pytest.importorskip("PIL.Image")

    data, found = encoded(image.new(mode, size))

    assert found == ending
    assert image.open(io.BytesIO(data)).size == size


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (None, r"There is no image in NoneType\. Send PNG or JPEG as bytes"),
        (b"GIF89a", r"The image is neither PNG nor JPEG\."),
        ("no/such.png", r"The image no/such\.png cannot be read: No such file or directory\."),
        (np.zeros((2, 2, 2)), r"An array of the shape \(2, 2, 2\) is no image\."),
        (np.zeros((0, 2)), r"An array of the shape \(0, 2\) is no image\."),
        (np.zeros((1, 9000)), r"The image has 9000 x 1 pixels\. Make it smaller: 8192 a side at most\."),
        (np.array([["a"]]), r"An array of <U1 is no image\."),
        (b"\x89PNG\r\n\x1a\n" + bytes(17 << 20), r"The image has 178\d+ bytes, 16777216 are allowed\."),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(image: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        encoded(image)


def test_an_image_channel_keeps_the_picture_and_sends_its_name(job: Job, lines: Lines, attempt_dir: Path) -> None:
    shots = job.create_channel("shots/test", type="image", traces=["a", "b"])

    shots.send(1, [np.zeros((2, 2)), np.ones((2, 2))])

    (point,) = lines("p")
    assert [name.startswith("images/shots_test/1-") for name in point[5]] == [True, True]
    assert [line[3] for line in lines("f")] == point[5]
    assert len(list((attempt_dir / "files").iterdir())) == 2


def test_a_wrong_picture_costs_only_itself(job: Job, lines: Lines, said: Said) -> None:
    job.create_channel("shots", type="image").send(1, "no/such.png")
    job.add_insight_image(1, object())
    job.add_insight_confusion_matrix(1, [1, 2])
    job.add_embedding_word2vec(1, "vectors.bin")
    job.add_embedding_path(1, 3, "vectors.bin")
    job.add_insight_confusion_matrix(2, np.eye(2))

    assert [sentence.split(".")[0] for sentence in said()] == [
        "bough: The image no/such",
        "bough: There is no image in object",
        "bough: A confusion matrix is rows of numbers, got [1, 2]",
        "bough: The embedding vectors",
        "bough: The vectors vectors",
    ]
    assert [line[3:] for line in lines("d")] == [
        ["confusion_matrix", "2/", {"x": 2, "layer": "", "rows": [[1.0, 0.0], [0.0, 1.0]]}]
    ]
