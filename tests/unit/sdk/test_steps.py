"""Steps inside an epoch: how often they are reported, how fast they are, and when they will be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.sdk.conftest import Lines, Said

from bough._embeddings import read_word2vec
from bough._job import Job
from bough._steps import Pace
from bough.errors import UsageError


def test_speed_is_measured_from_report_to_report() -> None:
    pace = Pace(now=100.0)

    assert not pace.is_due(5, 100, now=100.5)
    assert pace.is_due(20, 100, now=102.0)
    pace.take(20, now=102.0)

    assert pace.speed == 10.0
    assert pace.eta_s(20, 100) == 8.0
    assert pace.eta_s(20, None) is None


def test_the_last_step_is_always_reported() -> None:
    assert Pace(now=0.0).is_due(100, 100, now=0.001)


def test_a_new_round_counts_from_its_start() -> None:
    pace = Pace(now=0.0)
    pace.take(90, now=1.0)

    pace.take(20, now=2.0)

    assert pace.speed == 20.0


def test_a_loop_may_report_each_step_and_only_the_last_is_written(job: Job, lines: Lines) -> None:
    for step in range(1, 1001):
        job.step(step, 1000)

    (document,) = lines("d")
    assert document[3:5] == ["step", ""]
    assert (document[5]["step"], document[5]["steps"], document[5]["label"]) == (1000, 1000, "STEP")
    assert document[5]["speed"] > 0
    assert lines("p")[0][3] == "system/speed"


def test_a_batch_counts_its_samples(job: Job, lines: Lines) -> None:
    job.batch(10, 10, batch_size=32)

    facts = lines("d")[0][5]
    assert (facts["size"], facts["speed_label"]) == (32, "SAMPLES/S")
    assert facts["speed"] == lines("p")[0][5]


@pytest.mark.parametrize("call", ["batch", "sample", "step"])
def test_wrong_steps_are_said_and_left_out(job: Job, lines: Lines, said: Said, call: str) -> None:
    getattr(job, call)("one", 10)
    getattr(job, call)(1, "ten")

    assert said()[0].endswith("takes numbers, got the text 'one'. Send a number. That report is left out.")
    assert "total of the steps takes numbers, got the text 'ten'." in said()[1]
    assert lines("d") == []


def test_a_progress_starts_and_stops_by_itself(job: Job, lines: Lines) -> None:
    bar = job.create_progress("download", 3)
    bar.advance(0)
    assert lines("d") == []

    bar.advance(2)
    bar.label("nearly")
    bar.advance()
    bar.advance()
    bar.stop()

    facts = [line[5] for line in lines("d")]
    assert [(one["step"], one["label"]) for one in facts] == [(0, "download"), (2, "nearly"), (3, "nearly")]
    assert (facts[0]["started"] is not None, facts[0]["stopped"]) == (True, None)
    assert facts[-1]["stopped"] >= facts[-1]["started"]


@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        ("2\ncat 1 2\n", (None, True), r"line 1: there is no header with count and dimensions\. Write one"),
        ("2 2\ncat 1 2\n", (3, True), r"line 1: the header says 2 dimensions, asked for are 3\."),
        ("2 2\ncat 1 2\ndog 3\n", (None, True), r"line 3: 1 numbers, not 2\."),
        ("cat 1 two\n", (None, False), r"line 1: not all of it is numbers\."),
        ("\n", (None, False), r"holds no vector\."),
        ("cat\n", (None, False), r"line 1: there are too many vectors or dimensions\."),
    ],
)
def test_a_file_of_vectors_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, text: str, arguments: tuple[int | None, bool], sentence: str
) -> None:
    (tmp_path / "v.txt").write_text(text)

    with pytest.raises(UsageError, match=sentence):
        read_word2vec(str(tmp_path / "v.txt"), *arguments)


def test_vectors_are_kept_as_float32(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("2 2\ncat 1 2\nhot dog".replace("hot ", "hot-") + " 3 -0.5\n")

    vectors, words, count, size = read_word2vec(str(tmp_path / "v.txt"), None, True)

    assert vectors.hex() == "0000803f0000004000004040000000bf"
    assert (words, count, size) == (b"cat\nhot-dog\n", 2, 2)
