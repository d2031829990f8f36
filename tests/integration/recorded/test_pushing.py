"""What ran without an agent becomes a job, once, whoever brings it and how often."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running
from tests.integration.recorded.conftest import ROOT, SCRIPT, Place, environment, stored
from tests.integration.sdk.conftest import wait_for

from bough import _git
from bough.errors import BoughError, Conflict, Forbidden, NotFound, Unavailable, UsageError
from bough_cli.client import Address, Client
from bough_cli.recorded import push_recorded, pushing
from bough_cli.recorded.folder import read_folder


def test_a_run_becomes_a_job_with_its_id_points_and_times(api: Running, client: Client, place: Place) -> None:
    folder = place.run()

    reply = push_recorded(folder, client)

    job, points = stored(api, reply["job"])
    assert (job["id"], job["state"], job["end_reason"]) == (folder.name, "DONE", "finished")
    assert (job["model"], job["kpi_last"], job["epochs"], points) == ("me/alone", 0.5, 5, [0.1, 0.2, 0.3, 0.4, 0.5])
    facts, exit_ = (json.loads((folder / name).read_text()) for name in ("job.json", "exit.json"))
    assert job["started_at"] == facts["started_at"]
    assert job["ended_at"] == pytest.approx(exit_["ended_at"], abs=0.01)
    assert job["agent"].endswith("(by hand)")


def test_the_same_push_makes_nothing_twice_from_two_machines_at_once(
    api: Running, place: Place, tmp_path: Path
) -> None:
    folder = place.run()
    copy = tmp_path / "other" / ".bough" / folder.name
    shutil.copytree(folder, copy)
    replies: list[dict[str, Any]] = []
    keys = [api.key("user", "me"), api.key("user", "me")]

    def push(path: Path, key: str) -> None:
        with Client(Address(api.url, key, "the test")) as one:
            replies.append(push_recorded(path, one))

    threads = [threading.Thread(target=push, args=args) for args in zip((folder, copy), keys, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    push(folder, keys[0])

    assert [reply["job"] for reply in replies] == [folder.name] * 3
    job, points = stored(api, folder.name)
    assert (job["state"], points) == ("DONE", [0.1, 0.2, 0.3, 0.4, 0.5])
    named = api.call("GET", "/api/v1/jobs?limit=1000").json()["rows"]
    assert [row["id"] for row in named].count(folder.name) == 1


def test_a_push_that_was_cut_off_goes_on_where_it_was(
    api: Running, client: Client, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.run(SCRIPT.replace("range(1, 6)", "range(1, 2001)"))
    monkeypatch.setattr(pushing, "MESSAGE_BYTES", 4096)
    sent: list[int] = []
    send = client.send_bytes

    def breaking(path: str, content: bytes, kind: str) -> Any:
        sent.append(len(content))
        if len(sent) == 5:
            raise BoughError("the cable was cut.")
        return send(path, content, kind)

    monkeypatch.setattr(client, "send_bytes", breaking)
    with pytest.raises(BoughError, match="the cable was cut"):
        push_recorded(folder, client)
    assert stored(api, folder.name)[0]["state"] == "RUNNING"

    said: list[str] = []
    push_recorded(folder, client, progress=said.append)

    job, points = stored(api, folder.name)
    assert (job["state"], len(points), points[-1]) == ("DONE", 2000, 200.0)
    assert said[-1] == "{0} of {0} bytes".format(sum(f.stat().st_size for f in (folder / "journal").iterdir()))


@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        ("raise ValueError('no')", "FAILED", "error"),
        ("job.fail('too large')", "FAILED", "error"),
        ("job.abort()", "ABORTED", "user"),
        ("raise KeyboardInterrupt", "ABORTED", "user"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "FAILED", "lost"),
        ("job.done(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "DONE", "finished"),
    ],
)
def test_how_it_ended_is_known(
    api: Running, client: Client, place: Place, script: str, state: str, reason: str
) -> None:
    folder = place.run(SCRIPT + script)

    push_recorded(folder, client)

    job, points = stored(api, folder.name)
    assert (job["state"], job["end_reason"], len(points)) == (state, reason, 5)
    if reason == "lost":
        assert job["message"] == f"job {folder.name} was lost: its process ended without a word."


def test_files_that_were_handed_in_come_along_though_the_push_is_cut_off_and_the_folder_is_copied(
    api: Running, client: Client, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handing_in = """
import random
data = random.Random(1).randbytes(5 << 20)
for name, content in (("model.bin", data), ("same.bin", data), ("empty.txt", b"")):
    open(name, "wb").write(content)
    job.commit_file(name)
job.set_graph({"nodes": list(range(20000))})
"""
    folder = place.run(SCRIPT + handing_in)
    copy = tmp_path / "elsewhere" / ".bough" / folder.name
    shutil.copytree(folder, copy)
    sent = 0

    def cut(*args: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == 3:
            raise Unavailable("the cable is cut", "")
        return send_bytes(*args)

    send_bytes = client.send_bytes
    monkeypatch.setattr(client, "send_bytes", cut)
    with pytest.raises(Unavailable):
        push_recorded(folder, client)
    shutil.rmtree(folder)
    said: list[str] = []
    push_recorded(copy, client, progress=said.append)

    job, _ = stored(api, folder.name)
    assert (job["state"], job["partial"], job["files"]["count"]) == ("DONE", False, 4)
    listed = {row["path"]: row for row in api.call("GET", f"/api/v1/jobs/{folder.name}/files").json()["rows"]}
    assert {row["state"] for row in listed.values()} == {"here"}
    for name, content in (("model.bin", random.Random(1).randbytes(5 << 20)), ("empty.txt", b"")):
        assert api.call("GET", f"/api/v1/jobs/{folder.name}/files/{name}").content == content
    assert any("of files to go" in line for line in said)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit(4)", 4),
        ("exit(5)", 5),
        ("import sys; sys.exit('no data')", 1),
        ("import sys; sys.exit(None)", 0),
        ("import sys; job.done(); sys.exit(-1)", 255),
        ("import sys\ntry: sys.exit(3)\nexcept SystemExit: pass", 0),
        ("import sys, threading; t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()", 0),
        ("import os\nif os.fork() == 0: os._exit(7)\nos.wait()", 0),
        ("import os, sys\nif os.fork() == 0: sys.exit(7)\nos.wait()", 0),
        ("1 / 0", 1),
    ],
)
def test_the_code_that_a_script_by_hand_ends_with_is_recorded(
    api: Running, client: Client, place: Place, script: str, code: int
) -> None:
    folder = place.run(SCRIPT + script)

    push_recorded(folder, client)

    job, points = stored(api, folder.name)
    state = "DONE" if code == 0 else "FAILED"
    assert (job["exit_code"], job["state"], len(points)) == (code, state, 5)


def test_a_script_that_has_written_its_end_and_not_yet_ended_is_waited_for(place: Place) -> None:
    """What was to run at exit before bough came runs after it."""
    process = place.start("import atexit, sys; atexit.register(sys.stdin.read)\n" + SCRIPT + "sys.exit(3)")
    wait_for(lambda: list((place.folder / ".bough").glob("*/exit.json")))
    (folder,) = (place.folder / ".bough").glob("*/")
    recorded = read_folder(folder)

    assert (recorded.exit(), recorded.is_running()) == (None, True)

    process.communicate(timeout=30)
    assert (recorded.exit() or {})["exit_code"] == 3


def test_a_run_in_a_repository_keeps_its_commit_folder_and_definition(
    api: Running, client: Client, tmp_path: Path
) -> None:
    place = Place(tmp_path / "repository")
    (place.folder / "inner").mkdir()
    inner = Place(place.folder / "inner")
    (inner.folder / "bough.yml").write_text(
        "model: me/inner\ncommand: python t.py\nhyperparameters: {lr: 0.5, on: true}\n"
    )
    _git.run(["init", "-q"], cwd=str(place.folder))
    _git.run(["add", "-A"], cwd=str(place.folder))
    _git.run(["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"], cwd=str(place.folder))
    head = _git.run(["rev-parse", "HEAD"], cwd=str(place.folder)).decode().strip()
    folder = inner.run(SCRIPT.replace('"me/alone"', ""))

    push_recorded(folder, client)

    job, _ = stored(api, folder.name)
    assert (job["model"], job["commit"], job["values"]) == ("me/inner", head, {"lr": 0.5, "on": True})
    assert wait_for_record(api, folder.name).endswith(folder.name)


def wait_for_record(api: Running, job_id: str) -> Any:
    wait_for(lambda: api.call("GET", f"/api/v1/jobs/{job_id}").json()["record"])
    return api.call("GET", f"/api/v1/jobs/{job_id}").json()["record"]


def test_outside_of_git_the_record_hangs_on_an_empty_commit(api: Running, client: Client, place: Place) -> None:
    folders = [place.run(), place.run()]

    jobs = [stored(api, push_recorded(folder, client)["job"])[0] for folder in folders]

    assert len({job["commit"] for job in jobs}) == 1
    assert wait_for_record(api, folders[0].name)


def test_a_script_that_still_runs_is_not_pushed(client: Client, place: Place) -> None:
    process = place.start(SCRIPT + "\nprint('sent', flush=True)\nimport sys; sys.stdin.read()\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    try:
        (folder,) = (path for path in (place.folder / ".bough").glob("*/"))

        with pytest.raises(Conflict, match=r"still runs. Wait for its end, or show it live: --follow."):
            push_recorded(folder, client)
    finally:
        process.kill()
        process.communicate()

    assert push_recorded(folder, client)["state"] == "FAILED"


def test_what_another_machine_may_still_run_needs_a_word(client: Client, place: Place) -> None:
    folder = place.run()
    (folder / "exit.json").unlink()
    facts = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**facts, "host": "elsewhere"}))

    with pytest.raises(Conflict, match=r"may still run: that cannot be seen from this machine. If it has ended, add"):
        push_recorded(folder, client)

    assert push_recorded(folder, client, ended=True)["state"] == "FAILED"


def test_folders_that_hold_no_run_are_named(client: Client, tmp_path: Path, place: Place) -> None:
    with pytest.raises(NotFound, match=r"there is no folder .*none. See which runs were recorded"):
        push_recorded(tmp_path / "none", client)
    with pytest.raises(UsageError, match=r"holds no recorded run: there is no job.json"):
        push_recorded(tmp_path, client)
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(UsageError, match=r"job.json cannot be read. Name a folder that a script"):
        push_recorded(tmp_path, client)
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(UsageError, match=r"it has no nonce. Run the script again."):
        push_recorded(tmp_path, client)


def test_another_users_model_is_refused(api: Running, place: Place) -> None:
    folder = place.run()

    with (
        Client(Address(api.url, api.key("user", "you"), "the test")) as other,
        pytest.raises(BoughError, match=r"me/alone") as caught,
    ):
        push_recorded(folder, other)

    assert isinstance(caught.value, Forbidden) or "403" in str(caught.value) or "not" in str(caught.value)


@pytest.mark.parametrize(
    ("nonce", "header", "said"),
    [
        ("x", {"definition": {"model": "me/a", "command": "x"}, "commit": "0" * 40}, "is no nonce of a recorded job"),
        ("0" * 32, {"commit": "0" * 40}, "the recorded job cannot be read"),
        ("0" * 32, {"definition": {"model": "me/a", "command": "x"}, "commit": "zz"}, "'zz' is no commit"),
        ("0" * 32, {"definition": {"model": "me/a", "command": "x"}, "commit": "0" * 40, "values": {"a": [1]}},
         "the values of the recorded job are no flat mapping"),
        ("0" * 32, {"definition": {"model": "me/a", "command": "x"}, "commit": "0" * 40,
                    "parts": [{"stream": "journal/1-a", "offset": 0, "bytes": 9, "crc": 0}]}, "announce 9 bytes"),
    ],
    ids=["nonce", "definition", "commit", "values", "bytes"],
)  # fmt: skip
def test_what_is_no_recorded_job_is_refused_in_a_sentence(
    api: Running, nonce: str, header: dict[str, Any], said: str
) -> None:
    reply = api.call("POST", f"/api/v1/recorded/{nonce}", data=json.dumps(header).encode() + b"\n",
                     headers={"Content-Type": "application/x-bough-sync"})  # fmt: skip

    assert reply.status_code == 400
    assert said in reply.json()["detail"]


def test_a_message_of_another_kind_or_without_a_header_is_refused(api: Running) -> None:
    other = api.call("POST", f"/api/v1/recorded/{'0' * 32}", data=b"{}", headers={"Content-Type": "application/json"})
    empty = api.call("POST", f"/api/v1/recorded/{'0' * 32}", data=b"{}",
                     headers={"Content-Type": "application/x-bough-sync"})  # fmt: skip

    assert (other.status_code, other.json()["detail"]) == (
        415, "a recorded job is application/x-bough-sync, not application/json.",
    )  # fmt: skip
    assert (empty.status_code, empty.json()["detail"]) == (400, "the message has no header line.")


def test_one_that_falls_silent_is_unreachable_and_never_queued_again(
    api: Running, client: Client, place: Place
) -> None:
    """There is nobody who could run it again; a later push ends it."""
    folder = place.run()
    run = pushing._Run(read_folder(folder), client)
    run.bring_all(lambda: None)

    wait_for(lambda: stored(api, folder.name)[0]["unreachable"], 20)
    time.sleep(1.2)  # what is waited for is that nothing happens, past lost_after
    job, points = stored(api, folder.name)
    assert (job["state"], len(points)) == ("RUNNING", 5)

    assert push_recorded(folder, client)["state"] == "DONE"


def test_one_that_nobody_brings_any_more_can_be_stopped(api: Running, client: Client, place: Place) -> None:
    folder = place.run()
    pushing._Run(read_folder(folder), client).bring_all(lambda: None)
    wait_for(lambda: stored(api, folder.name)[0]["unreachable"], 20)

    assert api.call("POST", f"/api/v1/jobs/{folder.name}/stop", json={}).json()["state"] == "ABORTED"

    assert push_recorded(folder, client)["state"] == "ABORTED"
    assert not [row for row in api.call("GET", "/api/v1/agents").json()["rows"] if "by hand" in row["name"]]


def _command(api: Running, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bough_cli", *arguments], env=live(api, home), capture_output=True, text=True, timeout=60
    )


def live(api: Running, home: Path) -> dict[str, str]:
    """Return the environment of somebody who is logged in."""
    home.mkdir(exist_ok=True)
    (home / "login.json").write_text(json.dumps({"url": api.url, "key": api.key("user", "me")}))
    parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
    return environment(PYTHONPATH=parts, HOME=str(home), BOUGH_HOME=str(home), COLUMNS="120")


def test_the_command_says_what_became_of_it(api: Running, place: Place, tmp_path: Path) -> None:
    folder = place.run()

    done = _command(api, tmp_path / "home", "push", str(folder))

    assert (done.returncode, done.stdout) == (0, f"job {folder.name} of me/alone: DONE, KPI 0.5\n"), done.stderr
    again = _command(api, tmp_path / "home", "push", str(folder), "--json")
    assert json.loads(again.stdout)["id"] == folder.name


def test_a_script_appears_live_and_is_stopped_politely_from_there(api: Running, place: Place, tmp_path: Path) -> None:
    script = SCRIPT.replace('"me/alone"', '"me/alone", live=True') + (
        "\nimport time\njob.register_action(lambda rate: rate * 2, name='double')\n"
        "open('model.bin', 'wb').write(b'weights')\njob.commit_file('model.bin')\n"
        "while not job.should_stop():\n    time.sleep(0.02)\n"
        "accuracy.send(6, 0.6)\njob.progress(6, 6)\n"
    )
    process = place.start(script, **live(api, tmp_path / "home"))
    try:
        wait_for(lambda: list((place.folder / ".bough").glob("*/live.log")), 20)
        (folder,) = (path for path in (place.folder / ".bough").glob("*/"))
        wait_for(lambda: api.call("GET", f"/api/v1/jobs/{folder.name}").status_code == 200, 40)
        wait_for(lambda: len(stored(api, folder.name)[1]) == 5, 30)
        assert stored(api, folder.name)[0]["state"] == "RUNNING"
        wait_for(lambda: api.call("GET", f"/api/v1/jobs/{folder.name}/files/model.bin").content == b"weights", 30)
        actions = f"/api/v1/jobs/{folder.name}/actions"
        wait_for(lambda: api.call("GET", actions).json()["actions"], 30)
        api.call("POST", f"{actions}/double", json={"args": {"rate": 21}})
        wait_for(lambda: [one["answer"] for one in api.call("GET", actions).json()["calls"]] == [{"value": 42}], 30)

        api.call("POST", f"/api/v1/jobs/{folder.name}/stop", json={})
        _, err = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0
    assert err.splitlines()[-1].startswith("bough: shown live by a process of its own, which speaks in ")
    wait_for(lambda: stored(api, folder.name)[0]["state"] not in ("RUNNING", "DRAINING", "STOPPING"), 40)
    job, points = stored(api, folder.name)
    assert (job["state"], job["end_reason"], points[-1]) == ("ABORTED", "user", 0.6)


def test_a_script_that_is_to_be_live_runs_on_where_no_coordinator_is(place: Place, tmp_path: Path) -> None:
    parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))

    folder = place.run(BOUGH_LIVE="1", PYTHONPATH=parts, HOME=str(tmp_path), BOUGH_HOME=str(tmp_path / "none"))

    wait_for(lambda: "no coordinator is running here" in (folder / "live.log").read_text(), 30)
    assert json.loads((folder / "exit.json").read_text())["exit_code"] == 0


def test_without_the_command_a_live_run_is_recorded_and_says_how_to_push_it(place: Place, tmp_path: Path) -> None:
    without = "import sys; sys.path = [one for one in sys.path if 'site-packages' not in one]\n"
    without += "sys.meta_path = [one for one in sys.meta_path if 'editable' not in repr(one)]\n"
    process = place.start(without + SCRIPT, BOUGH_LIVE="1", PATH=str(tmp_path))

    _, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "this run is not shown live (there is no command bough here: pip install bough); it is recorded." in err


def test_an_interrupted_follower_leaves_the_script_alone(api: Running, place: Place, tmp_path: Path) -> None:
    process = place.start(SCRIPT + "\nprint('sent', flush=True)\nimport sys; sys.stdin.read()\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    (folder,) = (path for path in (place.folder / ".bough").glob("*/"))
    follower = subprocess.Popen(
        [sys.executable, "-m", "bough_cli", "push", "--follow", str(folder)], env=live(api, tmp_path / "home"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: api.call("GET", f"/api/v1/jobs/{folder.name}").status_code == 200, 40)
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=20)
        assert follower.returncode == 130
        assert process.poll() is None
    finally:
        follower.kill()
        process.kill()
        process.communicate()
        follower.wait()
