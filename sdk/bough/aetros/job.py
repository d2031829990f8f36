"""`JobBackend`: one surface that takes the calls of AETROS 0.5 to 0.14, carried out by bough's own job.

What AETROS had under several names is here under all of them. What bough's job does under the same name (steps, facts,
files, insights, embeddings, actions) is handed on to it as it is.
"""

from __future__ import annotations

import os

import bough
from bough.aetros.channels import JobChannel, JobLossChannel
from bough.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, NoReturn, Optional

    from bough._job import Job

UNKNOWN = "AETROS_UNKNOWN_PARAMETER"  # "none": an unknown hyperparameter is None, as in AETROS 0.14; else an error
_POSITIONS = ("kpiTrace", "max_optimization", "type", "xaxis", "yaxis", "layout")
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
        if default is not None:
            return self._job.get_parameter(path, default, return_group)
        try:
            return self._job.get_parameter(path, return_group=return_group)
        except UsageError as error:
            if os.environ.get(UNKNOWN, "").lower() == "none":
                return None
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
            kpi: The optimization looks at it; of two, the first: the other is an ordinary channel.
            *positions: kpiTrace, max_optimization, type, xaxis, yaxis, layout, in this order.
            **named: The same by name; ``graph_type`` is ignored.
        """
        known = _by_name(positions, named)
        main = bool(known.pop("main_graph", main))
        return JobChannel(self._job.create_channel(name, traces=traces or None, main=main, kpi=kpi, **known))

    def create_loss_channel(
        self, name: str = "loss", xaxis: object = None, yaxis: object = None, layout: object = None
    ) -> JobLossChannel:
        """Return a channel with the traces training and validation."""
        return JobLossChannel(JobChannel(self._job.create_loss_channel(name, xaxis, yaxis, layout)._channel))

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

    # -- facts --------------------------------------------------------------------------------------------------

    def set_status(self, status: object, add_section: bool = True) -> None:
        """Say what the job is doing, and begin a section of the log unless told otherwise."""
        self._job.set_status(status, add_section)

    def upload_weights(self, name: str, path: str, accuracy: object = None, with_status: bool = False) -> None:
        """Hand in a file with weights, as scripts up to 0.7 did."""
        self._job.commit_file(path)

    def sync_weights(self, push: bool = True) -> None:
        """Do nothing: weights stay where the script wrote them; ``output:`` in bough.yml hands them in."""

    # -- frameworks ---------------------------------------------------------------------------------------------

    def create_keras_callback(
        self, model: Any = None, insights: bool = False, insights_x: object = None,
        additional_insights_layer: object = None, confusion_matrix: bool = False, validation_data: object = None,
        validation_data_size: object = None,
    ) -> Any:  # fmt: skip
        """Return a Keras callback that reports accuracy and loss of each epoch; see `bough.aetros.keras`."""
        from bough.aetros.keras import KerasCallback

        return KerasCallback(
            self, model, insights, insights_x, confusion_matrix, validation_data, validation_data_size,
            additional_insights_layer,
        )  # fmt: skip


def _by_name(positions: tuple, named: Dict[str, Any]) -> Dict[str, Any]:  # type: ignore[type-arg]
    """Return the arguments after kpi by name: a bool in the first place is max_optimization of 0.7 and before."""
    names = list(_POSITIONS)[1 if positions and isinstance(positions[0], bool) else 0 :]
    known: Dict[str, Any] = dict(zip(names, positions))
    known.update(named)
    known.pop("graph_type", None)
    return known
