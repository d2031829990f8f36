"""Pictures, confusion matrices and embeddings: what a job shows of its insides, handed in as files."""

from __future__ import annotations

import os

from bough import _numbers
from bough._channel import mended_name
from bough._complaint import spared
from bough._paths import file_name
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bough._files import Files


class Insights:
    """The part of `bough.Job` that takes pictures and vectors."""

    _base: str | None  # what paths are relative to; None: the working folder

    if TYPE_CHECKING:  # of Surface

        @property
        def _files(self) -> Files: ...
        def _document(self, kind: str, name: str, value: object) -> None: ...

    def _place(self, path: str) -> str:
        return os.path.join(self._base, path) if self._base else path

    # -- images and insights ----------------------------------------------------------------------------------

    def add_insight_image(self, x: object, image: object, name: object = None, label: object = None) -> None:
        """Hand in a picture of the model's insides or results.

        Args:
            x: The epoch or step that it is of.
            image: A `bough.JobImage`, or a picture: PNG or JPEG as bytes or path, PIL image, array, tensor, figure.
            name: Names it among those of the same x; the last one of a name counts.
            label: For people.
        """
        self.add_insight_images(x, [image], name, label)

    @spared
    def add_insight_images(self, x: object, images: list[object], name: object = None, label: object = None) -> None:
        """Hand in several pictures; see `add_insight_image`."""
        from bough._images import Image, encoded

        at = _numbers.number(x, "x of an insight").strip('"')
        for index, given in enumerate(images):
            image = given if isinstance(given, Image) else Image(name or index, given, label)
            data, ending = encoded(image)
            path = self._files.put(data, "insight/" + at + "/" + file_name(image.name) + "." + ending)
            if path is None:
                continue
            facts = {"x": x, "id": image.name, "label": image.label, "pos": image.pos, "file": path}
            self._document("image", at + "/" + mended_name(image.name), facts)

    def add_insight_image_path(self, x: object, path: object, name: object = None, label: object = None) -> None:
        """Hand in a picture that is a file; see `add_insight_image`."""
        place = str(path)
        self.add_insight_image(x, self._place(place), name or os.path.splitext(os.path.basename(place))[0], label)

    @spared
    def add_insight_confusion_matrix(self, x: object, matrix: object) -> None:
        """Hand in a confusion matrix.

        Args:
            x: The epoch or step that it is of.
            matrix: Rows of numbers, also as an array; or a dict of such by the name of their layer.
        """
        at = _numbers.number(x, "x of an insight").strip('"')
        layers = matrix if isinstance(matrix, dict) else {"": matrix}
        for layer, rows in layers.items():
            self._document(
                "confusion_matrix", at + "/" + str(layer)[:100], {"x": x, "layer": str(layer), "rows": _rows_of(rows)}
            )

    def job_add_insight(self, x: object, images: list[object] | None = None, confusion_matrix: object = None) -> None:
        """Hand in pictures and a confusion matrix of the same x."""
        if images:
            self.add_insight_images(x, images)
        if confusion_matrix is not None:
            self.add_insight_confusion_matrix(x, confusion_matrix)

    # -- embeddings -------------------------------------------------------------------------------------------

    @spared
    def add_embedding_word2vec(
        self, x: object, path: str, dimensions: object = None, header_with_dimensions: bool = True
    ) -> None:
        """Hand in word vectors.

        Args:
            x: The epoch or step that they are of.
            path: A ``.txt`` in the text format of word2vec: a word and its numbers on each line.
            dimensions: How many numbers; None: as the file says.
            header_with_dimensions: Its first line is "count dimensions".
        """
        from bough._embeddings import read_word2vec

        vectors, words, count, size = read_word2vec(self._place(path), dimensions, header_with_dimensions)
        folder = self._embedding_folder(x, path)
        tensor = self._files.put(vectors, folder + "/tensor.bytes")
        metadata = self._files.put(words, folder + "/metadata.tsv")
        self._embedding(x, folder, {"dimensions": size, "count": count, "tensor": tensor, "metadata": metadata})

    @spared
    def add_embedding_path(
        self, x: object, dimensions: object, vectors_path: str, metadata: str | None = None,
        image_shape: object = None, image: str | None = None,
    ) -> None:  # fmt: skip
        """Hand in vectors.

        Args:
            x: The epoch or step that they are of.
            dimensions: Of each vector.
            vectors_path: A file of raw float32, one vector after the other.
            metadata: A file with a line for each.
            image_shape: Width and height of one picture in `image`.
            image: A file that is a sprite of their pictures.
        """
        from bough._embeddings import count_vectors

        count = count_vectors(self._place(vectors_path), dimensions)
        folder = self._embedding_folder(x, vectors_path)
        facts: dict[str, object] = {"dimensions": dimensions, "count": count, "image_shape": image_shape}
        for name, path in (("tensor", vectors_path), ("metadata", metadata), ("image", image)):
            if path is None:
                continue
            ending = ".bytes" if name == "tensor" else os.path.splitext(path)[1]
            called = folder + "/" + name + ending
            facts[name] = called if self._files.hand_in(self._place(path), called) else None
        self._embedding(x, folder, facts)

    def _embedding_folder(self, x: object, path: str) -> str:
        at = _numbers.number(x, "x of an embedding").strip('"')
        return "embedding/" + at + "/" + file_name(path.replace("\\", "/").rpartition("/")[2])

    def _embedding(self, x: object, folder: str, facts: dict[str, object]) -> None:
        facts.update(x=x, id=folder.rpartition("/")[2])
        self._document("embedding", folder[len("embedding/") :], facts)

    def _picture(self, channel: str, x: object, image: object) -> str:
        """Keep a picture of an image channel and return the name of its file."""
        from bough._images import encoded

        if isinstance(image, str):
            image = self._place(image)
        data, ending = encoded(image)
        at = _numbers.number(x, "x of channel " + channel).strip('"')
        path = self._files.put(data, "images/" + file_name(channel) + "/" + at + "-{sha}." + ending)
        if path is None:
            raise UsageError("A picture of channel " + channel + " could not be kept.")
        return path


def _rows_of(rows: object) -> list[list[object]]:
    """Return rows of numbers, from lists or an array."""
    listed: object = getattr(rows, "tolist", lambda: rows)()
    if not isinstance(listed, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in listed):
        raise UsageError("A confusion matrix is rows of numbers, got " + repr(rows)[:60] + ".", "Send a list of lists.")
    return [list(row) for row in listed]
