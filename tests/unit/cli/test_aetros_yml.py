"""aetros.yml in both its forms becomes a bough.yml that is right, or the key is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bough import definition
from bough.errors import NotFound, UsageError
from bough_cli import aetros_yml
from bough_cli.commands.init import command

LOOSE = """
model: marcj/mnist
command: python train.py --x {{batch_size}}
image: tensorflow/tensorflow
install: pip install keras
ignore: [data]
servers: [gpu1, gpu2]
maxEpochs: 20
maxTime: 30
priority: 2
resources: {cpu: 2, memory: 4, gpu: 0}
output: weights.h5
parameters:
  batch_size: 32
  flag: true
  lr: 0.5
  name: adam
  activation: [relu, tanh]
  sizes: [1, 2, 3]
  dense: {neurons: 64, dropout: 0.2}
  optimizer:
    sgd: {lr: 0.01, momentum: 0.9}
    adam: {lr: 0.001}
"""
FULL: dict[str, Any] = {
    "model": "org/space:net",
    "sourcePythonScript": "src/train.py",
    "sourceGitUrl": "https://github.com/a/b",
    "sourceGitTree": "master",
    "parameters": [
        {"name": "batch_size", "type": "number", "subtype": "int", "defaultValue": "16"},
        {"name": "on", "type": "boolean", "default": "false"},
        {"name": "kind", "type": "choice_string", "defaultValue": 1, "children": [{"value": "a"}, {"value": "b"}]},
        {"name": "size", "type": "choice_number", "defaultValue": 2.5, "children": [{"value": 1}, {"value": "2.5"}]},
        {"name": "layer one", "type": "group", "children": [{"name": "n", "type": "number", "value": 3}]},
        {"name": "opt", "type": "choice_group", "defaultValue": 1, "children": [
            {"name": "sgd", "type": "group", "children": [{"name": "lr", "type": "number", "value": 0.1}]},
            {"name": "adam", "type": "group", "children": []}]},
        {"name": "list", "type": "array", "value": [1]},
        {"name": "nothing", "type": "string"},
        {"type": "string"},
    ],
    "tpu": 3,
}  # fmt: skip


def _converted(given: dict[str, Any]) -> tuple[definition.Definition, dict[str, str]]:
    made = aetros_yml.convert(given, "me/default")
    return definition.loads(aetros_yml.text_of(made), "bough.yml"), dict(made.unmapped)


def test_the_loose_form_keeps_types_and_names_what_has_no_counterpart() -> None:
    found, unmapped = _converted(yaml.safe_load(LOOSE))

    assert found.model == "marcj/mnist"
    assert found.commands[0].argv == ["python", "train.py", "--x", "{{batch_size}}"]
    assert found.defaults() == {
        "batch_size": 32, "flag": True, "lr": 0.5, "name": "adam", "activation": "relu", "sizes": 1,
        "dense.neurons": 64, "dense.dropout": 0.2, "optimizer": "sgd", "optimizer.sgd.lr": 0.01,
        "optimizer.sgd.momentum": 0.9,
    }  # fmt: skip
    assert found.raw["agents"] == ["gpu1", "gpu2"]
    assert (found.priority, found.raw["output"]) == (2, ["weights.h5"])
    assert set(unmapped) == {"image", "install", "ignore", "maxEpochs", "maxTime", "resources"}
    assert unmapped["maxTime"] == "write max_time: 30m into optimization:, or give bough run --max-time 30m"


def test_the_full_form_keeps_defaults_choices_and_whole_numbers() -> None:
    found, unmapped = _converted(FULL)

    assert found.model == "org/space-net"
    assert found.commands[0].argv == ["python", "src/train.py"]
    assert found.defaults() == {
        "batch_size": 16, "on": False, "kind": "b", "size": 2.5, "layer_one.n": 3, "opt": "adam", "nothing": "",
    }  # fmt: skip
    assert found.raw["git"] == {"url": "https://github.com/a/b", "branch": "master"}
    assert set(unmapped) == {"parameters.layer one", "parameters.list", "parameters.nothing", "parameters.", "tpu"}
    assert unmapped["tpu"] == "bough does not know it"


def test_commands_that_need_a_shell_get_one() -> None:
    found, unmapped = _converted({"command": ["make data", "python a.py > log && echo ok"]})

    assert [one.argv for one in found.commands] == [["make", "data"], ["sh", "-c", "python a.py > log && echo ok"]]
    assert "needs a shell" in unmapped["command"]


def test_the_importing_file_wins_and_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("model: a/base\ncommand: python base.py\n")
    (tmp_path / "aetros.yml").write_text("import: base.yml\nmodel: a/child\n")

    assert aetros_yml.read(tmp_path / "aetros.yml") == {"model": "a/child", "command": "python base.py"}

    (tmp_path / "base.yml").write_text("import: aetros.yml\n")
    with pytest.raises(UsageError, match=r"aetros.yml imports itself. Remove the import."):
        aetros_yml.read(tmp_path / "aetros.yml")
    (tmp_path / "base.yml").unlink()
    with pytest.raises(NotFound, match=r"there is no .*base.yml, which .*aetros.yml imports. Correct import"):
        aetros_yml.read(tmp_path / "aetros.yml")


@pytest.mark.parametrize(("text", "said"), [("a: [", "is no YAML, line 1. Correct"), ("- a", "is no mapping.")])
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "aetros.yml").write_text(text)

    with pytest.raises(UsageError, match=said):
        aetros_yml.read(tmp_path / "aetros.yml")


def test_the_command_writes_the_file_and_names_the_rest(tmp_path: Path) -> None:
    (tmp_path / ".aetros.yml").write_text(LOOSE)

    done = CliRunner().invoke(command, [str(tmp_path), "--from-aetros"], catch_exceptions=False)

    assert done.exit_code == 0
    assert "says what .aetros.yml says, but for:" in done.output
    assert "  image: bough starts no containers" in done.output
    assert definition.load(str(tmp_path / "bough.yml")).model == "marcj/mnist"


def test_without_an_aetros_yml_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no aetros.yml and no .aetros.yml in"):
        CliRunner().invoke(command, [str(tmp_path), "--from-aetros"], catch_exceptions=False)
