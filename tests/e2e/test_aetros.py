"""Unmodified AETROS scripts as jobs of a real coordinator and a real agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Lab

TOY = """
import aetros.backend
import time, math
job = aetros.backend.start_job('marcj/tpe')
kpi = job.create_channel('accuracy', kpi=True, main=True, max_optimization=False)
kpi.send(1, 1000)
kpi.send(1, math.pow(job.get_parameter('x') - 3, 2))
job.done()
"""
LONG = """
import aetros.backend, time
job = aetros.backend.start_job('user/model', 'an api key')
kpi = job.create_channel('kpi', kpi=True)
for i in range(1, 2000):
    kpi.send(i, i * 1e20)
    job.progress(i, 1000)
print('done')
job.done()
"""
CONTEXT = """
import aetros.backend, os
assert not aetros.backend.is_master_process()
job = aetros.backend.context()
loss = job.create_loss_channel()
acc = job.create_channel('accuracy', kpi=True)
job.epoch(total=2)
for i in range(2):
    for j in range(10):
        job.sample(j + 1, 10)
    loss.send(i, 0.5, 0.6)
    acc.send(i, job.get_parameter('optimizer.lr'))
    job.set_system_info('something', i)
    job.epoch(epoch=i + 1)
print('end')
"""


@pytest.fixture
def definition() -> str:
    return (
        "model: me/aetros\ncommand: python train.py\nhyperparameters:\n  x: 0.5\n"
        "  optimizer: {type: choice_group, default: sgd, choices: {sgd: {lr: 0.25}, adam: {lr: 0.1}}}\n"
        "optimization:\n  algorithm: random\n  seed: 1\n  max_trials: 3\n  max_parallel: 3\n"
        "  space: {x: 'uniform(0, 6)'}\n"
    )


def _job(lab: Lab, name: str, script: str, definition: str, *options: str, files: dict[str, str] | None = None) -> Any:
    from tests.e2e.conftest import make_repository, wait_for

    path = make_repository(Path(lab.place) / name, {"bough.yml": definition, "train.py": script, **(files or {})})
    ran = lab.machine.bough("run", str(path), "--detach", "--json", *options)
    assert ran.code == 0, ran.err
    its_id = json.loads(ran.out)["id"]
    wait_for(lambda: lab.job(its_id)["state"] in ("DONE", "FAILED", "ABORTED"), 60.0)
    return lab.job(its_id)


def test_the_toy_is_optimized_and_minimized(lab: Lab, definition: str) -> None:
    found = lab.ended(lab.start("aetros-toy", {"bough.yml": definition, "train.py": TOY}))

    assert [trial["state"] for trial in found["trials"]] == ["DONE"] * 3
    assert found["kpi"]["direction"] == "minimize"
    for trial in found["trials"]:
        assert trial["kpi"] == (trial["values"]["x"] - 3) ** 2


def test_a_long_loop_ends_at_its_epoch_limit_and_is_a_result(lab: Lab, definition: str) -> None:
    job = _job(lab, "aetros-long", LONG, definition, "--max-epochs", "7")

    assert (job["state"], job["end_reason"], job["kpi_last"], job["epochs"]) == ("DONE", "max_epochs", 7e20, 7)


def test_a_script_with_context_reads_choices_and_falls_off_its_end(lab: Lab, definition: str) -> None:
    job = _job(lab, "aetros-context", CONTEXT, definition, "-p", "optimizer=adam")

    assert (job["state"], job["end_reason"], job["kpi_last"]) == ("DONE", "finished", 0.1), job["message"]
    assert {channel["name"] for channel in job["channels"]} >= {"loss", "accuracy"}


PRINTED = """
printf '%s\\n' '{aetros: create-channel, name: loss, traces: [validation, training]}' 'an ordinary line'
printf '%s\\n' '{aetros: channel, name: loss, x: 1, y: [0.5, 0.25]}'
printf '%s\\n' '{"aetros": "channel", "name": "accuracy", "x": 3, "y": 6}' '{aetros: epoch, epoch: 3, total: 100}'
printf '%s\\n' '{aetros: info, name: version, value: 2}' '{aetros: channel, name: [}'
"""


def test_another_language_reports_by_printing(lab: Lab, definition: str) -> None:
    job = _job(lab, "aetros-bash", "", definition.replace("python train.py", "bash run.sh"), files={"run.sh": PRINTED})

    assert (job["state"], job["end_reason"]) == ("DONE", "finished"), job["message"]
    assert (job["epochs"], job["epochs_total"], job["infos"]["version"]) == (3, 100, 2)
    assert job["last"] == {"loss/validation": 0.5, "loss/training": 0.25, "accuracy": 6}
