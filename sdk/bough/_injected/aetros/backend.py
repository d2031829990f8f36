"""AETROS's module of that name; see `bough.aetros`."""

from bough.aetros.backend import (
    EventListener,
    JobBackend,
    JobChannel,
    JobImage,
    JobLossChannel,
    Popen,
    context,
    create_job,
    is_master_process,
    start_job,
)

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
