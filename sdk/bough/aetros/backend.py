"""The names of AETROS's module ``aetros.backend``."""

from __future__ import annotations

import os
import subprocess
import sys

from bough import _layout
from bough._images import Image
from bough.aetros.channels import JobChannel, JobLossChannel
from bough.aetros.job import JobBackend, context, create_job, start_job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional


class JobImage(Image):
    """An image with a name, for insights; up to 0.7 its arguments were id, image and title."""

    def __init__(
        self, name: Any = None, pil_image: Any = None, label: Any = None, pos: Any = None, id: Any = None,
        image: Any = None, title: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(id if name is None else name, image if pil_image is None else pil_image, label, pos, title)


class EventListener:
    """Calls functions by the name of an event."""

    def __init__(self) -> None:
        self.events: Dict[str, List[Callable[..., object]]] = {}

    def on(self, name: str, callback: Callable[..., object]) -> None:
        """Call this function when the event is fired."""
        self.events.setdefault(name, []).append(callback)

    def off(self, name: str, callback: Callable[..., object]) -> None:
        """Call this function no more."""
        if callback in self.events.get(name, []):
            self.events[name].remove(callback)

    def fire(self, name: str, parameter: object = None) -> None:
        """Call every function of the event with the parameter."""
        for callback in list(self.events.get(name, [])):
            callback(parameter)


class _Teed(subprocess.Popen):  # type: ignore[type-arg]
    """A process whose piped output also reaches this one's own, and with it the job's log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        read_line: Optional[Callable[[str], object]] = kwargs.pop("read_line", None)
        super().__init__(*args, **kwargs)
        streams = [(self.stdout, sys.stdout), (self.stderr, sys.stderr)]
        self._readers = [_copy(source, target, read_line) for source, target in streams if source is not None]

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for its end, and until its output is read."""
        code = super().wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code


def _copy(source: Any, target: Any, read_line: Optional[Callable[[str], object]]) -> Any:
    import threading

    def run() -> None:
        for line in iter(source.readline, b"" if not hasattr(source, "encoding") else ""):
            text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
            target.write(text)
            target.flush()
            if read_line is not None:
                read_line(text)
        source.close()

    reader = threading.Thread(target=run, daemon=True)
    reader.start()
    return reader


def Popen(*args: Any, **kwargs: Any) -> _Teed:
    """Start a process; what it writes to a pipe is also written to the job's log, and given to ``read_line``."""
    return _Teed(*args, **kwargs)


def is_master_process() -> bool:
    """Whether nobody else runs this job: no agent."""
    return not os.environ.get(_layout.ATTEMPT_DIR)


__all__ = [
    "EventListener",
    "JobBackend",
    "JobChannel",
    "JobImage",
    "JobLossChannel",
    "Popen",
    "context",
    "create_job",
    "is_master_process",
    "start_job",
]
