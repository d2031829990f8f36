"""How an agent runs: what its command line says, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bough.errors import UsageError


@dataclass(frozen=True)
class AgentConfig:
    """How an agent runs.

    Attributes:
        coordinator_url: Address of the coordinator.
        key: The agent's key; None: the one that was stored, or $BOUGH_SECURE_KEY.
        name: Its name at the coordinator; the same name is the same agent.
        slots: How many jobs it runs at a time.
        home: Its folder.
        on_term: What SIGTERM and Ctrl-C do: "detach" leaves running jobs to their supervisors, for an agent that comes
            back; "requeue" stops them and gives them back.
        max_jobs: End after so many jobs; None: never.
        exit_when_idle: End when there was nothing to do for ``idle_s`` seconds.
        labels: What jobs may ask for.
        allow_file: Whether the coordinator's repositories may be fetched from ``file://``.
        allow_file_repos: Folders of this machine that the ``file://`` URLs of models may lie in.
        gpus: Which GPUs jobs may use: ``all``, ``none``, how many, or which (``0,1``).
        cpus: How many CPUs jobs may ask for in all; None: all.
        memory_bytes: How much memory; None: all.
        data: Data sets, ``name=/path`` each, beside those that were given before.
        allow: Patterns of the models and sources whose code is run; none: all.
        allow_sudo: Whether jobs may use sudo and other programs that give more rights than the agent's user has.
        signed_by: A file with the public keys of those whose jobs are run (`bough._signing`); None: all jobs are.
    """

    coordinator_url: str
    key: str | None
    name: str
    slots: int
    home: Path
    on_term: str = "detach"
    max_jobs: int | None = None
    exit_when_idle: bool = False
    idle_s: float = 10.0
    labels: tuple[str, ...] = field(default=())
    allow_file: bool = False
    allow_file_repos: tuple[Path, ...] = ()
    gpus: str = "all"
    cpus: float | None = None
    memory_bytes: int | None = None
    data: tuple[str, ...] = field(default=())
    allow: tuple[str, ...] = field(default=())
    allow_sudo: bool = False
    signed_by: Path | None = None

    def __post_init__(self) -> None:
        if not self.coordinator_url.startswith(("http://", "https://")):
            raise UsageError(
                f"{self.coordinator_url!r} is no address of a coordinator.", "Use http://host:port or https://…"
            )
        if self.slots < 1 or (self.max_jobs is not None and self.max_jobs < 1):
            raise UsageError("an agent needs at least one slot, and one job to run.", "Use --slots 1 or more.")
        if self.on_term not in ("detach", "requeue"):
            raise UsageError(f"on_term {self.on_term!r} is not known.", "Use detach or requeue.")

    @property
    def url(self) -> str:
        """The coordinator's address, without a trailing slash."""
        return self.coordinator_url.rstrip("/")
