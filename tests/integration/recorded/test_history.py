"""What a coordinator knows, read back: rows, a DataFrame, hyperopt's trials, MLflow's folders."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.integration.api.running import Running
from tests.integration.recorded.conftest import Place

import bough
from bough._hyperopt import documents
from bough.definition import parse
from bough.errors import BoughError, Denied, NotFound, Unavailable, UsageError
from bough_cli.client import Address, Client
from bough_cli.commands.export import command as export_command
from bough_cli.exports import mlflow
from bough_cli.recorded import push_recorded

SCRIPT = """
import bough
job = bough.start_job("me/history")
both = job.create_channel("both", traces=["a", "b"])
accuracy = job.create_channel("accuracy", kpi=True)
words = job.create_channel("words", type="text")
for x in (1, 2):
    accuracy.send(x, x / 10)
    both.send(x + 0.5, [float("nan"), x])
    words.send(x, "nan")
"""
DEFINITION = {
    "model": "me/search", "command": "python t.py",
    "hyperparameters": {
        "lr": 0.1, "n": 4, "step": 0.1,
        "opt": {"type": "choice_group", "default": "sgd", "choices": {"sgd": {"m": 0.5}, "adam": {}}},
    },
    "optimization": {"algorithm": "random", "max_trials": 3, "space": {
        "lr": "loguniform(0.001, 1)", "n": "randint(3, 9)", "step": "range(0, 1, 0.25)", "opt": "choice",
        "opt.sgd.m": "uniform(0, 1)"}},
}  # fmt: skip
VALUES = [
    {"lr": 0.01, "n": 5, "step": 0.5, "opt": "adam"},
    {"lr": 0.5, "n": 3, "step": 0.0, "opt": "sgd", "opt.sgd.m": 0.25},
    {"lr": 7.0, "n": 3, "step": 0.0, "opt": "adam"},
]


@pytest.fixture(scope="module")
def job(api: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = Place(tmp_path_factory.mktemp("place")).run(SCRIPT)
    with Client(Address(api.url, api.key("user", "me"), "the test")) as client:
        return str(push_recorded(folder, client)["job"])


@pytest.fixture
def known(api: Running) -> dict[str, Any]:
    return {"coordinator": api.url, "key": api.admin}


def test_a_job_is_a_row_and_its_points_are_rows(job: str, known: dict[str, Any]) -> None:
    (row,) = bough.history(job, **known)
    points = bough.history(job[:6], points=True, **known)

    assert (row["job_id"], row["kpi"], row["state"], row["channel.accuracy"]) == (job, 0.2, "DONE", 0.2)
    assert [(point["x"], point["y"]) for point in points if point["channel"] == "accuracy"] == [(1, 0.1), (2, 0.2)]
    assert all(math.isnan(point["y"]) for point in points if point["trace"] == "a")


def test_a_frame_needs_pandas(job: str, known: dict[str, Any]) -> None:
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(UsageError, match=r"there is no pandas in this Python. Install it \(pip install pandas\)"):
            bough.history(job, frame=True, **known)
        return
    assert isinstance(bough.history(job, frame=True, **known), pandas.DataFrame)


def test_the_coordinator_is_that_of_the_login(
    api: Running, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BOUGH_COORDINATOR", "BOUGH_SECURE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"no coordinator is known here. Log in to one \(bough login URL\)"):
        bough.history(job)

    (tmp_path / "login.json").write_text(json.dumps({"url": api.url, "key": api.admin}))
    assert bough.history(job)[0]["job_id"] == job

    (tmp_path / "login.json").unlink()
    (tmp_path / "coordinator").mkdir()
    (tmp_path / "coordinator" / "coordinator.json").write_text(json.dumps({"url": api.url}))
    (tmp_path / "coordinator" / "admin.key").write_text(api.admin)
    assert bough.history(job)[0]["job_id"] == job


def test_refusals_are_bough_errors(api: Running, known: dict[str, Any]) -> None:
    with pytest.raises(NotFound):
        bough.history("nothing0", **known)
    with pytest.raises(Denied):
        bough.history("nothing0", coordinator=api.url, key="wrong")
    with pytest.raises(Unavailable, match=r"the coordinator at http://127.0.0.1:9 does not answer"):
        bough.history("nothing0", coordinator="http://127.0.0.1:9")


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str | None]]]:
    """A server that redirects to itself, and the keys it was shown on the second request."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(302)
            self.send_header("Location", "/stolen")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_the_key_follows_no_redirect(elsewhere: tuple[str, list[str | None]]) -> None:
    url, seen = elsewhere

    with pytest.raises(BoughError, match=r"the coordinator answered with status 302"):
        bough.history("abc", coordinator=url, key="k")

    assert seen == ["Bearer k"]


# -- hyperopt -------------------------------------------------------------------------------------------------


def _search() -> dict[str, Any]:
    space = parse(DEFINITION).space.to_json()
    losses = [0.5, None, 0.1]
    return {"spaces": [[1, space]], "history": [[i, VALUES[i], losses[i]] for i in range(3)]}


def test_the_documents_are_hyperopts_own() -> None:
    """What hyperopt makes of them again are the values; the third trial is out of today's bounds."""
    hyperopt = pytest.importorskip("hyperopt", reason="a part of [server]")
    from bough_server.optimizers.hyperopt_space import found_in, hyperopt_space

    space = parse(DEFINITION).space
    found = documents(_search())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trials = hyperopt.trials_from_docs(json.loads(json.dumps(found)))
    assert [doc["tid"] for doc in trials.trials] == [0, 1]
    assert trials.losses() == [0.5, None]
    assert trials.best_trial["tid"] == 0
    assert [space.complete(found_in(space, doc["misc"]["vals"])) for doc in found] == VALUES[:2]
    chosen = hyperopt.space_eval(hyperopt_space(space), trials.argmin)
    assert (chosen["lr"], chosen["n"], chosen["opt"]) == (0.01, 5, {})


def test_hyperopt_goes_on_from_the_documents() -> None:
    hyperopt = pytest.importorskip("hyperopt", reason="a part of [server]")
    import numpy as np

    from bough_server.optimizers.hyperopt_space import hyperopt_space

    trials = hyperopt.trials_from_docs(documents(_search()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hyperopt.fmin(
            lambda values: values["lr"], hyperopt_space(parse(DEFINITION).space), hyperopt.tpe.suggest, max_evals=5,
            trials=trials, rstate=np.random.default_rng(1), show_progressbar=False, verbose=False,
        )  # fmt: skip

    assert len(trials.trials) == 5


def test_an_optimization_without_ended_trials_gives_empty_ones(api: Running, known: dict[str, Any]) -> None:
    pytest.importorskip("hyperopt", reason="a part of [server]")
    body = {"definition": DEFINITION, "commit": "0" * 40, "folder": "", "source": {}}
    its_id = api.call("POST", "/api/v1/optimizations", json=body).json()["id"]

    assert len(bough.to_hyperopt(its_id, **known)) == 0


# -- the commands ---------------------------------------------------------------------------------------------


def _export(api: Running, *arguments: str) -> Any:
    options = ["--coordinator", api.url, "--key", api.admin]
    return CliRunner().invoke(export_command, [*arguments, *options], catch_exceptions=False)


def test_hyperopts_file_is_json_and_says_what_is_left_out(api: Running, tmp_path: Path) -> None:
    body = {"definition": DEFINITION, "commit": "0" * 40, "folder": "", "source": {}}
    its_id = api.call("POST", "/api/v1/optimizations", json=body).json()["id"]

    done = _export(api, its_id, "--format", "hyperopt", str(tmp_path / "trials.json"))

    assert done.exit_code == 0
    assert json.loads((tmp_path / "trials.json").read_text()) == []
    assert f"{tmp_path / 'trials.json'}, 0 trials" in done.stderr


def test_mlflows_folders_hold_the_run_and_are_the_same_again(api: Running, job: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = _export(api, job, "--format", "mlflow", "-o", str(tmp_path / "mlruns"))
        assert done.exit_code == 0, done.output

    (experiment,) = (tmp_path / "mlruns").iterdir()
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    meta = yaml.safe_load((run / "meta.yaml").read_text())
    assert (meta["run_id"], meta["status"], meta["experiment_id"]) == (run.name, 3, experiment.name)
    names = sorted(str(path.relative_to(run / "metrics")) for path in (run / "metrics").rglob("*") if path.is_file())
    assert names == ["accuracy", "both/a", "both/b", "kpi"]
    assert [line.split()[1:] for line in (run / "metrics" / "accuracy").read_text().splitlines()] == [
        ["0.1", "1"], ["0.2", "2"],
    ]  # fmt: skip
    assert [line.split()[1:] for line in (run / "metrics" / "both" / "a").read_text().splitlines()] == [
        ["nan", "0"], ["nan", "1"],
    ]  # fmt: skip
    assert (run / "tags" / "bough.job").read_text() == job


def test_a_format_needs_a_place(api: Running, job: str, tmp_path: Path) -> None:
    import click

    done = CliRunner().invoke(export_command, [job, "--format", "mlflow", "--coordinator", api.url, "--key", api.admin])
    assert done.exit_code == click.UsageError.exit_code
    assert "--format mlflow needs a folder to write. Add: -o mlflow" in done.output

    with pytest.raises(NotFound, match=r"there is no folder .*none. Make it, or name another place."):
        _export(api, job, "--format", "mlflow", str(tmp_path / "none" / "x"))


def test_names_that_would_be_file_and_folder_at_once_stay_apart() -> None:
    taken: set[str] = set()

    names = [mlflow._metric_name(name, taken) for name in ("loss", "loss/a", "loss/a", "a/b", "a", "../x", "é|", "")]

    assert names == ["loss", "loss.a", "loss.a_", "a/b", "a_", "x", "__", "_"]
    assert all(".." not in name for name in names)


def test_mlflow_itself_reads_them(api: Running, job: str, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is hundreds of megabytes; run: make frameworks")
    _export(api, job, "--format", "mlflow", str(tmp_path / "mlruns"))
    code = (
        "import mlflow, sys, warnings; warnings.simplefilter('ignore')\n"
        "client = mlflow.MlflowClient('file://' + sys.argv[1])\n"
        "(experiment,) = [one for one in client.search_experiments() if one.name != 'Default']\n"
        "(run,) = client.search_runs([experiment.experiment_id])\n"
        "print(experiment.name, run.info.status, run.data.metrics['kpi'], run.data.tags['bough.state'],\n"
        "      [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, 'accuracy')])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mlruns")], capture_output=True, text=True, timeout=110,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MLFLOW_ALLOW_FILE_STORE": "true"},
    )  # fmt: skip

    assert done.stdout.strip() == "me/history FINISHED 0.2 DONE [(1, 0.1), (2, 0.2)]", done.stderr
