"""The stdout API under a real supervisor: what programs print is reported, and its limits hold without the agent."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.supervisor.attempts import PYTHON, Attempt, run
from tests.integration.supervisor.conftest import Prepare

from bough_agent.spawner_client import Spawner

SH = "/bin/sh"
KPI = "{bough: create-channel, name: accuracy, kpi: true, main: true}"


def printing(*lines: str) -> list[str]:
    """Return a command that prints these lines."""
    return [PYTHON, "-c", "import sys; sys.stdout.write(sys.argv[1])", "\n".join(lines) + "\n"]


def told(attempt: Attempt, *kinds: str) -> list[list[Any]]:
    """Return what the stdout journal holds, without number and time."""
    (writer,) = [path.stem for path in (attempt.folder / "journal").iterdir() if path.stem.startswith("stdout-")]
    return [[line[0], *line[3:]] for line in attempt.lines(writer) if not kinds or line[0] in kinds]


def test_printed_lines_are_reported_as_the_sdk_would_have(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(
        printing(
            "training starts",
            KPI,
            '{"bough": "channel", "name": "accuracy", "x": 1, "y": 0.5}',
            "{aetros: channel, name: other, x: 1, y: nan}\r",
            "  {bough: loss, x: 1, training: 0.25, validation: inf}  ",
            "{bough: progress, progress: 1, total: 30}",
            "{aetros: epoch, epoch: 2}",
            "{bough: info, name: size, value: {rows: 5}}",
            "{bough: system, name: gpu/0, value: none}",
            "{bough: status, status: LOADING}",
            "{bough: step, step: 10, total: 10}",
            "{bough: done}",
        )
    )

    document = run(spawner, attempt)

    assert (document["exit_code"], document["cause"]) == (0, None)
    assert told(attempt, "p") == [
        ["p", "accuracy", 1, 0.5], ["p", "other", 1, "nan"], ["p", "loss", 1, [0.25, "inf"]],
        *[line for line in told(attempt, "p") if line[1] == "system/speed"],
    ]  # fmt: skip
    assert told(attempt, "g", "i", "s", "e") == [
        ["g", 1, 30], ["g", 2, 30], ["i", "size", {"rows": 5}], ["s", "LOADING"], ["e", "done", None],
    ]  # fmt: skip
    assert [line[1:3] for line in told(attempt, "d")] == [["system", "gpu/0"], ["step", ""]]


@pytest.mark.parametrize(
    "line",
    [
        "45% {bough: progress, progress: 30}",
        "\\{bough: progress, progress: 30}",
        "{bough: progress, progress: 30} done",
        "> {bough: progress, progress: 30}",
        "{'x': {bough: progress, progress: 30}}",
        "{boughs: progress, progress: 30}",
        "bough: progress, progress: 30",
        "{bough: progress, note: '" + "x" * 70_000 + "', progress: 30}",
    ],
)
def test_text_that_only_looks_like_a_report_is_none(spawner: Spawner, prepare: Prepare, line: str) -> None:
    attempt = prepare(printing(line), max_epochs=30)

    document = run(spawner, attempt)

    assert (document["cause"], document["journals"]) == (None, {})


def test_lines_of_aetros_may_be_embedded_in_other_text(spawner: Spawner, prepare: Prepare) -> None:
    """As they were there: text before and between, ten in a line; one that cannot be read costs itself alone."""
    ten = "".join(f"{{aetros: info, name: i{number}, value: {number}}}" for number in range(12))
    attempt = prepare(
        printing(
            "{aetros: create-channel, name: accuracy, kpi: true}",
            "45% |####    | {aetros: channel, name: accuracy, x: 1, y: 0.5}",
            'epoch 2: {"aetros": "channel", "name": "accuracy", "x": 2, "y": 0.6} & {aetros: progress, progress: 2}  ',
            "{aetros: channel, name: accuracy, x: 3} {aetros: [} {aetros: channel, name: accuracy, x: 3, y: 0.7}",
            "saved {aetros: info, name: note, value: '{aetros: progress, progress: 9}'}",
            "{aetros: progress, progress: 30} is how one would say it",
            ten,
        ),
        max_epochs=30,
    )

    document = run(spawner, attempt)

    assert (document["exit_code"], document["cause"]) == (0, None)
    assert told(attempt, "p") == [["p", "accuracy", 1, 0.5], ["p", "accuracy", 2, 0.6], ["p", "accuracy", 3, 0.7]]
    assert told(attempt, "g") == [["g", 2, None]]
    note = ["i", "note", "{aetros: progress, progress: 9}"]
    assert told(attempt, "i") == [note, *[["i", f"i{number}", number] for number in range(10)]]
    assert "channel has no y" in attempt.log()
    assert "cannot be read: " in attempt.log()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{bough: channel, name: a, x: 1}", "channel has no y. It takes: name, x, y."),
        ("{bough: channel, name: a, x: 1, y: 0,5}", "cannot be read: a colon is missing after 5."),
        ("{bough: chanel, name: a, x: 1, y: 1}", "'chanel' is nothing to report. There are: create-channel, channel,"),
        ("{bough: info, name: a, value: 1, z: 2}", "info knows no z."),
        ("{bough: channel, name: accuracy, x: 1, y: high}", "channel accuracy takes numbers, got the text 'high'."),
        ("{bough: create-channel, name: accuracy}", "channel accuracy exists already."),
        ("{bough: [1]}", "'[1]' is nothing to report."),
        (
            "{bough: create-channel, name: f1, kpi: true}",
            "Channel f1 cannot be the KPI: channel accuracy is it already.",
        ),
        ("{bough: file, path: no/such.bin}", "no/such.bin was not handed in: No such file or directory."),
    ],
)
def test_a_malformed_line_is_said_in_the_log_and_nothing_else_is_lost(
    spawner: Spawner, prepare: Prepare, line: str, sentence: str
) -> None:
    attempt = prepare(printing(KPI, line, "{bough: channel, name: accuracy, x: 1, y: 0.5}"))

    document = run(spawner, attempt)

    assert document["exit_code"] == 0
    assert sentence in attempt.log()
    assert ["p", "accuracy", 1, 0.5] in told(attempt)


def test_a_loop_of_malformed_lines_does_not_fill_the_log(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(printing(*["{bough: nothing}"] * 100))

    run(spawner, attempt)

    assert attempt.log().count("is nothing to report") == 5
    assert "more of that about the output is not said again." in attempt.log()


LOOP = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); %s; sleep 0.01; done"


def test_the_epoch_limit_holds_for_a_shell_script_with_the_agent_dead(spawner: Spawner, prepare: Prepare) -> None:
    """Nothing but the supervisor is there: the spawner starts it, and no agent ever looks."""
    say = 'echo "{bough: channel, name: accuracy, x: $i, y: 0.$i}"; echo "{bough: progress, progress: $i, total: 100}"'
    attempt = prepare([SH, "-c", f'echo "{KPI}"; {LOOP % say}'], max_epochs=5)

    document = run(spawner, attempt)

    assert (document["cause"], document["ladder"][0][0]) == ("max_epochs", "SIGINT")
    ((_, journal),) = document["journals"].items()
    counted = told(attempt)[: journal["cut"]]
    assert counted[-1] == ["l", "max_epochs"]
    assert [line[3] for line in counted if line[0] == "p"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [line[1] for line in counted if line[0] == "g"] == [1, 2, 3, 4, 5]


def test_a_limit_that_is_reached_between_two_looks_counts_at_its_very_line(spawner: Spawner, prepare: Prepare) -> None:
    """A program that prints everything at once and ends: what came after the limit is overrun."""
    lines = [KPI]
    for epoch in range(1, 10):
        lines += [
            f"{{bough: progress, progress: {epoch}}}",
            f"{{bough: channel, name: accuracy, x: {epoch}, y: 0.{epoch}}}",
        ]
    attempt = prepare(printing(*lines), max_epochs=3)

    document = run(spawner, attempt)

    assert document["cause"] == "max_epochs"
    ((_, journal),) = document["journals"].items()
    assert [line[3] for line in told(attempt)[: journal["cut"]] if line[0] == "p"] == [0.1, 0.2, 0.3]
    assert [line[3] for line in told(attempt) if line[0] == "p"][-1] == 0.9


def test_what_was_printed_before_another_stop_counts(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare([SH, "-c", f'echo "{KPI}"; echo "{{bough: channel, name: accuracy, x: 1, y: 0.5}}"; sleep 60'],
                      max_time_s=0.3)  # fmt: skip

    document = run(spawner, attempt)

    assert document["cause"] == "max_time"
    ((_, journal),) = document["journals"].items()
    assert ["p", "accuracy", 1, 0.5] in told(attempt)[: journal["cut"]]


@pytest.mark.parametrize("how", ["fail", "abort"])
def test_a_program_that_says_it_failed_is_stopped_and_its_words_are_kept(
    spawner: Spawner, prepare: Prepare, how: str
) -> None:
    # `exec`: a SIGINT that dash gets between its fork and its child's exec is lost.
    attempt = prepare([SH, "-c", f'echo "{{bough: {how}, message: no data}}"; exec sleep 60'])

    started = time.monotonic()
    document = run(spawner, attempt)

    assert time.monotonic() - started < 30
    assert document["cause"] == "script"
    assert told(attempt, "e") == [["e", how, "no data"]]


def test_lines_appended_to_the_named_file_count_like_printed_ones(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(
        [SH, "-c", 'echo "{bough: channel, name: a, x: 1, y: 2}" >> "$BOUGH_REPORTS"; echo noise; sleep 0.2; '
         'printf "{bough: channel, name: a, x: 2, y: 3}" >> "$BOUGH_REPORTS"']
    )  # fmt: skip
    spec = json.loads((attempt.folder / "spec.json").read_text())
    spec["env"]["BOUGH_REPORTS"] = str(attempt.folder / "reports")
    (attempt.folder / "spec.json").write_text(json.dumps(spec))

    run(spawner, attempt)

    assert told(attempt, "p") == [["p", "a", 1, 2], ["p", "a", 2, 3]]


def test_files_and_pictures_are_found_from_the_folder_of_the_command(
    spawner: Spawner, prepare: Prepare, tmp_path: Path
) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    (tmp_path / "weights.bin").write_bytes(b"w")
    attempt = prepare(
        printing(
            "{bough: file, path: weights.bin, name: out/weights.bin}",
            "{bough: add_insight_image, x: 1, path: picture.png, label: first}",
            "{bough: create-channel, name: shots, type: image}",
            "{bough: channel, name: shots, x: 2, y: picture.png}",
        ),
        cwd=str(tmp_path),
    )

    run(spawner, attempt)

    assert [line[1] for line in told(attempt, "f")][:2] == ["out/weights.bin", "insight/1/picture.png"]
    assert told(attempt, "p")[0][3].startswith("images/shots/2-")
    assert len(list((attempt.folder / "files").iterdir())) == 2


def test_output_is_handed_in_at_the_end_whatever_the_end(spawner: Spawner, prepare: Prepare, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "logs" / "deep").mkdir(parents=True)
    (work / "logs" / "deep" / "a.txt").write_text("a")
    (work / "outside").symlink_to("/etc/hostname")
    attempt = prepare(
        [SH, "-c", "echo model > model.bin; exit 3"], cwd=str(work),
        output=["*.bin", "logs/**", "outside", "../x", "nothing-*", "/etc/*"],
    )  # fmt: skip

    document = run(spawner, attempt)

    assert document["exit_code"] == 3
    (writer,) = document["journals"]
    assert writer.startswith("output-")
    assert [line[3] for line in attempt.lines(writer) if line[0] == "f"] == ["model.bin", "logs/deep/a.txt"]
    for sentence in (
        "output outside is a link that leaves the folder of the command",
        "output ../x leaves the folder of the command",
        "output nothing-* matches no file.",
        "output /etc/* leaves the folder of the command",
    ):
        assert sentence in attempt.log()


def test_a_program_that_prints_fast_is_not_slowed_and_its_reports_arrive(spawner: Spawner, prepare: Prepare) -> None:
    code = (
        "import sys\nline = 'x' * 99 + '\\n'\n"
        "for i in range(200):\n    sys.stdout.write(line * 1000)\n"
        "    sys.stdout.write('{bough: channel, name: a, x: %d, y: 1}\\n' % i)\n"
    )
    attempt = prepare([PYTHON, "-c", code])

    run(spawner, attempt)

    assert [line[2] for line in told(attempt, "p")] == list(range(200))


def test_a_job_that_reports_without_end_is_stopped_with_a_clear_line(spawner: Spawner, prepare: Prepare) -> None:
    """Journals have a limit of their own: a disk is finite."""
    line = '["p",1,1.0,"a",1,0.5]'
    forever = f"while :; do echo '{line}' >> $BOUGH_ATTEMPT_DIR/journal/7-00000000.jsonl; sleep 0.002; done"
    attempt = prepare([SH, "-c", forever], limits={"journal_bytes": 2000})

    document = run(spawner, attempt)

    assert document["cause"] == "journal"
    assert document["error"] == (
        "it was stopped: its journals have more than 2000 bytes. Report less often: each point is a line."
    )
    assert f"bough: {document['error']}" in attempt.log()
