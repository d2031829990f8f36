"""The job, as the model script sees it: values in, reports out, and how it ends."""

from __future__ import annotations

import os
import sys
import time

from bough import _by_hand, _layout, _numbers
from bough._channel import Channel, LossChannel, checked_name, definition, mended_name, trace_names
from bough._complaint import complain, spared
from bough._journal import Journal, rank, say
from bough._limits import Control, EpochLimit
from bough._standalone import Standalone, read_job
from bough._surface import Surface
from bough._values import Absent, Values
from bough.errors import UsageError

TYPE_CHECKING = False  # typing costs 6 ms; type checkers know this name
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal  # what is needed of it: the module itself loads enum

NEAREST = "The channel is made as near to that as can be."
MOST_TRACES = 100  # of a channel whose definition is mended

_current: Job | None = None


class _Required:
    """Stands for "no default", so that None can be one."""

    def __repr__(self) -> str:
        return "<required>"


REQUIRED = _Required()


def start(name: str | None, live: bool | None = None) -> Job:
    """Return this process's job, started by the first call. See `bough.start_job`."""
    global _current
    if _current is None:
        _current = _from_agent() or _of_parent() or _alone(name, live)
        _restore_interrupt()
    return _current


def _from_agent() -> Job | None:
    attempt_dir = os.environ.get(_layout.ATTEMPT_DIR)
    if not attempt_dir:
        return None
    facts = read_job(attempt_dir)
    return Job(facts, attempt_dir, Values(_mapping(facts["values"])))


def _of_parent() -> Job | None:
    """Return the job of the script without an agent that started this process by multiprocessing."""
    folder = _by_hand.parent_folder()
    if folder is None:
        return None
    facts = read_job(folder)
    return Job(facts, folder, Values(_mapping(facts["values"])))


def _alone(name: str | None, live: bool | None) -> Job:
    alone = Standalone(name, os.getcwd())
    values = Values(_mapping(alone.facts["values"]), alone.origin, alone.remedy)
    job = Job(alone.facts, alone.attempt_dir, values)
    if alone.attempt_dir is not None:
        os.environ[_layout.BY_HAND_DIR] = alone.attempt_dir
        _by_hand.note_end(alone.attempt_dir, alone.facts)
        if _by_hand.is_wanted_live(live) and not rank():
            _by_hand.go_live(alone.attempt_dir)
    return job


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _restore_interrupt() -> None:
    """A shell starts background programs with SIGINT ignored: then no limit could stop this one."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        return
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread
        return
    if not rank():
        say("SIGINT was ignored when this script started (a shell does that with &); it is heard again.")


class Job(Surface):
    """One run of a model script. Made by `bough.start_job`.

    Attributes:
        job_id: Its id.
        attempt: 1, 2, …: which try of the job this is.
        model: ``owner/name``, None when unknown.
        optimization: Id of its optimization, None for a manual job.
        number: Its number in the optimization, None for a manual job.
        commit: The commit that runs, None without an agent.
    """

    def __init__(
        self, facts: dict[str, object], attempt_dir: str | None, values: Values, journal: Journal | None = None
    ) -> None:
        self.job_id = str(facts.get("job_id") or "")
        self.attempt = _integer(facts.get("attempt")) or 1
        self.model = _text_or_none(facts.get("model"))
        self.optimization = _text_or_none(facts.get("optimization"))
        self.number = _integer(facts.get("number"))
        self.commit = _text_or_none(facts.get("commit"))
        self._checkpoint_dir = _text_or_none(facts.get("checkpoint_dir"))
        self._values = values
        self._started = time.monotonic()
        self._paced = (self._started, 0.0)  # when the speed of epochs was last reported, and at which
        self._channels: dict[str, tuple[str, Channel]] = {}
        self._kpi: str | None = None
        self._epochs = "0"  # as the journal writes them
        self._total = "null"
        self._limit = EpochLimit(_positive(facts.get("max_epochs")), is_follower=bool(rank()))
        self._wanted_kpi = _text_or_none(_mapping(facts.get("kpi")).get("channel"))
        self._control = Control(attempt_dir)
        journal = journal or Journal(os.path.join(attempt_dir, _layout.JOURNALS) if attempt_dir else None)
        Surface.__init__(self, attempt_dir, journal, _mapping(facts.get("limits")))
        self._journal.begin()

    # -- values -----------------------------------------------------------------------------------------------

    def get_parameter(self, path: str, default: object = REQUIRED, return_group: bool = False) -> Any:
        """Return a hyperparameter, in the type it was declared with.

        Args:
            path: Dotted. Inside a choice group the chosen name may be left out: ``optimizer.lr``.
            default: Returned where the job has no such hyperparameter, also because another choice was made or its
                group is off.
            return_group: Of a choice group or an optional group, return the dict of its children.

        Returns:
            The value; of a choice group the chosen name, of an optional group True or False, of a plain group a nested
            dict.

        Raises:
            UsageError: There is no such hyperparameter and no default.
        """
        try:
            value = self._values.get(path, return_group)
        except Absent:
            if default is REQUIRED:
                raise self._values.explain(path) from None
            meant = self._values.doubt(path)
            if meant is not None:
                say("there is no hyperparameter " + path + "; its default stands in. Did you mean " + meant + "?")
            return default
        return default if value is None and default is not REQUIRED else value

    # -- reports ----------------------------------------------------------------------------------------------

    def create_channel(
        self,
        name: str,
        traces: object = None,
        main: bool = False,
        kpi: bool = False,
        kpiTrace: int = 0,
        max_optimization: bool | None = None,
        type: str = Channel.NUMBER,
        xaxis: object = None,
        yaxis: object = None,
        layout: object = None,
        kpi_trace: int | None = None,
    ) -> Channel:
        """Return a channel to report points through; the same again when it is made twice alike.

        What is wrong with it (a second KPI, a name that cannot be printed, traces that make no sense) is said in the
        log, and the channel is the nearest that can be.

        Args:
            name: 1 to 200 printable characters.
            traces: None for one, or a list of names, or a list of dicts with "name".
            main: Show its last value as a column.
            kpi: The optimization looks at this channel. Only one may.
            kpiTrace: Which trace of it counts, from 0.
            max_optimization: True: more is better; False: less is; None: as bough.yml says, else more is better.
            type: `Channel.NUMBER`, `Channel.TEXT` or `Channel.IMAGE`.
            xaxis: How charts show it, as are yaxis and layout; kept as given.
            yaxis: See xaxis.
            layout: See xaxis.
            kpi_trace: Another spelling of kpiTrace.
        """
        display = {"xaxis": xaxis, "yaxis": yaxis, "layout": layout}
        which = kpiTrace if kpi_trace is None else kpi_trace
        try:
            checked_name(name, "channel")
            names = trace_names(traces, name)
            rest = definition(name, names, type, main, kpi, which, max_optimization, False, display)
            return self._create(name, names, type, kpi, rest)
        except UsageError as error:
            complain("the channels", error, NEAREST)
        return self._nearest(mended_name(name), traces, main, kpi, max_optimization, type)

    def _nearest(
        self, name: str, traces: object, main: bool, kpi: bool, max_optimization: bool | None, type: str
    ) -> Channel:  # fmt: skip
        """Return the channel that is nearest to a wrong one."""
        if name in self._channels:
            return self._channels[name][1]
        type = type if type in (Channel.NUMBER, Channel.TEXT, Channel.IMAGE) else Channel.NUMBER
        is_kpi = bool(kpi) and self._kpi is None and type == Channel.NUMBER
        try:
            names = trace_names(traces, name)
        except UsageError:
            names = [name]
        if len(names) > MOST_TRACES:
            names = [name]
        rest = definition(name, names, type, main, is_kpi, 0, max_optimization, False, {})
        return self._create(name, names, type, is_kpi, rest)

    def create_loss_channel(
        self, name: str = "loss", xaxis: object = None, yaxis: object = None, layout: object = None
    ) -> LossChannel:
        """Return a channel with the traces training and validation, shown as a column. It cannot be the KPI."""
        names = ["training", "validation"]
        display = {"xaxis": xaxis, "yaxis": yaxis, "layout": layout}
        try:
            checked_name(name, "channel")
            rest = definition(name, names, Channel.NUMBER, True, False, 0, False, True, display)
            return LossChannel(self._create(name, names, Channel.NUMBER, False, rest))
        except UsageError as error:
            complain("the channels", error, NEAREST)
        return LossChannel(self._nearest(mended_name(name), names, True, False, False, Channel.NUMBER))

    def _create(self, name: str, traces: list[str], type: str, kpi: bool, rest: str) -> Channel:
        known = self._channels.get(name)
        if known is not None:
            if known[0] == rest:
                return known[1]
            raise UsageError(
                "Channel " + name + " exists already, with another definition.", "Use the first one, or another name."
            )
        if kpi and self._kpi is not None:
            raise UsageError(
                "Channel " + name + " cannot be the KPI: channel " + self._kpi + " is it already.",
                "Leave kpi=True to one of them.",
            )
        counts = self._counts(name, traces, kpi)
        limit = (self._limit.kpi, self._reach_limit) if counts else None
        channel = Channel(self._journal, name, traces, type, limit, self._picture)
        self._channels[name] = (rest, channel)
        if kpi:
            self._kpi = name
        if counts:
            self._limit.has_kpi = True
        self._journal.define(rest)
        return channel

    def _counts(self, name: str, traces: list[str], kpi: bool) -> bool:
        """Is this the channel that the optimization looks at: the one its settings name, else the script's KPI?"""
        if self._wanted_kpi is None:
            return kpi
        return self._wanted_kpi in (name, *(name + "/" + trace for trace in traces))

    def progress(self, progress: object = None, total: object = None, epoch: object = None) -> None:
        """Report that so many epochs are finished. At the job's epoch limit this is where it ends, by SIGINT.

        Args:
            progress: Epochs finished so far; None keeps the last one.
            total: Epochs planned, None keeps the last one.
            epoch: Another name for progress.
        """
        done = progress if progress is not None else epoch
        try:
            x = self._epochs if done is None else _numbers.number(done, "progress")
            of = self._total if total is None else _numbers.number(total, "total of progress")
        except (UsageError, RuntimeError) as error:
            complain("progress", error)
            return
        self._epochs, self._total = x, of
        self._journal.append("g", x + "," + of)
        epochs = float(x.strip('"'))
        self._keep_pace(epochs)
        if self._limit.progress(epochs):
            self._reach_limit()

    def _keep_pace(self, epochs: float) -> None:
        """Report the speed of epochs, and when the last one will be done, at most once a second."""
        now = time.monotonic()
        passed, taken = now - self._paced[0], epochs - self._paced[1]
        if passed < 1.0 or not taken > 0:
            return
        self._paced = now, epochs
        total = None if self._total == "null" else float(self._total.strip('"'))
        self._document("step", "epoch", {
            "label": "EPOCH", "step": epochs, "steps": total, "speed": taken / passed, "speed_label": "EPOCHS/S",
            "eta_s": None if total is None else max(0.0, total - epochs) * passed / taken,
        })  # fmt: skip

    def epoch(self, epoch: object = None, total: object = None) -> None:
        """Report that so many epochs are finished: `progress` by another name."""
        self.progress(epoch, total)

    @spared
    def set_info(self, name: str, value: object, commit_end_of_job: bool = False) -> None:
        """Keep a fact with the job: any JSON value; of what is none, its text. The last one of a name counts.

        commit_end_of_job is accepted and ignored: facts are never lost.
        """
        self._journal.append("i", _numbers.text(checked_name(name, "info")) + "," + _numbers.any_value(value))

    def set_status(self, text: object, add_section: bool = False) -> None:
        """Say what the job is doing, for people; with add_section as a section of the log too."""
        self._journal.append("s", _numbers.text(text))
        if add_section:
            self.section(text)

    # -- limits -----------------------------------------------------------------------------------------------

    def should_stop(self) -> bool:
        """Is the job being stopped: by a limit, or by a person? Cheap enough for an inner loop."""
        return self._control.should_stop(time.monotonic())

    def _reach_limit(self) -> None:
        if self._control.begin():
            self._journal.append("l", _numbers.text(_layout.MAX_EPOCHS))
            self._control.stop()

    # -- the end ----------------------------------------------------------------------------------------------

    def done(self, force_exit: bool = False) -> None:
        """Say that the job is done; optional, falling off the end is fine. Code after it still runs.

        Args:
            force_exit: End the process here, without its clean-up, with exit code 0.
        """
        self._end("done", None)
        if force_exit:
            _leave(0)

    def fail(self, message: object = None, force_exit: bool = False) -> NoReturn:
        """End the script: the job has failed. Exit code 1.

        Args:
            message: Why, for people.
            force_exit: End the process here, without its clean-up. Otherwise SystemExit is raised, which in a thread
                ends that thread only.
        """
        self._end("fail", message)
        say("the script ended its job as failed" + ("." if message is None else ": " + str(message)))
        raise _exit(1, force_exit)

    def abort(self, force_exit: bool = False) -> NoReturn:
        """End the script: the job is given up and does not count. Exit code 1. See `fail`."""
        self._end("abort", None)
        say("the script aborted its job.")
        raise _exit(1, force_exit)

    def _end(self, how: str, message: object) -> None:
        self._journal.append("e", '"' + how + '",' + ("null" if message is None else _numbers.text(message)))

    # -- facts ------------------------------------------------------------------------------------------------

    @property
    def checkpoint_dir(self) -> str:
        """A folder that later attempts of this job on this machine find again. Made when first asked for."""
        if self._checkpoint_dir is not None:
            try:
                os.makedirs(self._checkpoint_dir, mode=0o700, exist_ok=True)
                return self._checkpoint_dir
            except OSError as error:
                say("checkpoints go to a temporary folder: " + str(error) + ".")
        from tempfile import mkdtemp

        self._checkpoint_dir = mkdtemp(prefix="bough-")
        return self._checkpoint_dir

    def get_run_time(self, precision: int = 3) -> float:
        """Return the seconds since start_job."""
        return round(time.monotonic() - self._started, precision)

    def __repr__(self) -> str:
        return "<bough job " + self.job_id + ", attempt " + str(self.attempt) + ">"


def _exit(code: int, force_exit: bool) -> SystemExit:
    if force_exit:
        _leave(code)
    return SystemExit(code)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105  (importing contextlib costs more than this says)
            stream.flush()
        except Exception:  # closed or broken: the process ends all the same
            pass
    os._exit(code)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _positive(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return value
    return None
