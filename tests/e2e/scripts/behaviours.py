"""A script that behaves in one of the ways scripts behave: its hyperparameter `what` says in which.

Each promises something about what must have arrived. It runs on every Python from 3.7 on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

import bough
from bough import Channel, Job

EMOJI = "n\u00e4me \u2713 \U0001f333"
LONG = "l" * 200


def from_child(offset: int) -> int:
    """Report from another process, which calls start_job itself where it was not forked."""
    job = bough.start_job()
    channel = job.create_channel("points")
    for i in range(100):
        channel.send(offset + i, float(i))
    return offset


def forks(job: Job, kpi: Channel) -> None:
    """Two forks report through the channel that their parent made."""
    channel = job.create_channel("points")
    children = []
    for offset in (100, 200):
        pid = os.fork()
        if pid == 0:
            for i in range(100):
                channel.send(offset + i, float(i))
            os._exit(0)
        children.append(pid)
    for i in range(100):
        channel.send(i, float(i))
    for pid in children:
        os.waitpid(pid, 0)


def threads(job: Job, kpi: Channel) -> None:
    channel = job.create_channel("points")

    def work(offset: int) -> None:
        for i in range(100):
            channel.send(offset + i, float(i))

    found = [threading.Thread(target=work, args=(offset,)) for offset in (0, 100, 200)]
    for thread in found:
        thread.start()
    for thread in found:
        thread.join()


def pools(job: Job, kpi: Channel) -> None:
    """Workers that were forked, and one that was spawned."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert sorted(pool.map(from_child, [0, 100])) == [0, 100]
    spawned = multiprocessing.get_context("spawn").Process(target=from_child, args=(200,))
    spawned.start()
    spawned.join()
    assert spawned.exitcode == 0


def many(job: Job, kpi: Channel) -> None:
    for i in range(100000):
        kpi.send(i, i / 7)


def names(job: Job, kpi: Channel) -> None:
    """Everything that has a name has a difficult one."""
    job.create_channel(LONG).send(1, 1)
    job.create_channel(EMOJI, main=True).send(1, 2.5)
    several = job.create_channel("several", traces=["one", {"name": EMOJI}, "three"])
    several.send(1, [1, 2.5, float("inf")])
    several.send(2, (4, True, float("nan")))
    text = job.create_channel("text", type="text")
    text.send(1, 'first\nline, "quoted"')
    text.send(2, EMOJI)
    job.create_loss_channel().send(1, 0.5, 0.25)
    job.set_info("version", {"python": list(sys.version_info[:2]), EMOJI: None})
    job.set_info("formula", "=1+1")
    job.set_status("warming up")
    job.set_status("all is well " + EMOJI)
    job.progress(1.5, 3)


def aborts(job: Job, kpi: Channel) -> None:
    kpi.send(1, 1.0)
    job.abort()


def fails(job: Job, kpi: Channel) -> None:
    kpi.send(1, 1.0)
    job.fail("the loss exploded")


def goes_on(job: Job, kpi: Channel) -> None:
    """Code after done runs, and what it reports counts."""
    kpi.send(1, 1.0)
    job.done()
    kpi.send(2, 2.0)


def done_at_once(job: Job, kpi: Channel) -> None:
    kpi.send(1, 3.0)
    job.done(force_exit=True)
    kpi.send(2, 4.0)


def exit_3(job: Job, kpi: Channel) -> None:
    kpi.send(1, 1.0)
    job.done()
    sys.exit(3)


def raises(job: Job, kpi: Channel) -> None:
    kpi.send(1, 1.0)
    raise RuntimeError("out of luck")


def os_exit(job: Job, kpi: Channel) -> None:
    kpi.send(1, 5.0)
    os._exit(0)


def killed(job: Job, kpi: Channel) -> None:
    """Not one point is lost, though nothing was flushed."""
    for i in range(1000):
        kpi.send(i, float(i))
    os.kill(os.getpid(), signal.SIGKILL)


def gaps(job: Job, kpi: Channel) -> None:
    """NaN is kept in the chart, and the last finite value counts."""
    for i, value in enumerate([1.0, 6.0, float("nan"), float("-inf")]):
        kpi.send(i, value)


def only_nan(job: Job, kpi: Channel) -> None:
    kpi.send(1, float("nan"))


def silent(job: Job, kpi: Channel) -> None:
    print("nothing to report")


def two_kpis(job: Job, kpi: Channel) -> None:
    job.create_channel("second", kpi=True)


def unknown(job: Job, kpi: Channel) -> None:
    job.get_parameter("whta")


def facts(job: Job, kpi: Channel) -> None:
    """What the job knows of itself."""
    assert bough.context() is job
    assert (job.attempt, job.model, len(job.commit or "")) == (1, "me/behaviours", 40)
    assert job.number is not None
    assert job.optimization is not None
    assert not job.should_stop()
    assert os.path.isdir(job.checkpoint_dir)
    assert job.get_parameter("nothing", default=None) is None
    assert os.environ["BOUGH_TRIAL"] == str(job.number)
    assert not [name for name in os.environ if "KEY" in name and name.startswith("BOUGH")]
    kpi.send(1, 7)


if __name__ == "__main__":
    its_job = bough.start_job("me/behaviours")
    its_kpi = its_job.create_channel("score", kpi=True, main=True)
    globals()[its_job.get_parameter("what")](its_job, its_kpi)
    if its_job.get_parameter("what") in ("forks", "threads", "pools", "names"):
        its_kpi.send(1, 1)
