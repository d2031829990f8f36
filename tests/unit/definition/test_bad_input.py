# ruff: noqa: E501
"""Whatever is wrong with a bough.yml is one sentence with a remedy, and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bough.definition import load, loads, parse
from bough.errors import DefinitionError, UsageError

HEAD = "model: me/m\ncommand: python t.py\n"
HYPER = (
    HEAD
    + """hyperparameters:
  lr: 0.1
  n: 32
  flag: true
  name: x
  act: {type: choice_string, choices: [relu, tanh]}
  size: {type: choice_number, choices: [1, 2.5]}
  dense: {type: group, optional: true, children: {drop: 0.1}}
  plain: {inner: 1.0}
  opt: {type: choice_group, choices: {sgd: {lr: 0.1}, adam: {lr: 0.1}}}
"""
)  # 12 lines


def with_space(line: str) -> str:
    return HYPER + "optimization:\n  space:\n    " + line + "\n"  # the expression stands in line 15


def with_setting(line: str) -> str:
    return HYPER + "optimization:\n  space: {lr: 'uniform(0, 1)'}\n  " + line + "\n"  # the setting stands in line 15


CASES = [
    # -- the file --
    ("", "the definition is empty, not a mapping. Begin with model: owner/name.  (bough.yml, line ?)"),
    ("- a\n", "the definition is a list, not a mapping. Begin with model: owner/name.  (bough.yml, line 1)"),
    (HEAD + "x: [1, 2\n", "this is not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'. Check indentation, colons and quotes.  (bough.yml, line 4)"),
    (HEAD + "model: me/m\n", "the key model is there twice. Keep one of them.  (bough.yml, line 3)"),
    (HEAD + "env: !!python/object:os.system {}\n", "the tag tag:yaml.org,2002:python/object:os.system is not allowed. Leave it out.  (bough.yml, line 3)"),
    (HEAD + "env: {a: .inf}\n", ".inf is not a finite number. Write a finite number, or quote it if it is text.  (bough.yml, line 3)"),
    (HEAD + "--- \nmodel: a/b\n", "there is a second document (---). Keep one document per file.  (bough.yml, line 3)"),
    ("model: a/b\nworking_dir: x\ncommand: {{args}}\n", "a key is a list or a mapping. Quote a text that holds {{…}} or […].  (bough.yml, line 3)"),
    (HEAD + "env: " + "[" * 40 + "]" * 40 + "\n", "this is nested deeper than 32 levels. Flatten it.  (bough.yml, line 3)"),
    (HEAD + "#" * 262144, "the file is larger than 256 KiB. A definition is a few lines; keep data elsewhere.  (bough.yml)"),
    (HEAD + "env: " + str([*["&a x"], *["*a"] * 51]).replace("'", "") + "\n", "there are more than 50 aliases (*name). Write the values out.  (bough.yml, line 3)"),
    # -- the top --
    ("command: x\n", "the model has no name. Add model: owner/name.  (bough.yml, line 1)"),
    ("model: digits\ncommand: x\n", "model digits is no name. Write owner/name in letters, digits, . _ and -.  (bough.yml, line 1)"),
    ("model: a/../b\ncommand: x\n", "model a/../b is no name. Write owner/name in letters, digits, . _ and -.  (bough.yml, line 1)"),
    ("model: a/b\n", "there is no command. Add command: python train.py.  (bough.yml, line 1)"),
    ("model: a/b\ncommand: 5\n", "a command is 5. Write it as text, such as python train.py.  (bough.yml, line 2)"),
    ("model: a/b\ncommand: echo 'x\n", "the command cannot be split: no closing quotation. Close the quote.  (bough.yml, line 2)"),
    ("model: a/b\ncommand: make && python t.py\n", "the command holds &&, and no shell reads it. Write a list of commands, or sh -c '…'.  (bough.yml, line 2)"),
    ("model: a/b\ncommand: [make, 'x > y']\n", "the command holds >, and no shell reads it. Write a list of commands, or sh -c '…'.  (bough.yml, line 2)"),
    ("model: a/b\nhyperparameters: {lr: 1}\ncommand: t.py {{lt}}\n", "the command asks for unknown {{lt}}. Did you mean lr?  (bough.yml, line 3)"),
    (HEAD + "hyperparametrs: {}\n", "unknown key hyperparametrs in bough.yml. Did you mean hyperparameters?  (bough.yml, line 3)"),
    (HEAD + "env: {BOUGH_X: 1}\n", "env: BOUGH_X is bough's own. Choose a name that does not begin with BOUGH_.  (bough.yml, line 3)"),
    (HEAD + "env: {A B: 1}\n", "env: A B is no name of a variable. Use letters, digits and _.  (bough.yml, line 3)"),
    (HEAD + "env: {A: [1]}\n", 'env: the value of A is a list. Write text; "" for an empty one.  (bough.yml, line 3)'),
    (HEAD + "working_dir: ../x\n", "working_dir ../x leaves the model's folder. Write a folder below it.  (bough.yml, line 3)"),
    (HEAD + "priority: high\n", "priority is high. Write a whole number; higher starts first.  (bough.yml, line 3)"),
    (HEAD + "git: {branh: main}\n", "unknown key branh in git. Did you mean branch?  (bough.yml, line 3)"),
    (HEAD + "resources: {cpu: 0}\n", "resources: cpu is 0. Write a number above 0, at most 4096.  (bough.yml, line 3)"),
    (HEAD + "resources: {gpu: 1.5}\n", "resources: gpu is 1.5. Write a whole number, or a share below 1: 0.5.  (bough.yml, line 3)"),
    (HEAD + "resources: {memory: 4}\n", "resources: memory is 4. Write it with its unit, such as 512MiB, 4GB or 1.5GiB.  (bough.yml, line 3)"),
    (HEAD + "data: [a/b]\n", "data: a/b is no name of a data set. Use letters, digits, _ and -, such as imagenet; the agent maps it: --data imagenet=/path.  (bough.yml, line 3)"),
    (HEAD + "setup: {}\n", "setup makes nothing. Name a requirements file, or commands.  (bough.yml, line 3)"),
    (HEAD + "setup: ../r.txt\n", "setup: requirements is ../r.txt. Name a file of the model's folder.  (bough.yml, line 3)"),
    (HEAD + "setup: {python: 3, requirements: r.txt}\n", "setup: python is 3. Name a program: python3.12.  (bough.yml, line 3)"),
    (HEAD + "setup: {commands: [1]}\n", "a command of setup is 1. Write a command as text, or as a list of its words.  (bough.yml, line 3)"),
    (HEAD + "on_end: \"echo 'a\"\n", "on_end cannot be split: no closing quotation. Close the quote.  (bough.yml, line 3)"),
    (HEAD + "resources: {gpus: 1}\n", "unknown key gpus in resources. Did you mean gpu?  (bough.yml, line 3)"),
    (HEAD + "output: 5\n", "output is 5, not a list of names. Write [first, second].  (bough.yml, line 3)"),
    # -- hyperparameters --
    (HEAD + "hyperparameters: 5\n", "hyperparameters is 5, not a mapping. Write one `name: value` per line.  (bough.yml, line 3)"),
    (HEAD + "hyperparameters:\n  a.b: 1\n", "the name a.b is no hyperparameter name. Use letters, digits, _ and -, beginning with a letter; groups are nested, not dotted.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: [1, 2]\n", "hyperparameter a is a list. Write {type: choice_string, choices: […]} or {type: choice_number, choices: […]}.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a:\n", "hyperparameter a has no default. Write a value after its name.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: number}\n", "hyperparameter a has no default. Add default: …  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: nummer, default: 1}\n", "hyperparameter a: nummer is not one of the types string, number, boolean, group, choice_string, choice_number, choice_group. A hyperparameter that is itself called type goes into {type: group, children: {type: …}}.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: number, defualt: 1}\n", "unknown key defualt in the number a. Did you mean default?  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: number, default: x}\n", "parameter a: x is not a number. Write a finite number.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: number, default: 1.5, integer: true}\n", "parameter a: 1.5 is not a whole number. Write one, or give the parameter a decimal default such as 1.0.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: number, default: 1, integer: no}\n", "integer of a is no. Write true or false.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: boolean, default: no}\n", "parameter a: no is neither true nor false. Write true or false.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: string, default: 1}\n", "parameter a: 1 is not text. Quote it, or declare another type.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_string}\n", "hyperparameter a has no list of choices. Add choices: [first, second].  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_string, choices: [x, 1]}\n", "hyperparameter a: the choice 1 is not text. Quote it.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_number, choices: [x]}\n", "hyperparameter a: the choice x is not a number. Write a number, or make it a choice_string.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_number, choices: [1, 1]}\n", "hyperparameter a: the choice 1 is there twice. Keep one of them.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_string, choices: [relu, tanh], default: relo}\n", "parameter a: relo is not one of its choices. Did you mean relu?  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_group}\n", "the choice group a has no choices. Add choices: {first: {…}, second: {…}}.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_group, choices: {s: 5}}\n", "the choice s of a is 5, not a mapping. Write one `name: value` per line.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: group, optional: maybe}\n", "optional of the group a is maybe. Write true or false.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: group, default: true}\n", "the group a is always there. Add optional: true.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters: " + "{a: " * 14 + "1" + "}" * 14, "hyperparameters are nested deeper than 12 levels. Flatten them.  (bough.yml, line 3)"),
    (HEAD + "hyperparameters:\n" + "".join(f"  p{i}: 1\n" for i in range(1001)), "there are 1001 hyperparameters; 1000 are allowed. Leave some out.  (bough.yml, line 3)"),
    # -- settings --
    (with_setting("max_trails: 5"), "unknown key max_trails in optimization. Did you mean max_trials?  (bough.yml, line 15)"),
    (with_setting("algorithm: tpa"), "algorithm tpa is not known. Did you mean tpe?  (bough.yml, line 15)"),
    (HYPER + "optimization:\n  algorithm: grid\n  space: {lr: 'uniform(0, 1)'}\n", "parameter lr: uniform has no end of values, and the algorithm is grid. Write range(low, high, step) or choice(…).  (bough.yml, line 15)"),
    (with_setting("max_trials: 0"), "max_trials is 0. Write a whole number, at least 1.  (bough.yml, line 15)"),
    (with_setting("max_trials: 1.5"), "max_trials is 1.5. Write a whole number, at least 1.  (bough.yml, line 15)"),
    (with_setting("max_epochs: true"), "max_epochs is true. Write a whole number, at least 1.  (bough.yml, line 15)"),
    (with_setting("seed: -1"), "seed is -1. Write a whole number, at least 0.  (bough.yml, line 15)"),
    (with_setting("max_time: 10"), "max_time: 10 has no unit. Write 10m for minutes or 10s for seconds.  (bough.yml, line 15)"),
    (with_setting("max_time: 12:30"), "max_time is 12:30, which is no duration. Write such as 90s, 10m or 1h30m.  (bough.yml, line 15)"),
    (with_setting("max_time: 0s"), "max_time is 0s. Write a duration above 0 and below 30 years.  (bough.yml, line 15)"),
    (with_setting("kpi: {direction: up}"), "kpi direction up is not known. Write maximize or minimize.  (bough.yml, line 15)"),
    (with_setting("kpi: {reduce: mean(0)}"), "kpi reduce mean(0) is not known. Write last, best or mean(5).  (bough.yml, line 15)"),
    (with_setting("kpi: {channel: 5}"), "the channel of kpi is 5. Write a channel's name.  (bough.yml, line 15)"),
    (with_setting("agents: [1]"), "agents is a list, not a list of names. Write [first, second].  (bough.yml, line 15)"),
    (with_setting("on_failure: {stop_after: 0}"), "stop_after is 0. Write a whole number, at least 1.  (bough.yml, line 15)"),
    (with_setting("pruning: mean"), "pruning is mean. Write median, asha, or one of them with its numbers: {asha: {reduction: 3, min_epochs: 1}}.  (bough.yml, line 15)"),
    (with_setting("pruning: {median: {}, asha: {}}"), "pruning is a mapping. Write median, asha, or one of them with its numbers: {asha: {reduction: 3, min_epochs: 1}}.  (bough.yml, line 15)"),
    (with_setting("pruning: {asha: {reduction: 1}}"), "reduction is 1. Write a whole number, at least 2.  (bough.yml, line 15)"),
    (with_setting("pruning: {median: {min_trial: 1}}"), "unknown key min_trial in median. Did you mean min_trials?  (bough.yml, line 15)"),
    (with_setting("follow_branch: yes"), "follow_branch is yes. Write true or false.  (bough.yml, line 15)"),
    (HYPER + "optimization: {seed: 1}\n", "the optimization has no space: nothing would be searched. Add space: {name: uniform(0, 1)}.  (bough.yml, line 13)"),
    # -- space --
    (with_space("lx: uniform(0, 1)"), "unknown hyperparameter lx in space. Did you mean lr?  (bough.yml, line 15)"),
    (with_space("opt.lr: uniform(0, 1)"), "unknown hyperparameter opt.lr in space. Did you mean opt.sgd.lr?  (bough.yml, line 15)"),
    (with_space("plain: on_off"), "parameter plain: the group is always there. Write optional: true in it, or search its children.  (bough.yml, line 15)"),
    (with_space("opt.adam.lr: uniform(0, 1)"), "parameter opt.adam.lr is never active: opt is always sgd. Search that too, or take this line out.  (bough.yml, line 15)"),
    (with_space("lr: uniformly(0, 1)"), "parameter lr: uniformly is no expression. Did you mean uniform?  (bough.yml, line 15)"),
    (with_space("lr: 0.5"), "parameter lr: 0.5 is no expression. Write one such as uniform(0, 1), or take the line out of space to keep the default.  (bough.yml, line 15)"),
    (with_space("lr: [0.1, 0.2]"), "parameter lr: a list is no expression. Write choice(…) or range(low, high, step).  (bough.yml, line 15)"),
    (with_space("lr: {uniform: [0, 1], normal: [0, 1]}"), "parameter lr: an expression has exactly one name. Write {uniform: {low: 0, high: 1}}.  (bough.yml, line 15)"),
    (with_space("lr: uniform(0.1, 0.001)"), "parameter lr: low 0.1 is above high 0.001. Swap the two.  (bough.yml, line 15)"),
    (with_space("lr: uniform(1, 1)"), "parameter lr: low and high are both 1. Widen them, or take the line out of space and set the default.  (bough.yml, line 15)"),
    (with_space("lr: uniform(0)"), "parameter lr: uniform lacks high. Write uniform(low, high).  (bough.yml, line 15)"),
    (with_space("lr: uniform(0, 1, 2)"), "parameter lr: uniform takes 2 numbers, not 3. Write uniform(low, high).  (bough.yml, line 15)"),
    (with_space("lr: uniform(0, hi=1)"), "parameter lr: unknown argument hi of uniform. Write uniform(low, high).  (bough.yml, line 15)"),
    (with_space("lr: uniform(0, high=1, high=2)"), "parameter lr: high is there twice. Keep one of them.  (bough.yml, line 15)"),
    (with_space("lr: uniform(0, x)"), "parameter lr: high is x, which is not a usable number. Write uniform(low, high).  (bough.yml, line 15)"),
    (with_space("lr: uniform(0, 1e999)"), "parameter lr: 1e999 is not a finite number. Write a finite number.  (bough.yml, line 15)"),
    (with_space("lr: uniform(0, max(1, 2))"), "parameter lr: the arguments (0, max(1, 2)) cannot be read. Separate them by commas.  (bough.yml, line 15)"),
    (with_space("lr: uniform(0,, 1)"), "parameter lr: the arguments (0,, 1) cannot be read. Separate them by commas.  (bough.yml, line 15)"),
    (with_space("lr: loguniform(0, 1)"), "parameter lr: low is 0, and loguniform has a logarithm. Write bounds above 0, in natural units.  (bough.yml, line 15)"),
    (with_space("lr: loguniform(-9, 0.5)"), "parameter lr: low is -9, and loguniform has a logarithm. Write bounds above 0, in natural units.  (bough.yml, line 15)"),
    (with_space("lr: normal(0, 0)"), "parameter lr: sigma is 0. Write one above 0.  (bough.yml, line 15)"),
    (with_space("lr: quniform(0, 1, -0.1)"), "parameter lr: q is -0.1. Write one above 0.  (bough.yml, line 15)"),
    (with_space("lr: range(0, 1, 0)"), "parameter lr: step is 0. Write one above 0.  (bough.yml, line 15)"),
    (with_space("lr: range(0, 1, 0.3)"), "parameter lr: high 1 is not on the grid of range(0, …, 0.3). Write high as 0.9 or 1.2.  (bough.yml, line 15)"),
    (with_space("lr: range(0, 1)"), "parameter lr: range lacks step. Write range(low, high, step).  (bough.yml, line 15)"),
    (with_space("lr: range(0, 1, 1e-12)"), "parameter lr: range has more than a billion values. Take a larger step, or uniform.  (bough.yml, line 15)"),
    (with_space("n: uniform(0, 1)"), "parameter n: uniform draws decimals, and this is an integer hyperparameter. Use range, uniformint or randint, or make its default a decimal.  (bough.yml, line 15)"),
    (HEAD + "hyperparameters:\n  a: 9223372036854775808\n", "parameter a: 9223372036854775808 does not fit into 64 bits. Write a smaller number, or a decimal one.  (bough.yml, line 4)"),
    (HEAD + "hyperparameters:\n  a: {type: choice_number, choices: [1, -9223372036854775809]}\n", "parameter a: -9223372036854775809 does not fit into 64 bits. Write a smaller number, or a decimal one.  (bough.yml, line 4)"),
    (with_space("n: range(0, 1, 0.5)"), "parameter n: step 0.5 is not a whole number. Use range, uniformint or randint, or make its default a decimal.  (bough.yml, line 15)"),
    (with_space("lr: randint(0, 1.5)"), "parameter lr: high 1.5 is not a whole number. Round it.  (bough.yml, line 15)"),
    (with_space("n: uniformint(0, 1e10)"), "parameter n: there are more than 2**31 values. Narrow the bounds, or use quniform.  (bough.yml, line 15)"),
    (with_space("flag: uniform(0, 1)"), "parameter flag: uniform is for numbers, and this is a boolean. Write choice or on_off.  (bough.yml, line 15)"),
    (with_space("lr: on_off"), "parameter lr: on_off is for booleans and optional groups, not for a number. Write choice.  (bough.yml, line 15)"),
    (with_space("flag: on_off(1)"), "parameter flag: on_off takes no arguments. Write on_off, or choice(…) for a subset.  (bough.yml, line 15)"),
    (with_space("lr: choice"), "parameter lr: a number has no choices of its own. List them: choice(first, second).  (bough.yml, line 15)"),
    (with_space("act: choice(relu, rulu)"), "parameter act: rulu is not one of its choices. Did you mean relu?  (bough.yml, line 15)"),
    (with_space("act: choice(relu, relu)"), "parameter act: the choice relu is there twice. Keep one of them.  (bough.yml, line 15)"),
    (with_space("act: choice(relu=1)"), "parameter act: choice takes values, no names. For probabilities write pchoice(relu=0.7, gelu=0.3).  (bough.yml, line 15)"),
    (with_space("act: pchoice(relu, tanh)"), "parameter act: pchoice needs a probability for each choice. Write pchoice(first=0.7, second=0.3).  (bough.yml, line 15)"),
    (with_space("act: pchoice(relu=0.7, tanh=0.2)"), "parameter act: the probabilities add up to 0.9, not to 1. Change one of them.  (bough.yml, line 15)"),
    (with_space("act: pchoice(relu=1.0, tanh=0)"), "parameter act: the probability of tanh is 0. Write one above 0.  (bough.yml, line 15)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), CASES, ids=[case[1][:60] for case in CASES])
def test_each_mistake_is_one_sentence_with_line_and_remedy(text: str, sentence: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        loads(text)

    assert str(caught.value) == sentence.replace(", line ?", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "bough.yml")

    with pytest.raises(DefinitionError) as caught:
        load(path)

    assert str(caught.value) == f"there is no such file. Write one with `bough init`, or name its folder.  ({path})"


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match=r"it cannot be read: Is a directory\. Check the path and its permissions\."
    ):
        load(str(tmp_path))


def test_a_file_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bough.yml"
    path.write_bytes(b"model: a/b\ncommand: \xff\n")

    with pytest.raises(DefinitionError, match=r"the file is not UTF-8\. Save it as UTF-8\.  \(.*, line 2\)"):
        load(str(path))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "bough.yml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())

    assert load(str(path)).model == "me/m"


def test_a_control_character_is_no_traceback() -> None:
    with pytest.raises(DefinitionError, match="this is not YAML"):
        loads("model: a/b\ncommand: x\x01\n")


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    lines = ["env:", "  l0: &l0 [x, x, x, x, x, x]"]
    lines += [f"  l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 7)}]" for i in range(1, 8)]

    with pytest.raises(DefinitionError, match=r"its aliases expand to too much\. Write the values out\."):
        loads(HEAD + "\n".join(lines))


def test_json_gives_the_same_errors_without_a_place() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(
            {
                "model": "a/b",
                "command": "x",
                "hyperparameters": {"lr": 0.1},
                "optimization": {"space": {"lr": "uniform(1, 0)"}},
            }
        )

    assert str(caught.value) == "parameter lr: low 1 is above high 0. Swap the two."
    assert (caught.value.path, caught.value.line) == (None, None)


OVERRIDES = [
    ({"lx": "1"}, "unknown hyperparameter lx. Did you mean lr?"),
    ({"opt.lr": "1"}, "unknown hyperparameter opt.lr. Did you mean opt.sgd.lr?"),
    ({"lr": "fast"}, "parameter lr: fast is not a number. Write a finite number."),
    ({"lr": ".inf"}, "parameter lr: .inf is not a number. Write a finite number."),
    ({"n": "99999999999999999999"}, "parameter n: 99999999999999999999 does not fit into 64 bits. Write a smaller number, or a decimal one."),
    ({"n": "1.5"}, "parameter n: 1.5 is not a whole number. Write one, or give the parameter a decimal default such as 1.0."),
    ({"flag": "yes"}, "parameter flag: yes is neither true nor false. Write true or false."),
    ({"flag": 1}, "parameter flag: 1 is neither true nor false. Write true or false."),
    ({"name": 5}, "parameter name: 5 is not text. Quote it, or declare another type."),
    ({"act": "swish"}, "parameter act: swish is not one of its choices. Choices: relu, tanh."),
    ({"size": "3"}, "parameter size: 3 is not one of its choices. Choices: 1, 2.5."),
    ({"opt": "adm"}, "parameter opt: adm is not one of its choices. Did you mean adam?"),
    ({"opt.adam.lr": "1"}, "parameter opt.adam.lr is not active: opt is sgd. Add opt=adam, or leave it out."),
    ({"dense": "false", "dense.drop": "1"}, "parameter dense.drop is not active: dense is off. Add dense=true, or leave it out."),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "sentence"), OVERRIDES, ids=[case[1][:60] for case in OVERRIDES])
def test_each_wrong_override_is_one_sentence(overrides: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        loads(HYPER).values(overrides)

    assert str(caught.value) == sentence
