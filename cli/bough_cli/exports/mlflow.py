"""An optimization or a job as MLflow's folders (``mlruns/``), which its file store, its page and its importers read.

The layout is that of mlflow/store/tracking/file_store.py (3.x). Ids are made from ours, so that the same export again
writes the same folders. MLflow knows whole steps only: where a channel's x are none, its points are counted.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bough.errors import NotFound
from bough_cli.client import Client

Row = dict[str, Any]
STATUS = {"DONE": 3, "FAILED": 4, "ABORTED": 5}  # FINISHED, FAILED, KILLED; what runs is 1, what waits 2
MAX_JOBS = 1_000_000


def write(client: Client, id_: str, target: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Write an experiment with a run per job below the folder, and return what was written, in words.

    Args:
        client: The coordinator.
        id_: Of an optimization or a job.
        target: The folder, made if need be: a store of MLflow's, which may hold other experiments.
        progress: Told how many runs are written of how many.
    """
    name, experiment_id, jobs = _jobs(client, id_)
    folder = target / experiment_id
    folder.mkdir(parents=True, exist_ok=True)
    created = _ms(min((job["created_at"] for job in jobs), default=time.time()))
    meta = {
        "artifact_location": folder.absolute().as_uri(),
        "creation_time": created,
        "experiment_id": experiment_id,
        "last_update_time": created,
        "lifecycle_stage": "active",
        "name": name,
    }
    _yaml(folder / "meta.yaml", meta)
    for number, job in enumerate(jobs, 1):
        _write_run(client, job, folder, experiment_id)
        if progress is not None:
            progress(number, len(jobs))
    return f"{target}, experiment {name}, {len(jobs)} runs"


def _jobs(client: Client, id_: str) -> tuple[str, str, list[Row]]:
    """Return name and id of the experiment, and the jobs that are its runs."""
    try:
        found = client.get(f"/optimizations/{id_}")
    except NotFound:
        job = client.get(f"/jobs/{id_}")
        return str(job["model"]), _number_of(str(job["model"])), [job]
    rows = client.pages(f"/optimizations/{found['id']}/trials", MAX_JOBS, sort="number")
    return f"{found['model']} {found['id']}", _number_of(str(found["id"])), rows


def _write_run(client: Client, job: Row, experiment: Path, experiment_id: str) -> None:
    run_id = hashlib.sha256(str(job["id"]).encode()).hexdigest()[:32]
    folder = experiment / run_id
    for name in ("artifacts", "metrics", "params", "tags"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    label = job["id"] if job["number"] is None else f"trial {job['number']}"
    meta: Row = {
        "artifact_uri": (folder / "artifacts").absolute().as_uri(),
        "end_time": _ms(job["ended_at"]),
        "entry_point_name": "",
        "experiment_id": experiment_id,
        "lifecycle_stage": "active",
        "run_id": run_id,
        "run_name": label,
        "run_uuid": run_id,
        "source_name": "",
        "source_type": 4,
        "source_version": "",
        "start_time": _ms(job["started_at"] or job["created_at"]),
        "status": STATUS.get(job["state"], 1 if job["started_at"] else 2),
        "tags": [],
        "user_id": "",
    }
    for path, value in job["values"].items():
        (folder / "params" / path).write_text(str(value), encoding="utf-8")
    for name, text in _tags(job, label):
        (folder / "tags" / name).write_text(text, encoding="utf-8")
    _write_metrics(client.get(f"/jobs/{job['id']}/points")["channels"], job, folder / "metrics")
    _yaml(folder / "meta.yaml", meta)  # last: with it MLflow sees the run


def _tags(job: Row, label: str) -> Iterator[tuple[str, str]]:
    yield "mlflow.runName", label
    yield "mlflow.source.git.commit", str(job["commit"])
    yield "bough.job", str(job["id"])
    yield "bough.state", str(job["state"])
    if job.get("message"):
        yield "mlflow.note.content", str(job["message"])


def _write_metrics(channels: list[Row], job: Row, folder: Path) -> None:
    taken: set[str] = set()
    for channel in channels:
        if channel["type"] != "number" or not channel["x"]:
            continue
        steps = [int(x) if isinstance(x, int | float) and x == int(x) else None for x in channel["x"]]
        counted = list(range(len(steps))) if None in steps else steps
        for trace, column in zip(channel["traces"], channel["y"], strict=True):
            single = len(channel["traces"]) == 1
            name = _metric_name(channel["name"] if single else f"{channel['name']}/{trace}", taken)
            rows = zip(channel["t"], column, counted, strict=True)
            text = "".join(f"{_ms(t)} {y} {step}\n" for t, y, step in rows)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    if job["kpi"] is not None:
        name = _metric_name("kpi", taken)
        (folder / name).write_text(f"{_ms(job['ended_at'] or job['created_at'])} {job['kpi']} 0\n", encoding="utf-8")


def _metric_name(name: str, taken: set[str]) -> str:
    """Return a name that MLflow takes and that is no folder of another's; a slash makes a folder there."""
    plain = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)[:200].strip("/. ") or "_"
    plain = "/".join(part if part.strip(".") else "_" for part in plain.split("/") if part)
    if any(one == plain or one.startswith(plain + "/") or plain.startswith(one + "/") for one in taken):
        plain = plain.replace("/", ".")
    while any(one == plain or one.startswith(plain + "/") for one in taken):
        plain += "_"
    taken.add(plain)
    return plain


def _number_of(text: str) -> str:
    """Return an experiment's id as MLflow makes them: 18 digits."""
    return str(10**17 + int(hashlib.sha256(text.encode()).hexdigest(), 16) % (9 * 10**17))


def _ms(at: float | None) -> int | None:
    return None if at is None else int(at * 1000)


def _yaml(path: Path, content: Row) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(yaml.safe_dump(content), encoding="utf-8")
    temporary.replace(path)
