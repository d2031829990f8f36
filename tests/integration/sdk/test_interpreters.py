"""One script that uses everything, under every Python since 3.7 that this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.sdk.conftest import Attempt, interpreters

SCRIPT = """
    import os, sys, threading
    import bough

    assert "typing" not in sys.modules or sys.flags.no_site == 0
    job = bough.start_job("me/digits")
    assert bough.context() is job
    assert job.get_parameter("batch_size") == 32
    assert job.get_parameter("optimizer") == "sgd"
    assert job.get_parameter("optimizer.lr") == job.get_parameter("optimizer.sgd.lr") == 0.01
    assert job.get_parameter("optimizer", return_group=True) == {"lr": 0.01}
    assert job.get_parameter("dense") is True and job.get_parameter("net") == {"depth": 3}
    assert job.get_parameter("optimizer.adam.beta", 0.5) == 0.5
    try:
        job.get_parameter("batchsize")
    except bough.UsageError as error:
        assert "Did you mean batch_size?" in str(error), error
    else:
        raise AssertionError("no error")

    accuracy = job.create_channel("accuracy", kpi=True, main=True)
    pair = job.create_channel("pair", traces=["a", {"name": "b"}])
    note = job.create_channel("note", type=bough.JobChannel.TEXT)
    loss = job.create_loss_channel()
    job.epoch(total=3)
    for epoch in range(1, 4):
        loss.send(epoch, 1.0 / epoch, float("inf"))
        pair.send(epoch, [epoch, 0.1])
        accuracy.send(epoch, epoch / 3)
        job.progress(epoch, 3)
    note.send(x=1, y="h\\u00e9")
    job.set_info("seed", 1)
    job.set_status("nearly")

    threads = [threading.Thread(target=accuracy.send, args=(n, 0.5)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sys.version_info < (3, 12):  # forking with threads in the past warns from 3.12 on
        child = os.fork()
        if not child:
            accuracy.send(9, 0.9)
            os._exit(0)
        os.waitpid(child, 0)

    assert os.path.isdir(job.checkpoint_dir) and not job.should_stop() and job.attempt == 1
    assert job.get_run_time() >= 0
    job.done()
    print("after done")
    job.fail("on purpose")
"""
VALUES: dict[str, object] = {
    "batch_size": 32, "dense": True, "dense.neurons": 64, "net.depth": 3, "optimizer": "sgd", "optimizer.sgd.lr": 0.01
}  # fmt: skip
PYTHONS = interpreters()


@pytest.mark.parametrize("version", [f"3.{minor}" for minor in range(7, 14)])
def test_the_whole_surface_works_on(version: str, tmp_path: Path) -> None:
    if version not in PYTHONS:
        pytest.skip(f"there is no Python {version} on PATH or in pyenv")
    attempt = Attempt(tmp_path / "attempt", VALUES)

    done = attempt.run(SCRIPT, python=PYTHONS[version])

    assert (done.stdout, done.returncode) == ("after done\n", 1), done.stderr
    assert done.stderr == "bough: the script ended its job as failed: on purpose\n"
    journals = list(attempt.journals().values())
    assert len(journals) == (2 if int(version[2:]) < 12 else 1)
    main = max(journals, key=len)
    assert [line[1] for line in main] == list(range(len(main)))
    assert main[0][3]["python"].startswith(version + ".")
    assert [line[0] for line in main].count("p") == 14
    assert [line[3:] for line in main if line[0] == "p"][:3] == [
        ["loss", 1, [1.0, "inf"]], ["pair", 1, [1, 0.1]], ["accuracy", 1, 1 / 3]
    ]  # fmt: skip
    assert [line[3:] for line in main if line[0] == "e"] == [["done", None], ["fail", "on purpose"]]
