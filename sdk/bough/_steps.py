"""Steps inside an epoch: batches, samples, named progress; their speed, and when they will be done.

Reported at most once a second, and at the end: a loop may call as often as it likes.
"""

from __future__ import annotations

import time

from bough import _numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[str, str, dict[str, object]], None]  # kind, name, value of a document

EVERY_S = 1.0


class Pace:
    """How fast something goes on. No clock of its own.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._at = now
        self._step = 0.0
        self.speed: float | None = None  # steps per second

    def is_due(self, step: float, total: float | None, now: float) -> bool:
        """Is it time to report: a second has passed, or this is the last step?"""
        return now - self._at >= EVERY_S or (total is not None and step >= total)

    def take(self, step: float, now: float) -> None:
        """Measure from the last report to this one; a step below the last one is of a new round."""
        taken = step - self._step if step >= self._step else step
        passed = now - self._at
        if taken > 0 and passed > 0:
            self.speed = taken / passed
        self._at, self._step = now, step

    def eta_s(self, step: float, total: float | None) -> float | None:
        """Return how many seconds the rest takes at this speed; None where nothing is known."""
        if total is None or not self.speed:
            return None
        return max(0.0, total - step) / self.speed


class Steps:
    """The steps of a job.

    Args:
        tell: Writes a document.
        speed: Gets samples or steps per second, for the channel of speeds.
    """

    def __init__(self, tell: Tell, speed: Callable[[float], None]) -> None:
        self._tell = tell
        self._speed = speed
        self._pace = Pace(time.monotonic())
        self.bars: dict[str, Progress] = {}

    def step(self, step: object, total: object, label: object, speed_label: object, size: object) -> None:
        """Report a step of an epoch, each of `size` samples."""
        at = plain(step, "step")
        of = None if total is None else plain(total, "total of the steps")
        per_step = 1.0 if size is None else plain(size, "size of a step")
        now = time.monotonic()
        if not self._pace.is_due(at, of, now):
            return
        self._pace.take(at, now)
        speed = None if self._pace.speed is None else self._pace.speed * per_step
        self._tell("step", "", {
            "label": str(label), "step": whole(at), "steps": None if of is None else whole(of), "speed": speed,
            "speed_label": str(speed_label), "eta_s": self._pace.eta_s(at, of), "size": whole(per_step),
        })  # fmt: skip
        if speed is not None:
            self._speed(speed)

    def progress(self, name: str, total_steps: object) -> Progress:
        """Return the named progress, the same for the same name."""
        if name not in self.bars:
            self.bars[name] = Progress(name, plain(total_steps, "total_steps"), self._tell)
        return self.bars[name]


class Progress:
    """Something that takes a number of steps. Made by `Job.create_progress`; starts with its first step.

    Attributes:
        name: As the script called it.
        step: Steps taken.
        steps: Steps in all.
    """

    def __init__(self, name: str, steps: float, tell: Tell) -> None:
        self.name = name
        self.step = 0.0
        self.steps = steps
        self._label = name
        self._tell_document = tell
        self._started: float | None = None
        self._stopped: float | None = None
        self._pace = Pace(time.monotonic())

    def start(self) -> None:
        """Begin; harmless when it has begun."""
        if self._started is None:
            self._started = time.time()
            self._pace = Pace(time.monotonic())
            self._tell()

    def stop(self) -> None:
        """End; harmless when it has ended."""
        if self._stopped is None:
            self.start()
            self._stopped = time.time()
            self._tell()

    def advance(self, steps: float = 1) -> None:
        """Take steps; none below one are taken. The last one ends it."""
        if not steps > 0 or self._stopped is not None:
            return
        self.start()
        self.step += steps
        now = time.monotonic()
        if self._pace.is_due(self.step, None, now) or self.step >= self.steps:
            self._pace.take(self.step, now)
            if self.step < self.steps:
                self._tell()
        if self.step >= self.steps:
            self.stop()

    def label(self, text: str) -> None:
        """Say what it is doing."""
        self._label = str(text)
        if self._started is not None:
            self._tell()

    def _tell(self) -> None:
        self._tell_document("step", self.name, {
            "label": self._label[:500], "step": whole(self.step), "steps": whole(self.steps), "speed": self._pace.speed,
            "speed_label": "STEPS/S", "eta_s": self._pace.eta_s(self.step, self.steps), "started": self._started,
            "stopped": self._stopped,
        })  # fmt: skip


def plain(value: object, where: str) -> float:
    """Return any kind of number as a float; a `UsageError` where it is none."""
    return float(_numbers.number(value, where).strip('"'))


def whole(value: float) -> object:
    """Return a float that is a whole number as one."""
    return int(value) if value == value and abs(value) < 2**53 and value == int(value) else value
