"""The example of the design, as written, and what becomes of it."""

# ruff: noqa: E501
from __future__ import annotations

import json

from bough.definition import Definition, Space, loads, parse, replace_templates

EXAMPLE = """\
model: me/digits
command: python train.py                 # split without a shell, then {{optimizer.lr}} is replaced; a list or mapping runs in order, first failure stops
# git: {url: …, branch: main}            # default: this repository, the checked-out commit; agents: data: env: output: setup: as needed (§5.6)
hyperparameters:                         # the seven types: string number boolean group choice_string choice_number choice_group
  batch_size: 32                         # short form: the type of the value; an int default is an integer hyperparameter
  activation: {type: choice_string, choices: [relu, tanh, gelu], default: relu}
  dense: {type: group, optional: true, children: {neurons: 64, dropout: 0.2}}    # optional: the whole group may be off
  optimizer:
    type: choice_group
    default: sgd
    choices:
      sgd:  {lr: 0.01, momentum: 0.9}
      adam: {lr: 0.001}
optimization:
  algorithm: tpe                         # random | tpe | annealing | grid
  kpi: {channel: accuracy, direction: maximize, reduce: last}     # optional: default is what the script declares, last value; best, mean(5)
  max_trials: 100
  initial_random: 20                     # tpe only
  max_parallel: 4
  max_epochs: 30
  max_time: 10m                          # units are always written; total_time: for the whole optimization
  seed: 1
  agents: [gpu1, gpu2]                   # default: all
  on_failure: {retry: 0, stop_after: 5}  # stop_after: failures in a row
  space:                                 # what is searched ("AUTO"); everything else stays at its default
    batch_size: range(16, 128, 16)       # low, high, step
    dense: on_off                        # searches whether the optional group is there
    dense.dropout: uniform(0, 0.5)       # asked only when it is
    activation: choice(relu, gelu)       # a subset; bare `choice` = all
    optimizer: choice
    optimizer.sgd.lr: loguniform(1e-4, 1)   # bounds in natural units; full path here, in -p and in CSV; the script reads optimizer.lr
    optimizer.adam.lr: loguniform(1e-5, 1e-2)
"""


def example() -> Definition:
    return loads(EXAMPLE)


def test_the_example_of_the_design_parses_as_written() -> None:
    definition = example()

    assert definition.model == "me/digits"
    assert [(command.name, command.argv) for command in definition.commands] == [("1", ["python", "train.py"])]
    assert definition.has_optimization
    settings = definition.settings
    assert (settings.algorithm, settings.max_trials, settings.initial_random, settings.max_parallel) == (
        "tpe",
        100,
        20,
        4,
    )
    assert (settings.max_epochs, settings.max_time_s, settings.total_time_s, settings.seed) == (30, 600.0, None, 1)
    assert (settings.kpi_channel, settings.kpi_direction, settings.kpi_reduce) == ("accuracy", "maximize", "last")
    assert (settings.agents, settings.retry, settings.stop_after) == (["gpu1", "gpu2"], 0, 5)
    assert (settings.grace_s, settings.term_s) == (30.0, 10.0)
    assert list(definition.space.searched) == [
        "batch_size",
        "dense",
        "dense.dropout",
        "activation",
        "optimizer",
        "optimizer.sgd.lr",
        "optimizer.adam.lr",
    ]


def test_defaults_are_flat_typed_and_active_only() -> None:
    assert example().defaults() == {
        "batch_size": 32,
        "activation": "relu",
        "dense": True,
        "dense.neurons": 64,
        "dense.dropout": 0.2,
        "optimizer": "sgd",
        "optimizer.sgd.lr": 0.01,
        "optimizer.sgd.momentum": 0.9,
    }


def test_the_raw_definition_and_the_space_survive_json() -> None:
    definition = example()

    assert parse(json.loads(json.dumps(definition.raw))) == definition
    assert Space.from_json(json.loads(json.dumps(definition.space.to_json()))) == definition.space


def test_overrides_are_read_by_type_and_switch_branches() -> None:
    values = example().values({"optimizer": "adam", "optimizer.adam.lr": "1e-2", "dense": "false", "batch_size": "64"})

    assert values == {
        "batch_size": 64,
        "activation": "relu",
        "dense": False,
        "optimizer": "adam",
        "optimizer.adam.lr": 0.01,
    }


def test_templates_take_full_and_short_paths() -> None:
    values = example().defaults()

    assert replace_templates(
        ["python", "t.py", "--lr={{optimizer.lr}}", "{{optimizer.sgd.lr}}", "{{dense}}"], values
    ) == [
        "python",
        "t.py",
        "--lr=0.01",
        "0.01",
        "true",
    ]
    assert replace_templates(["x", "{{args}}"], {"a": 1, "b": False, "c": "two words"}) == [
        "x",
        "--a=1",
        "--b=false",
        "--c=two words",
    ]
