"""What a job may report besides channels and progress: files, documents, steps, images, actions.

Each is a thin door: what is behind it is loaded when a script first uses it, so that others pay nothing.
"""

from __future__ import annotations

from bough import _numbers
from bough._channel import Channel, checked_name, mended_name
from bough._complaint import complain, spared
from bough._journal import Journal
from bough._paths import file_name
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bough._actions import Actions
    from bough._files import Files
    from bough._steps import Progress, Steps

MAX_VALUE = 50000  # bytes of a document as JSON; a journal line may have 64 KiB


class Surface:
    """The part of `bough.Job` that is not needed by every script.

    Args:
        attempt_dir: The attempt's folder; None where nothing is recorded.
        journal: Where everything is reported.
        limits: Of job.json.
    """

    def __init__(self, attempt_dir: str | None, journal: Journal, limits: dict[str, object]) -> None:
        self._attempt_dir = attempt_dir
        self._journal = journal
        self._limits_of_files = limits
        self._files_: Files | None = None
        self._base: str | None = None  # what paths are relative to; None: the working folder
        self._steps_: Steps | None = None
        self._speed: Channel | None = None
        self._actions: Actions | None = None
        self._is_supervised = False  # an agent hears what people want

    if TYPE_CHECKING:  # of Job

        def create_channel(self, name: str, *args: Any, **kwargs: Any) -> Channel: ...
        def get_run_time(self, precision: int = 3) -> float: ...

    # -- files ------------------------------------------------------------------------------------------------

    def commit_file(self, path: object, git_path: str | None = None, title: str | None = None) -> int:
        """Hand in a file, or a folder with all it holds. Its content is kept as it is now.

        Args:
            path: Of the file or folder.
            git_path: What it is called in the job; None: its path from the working folder, without leading ``../``.
            title: For people.

        Returns:
            How many files were handed in. What could not be is said in the log.
        """
        return self._files.hand_in(path, git_path, title)

    def add_files(self, directory: object) -> int:
        """Hand in every file of a folder; returns how many. See `commit_file`."""
        return self._files.hand_in(directory)

    def file_list(self) -> list[str]:
        """Return the names of what this process handed in, in that order."""
        return list(self._files.names)

    @property
    def _files(self) -> Files:
        if self._files_ is None:
            from bough._files import Files

            self._files_ = Files(self._attempt_dir, self._journal, self._limits_of_files, self._base)
        return self._files_

    # -- documents --------------------------------------------------------------------------------------------

    @spared
    def set_system_info(self, key: str, value: object, commit_end_of_job: bool = False) -> None:
        """Keep a fact about the machine or the run: any JSON value; the last one of a key counts.

        Args:
            key: 1 to 200 printable characters; may hold ``/``.
            value: Any JSON value; of what is none, its text.
            commit_end_of_job: Accepted and ignored: facts are never lost.
        """
        self._document("system", checked_name(key, "system info"), value)

    def job_add_status(self, key: str, value: object) -> None:
        """Keep a fact about how the job stands: `set_system_info` below ``status/``."""
        self.set_system_info("status/" + str(key), value)

    @spared
    def set_graph(self, graph: object) -> None:
        """Keep the graph of the model: any JSON value, for people and pages."""
        self._document("graph", "", graph)

    @spared
    def section(self, title: object) -> None:
        """Begin a section of the log: prints ``## TITLE`` and the seconds since the start, and keeps both."""
        seconds = self.get_run_time()
        self._document("section", str(seconds), {"title": str(title)[:200], "seconds": seconds})
        try:  # noqa: SIM105  (importing contextlib costs more than this says)
            print("## " + str(title).upper() + "\t" + str(seconds), flush=True)
        except (OSError, ValueError):  # stdout is closed
            pass

    def _document(self, kind: str, name: str, value: object) -> None:
        """Write a document; one that is too large for a line becomes a file, and is named."""
        text = _numbers.any_value(value)
        if len(text) > MAX_VALUE:
            path = self._files.put(text.encode("ascii"), "documents/" + kind + "/" + file_name(name) + ".json")
            if path is None:
                return
            text = '{"file":' + _numbers.text(path) + "}"
        self._journal.append("d", '"' + kind + '",' + _numbers.text(name) + "," + text)

    # -- steps and speed --------------------------------------------------------------------------------------

    @spared
    def batch(
        self, batch: object, total: object, size: object = None, label: str = "BATCH", speed_label: str = "SAMPLES/S",
        batch_size: object = None,
    ) -> None:  # fmt: skip
        """Report that so many batches of an epoch are done. Call it as often as you like: it reports once a second.

        Args:
            batch: How many are done.
            total: Of how many.
            size: Samples in a batch.
            label: What a batch is called.
            speed_label: What its speed is called.
            batch_size: Another name for size.
        """
        self._steps.step(batch, total, label, speed_label, size if size is not None else batch_size)

    @spared
    def sample(
        self, sample: object, total: object, label: str = "SAMPLE", speed_label: str = "SAMPLES/S", size: object = 1
    ) -> None:
        """Report that so many samples of an epoch are done. See `batch`."""
        self._steps.step(sample, total, label, speed_label, size)

    @spared
    def step(
        self, step: object, total: object, label: str = "STEP", speed_label: str = "STEPS/S", size: object = 1
    ) -> None:
        """Report that so many steps of an epoch are done. See `batch`."""
        self._steps.step(step, total, label, speed_label, size)

    @spared
    def report_speed(self, speed: object, x: object = None, label: str | None = None) -> None:
        """Report how fast it goes: a point of the channel ``system/speed``.

        Args:
            speed: Anything per second.
            x: Where; None: the seconds since the start.
            label: What is counted; the first one stays.
        """
        if self._speed is None:
            yaxis = None if label is None else {"title": str(label)}
            self._speed = self.create_channel("system/speed", traces=["speed"], yaxis=yaxis)
        self._speed.send(self.get_run_time() if x is None else x, speed)

    def create_progress(self, name: str, total_steps: object = 100) -> Progress:
        """Return a progress of its own, for something beside the epochs; the same for the same name."""
        try:
            return self._steps.progress(checked_name(name, "progress"), total_steps)
        except UsageError as error:
            complain("create_progress", error)
            return self._steps.progress(mended_name(name), 100)

    def _picture(self, channel: str, x: object, image: object) -> str:
        """Keep a picture of an image channel and return the name of its file."""
        from bough._images import encoded

        if self._base and isinstance(image, str):
            image = self._base.rstrip("/") + "/" + image
        data, ending = encoded(image)
        at = _numbers.number(x, "x of channel " + channel).strip('"')
        path = self._files.put(data, "images/" + file_name(channel) + "/" + at + "-{sha}." + ending)
        if path is None:
            raise UsageError("A picture of channel " + channel + " could not be kept.")
        return path

    @property
    def _steps(self) -> Steps:
        if self._steps_ is None:
            from bough._steps import Steps

            self._steps_ = Steps(self._document, self.report_speed)
        return self._steps_

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
        import os

        place = str(path)
        where = os.path.join(self._base, place) if self._base else place
        self.add_insight_image(x, where, name or os.path.splitext(os.path.basename(place))[0], label)

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
        import os

        from bough._embeddings import read_word2vec

        where = os.path.join(self._base, path) if self._base else path
        vectors, words, count, size = read_word2vec(where, dimensions, header_with_dimensions)
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
        import os

        from bough._embeddings import count_vectors

        def place(path: str) -> str:
            return os.path.join(self._base, path) if self._base else path

        count = count_vectors(place(vectors_path), dimensions)
        folder = self._embedding_folder(x, vectors_path)
        facts: dict[str, object] = {"dimensions": dimensions, "count": count, "image_shape": image_shape}
        for name, path in (("tensor", vectors_path), ("metadata", metadata), ("image", image)):
            if path is None:
                continue
            ending = ".bytes" if name == "tensor" else os.path.splitext(path)[1]
            called = folder + "/" + name + ending
            facts[name] = called if self._files.hand_in(place(path), called) else None
        self._embedding(x, folder, facts)

    def _embedding_folder(self, x: object, path: str) -> str:
        at = _numbers.number(x, "x of an embedding").strip('"')
        return "embedding/" + at + "/" + file_name(path.replace("\\", "/").rpartition("/")[2])

    def _embedding(self, x: object, folder: str, facts: dict[str, object]) -> None:
        facts.update(x=x, id=folder.rpartition("/")[2])
        self._document("embedding", folder[len("embedding/") :], facts)

    # -- actions ----------------------------------------------------------------------------------------------

    @spared
    def register_action(
        self, callback: Callable[..., object], name: str | None = None, label: str | None = None,
        description: str | None = None,
    ) -> None:  # fmt: skip
        """Let people call a function of the script while it runs. This starts a thread; nothing else does.

        Args:
            callback: Called in that thread with the arguments by name; what it returns is the result. With a parameter
                ``done`` it may return at once and call ``done(result)`` later.
            name: 1 to 200 printable characters; None: that of the function.
            label: For people; None: the name.
            description: For people; None: the function's docstring.
        """
        from bough._actions import Action, Actions

        if self._actions is None:
            self._actions = Actions(self._attempt_dir if self._is_supervised else None, self._document)
        known = str(getattr(callback, "__name__", "action")) if name is None else name
        text = description if description is not None else (getattr(callback, "__doc__", None) or "").strip()
        action = Action(callback, checked_name(known, "action"), label or known, text[:2000])
        self._actions.register(action)


def _rows_of(rows: object) -> list[list[object]]:
    """Return rows of numbers, from lists or an array."""
    listed: object = getattr(rows, "tolist", lambda: rows)()
    if not isinstance(listed, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in listed):
        raise UsageError("A confusion matrix is rows of numbers, got " + repr(rows)[:60] + ".", "Send a list of lists.")
    return [list(row) for row in listed]
