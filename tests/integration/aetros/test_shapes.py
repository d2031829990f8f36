"""Scripts as AETROS's users wrote them, one for each shape that is known (reference: public scripts, 2016 to 2018)."""

from __future__ import annotations

import signal
from typing import Any

from tests.integration.sdk.conftest import wait_for

TOY = """
import aetros.backend
import time, math
job = aetros.backend.start_job('marcj/tpe')
kpi = job.create_channel('accuracy', kpi=True, main=True, max_optimization=False, yaxis={'dtick': 1})
kpi.send(1, 1000)
time.sleep(0.01)
kpi.send(1, math.pow(job.get_parameter('x'), 2) + job.get_parameter('y'))
job.done()
"""


def test_the_toy_sends_a_placeholder_first_and_its_last_value_counts(make_attempt: Any) -> None:
    attempt = make_attempt(values={"x": 3, "y": 0.5})

    done = attempt.ran(TOY)

    assert (done.returncode, done.stderr) == (0, "")
    assert attempt.points("accuracy") == [(1, 1000), (1, 9.5)]
    definition = attempt.channel("accuracy")
    assert (definition["kpi"], definition["maximize"], definition["yaxis"]) == (True, False, {"dtick": 1})
    assert [line[3] for line in attempt.lines("e")] == ["done"]


def test_a_long_loop_may_count_beyond_its_total_and_goes_on_after_done(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran("""
        import aetros.backend
        job = aetros.backend.start_job('user/model', 'an old api key')
        kpi = job.create_channel('kpi', None, True, True)
        for i in range(1, 2000):
            kpi.send(i, 123456789012345678901234567890.5 * i)
            job.progress(i, 1000)
        print('done')
        job.done()
        print('after done')
        """)

    assert (done.returncode, done.stdout) == (0, "done\nafter done\n")
    assert len(attempt.points("kpi")) == 1999
    assert attempt.lines("g")[-1][3:] == [1999, 1000]


def test_a_long_loop_ends_at_the_epoch_limit_before_it_says_done(make_attempt: Any) -> None:
    attempt = make_attempt(max_epochs=5)

    done = attempt.ran("""
        import aetros.backend
        job = aetros.backend.start_job('user/model')
        kpi = job.create_channel('kpi', kpi=True)
        for i in range(1, 2000):
            kpi.send(i, i)
            job.progress(i, 1000)
        print('done')
        job.done()
        """)

    assert done.returncode in (1, 130, -signal.SIGINT)
    assert "done" not in done.stdout
    assert len(attempt.points("kpi")) == 5


def test_a_script_with_context_counts_epochs_and_samples_and_never_says_done(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran("""
        import aetros.backend
        job = aetros.backend.context()
        loss = job.create_loss_channel()
        acc = job.create_channel('accuracy', kpi=True)
        job.epoch(total=3)
        for i in range(3):
            for j in range(10):
                job.sample(j + 1, 10)
            loss.send(i, 0.5 - i * 0.1, 0.6)
            acc.send(i, i * 0.3)
            job.set_system_info('something', i)
            job.epoch(epoch=i + 1)
        print('end')
        """)

    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
    assert attempt.points("loss")[0] == (0, [0.5, 0.6])
    assert attempt.channel("loss")["traces"] == ["training", "validation"]
    assert [line[3:] for line in attempt.lines("g")] == [[0, 3], [1, 3], [2, 3], [3, 3]]
    assert attempt.documents("system")["something"] == 2


def test_a_script_of_the_first_year_writes_what_was_called_otherwise_then(make_attempt: Any) -> None:
    attempt = make_attempt(values={"factor": "2.5"})

    done = attempt.ran("""
        import aetros.backend
        job = aetros.backend.start_job(name='user/model', api_token='x')
        factor = float(job.get_parameter('factor'))
        sin = job.create_channel('sin', main_graph=True)
        cos = job.create_channel('cos', graph_type='bar')
        log = job.create_channel('log', type=aetros.backend.JobChannel.TEXT)
        for i in range(3):
            sin.send(x=i * 0.5, y=factor * i)
            cos.send(x=i * 0.5, y='%f' % i)
            log.send(x=i * 0.5, y='line ' + str(i))
            job.progress(i, total=50)
        job.end()
        """)

    assert (done.returncode, done.stderr) == (0, "")
    assert attempt.channel("sin")["main"] is True
    assert attempt.points("sin")[-1] == (1.0, 5.0)
    assert attempt.points("cos")[-1] == (1.0, 2.0)
    assert attempt.points("log") == [(0.0, "line 0"), (0.5, "line 1"), (1.0, "line 2")]


def test_a_script_that_only_starts_its_job_ends_well(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran("""
        import aetros.backend
        job = aetros.backend.start_job('user/model')
        for i in range(1, 4):
            job.progress(epoch=i, total=100)
        """)

    assert (done.returncode, done.stderr) == (0, "")
    assert attempt.lines("g")[-1][3:] == [3, 100]


def test_whole_numbers_come_back_as_ints_and_floats_as_floats(make_attempt: Any) -> None:
    attempt = make_attempt(values={"batch_size": 32, "first_dense": True, "first_dense.neurons": 64,
                                   "first_dense.dropout": 0.5})  # fmt: skip

    done = attempt.ran("""
        import aetros.backend
        job = aetros.backend.start_job('user/model')
        print(list(range(job.get_parameter('first_dense.neurons')))[-1], job.get_parameter('batch_size') // 2)
        print(repr(job.get_parameter('first_dense.dropout')), job.get_parameter('nothing', 7))
        """)

    assert (done.returncode, done.stdout) == (0, "63 16\n0.5 7\n"), done.stderr


def test_a_manual_loop_sends_numpys_floats_and_reads_its_job_in_a_function(make_attempt: Any) -> None:
    attempt = make_attempt(values={"lr": 0.1})

    done = attempt.ran("""
        import numpy as np
        import aetros.backend
        job = aetros.backend.start_job('user/lenet')
        def add_training_operators():
            return job.get_parameter('lr')
        total_iters = 3
        accuracy_channel = job.create_channel('accuracy', kpi=True)
        for i in range(total_iters):
            accuracy_channel.send(i, np.float64(add_training_operators() * i))
            accuracy_channel.send(i, np.float32(0.5))
            job.progress(i, total=total_iters)
        """)

    assert (done.returncode, done.stderr) == (0, "")
    assert [y for _, y in attempt.points("accuracy")] == [0.0, 0.5, 0.1, 0.5, 0.2, 0.5]


def test_a_handler_of_its_own_decides_when_to_leave(make_attempt: Any) -> None:
    attempt = make_attempt()
    script = """
        import signal, sys, time
        import aetros.backend
        job = aetros.backend.start_job('user/model')
        stopped = False
        def stop(sig, frame):
            global stopped
            print('stopping', flush=True)
            stopped = True
        signal.signal(signal.SIGINT, stop)
        kpi = job.create_channel('kpi', kpi=True)
        for i in range(100000):
            kpi.send(i, i)
            time.sleep(0.005)
            if stopped:
                break
        print('left', flush=True)
        """

    process = attempt.start(script)
    wait_for(lambda: attempt.journals() and len(attempt.points("kpi")) > 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (0, "stopping\nleft\n", "")


def test_embeddings_are_handed_in(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran("""
        import aetros.backend
        with open('vectors.txt', 'w') as file:
            file.write('2 3\\ncat 0.1 0.2 0.3\\ndog 0.4 0.5 0.6\\n')
        job = aetros.backend.start_job('user/model')
        job.add_embedding_word2vec(x=1, path='vectors.txt')
        job.create_channel('kpi', kpi=True).send(1, 1)
        """)

    assert (done.returncode, done.stderr) == (0, "")
    (facts,) = attempt.documents("embedding").values()
    assert (facts["dimensions"], facts["count"]) == (3, 2)
    assert attempt.points("kpi") == [(1, 1)]
