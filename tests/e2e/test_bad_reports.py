"""What a script may report wrongly, in one job: a clear line in the log, the training goes on, all else arrives."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from tests.e2e.conftest import Lab, wait_for

EPOCHS = 60
SCRIPT = """
import glob, os, resource, sys, time
import bough

job = bough.start_job()
kpi = job.create_channel("accuracy", kpi=True, main=True)
rate = job.get_parameter("learning_rte", 0.5)                     # a typing error, with a default
try:
    job.get_parameter("momentum")                                 # unknown, without one
except bough.UsageError as error:
    print(error, file=sys.stderr)
second = job.create_channel("f1", kpi=True)                       # a second KPI
pair = job.create_channel("pair", traces=["a", "b"])
slashes = job.create_channel("val/../../top/5")
control = job.create_channel("bell\\x07 \\x1b[31mred\\n")
long = job.create_channel("n" * 10240)

def broken():
    raise RuntimeError("no such luck")
job.register_action(broken)
job.set_info("pad", "x" * 50000)                                  # so that the log does not reach the same limit

journal = glob.glob(os.path.join(os.environ["BOUGH_ATTEMPT_DIR"], "journal", str(os.getpid()) + "-*"))[0]
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for epoch in range(1, %(epochs)d + 1):
    kpi.send(epoch, epoch / 100)
    for channel in (second, slashes, control, long):
        channel.send(epoch, epoch)
    pair.send(epoch, [1, 2])
    pair.send(epoch, [1, 2, 3])                                   # one value too many
    pair.send(epoch, 1)                                           # one too few
    kpi.send(epoch, object())                                     # no number
    kpi.send(epoch, None)
    print("{bough: channel, name: printed, x: %%d, y: 1}" %% epoch, flush=True)
    print("{bough: chanel, name: printed, x: 1, y: 1}", flush=True)
    print("{bough: channel, name: printed, x: 1, y: }}", flush=True)
    if epoch == 20:                                               # the disk under the journal is full
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(journal) + 100, hard))
    if epoch == 40:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    job.progress(epoch, %(epochs)d)
while not os.path.exists(%(go)r):
    time.sleep(0.02)
job.set_info("rate", rate)
"""
DEFINITION = """
model: me/wrong
command: python train.py
hyperparameters: {learning_rate: 0.1}
optimization: {algorithm: random, max_trials: 1, space: {learning_rate: "uniform(0, 1)"}}
"""
SAID = [
    "bough: there is no hyperparameter learning_rte; its default stands in. Did you mean learning_rate?",
    "There is no hyperparameter momentum in this job.",
    "Channel f1 cannot be the KPI: channel accuracy is it already.",
    "Channel pair has 2 traces (a, b), got 3 values. Send one value per trace, in their order.",
    "Channel pair has 2 traces (a, b), got 1 value.",
    r"The name 'bell\x07 \x1b[31mred\n' of a channel holds characters that cannot be printed. Leave them out.",
    "The name of a channel has 10240 characters: nnn",
    "channel accuracy takes numbers, got ",
    "channel accuracy takes numbers, got None (NoneType). Send a number. That report is left out.",
    "bough: the action broken failed: RuntimeError: no such luck",
    "'chanel' is nothing to report. There are: create-channel, channel,",
    "cannot be read: ",
    "cannot be written: No space left on device. Up to 8 MiB of reports wait in memory until it can be; the script",
]


@pytest.fixture(scope="module")
def wronged(lab: Lab) -> tuple[Any, str]:
    """The job that did all of it, and its log."""
    go = lab.place / "go"
    script = SCRIPT % {"epochs": EPOCHS, "go": str(go)}
    its_id = lab.start("wrong", {"train.py": script, "bough.yml": DEFINITION})
    (trial,) = wait_for(lambda: lab.optimization(its_id)["trials"], what="a trial")
    actions = f"jobs/{trial['id']}/actions"
    wait_for(lambda: lab.get(actions)["actions"], 60.0, "the registered action")
    headers = {"Authorization": f"Bearer {lab.machine.key('admin')}"}
    lab.session.post(f"{lab.url}/api/v1/{actions}/broken", json={}, headers=headers).raise_for_status()
    (call,) = wait_for(lambda: [one for one in lab.get(actions)["calls"] if one["answer"]], what="the answer")
    assert call["answer"] == {"error": "RuntimeError: no such luck"}
    go.touch()
    (trial,) = lab.ended(its_id)["trials"]
    return lab.job(trial["id"]), lab.session.get(f"{lab.url}/api/v1/jobs/{trial['id']}/log").text


def test_the_training_goes_on_and_ends_well(wronged: tuple[Any, str]) -> None:
    job, _ = wronged

    assert (job["state"], job["end_reason"], job["exit_code"]) == ("DONE", "finished", 0), job["message"]
    assert (job["kpi"], job["epochs"], job["partial"]) == (EPOCHS / 100, EPOCHS, False)
    # The line that hit the full disk was torn, and came again.
    assert (job["journal"]["bad_lines"], job["journal"]["lost_lines"]) == (1, 0)


@pytest.mark.parametrize("sentence", SAID, ids=[str(number) for number in range(len(SAID))])
def test_each_mistake_is_said_in_the_log_a_few_times(wronged: tuple[Any, str], sentence: str) -> None:
    _, log = wronged

    assert 1 <= log.count(sentence) <= 5, log


def test_nothing_else_is_lost(lab: Lab, wronged: tuple[Any, str]) -> None:
    job, _ = wronged
    points: dict[str, list[float]] = {}
    table = csv.DictReader(io.StringIO(lab.machine.bough("export", job["id"], "--points").out))
    for row in table:
        points.setdefault(row["channel"] + ("/" + row["trace"] if row["channel"] == "pair" else ""), []).append(
            float(row["x"])
        )

    every = [float(epoch) for epoch in range(1, EPOCHS + 1)]
    names = ["accuracy", "f1", "pair/a", "pair/b", "val/../../top/5", "bell_ _[31mred_", "n" * 200, "printed"]
    assert {name: xs for name, xs in points.items() if not name.startswith("system/")} == dict.fromkeys(names, every)
    assert job["last"]["accuracy"] == EPOCHS / 100
    (row,) = lab.table(job["id"])
    assert row["info.rate"] == "0.5"
