"""What a job may report besides channels and progress: files, documents, steps, images, actions.

Each is a thin door: what is behind it is loaded when a script first uses it, so that others pay nothing.
"""

from __future__ import annotations

from bough import _numbers
from bough._channel import Channel, checked_name, mended_name
from bough._complaint import complain, spared
from bough._insights import Insights
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


class Surface(Insights):
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

    @property
    def _steps(self) -> Steps:
        if self._steps_ is None:
            from bough._steps import Steps

            self._steps_ = Steps(self._document, self.report_speed)
        return self._steps_

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
            self._actions = Actions(self._attempt_dir, self._document)
        known = str(getattr(callback, "__name__", "action")) if name is None else name
        text = description if description is not None else (getattr(callback, "__doc__", None) or "").strip()
        action = Action(callback, checked_name(known, "action"), label or known, text[:2000])
        self._actions.register(action)
