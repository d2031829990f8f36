"""`JobBackend`: one surface that takes the calls of AETROS 0.5 to 0.14, carried out by bough's own job.

What AETROS had under several names is here under all of them. What bough's job does itself is handed on as it is.
"""

from __future__ import annotations

import os
import time

import bough
from bough._journal import say
from bough.aetros.channels import JobChannel, JobLossChannel
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, NoReturn, Optional

    from bough._job import Job

UNKNOWN = "AETROS_UNKNOWN_PARAMETER"  # "none": an unknown hyperparameter is None, as in AETROS 0.14; else an error
THROTTLE_S = 1.0  # between two reports of steps
_POSITIONS = ("kpiTrace", "max_optimization", "type", "xaxis", "yaxis", "layout")
_MISSING = object()
_current: Optional[JobBackend] = None


def start_job(name: Optional[str] = None, api_key: object = None, api_token: object = None) -> JobBackend:
    """Return this process's job. Keys are accepted and ignored; the name counts where no agent runs the script."""
    global _current
    if _current is None:
        _current = JobBackend(name)
    return _current


def create_job(name: Optional[str] = None, api_key: object = None, api_token: object = None) -> JobBackend:
    """Return this process's job: `start_job` as scripts up to 0.7 called it in two steps."""
    return start_job(name)


def context() -> JobBackend:
    """Return this process's job: `start_job` without a name."""
    return start_job()


class JobBackend:
    """An AETROS job; also what scripts got by calling ``JobBackend('owner/model')``."""

    def __init__(
        self, model_name: Optional[str] = None, logger: object = None, config_path: object = None, name: object = None
    ) -> None:
        self._job: Job = bough.start_job(model_name if isinstance(model_name, str) else None)
        self._kpi: Optional[str] = None
        self._reported_at: Dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        """Hand on what bough's own job can do under the same name."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self._job, name)
        except AttributeError:
            raise AttributeError("AETROS's job has no " + name + " in bough.") from None

    # -- life ---------------------------------------------------------------------------------------------------

    def create(
        self, create_info: object = None, hyperparameter: object = None, server: object = None, insights: object = False
    ) -> str:
        """Return the job's id: an agent has made it already."""
        return self._job.job_id

    def connect(self) -> bool:
        """Return True: nothing has to be connected."""
        return True

    def start(self, collect_system: bool = True, offline: bool = False, push: bool = True) -> None:
        """Do nothing: the job runs since the module was told its name."""

    fetch = load = restart = create

    def done(self, force_exit: bool = False) -> None:
        """Say that the job is done. Returns, as before 0.10, unless ``force_exit``."""
        self._job.done(force_exit)

    def end(self) -> None:
        """Say that the job is done, as scripts of 0.5 did."""
        self._job.done()

    def stop(self, progress: object = None, force_exit: bool = False) -> None:
        """Say that the job is done."""
        self._job.done(force_exit)

    def fail(self, message: object = None, force_exit: bool = False) -> NoReturn:
        """End the script: the job has failed."""
        self._job.fail(message, force_exit)

    def crash(self, error: object = None, force_exit: bool = False) -> NoReturn:
        """End the script: the job has failed, as scripts up to 0.10 said it."""
        self._job.fail(error, force_exit)

    def abort(self, force_exit: bool = False) -> NoReturn:
        """End the script: the job is given up."""
        self._job.abort(force_exit)

    # -- hyperparameters ----------------------------------------------------------------------------------------

    def get_parameter(self, path: str, default: object = None, return_group: bool = False) -> Any:
        """Return a hyperparameter, in the type it was declared with.

        Args:
            path: Dotted; the name of a choice may be left out.
            default: For one that the job does not have; None is none.
            return_group: Of a choice group, its children as a dict.

        Raises:
            UsageError: There is none and no default, as up to 0.13; with AETROS_UNKNOWN_PARAMETER=none the answer is
                None, as in 0.14.
        """
        found = self._job.get_parameter(path, _MISSING, return_group)
        if found is not _MISSING:
            return default if found is None else found
        if default is not None or os.environ.get(UNKNOWN, "").lower() == "none":
            return default
        try:
            return self._job.get_parameter(path)
        except UsageError as error:
            raise UsageError(error.what, error.do + " AETROS 0.14 gave None: env: {" + UNKNOWN + ": none}.") from None

    def set_parameter_change_callback(self, callback: object) -> None:
        """Do nothing: values never change while a job runs, and AETROS never called it either."""

    # -- channels -----------------------------------------------------------------------------------------------

    def create_channel(
        self, name: str, traces: object = None, main: bool = False, kpi: bool = False, *positions: Any, **named: Any
    ) -> JobChannel:
        """Return a channel. The arguments after kpi are those of 0.10 to 0.14, or of up to 0.7, without kpiTrace.

        Args:
            name: Of the channel.
            traces: None for one, or a list of names or of dicts with "name".
            main: Shown as a column; up to 0.5 ``main_graph``.
            kpi: The optimization looks at it; of two, the first.
            *positions: kpiTrace, max_optimization, type, xaxis, yaxis, layout, in this order.
            **named: The same by name; ``graph_type`` is ignored.
        """
        known = _by_name(positions, named)
        main = bool(known.pop("main_graph", main))
        if known.get("type") == JobChannel.IMAGE and not hasattr(bough.Channel, "IMAGE"):
            known["type"] = JobChannel.TEXT
        if kpi and self._kpi not in (None, name):
            say("channel " + name + " cannot be the KPI: channel " + str(self._kpi) + " is it already. It is kept.")
            kpi = False
        if kpi:
            self._kpi = name
        return JobChannel(self._made(name, traces=traces or None, main=main, kpi=kpi, **known))

    def _made(self, name: str, **definition: Any) -> bough.Channel:
        """Return the channel; the known one where a script makes it again in another way, which emptied AETROS's."""
        try:
            return self._job.create_channel(name, **definition)
        except UsageError as error:
            known = self._job._channels.get(name)
            if known is None:
                raise
            say(str(error) + " The first definition stays.")
            return known[1]

    def create_loss_channel(
        self, name: str = "loss", xaxis: object = None, yaxis: object = None, layout: object = None
    ) -> JobLossChannel:
        """Return a channel with the traces training and validation."""
        self._job.create_loss_channel(name, xaxis, yaxis, layout)
        return JobLossChannel(JobChannel(self._job._channels[name][1]))

    @property
    def has_kpi(self) -> bool:
        """Whether the script has a KPI channel by now."""
        return self._job._kpi is not None

    # -- progress -----------------------------------------------------------------------------------------------

    def progress(self, progress: object = None, total: object = None, epoch: object = None) -> None:
        """Report that so many epochs are finished; ``epoch`` is progress up to 0.13."""
        self._job.progress(progress, total, epoch)

    def epoch(self, epoch: object = None, total: object = None) -> None:
        """Report that so many epochs are finished."""
        self._job.progress(epoch, total)

    def batch(
        self, batch: object, total: object = None, size: object = None, label: str = "BATCH",
        speed_label: str = "SAMPLES/S", batch_size: object = None,
    ) -> None:  # fmt: skip
        """Report a batch of the running epoch; ``batch_size`` is size in 0.13."""
        self._within("batch", batch, total, label, speed_label, batch_size if size is None else size)

    def sample(
        self, sample: object, total: object = None, label: str = "SAMPLE", speed_label: str = "SAMPLES/S"
    ) -> None:
        """Report a sample of the running epoch."""
        self._within("sample", sample, total, label, speed_label, 1)

    def step(
        self, step: object, total: object = None, label: str = "STEP", speed_label: str = "STEPS/S", size: object = 1
    ) -> None:
        """Report a step of the running epoch."""
        self._within("step", step, total, label, speed_label, size)

    def _within(self, kind: str, at: object, total: object, label: str, speed_label: str, size: object) -> None:
        """Hand on to bough's job where it counts steps; otherwise keep the last one, at most once a second."""
        handed = getattr(self._job, kind, None)
        if handed is not None:
            more = {"size": size} if kind != "sample" and size is not None else {}
            handed(at, total, label=label, speed_label=speed_label, **more)
        elif at == total or self._is_due(kind):
            self._job.set_info("step", at)
            self._job.set_info("steps", total)
            self._job.set_info("stepLabel", label)

    def _is_due(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._reported_at.get(what, -THROTTLE_S) < THROTTLE_S:
            return False
        self._reported_at[what] = now
        return True

    def report_speed(self, speed: object, x: object = None, label: object = None) -> None:
        """Report the speed, in what ``label`` says, at most once a second."""
        handed = getattr(self._job, "report_speed", None)
        if handed is not None:
            handed(speed, x, label)
        elif self._is_due("speed"):
            self._job.set_info("speed", speed)

    # -- facts --------------------------------------------------------------------------------------------------

    def set_info(self, name: str, value: object, commit_end_of_job: bool = False) -> None:
        """Keep a fact with the job."""
        self._job.set_info(name, value)

    def set_system_info(self, key: str, value: object, commit_end_of_job: bool = False) -> None:
        """Keep a fact about the machine with the job."""
        handed = getattr(self._job, "set_system_info", None)
        if handed is not None:
            handed(key, value)
        else:
            self._job.set_info(key, value)

    def set_status(self, status: str, add_section: bool = True) -> None:
        """Say what the job is doing."""
        self._job.set_status(status)

    def job_add_status(self, key: str, value: object) -> None:
        """Keep a fact about the job's state."""
        self._job.set_info(key, value)

    def section(self, title: str) -> None:
        """Begin a section of the log."""
        handed = getattr(self._job, "section", None)
        if handed is not None:
            handed(title)
        else:
            print("## " + str(title).upper(), flush=True)

    def set_graph(self, graph: object) -> None:
        """Keep the graph of the model with the job."""
        handed = getattr(self._job, "set_graph", None)
        handed(graph) if handed is not None else self._job.set_info("graph", graph)

    # -- what AETROS put into git -------------------------------------------------------------------------------

    def add_insight_image(self, x: object, image: object) -> None:
        """Keep one image of step x."""
        self._keep("add_insight_image", x, image)

    def add_insight_images(self, x: object, images: List[object]) -> None:
        """Keep images of step x."""
        self._keep("add_insight_images", x, images)

    def add_insight_image_path(self, x: object, path: str, name: object = None, label: object = None) -> None:
        """Keep the image in a file with step x."""
        self._keep("add_insight_image_path", x, path, name, label)

    def add_insight_confusion_matrix(self, x: object, matrix: object) -> None:
        """Keep a confusion matrix of step x."""
        self._keep("add_insight_confusion_matrix", x, matrix)

    def job_add_insight(self, x: object, images: object = None, confusion_matrix: object = None) -> None:
        """Keep images and a confusion matrix of step x."""
        if images:
            self._keep("add_insight_images", x, images)
        if confusion_matrix is not None:
            self._keep("add_insight_confusion_matrix", x, confusion_matrix)

    def add_embedding_word2vec(
        self, x: object, path: str, dimensions: object = None, header_with_dimensions: bool = True
    ) -> None:
        """Keep the word vectors in a text file with step x."""
        self._keep("add_embedding_word2vec", x, path, dimensions, header_with_dimensions)

    def add_embedding_path(
        self, x: object, dimensions: object, vectors_path: str, metadata: object = None, image_shape: object = None,
        image: object = None,
    ) -> None:  # fmt: skip
        """Keep vectors of 32-bit floats with step x."""
        self._keep("add_embedding_path", x, dimensions, vectors_path, metadata, image_shape, image)

    def commit_file(self, path: str, git_path: object = None, title: object = None) -> None:
        """Keep a file or a folder with the job."""
        self._keep("commit_file", path, git_path, title)

    def add_files(self, working_tree: str) -> None:
        """Keep the files of a folder with the job."""
        self._keep("add_files", working_tree)

    def sync_weights(self, push: bool = True) -> None:
        """Do nothing: weights stay where the script wrote them; ``output:`` in bough.yml hands them in."""

    def upload_weights(self, name: str, path: str, accuracy: object = None, with_status: bool = False) -> None:
        """Keep a file with weights, as scripts up to 0.7 did."""
        self._keep("commit_file", path)

    def _keep(self, what: str, *arguments: object) -> None:
        """Hand on to bough's job; what goes wrong, or is not known there, is one line in the log."""
        handed = getattr(self._job, what, None)
        if handed is None:
            if self._is_due(what + " is unknown"):
                say(what + " keeps nothing in this version of bough; the script goes on.")
            return
        try:
            handed(*arguments)
        except (UsageError, OSError) as error:
            say(what + " kept nothing: " + str(error))

    # -- frameworks ---------------------------------------------------------------------------------------------

    def create_keras_callback(
        self, model: Any = None, insights: bool = False, insights_x: object = None,
        additional_insights_layer: object = None, confusion_matrix: bool = False, validation_data: object = None,
        validation_data_size: object = None,
    ) -> Any:  # fmt: skip
        """Return a Keras callback that reports accuracy and loss of each epoch; see `bough.aetros.keras`."""
        from bough.aetros.keras import KerasCallback

        return KerasCallback(self, model, insights, insights_x, confusion_matrix, validation_data, validation_data_size)


def _by_name(positions: tuple, named: Dict[str, Any]) -> Dict[str, Any]:  # type: ignore[type-arg]
    """Return the arguments after kpi by name: a bool in the first place is max_optimization of 0.7 and before."""
    names = list(_POSITIONS)[1 if positions and isinstance(positions[0], bool) else 0 :]
    known: Dict[str, Any] = dict(zip(names, positions))  # noqa: B905  (Python 3.7 knows no strict)
    known.update(named)
    known.pop("graph_type", None)
    return known
