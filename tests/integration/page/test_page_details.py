"""What a chart, a log and a form promise beyond being there: the points of a stretch, all of a log, types that stay."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import expect
from tests.browser import Visit
from tests.integration.page.lab import DEFINITION, KPI, Lab

YML = """\
model: me/types
command: python train.py
env: {WIDTH: 1.0, DEPTH: 2}
hyperparameters:
  whole: {type: choice_number, choices: [1, 2]}
  decimal: {type: choice_number, choices: [1.0, 2.5], default: 1.0}
  rate: 0.0
  name: "1"
"""


def test_a_long_channel_that_is_zoomed_shows_the_points_that_were_left_out(visit: Visit, lab: Lab) -> None:
    agent = lab.agent()
    lab.optimize("me/long", agents=[agent.name])
    (claim,) = agent.claim(1)
    agent.report(
        claim, [["h", {"pid": 1}], KPI, *(["p", "accuracy", x, (x * 7919 % 1000) / 1000] for x in range(20_000))]
    )
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/jobs/{claim['job_id']}")
    chart = page.get_by_role("img", name="Channel accuracy: 20000 points")
    expect(page.get_by_text("Zoom in, and you see the others.")).to_be_visible()
    expect(chart.locator("canvas")).to_be_visible()

    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Shift")
    with page.expect_response(lambda reply: "low=" in reply.url) as answered:
        for _ in range(12):
            page.mouse.wheel(0, -300)

    (found,) = answered.value.json()["channels"]
    xs = found["x"]
    assert found["points"] == 20_000
    assert 0 < xs[0] < xs[-1] < 20_000
    assert max(later - earlier for earlier, later in pairwise(xs)) < 20_000 / 500
    assert visit.complaints == []


def test_the_whole_log_is_saved(visit: Visit, lab: Lab) -> None:
    agent = lab.agent()
    lab.optimize("me/talks", agents=[agent.name])
    (claim,) = agent.claim(1)
    log = b"".join(b"%07d talks and talks and talks\n" % n for n in range(80_000))  # three MB: more than a piece
    agent.report(claim, [["h", {"pid": 1}]], log)
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/jobs/{claim['job_id']}")
    expect(page.get_by_label("Log", exact=True)).to_contain_text("0079999 talks")

    with page.expect_download() as saved:
        page.get_by_role("link", name="save").click()

    assert saved.value.path().read_bytes() == log
    assert saved.value.suggested_filename == f"{claim['job_id']}.log"


def test_a_form_that_was_only_looked_at_or_changed_elsewhere_changes_no_type(visit: Visit, lab: Lab) -> None:
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/new")
    text = page.get_by_label("The bough.yml")
    text.fill(YML)
    expect(page.get_by_text("The coordinator understands it.")).to_be_visible()

    page.get_by_label("command", exact=True).fill("python other.py")
    page.get_by_label("command", exact=True).press("Tab")

    expect(text).to_have_value(re.compile("other.py"))
    expect(page.get_by_label("choices of decimal")).to_have_value("1.0, 2.5")
    written = text.input_value()
    assert re.search(r"choices: \[1\.0, 2\.5\]", written), written
    assert re.search(r"choices: \[1, 2\]", written), written
    assert re.search(r"default: 1\.0", written), written
    assert re.search(r"WIDTH: '?1\.0", written), written
    page.get_by_label("choices of decimal").fill("1.0, 2.0, 3.5")
    page.get_by_label("choices of decimal").press("Tab")
    expect(text).to_have_value(re.compile(r"\[1\.0, 2\.0, 3\.5\]"))

    page.get_by_role("button", name="keep as a revision").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("me/types")
    kept = lab.running.call("GET", "/api/v1/models/me/types").text
    assert '"choices":[1.0,2.0,3.5]' in kept.replace(": ", ":").replace(", ", ",")


NEEDY = """\
model: me/needy
command: [make solver, ./solver]
resources: {cpu: 2, gpu: 0.5}
data: [imagenet]
setup: requirements.txt
output: ["*.pt"]
on_end: notify-send done
hyperparameters: {lr: 0.1}
optimization:
  algorithm: tpe
  duplicates: resample
  pruning: {asha: {reduction: 4}}
  space: {lr: "uniform(0, 1)"}
"""


def test_whatever_the_file_says_about_needs_commands_and_pruning_the_form_says_too(visit: Visit, lab: Lab) -> None:
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/new")
    text = page.get_by_label("The bough.yml")
    text.fill(NEEDY)
    expect(page.get_by_label("files to hand in")).to_have_value("*.pt")

    for name, was, typed, now in (
        ("command", "make solver\n./solver", "make all\n./solver {{args}}", r"- make all\n|\[make all, "),
        ("CPUs", "2", "4", r"cpu: 4"),
        ("GPUs", "0.5", "1", r"gpu: 1\b"),
        ("data", "imagenet", "imagenet, coco", r"\[imagenet, coco\]"),
        ("requirements", "requirements.txt", "other.txt", r"setup: other\.txt"),
        ("Python of it", "", "python3.12", r"python: python3\.12"),
        ("asha: reduction", "4", "3", r"reduction: 3"),
        ("when it ends", "notify-send done", "notify-send over", r"on_end: notify-send over"),
    ):
        field = page.get_by_label(name, exact=True)
        expect(field).to_have_value(was)
        field.fill(typed)
        field.press("Tab")
        expect(text).to_have_value(re.compile(now))
    page.get_by_label("tried before").select_option("reuse")
    expect(text).to_have_value(re.compile("duplicates: reuse"))
    expect(page.get_by_text("The coordinator understands it.")).to_be_visible()

    # What the file would refuse is refused beside its field, in the same words.
    page.get_by_label("memory", exact=True).fill("lots")
    page.get_by_label("memory", exact=True).press("Tab")
    expect(page.locator(".is-wrong").filter(has_text="memory").get_by_role("alert")).to_contain_text(
        "resources: memory is lots. Write it with its unit, such as 512MiB"
    )
    assert visit.complaints == []


def test_a_value_that_was_fixed_at_the_start_is_freed_in_the_form(visit: Visit, lab: Lab) -> None:
    body = {"definition": {**DEFINITION, "model": "me/fixed"}, "commit": "3f9a12c0" * 5, "folder": "", "source": {}}
    its_id = lab.post("/optimizations", **body, fixed={"batch_size": 32, "activation": "tanh"})["id"]
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/edit/{its_id}")
    expect(page.get_by_text("Nothing is changed yet.")).to_be_visible()

    page.get_by_role("checkbox", name="batch_size = 32").uncheck()
    expect(page.get_by_text("What would change")).to_be_visible()
    page.get_by_role("button", name="apply from the next trial on").click()
    expect(page).to_have_url(re.compile(f"#/optimizations/{its_id}$"))

    assert lab.get(f"/optimizations/{its_id}/definition")["fixed"] == {"activation": "tanh"}
    page.goto(f"{lab.url}/#/edit/{its_id}")
    page.get_by_role("button", name="restart", exact=True).click()
    page.get_by_role("button", name="yes, restart").click()
    expect(page.get_by_text("generation 2").first).to_be_visible()
    assert lab.get(f"/optimizations/{its_id}/definition")["fixed"] == {"activation": "tanh"}


def test_two_jobs_are_compared_by_values_curves_and_code(visit: Visit, lab: Lab, tmp_path: Path) -> None:
    def git(*args: str) -> str:
        who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "core.hooksPath=/dev/null"]
        return subprocess.run(["git", *who, *args], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    address = lab.url.replace("://", f"://x:{lab.running.admin}@") + "/git/me/two.git"
    ids: list[str] = []
    git("init", "-q", "-b", "main")
    for rate in ("0.1", "0.2 # <b>twice</b>"):
        (tmp_path / "train.py").write_text(f"import bough\nrate = {rate}\n")
        git("add", "-A")
        git("commit", "-qm", "one")
        sha = git("rev-parse", "HEAD").strip()
        body = {"definition": {"model": "me/two", "command": "true", "hyperparameters": {"x": 1}}, "commit": sha}
        ids.append(lab.post("/jobs", **body, folder="", source={}, values={"x": len(ids)})["id"])
        git("push", "-q", address, f"{sha}:refs/bough/code/{sha}")
    page = visit.open(lab.link())

    page.goto(f'{lab.url}/#/compare?jobs=["{ids[0]}","{ids[1]}"]')

    expect(page.get_by_text("1 file differs.")).to_be_visible()
    expect(page.get_by_label("what differs in train.py")).to_contain_text("+rate = 0.2 # <b>twice</b>")
    expect(page.get_by_role("row", name="x 0 1")).to_be_visible()
    assert visit.complaints == []


def test_a_tab_that_nobody_sees_lets_its_stream_go_and_is_up_to_date_when_seen(visit: Visit, lab: Lab) -> None:
    """A browser has six connections to a host for all its tabs: with one stream each, the seventh would never load."""
    page = visit.open(lab.link())
    expect(page.get_by_role("status").first).to_have_text("live")
    hide = """(is) => {
      Object.defineProperty(document, 'hidden', { value: is, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with page.expect_event("requestfailed", lambda one: "/events" in one.url, timeout=15_000):
        page.evaluate(hide, True)
    lab.optimize("me/unseen")

    page.evaluate(hide, False)

    expect(page.get_by_role("link", name="me/unseen")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text("live")
