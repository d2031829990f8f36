"""The job's surface: what each call writes into the journal, and what it refuses."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.unit.sdk.conftest import Lines, Said

from bough import Channel, JobChannel, UsageError, start_job
from bough._job import Job
from bough._values import Values


def test_the_header_tells_who_writes(job: Job, lines: Lines) -> None:
    (header,) = lines()

    kind, n, t, facts = header
    assert (kind, n) == ("h", 0)
    assert t > 1.7e9
    assert facts["pid"] == os.getpid()
    assert facts["writer"].startswith(f"{os.getpid()}-")
    assert set(facts) == {"writer", "pid", "python", "sdk", "argv", "rank"}


def test_the_journal_is_for_its_owner_alone(job: Job, attempt_dir: Path) -> None:
    (path,) = (attempt_dir / "journal").iterdir()

    assert path.stat().st_mode & 0o777 == 0o600


def test_values_keep_their_type_and_a_default_stands_in(job: Job) -> None:
    assert job.get_parameter("layers") == 3
    assert job.get_parameter("lr") == 0.5
    assert job.get_parameter("momentum", None) is None
    assert job.get_parameter("momentum", 0.9) == 0.9
    with pytest.raises(UsageError, match=r"no hyperparameter momentum in this job"):
        job.get_parameter("momentum")


def test_a_default_for_a_name_that_is_nearly_anothers_is_asked_about_once(said: Said) -> None:
    flat = {"learning_rate": 0.1, "optimizer": "sgd", "optimizer.sgd.momentum": 0.9, "dense": False}
    job = Job({"job_id": "k3"}, None, Values(flat))

    found = [job.get_parameter("learning_rte", 0.5) for _ in range(3)]
    for inactive in ("optimizer.adam.momentum", "optimizer.momentums", "dense.neurons", "batch_size"):
        job.get_parameter(inactive, None)

    assert found == [0.5] * 3
    asked = "bough: there is no hyperparameter learning_rte; its default stands in. Did you mean learning_rate?"
    assert said() == [asked]


def test_a_value_of_none_gives_way_to_a_default() -> None:
    job = Job({}, None, Values({"seed": None}))

    assert job.get_parameter("seed") is None
    assert job.get_parameter("seed", 5) == 5


def test_a_channel_is_defined_with_all_that_was_said(job: Job, lines: Lines) -> None:
    job.create_channel(
        "ratio", ["a", {"name": "b", "color": "red"}], True, True, 1, False, JobChannel.NUMBER, {"title": "x"}, None, {}
    )

    assert [line[3:] for line in lines("c")] == [
        [
            "ratio",
            {
                "traces": ["a", "b"], "type": "number", "main": True, "kpi": True, "kpi_trace": 1, "maximize": False,
                "loss": False, "xaxis": {"title": "x"}, "yaxis": None, "layout": {},
            },
        ]
    ]  # fmt: skip


def test_points_are_written_as_they_were_sent(job: Job, lines: Lines) -> None:
    accuracy = job.create_channel("accuracy")
    both = job.create_channel("both", traces=["a", "b"])
    note = job.create_channel("note", type=Channel.TEXT)

    accuracy.send(1, 0.1)
    accuracy.send(x=1.5, y=np.float32(0.5))
    accuracy.send(3, float("nan"))
    accuracy.send(2**70, [True])
    accuracy.send(5, np.array([0.25]))
    both.send(1, (1, 2.5))
    both.send(2, np.array([1.0, float("inf")]))
    note.send(1, "héllo\n")
    note.send(2, 5)

    assert [line[3:] for line in lines("p")] == [
        ["accuracy", 1, 0.1],
        ["accuracy", 1.5, 0.5],
        ["accuracy", 3, "nan"],
        ["accuracy", float(2**70), 1],
        ["accuracy", 5, 0.25],
        ["both", 1, [1, 2.5]],
        ["both", 2, [1.0, "inf"]],
        ["note", 1, "héllo\n"],
        ["note", 2, "5"],
    ]
    assert [line[1] for line in lines()] == list(range(13))


def test_a_strict_decoder_reads_every_line_with_its_time(job: Job, attempt_dir: Path) -> None:
    """The coordinator decodes with msgspec; the time is written with an exponent."""
    before = time.time()
    note = job.create_channel("note", type="text")
    note.send(1, "a lone surrogate: \ud800, a zero: \0")
    job.set_info("\U0001f600", {"\udfff": b"\xff"})
    job.progress(1)
    after = time.time()

    (path,) = (attempt_dir / "journal").iterdir()
    found = msgspec.json.Decoder().decode_lines(path.read_bytes())

    assert [line[0] for line in found] == ["h", "c", "p", "i", "g"]
    assert found[2][3:] == [found[1][3], 1, "a lone surrogate: ?, a zero: \0"]
    assert all(before - 1e-3 <= line[2] <= after for line in found[1:])


def test_a_name_may_hold_anything_printable(job: Job, lines: Lines) -> None:
    job.create_channel('val "acc" \\ ü/{}').send(1, 0.5)

    assert lines("p")[0][3:] == ['val "acc" \\ ü/{}', 1, 0.5]


def test_a_loss_channel_has_two_traces_and_is_a_column(job: Job, lines: Lines) -> None:
    loss = job.create_loss_channel()

    loss.send(1, 0.5, validation=0.25)

    assert lines("p")[0][3:] == ["loss", 1, [0.5, 0.25]]
    facts = lines("c")[0][4]
    assert (facts["traces"], facts["main"], facts["loss"]) == (["training", "validation"], True, True)


def test_values_and_traces_must_match(job: Job, lines: Lines, said: Said) -> None:
    both = job.create_channel("both", traces=["a", "b"])
    one = job.create_channel("one")

    both.send(1, [1, 2, 3])
    both.send(1, 1)
    one.send(1, [1, 2])
    both.send(2, [3, 4])

    first, second, third = said()
    assert first == (
        "bough: Channel both has 2 traces (a, b), got 3 values. Send one value per trace, in their order. "
        "That report is left out."
    )
    assert second.startswith("bough: Channel both has 2 traces (a, b), got 1 value.")
    assert third.startswith("bough: Channel one has 1 trace (one), got 2 values.")
    assert [line[3:] for line in lines("p")] == [["both", 2, [3, 4]]]


class BrokenTensor:
    def __float__(self) -> float:
        raise RuntimeError("a Tensor with 10 elements cannot be converted to Scalar")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("abc", "channel accuracy takes numbers, got the text 'abc'. Create it with type='text', or send a number."),
        (None, "channel accuracy takes numbers, got None (NoneType). Send a number."),
        (1 + 2j, "channel accuracy takes numbers, got (1+2j) (complex). Send a number."),
        (BrokenTensor(), "RuntimeError: a Tensor with 10 elements cannot be converted to Scalar"),
    ],
)
def test_what_is_no_number_is_left_out_and_the_training_goes_on(
    job: Job, lines: Lines, said: Said, value: object, sentence: str
) -> None:
    accuracy = job.create_channel("accuracy")

    accuracy.send(1, value)
    accuracy.send("one", 1)
    accuracy.send(2, np.float64(0.5))

    assert said() == [
        f"bough: {sentence} That report is left out.",
        "bough: x of channel accuracy takes numbers, got the text 'one'. Send a number. That report is left out.",
    ]
    assert [line[3:] for line in lines("p")] == [["accuracy", 2, 0.5]]


def test_a_loop_of_wrong_reports_does_not_fill_the_log(job: Job, said: Said) -> None:
    accuracy = job.create_channel("accuracy")

    for epoch in range(100):
        accuracy.send(epoch, None)

    assert len(said()) == 6
    assert said()[-1] == "bough: more of that about channel accuracy is not said again."


def test_only_one_channel_is_the_kpi(job: Job, lines: Lines, said: Said) -> None:
    job.create_channel("accuracy", kpi=True)

    job.create_channel("f1", kpi=True).send(1, 0.5)

    assert said()[0].startswith("bough: Channel f1 cannot be the KPI: channel accuracy is it already.")
    assert [(line[3], line[4]["kpi"]) for line in lines("c")] == [("accuracy", True), ("f1", False)]
    assert lines("p")[0][3:] == ["f1", 1, 0.5]


def test_the_same_channel_again_is_the_same_channel(job: Job, lines: Lines, said: Said) -> None:
    first = job.create_channel("accuracy", kpi=True, kpi_trace=0)

    assert job.create_channel("accuracy", kpi=True) is first
    assert job.create_channel("accuracy", main=True) is first
    assert len(lines("c")) == 1
    assert said()[0].startswith("bough: Channel accuracy exists already, with another definition.")


@pytest.mark.parametrize(
    ("arguments", "sentence", "name"),
    [
        ({"name": ""}, "The name of a channel is a text, got ''. Give it one.", "unnamed"),
        ({"name": None}, "The name of a channel is a text, got None.", "unnamed"),
        ({"name": "a" * 10_000}, "The name of a channel has 10000 characters: " + "a" * 40 + "….", "a" * 200),
        ({"name": "a\nb\0"}, "The name 'a\\nb\\x00' of a channel holds characters that cannot be printed.", "a_b_"),
        ({"name": "a", "traces": "loss"}, "traces of channel a is 'loss'. Give a list of names", "a"),
        ({"name": "a", "traces": []}, "traces of channel a is [].", "a"),
        ({"name": "a", "traces": [{"color": 1}]}, "The name of a trace is a text, got None.", "a"),
        ({"name": "a", "traces": ["b", "b"]}, "Channel a has two traces called b. Rename one.", "a"),
        ({"name": "a", "type": "video"}, "Channel a has the type 'video'. Use 'number', 'text' or 'image'.", "a"),
        ({"name": "a", "type": "text", "kpi": True}, "Channel a is the KPI, and no number but text.", "a"),
        ({"name": "a", "kpiTrace": 1}, "kpiTrace of channel a is 1, it has 1 trace. Count from 0.", "a"),
        ({"name": "a", "layout": "x" * 70_000}, "The definition of channel a has 70", "a"),
    ],
)
def test_a_channel_that_makes_no_sense_becomes_the_nearest_that_does(
    job: Job, lines: Lines, said: Said, arguments: dict[str, object], sentence: str, name: str
) -> None:
    channel = job.create_channel(**arguments)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    channel.send(1, "0.5" if channel.type == Channel.TEXT else 0.5)

    assert said()[0].startswith("bough: " + sentence)
    assert said()[0].endswith("The channel is made as near to that as can be.")
    assert [line[3] for line in lines("c", "p")] == [name, name]
    assert lines("c")[0][4]["kpi"] is False


def test_a_name_with_slashes_is_a_name(job: Job, lines: Lines, said: Said) -> None:
    job.create_channel("../loss/training").send(1, 0.5)

    assert said() == []
    assert lines("p")[0][3] == "../loss/training"


def test_progress_keeps_what_is_left_out(job: Job, lines: Lines) -> None:
    job.epoch(total=30)
    job.progress(1)
    job.epoch(epoch=2)
    job.progress(epoch=3, total=40)
    job.progress(4.5)

    assert [line[3:] for line in lines("g")] == [[0, 30], [1, 30], [2, 30], [3, 40], [4.5, 40]]


def test_progress_takes_numbers_and_a_wrong_one_leaves_no_trace(job: Job, lines: Lines, said: Said) -> None:
    job.progress("one")
    job.progress(1, "many")
    job.progress(total=5)
    job.progress(float("nan"))

    assert said()[0].startswith("bough: progress takes numbers, got the text 'one'.")
    assert said()[1].startswith("bough: total of progress takes numbers, got the text 'many'.")
    assert [line[3:] for line in lines("g")] == [[0, 5], ["nan", 5]]


def test_infos_status_and_the_end_are_written(job: Job, lines: Lines) -> None:
    job.set_info("gpu", {"name": "none", "memory": float("inf")})
    job.set_status("loading data")
    job.done()

    assert [line[:1] + line[3:] for line in lines("i", "s", "e")] == [
        ["i", "gpu", {"name": "none", "memory": "inf"}],
        ["s", "loading data"],
        ["e", "done", None],
    ]


def test_fail_and_abort_say_so_and_exit_with_1(job: Job, lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as failed:
        job.fail("no data")
    with pytest.raises(SystemExit) as aborted:
        job.abort()

    assert (failed.value.code, aborted.value.code) == (1, 1)
    assert [line[3:] for line in lines("e")] == [["fail", "no data"], ["abort", None]]
    assert capsys.readouterr().err == (
        "bough: the script ended its job as failed: no data\nbough: the script aborted its job.\n"
    )


def test_a_report_longer_than_a_line_is_left_out_with_one_warning(
    job: Job, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    job.set_info("big", "x" * 70_000)
    job.set_info("big", "x" * 70_000)
    job.set_info("small", 1)

    assert [line[3] for line in lines("i")] == ["small"]
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("bough: a report of 700")
    assert 'was left out: a line may have 65536. Send less at once. It starts with ["i",1' in warning


def test_a_long_text_is_cut_and_marked(job: Job, lines: Lines) -> None:
    job.create_channel("log", type="text").send(1, "é" * 100_000)

    text = lines("p")[0][5]
    assert text.startswith("ééé")
    assert text.endswith("… [cut by bough: too long]")


def test_should_stop_sees_control_stop(job: Job, attempt_dir: Path) -> None:
    assert not job._control.should_stop(100.0)

    (attempt_dir / "control" / "stop").write_text(json.dumps({"cause": "user", "at": 0}))

    assert not job._control.should_stop(100.04)  # looked at a moment ago
    assert job._control.should_stop(100.06)
    assert job.should_stop()


def test_the_checkpoint_folder_appears_when_asked_for(tmp_path: Path) -> None:
    job = Job({"checkpoint_dir": str(tmp_path / "a" / "b")}, None, Values({}))

    assert not (tmp_path / "a").exists()
    assert os.path.isdir(job.checkpoint_dir)
    assert job.checkpoint_dir == str(tmp_path / "a" / "b")


def test_a_checkpoint_folder_that_cannot_be_made_is_a_temporary_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    job = Job({"checkpoint_dir": str(tmp_path / "file" / "b")}, None, Values({}))

    assert os.path.isdir(job.checkpoint_dir)
    os.rmdir(job.checkpoint_dir)
    assert "bough: checkpoints go to a temporary folder: " in capsys.readouterr().err


def test_the_facts_of_the_job_are_there(job: Job) -> None:
    assert (job.job_id, job.attempt, job.model, job.number, job.optimization) == ("k3f9a2bq", 2, "me/digits", 7, None)
    assert 0 <= job.get_run_time() < 60
    assert repr(job) == "<bough job k3f9a2bq, attempt 2>"


def test_what_the_package_does_not_have_is_an_ordinary_attribute_error() -> None:
    import bough

    with pytest.raises(AttributeError, match=r"module 'bough' has no attribute 'nothing'"):
        _ = bough.nothing  # type: ignore[attr-defined]  # pyright: ignore
    assert callable(start_job)
