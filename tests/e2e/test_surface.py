"""Everything a script may say, from the script to the coordinator's API, its export and its store of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.conftest import Lab, wait_for

SCRIPT = """
import os, struct, sys, time, zlib
import bough

job = bough.start_job()
job.get_parameter("lr")
kpi = job.create_channel("accuracy", kpi=True, main=True)
words = job.create_channel("words", type=bough.Channel.TEXT)
shots = job.create_channel("shots", type=bough.Channel.IMAGE)
loss = job.create_loss_channel()

def png(level):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)
    return (b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(bytes([0, level, level]))) + chunk(b"IEND", b""))

answers = []

def rate(factor: float = 1.0, name="nobody"):
    "Changes the rate."
    answers.append(factor)
    return {"rate": factor * 2, "name": name}

def broken():
    raise RuntimeError("no such luck")

job.register_action(rate, label="Rate")
job.register_action(broken)
job.set_info("rows", 5)
job.set_system_info("gpu/0", {"name": "none"})
job.set_status("TRAINING")
job.section("first part")
job.set_graph({"nodes": list(range(20000))})
job.batch(10, 10, size=32)
bar = job.create_progress("download", 3)
bar.advance(3)
with open("model.bin", "wb") as file:
    file.write(b"weights" * 1000)
job.commit_file("model.bin", "models/model.bin", title="best")
job.commit_file("no-such-file")
words.send(1, "hello")
shots.send(1, png(9))
loss.send(1, 0.5, 0.25)
job.add_insight_image(1, bough.JobImage("first", png(200), label="a label"))
job.add_insight_confusion_matrix(1, [[1, 2], [3, 4]])
with open("vectors.txt", "w") as file:
    file.write("2 3\\ncat 1 2 3\\ndog 4 5 6\\n")
job.add_embedding_word2vec(1, "vectors.txt")
kpi.send(1, None)
kpi.send(1, 0.75)
job.progress(1, 1)
open("late.txt", "w").write("handed in at the end")
deadline = time.monotonic() + 60
while len(answers) < int(os.environ["WANTED"]) and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(float(os.environ["WANTED"]))
"""

DEFINITION = """
model: me/surface
command: python train.py
output: [late.txt, "nothing*"]
env: {{WANTED: "{wanted}"}}
hyperparameters: {{lr: 0.1}}
optimization: {{algorithm: random, max_trials: 1, seed: 1, space: {{lr: "uniform(0, 1)"}}}}
"""


def files(wanted: int) -> dict[str, str]:
    return {"train.py": SCRIPT, "bough.yml": DEFINITION.format(wanted=wanted)}


def test_everything_a_script_says_reaches_api_export_and_files(lab: Lab) -> None:
    (trial,) = lab.ended(lab.start("surface", files(0)))["trials"]

    job = lab.job(trial["id"])
    assert (job["state"], job["kpi"], job["partial"]) == ("DONE", 0.75, False), job["message"]
    log = lab.session.get(f"{lab.url}/api/v1/jobs/{job['id']}/log").text
    assert "bough: channel accuracy takes numbers, got None (NoneType). Send a number. That report is left out." in log
    assert "/no-such-file was not handed in: No such file or directory." in log
    assert "## FIRST PART\t" in log
    assert "bough: output nothing* matches no file." in log

    documents: dict[str, dict[str, Any]] = {}
    for row in lab.get(f"jobs/{job['id']}/documents")["rows"]:
        documents.setdefault(row["kind"], {})[row["name"]] = row["value"]
    assert set(job["documents"]) == {"action", "graph", "section", "step", "system"}
    assert documents["system"] == {"gpu/0": {"name": "none"}}
    assert documents["step"][""]["label"] == "BATCH"
    assert documents["step"]["download"]["stopped"] is not None
    assert documents["section"].popitem()[1]["title"] == "first part"
    assert documents["confusion_matrix"]["1/"]["rows"] == [[1, 2], [3, 4]]
    assert documents["embedding"]["1/vectors.txt"]["count"] == 2
    assert documents["image"]["1/first"] == {
        "x": 1, "id": "first", "label": "a label", "pos": None, "file": "insight/1/first.png",
    }  # fmt: skip
    assert set(documents["action"]) == {"rate", "broken"}

    listed = {row["path"]: row for row in lab.get(f"jobs/{job['id']}/files")["rows"]}
    shot = job["last"]["shots"]
    assert set(listed) == {
        "models/model.bin", "late.txt", "insight/1/first.png", shot, "documents/graph/_.json",
        "embedding/1/vectors.txt/tensor.bytes", "embedding/1/vectors.txt/metadata.tsv",
    }  # fmt: skip
    assert {row["state"] for row in listed.values()} == {"here"}
    assert _file(lab, job, "models/model.bin").content == b"weights" * 1000
    assert _file(lab, job, "late.txt").content == b"handed in at the end"
    assert _file(lab, job, shot).headers["content-type"] == "image/png"
    assert lab.get(f"jobs/{job['id']}/files")["total"] == 7
    assert lab.session.get(f"{lab.url}/api/v1/jobs/{job['id']}/files/models/../../etc/passwd").status_code == 404

    (row,) = lab.table(trial["optimization"])
    assert (row["info.rows"], row["channel.words"], row["channel.shots"]) == ("5", "hello", shot)
    told = lab.table(trial["optimization"], "--documents")
    assert {one["kind"] for one in told} == set(documents)
    assert {one["path"] for one in lab.table(trial["id"], "--files")} == set(listed)
    assert row["system.gpu/0"] == '{"name": "none"}' or '""name""' in row["system.gpu/0"]


def test_people_call_actions_of_a_running_job_and_read_the_answers(lab: Lab) -> None:
    its_id = lab.start("actions", files(2))
    (trial,) = wait_for(lambda: lab.optimization(its_id)["trials"], what="a trial")
    path = f"jobs/{trial['id']}/actions"
    wait_for(lambda: len(lab.get(path)["actions"]) == 2, 60.0, "the registered actions")

    rate = next(one for one in lab.get(path)["actions"] if one["name"] == "rate")
    assert (rate["label"], rate["description"]) == ("Rate", "Changes the rate.")
    assert rate["args"][0] == {"name": "factor", "type": "float", "default": 1.0, "required": False}
    with_key = {"Authorization": f"Bearer {lab.machine.key('admin')}"}

    def post(name: str, body: dict[str, Any]) -> Any:
        return lab.session.post(f"{lab.url}/api/v1/{path}/{name}", json=body, headers=with_key)

    assert post("nothing", {}).json()["detail"] == f"job {trial['id']} has no action nothing."
    assert post("rate", {"args": [1]}).json()["error"] == "usage"
    calls = [
        post("rate", {"args": {"factor": "1.5", "name": "ann"}}).json(),
        post("broken", {}).json(),
        post("rate", {"args": {"speed": 1}}).json(),
        post("rate", {}).json(),
    ]
    answers = wait_for(lambda: _answers(lab, path, 4), what="the answers")

    assert [answers[call["id"]] for call in calls] == [
        {"value": {"rate": 3.0, "name": "ann"}},
        {"error": "RuntimeError: no such luck"},
        {"error": "action rate takes no speed. It takes: factor, name"},
        {"value": {"rate": 2.0, "name": "nobody"}},
    ]
    job = lab.ended(its_id)["trials"][0]
    assert job["state"] == "DONE"
    late = post("rate", {})
    assert (late.status_code, late.json()["error"]) == (409, "conflict")


def _answers(lab: Lab, path: str, count: int) -> dict[str, Any] | None:
    answered = {call["id"]: call["answer"] for call in lab.get(path)["calls"] if call["answer"] is not None}
    return answered if len(answered) == count else None


def _file(lab: Lab, job: dict[str, Any], path: str) -> Any:
    reply = lab.session.get(f"{lab.url}/api/v1/jobs/{job['id']}/files/{path}")
    reply.raise_for_status()
    return reply


def test_a_job_shows_lines_that_could_not_be_read(lab: Lab, tmp_path: Path) -> None:
    script = (
        "import glob, os, bough\njob = bough.start_job()\njob.create_channel('a', kpi=True).send(1, 1)\n"
        "path = glob.glob(os.environ['BOUGH_ATTEMPT_DIR'] + '/journal/*.jsonl')[0]\n"
        "open(path, 'a').write('not a line\\n')\n"
    )
    definition = DEFINITION.format(wanted=0).replace('output: [late.txt, "nothing*"]\n', "")

    (trial,) = lab.ended(lab.start("bad-lines", {"train.py": script, "bough.yml": definition}))["trials"]

    assert lab.job(trial["id"])["journal"] == {"writers": 1, "bad_lines": 1, "lost_lines": 0}
    shown = lab.machine.bough("job", "show", trial["id"]).out
    assert "1 line of its journals could not be read" in shown
