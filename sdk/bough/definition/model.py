"""A whole bough.yml: the model, its command, hyperparameters, and how it is to be optimized."""

from __future__ import annotations

import copy
import re
import shlex

from bough.definition.grid import check_grid, grid_size
from bough.definition.optuna_space import check_optuna
from bough.definition.place import Place, as_mapping, check_keys, did_you_mean, shown
from bough.definition.settings import OPTUNA, Settings, read_names, read_settings
from bough.definition.space import Space, read_space
from bough.definition.tree import Group, fill, read_tree, walk
from bough.definition.values import ALL, overridden, templates, tidy_templates
from bough.errors import DefinitionError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional

    from bough.definition.place import Lines
    from bough.definition.scalars import Value

KEYS = (
    "model",
    "command",
    "hyperparameters",
    "optimization",
    "git",
    "agents",
    "data",
    "env",
    "output",
    "setup",
    "resources",
    "priority",
    "on_end",
    "working_dir",
)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}/[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SHELL = ("&&", "||", "|", ";", ">", ">>", "<", "&", "2>&1")


class Command:
    """One command of a model: its name ("1", "2", … in a list) and its arguments, templates not yet replaced."""

    __slots__ = ("argv", "name")

    def __init__(self, name: str, argv: List[str]) -> None:
        self.name = name
        self.argv = argv

    def __repr__(self) -> str:
        return "Command({0!r}, {1!r})".format(self.name, self.argv)


class Definition:
    """What a bough.yml says, checked.

    Attributes:
        model: "owner/name".
        commands: Run in order; the first failure stops.
        hyperparameters: The root group.
        space: What is searched; nothing without an `optimization:` section.
        settings: Algorithm and limits; the defaults without an `optimization:` section.
        env: Extra environment of the job.
        working_dir: Relative to the model's folder, or None.
        output: Patterns of files to hand in at the end, relative to the folder in which the command runs.
        priority: Higher starts first.
        raw: The definition as JSON data; `parse(raw)` gives an equal definition.
        has_optimization: Whether there is an `optimization:` section.
    """

    def __init__(self, raw: Dict[str, Any], place: Place) -> None:
        check_keys(raw, KEYS, place, "bough.yml")
        self.raw: Dict[str, Any] = copy.deepcopy(raw)
        self.model: str = _model(raw, place)
        written = as_mapping(raw.get("hyperparameters"), place.down("hyperparameters"), "hyperparameters")
        self.hyperparameters: Group = read_tree(written, place.down("hyperparameters"))
        self.commands: List[Command] = _commands(raw, place, self.hyperparameters)
        self.env: Dict[str, str] = _env(raw.get("env"), place.down("env"))
        self.working_dir: Optional[str] = _working_dir(raw.get("working_dir"), place.down("working_dir"))
        self.priority: int = _priority(raw.get("priority"), place.down("priority"))
        self.output: List[str] = read_names(raw.get("output"), place.down("output"), "output") or []
        _check_rest(raw, place)
        self.has_optimization: bool = raw.get("optimization") is not None
        at = place.down("optimization")
        section = as_mapping(raw.get("optimization"), at, "optimization")
        self.settings: Settings = read_settings(section, at)
        if self.settings.agents is None:
            self.settings.agents = read_names(raw.get("agents"), place.down("agents"), "agents")
        self.space: Space = read_space(
            section.get("space"), self.raw.get("hyperparameters") or {}, self.hyperparameters, at.down("space")
        )
        self._written_max_trials = self.settings.max_trials
        if self.has_optimization and not self.space.searched:
            raise at.error(
                "the optimization has no space: nothing would be searched.", "Add space: {name: uniform(0, 1)}."
            )

        if self.settings.algorithm == "grid":
            check_grid(self.space, at.down("space"))
            self._end_with_the_grid()
        if self.settings.algorithm in OPTUNA:
            check_optuna(self.settings.algorithm, self.space, at.down("space"))

    def _end_with_the_grid(self) -> None:
        if self.settings.algorithm == "grid":
            self.settings.max_trials = min(self._written_max_trials, grid_size(self.space))

    def fix(self, values: Mapping[str, object]) -> None:
        """Fix hyperparameters (full path → text or typed value), in place: they are no longer searched.

        Raises:
            UsageError: As `Space.fix`.
        """
        self.space.fix_all(values)
        self._end_with_the_grid()

    def defaults(self) -> Dict[str, Value]:
        """Return the default of every active hyperparameter, by full path."""
        return fill(self.hyperparameters, {}, {})

    def values(self, overrides: Mapping[str, object]) -> Dict[str, Value]:
        """Return the active values: the defaults with `overrides` on top (full path → text or typed value).

        Raises:
            UsageError: An override is unknown, of the wrong type, no choice, or belongs to a group that is not active.
        """
        return overridden(self.hyperparameters, overrides)

    def with_overrides(self, settings: Mapping[str, object]) -> Definition:
        """Return this definition with keys of its `optimization:` section replaced; None leaves a key as it is.

        Raises:
            UsageError: There is no such section, or a key or value is wrong.
        """
        if not self.has_optimization:
            raise UsageError("there is no optimization section in the definition of " + self.model + ".", "Add one.")
        raw = copy.deepcopy(self.raw)
        raw["optimization"].update({key: value for key, value in settings.items() if value is not None})
        try:
            return Definition(raw, Place())
        except DefinitionError as error:
            raise UsageError(error.what, error.do) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]


def parse(mapping: Mapping[str, Any], path: Optional[str] = None, lines: Optional[Lines] = None) -> Definition:
    """Return the definition that JSON data describes.

    Args:
        mapping: What a bough.yml holds.
        path: File for error messages, or None.
        lines: 1-based line of each path of keys, or None.

    Raises:
        DefinitionError: Anything is wrong with it.
    """
    place = Place(path, lines)
    if not isinstance(mapping, dict):
        what = "the definition is " + shown(mapping) + ", not a mapping."
        raise place.error(what, "Begin with model: owner/name.")
    return Definition(as_mapping(mapping, place, "the definition"), place)


def loads(text: str, path: str = "bough.yml") -> Definition:
    """Return the definition that a YAML text holds; `path` names it in errors.

    Raises:
        DefinitionError: Anything is wrong with it, with line.
    """
    from bough.definition.yaml_text import read

    data, lines = read(text, path)
    return parse(data, path, lines)


def load(path: str) -> Definition:
    """Return the definition in the file `path`.

    Raises:
        DefinitionError: The file is missing or unreadable, or anything is wrong in it, with file and line.
    """
    from bough.definition.yaml_text import MAX_BYTES

    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise DefinitionError(
            "there is no such file.", "Write one with `bough init`, or name its folder.", path
        ) from None
    except OSError as error:
        raise DefinitionError(
            "it cannot be read: " + (error.strerror or "?") + ".", "Check the path and its permissions.", path
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= MAX_BYTES:
            line = data.count(b"\n", 0, error.start) + 1
            raise DefinitionError("the file is not UTF-8.", "Save it as UTF-8.", path, line) from None
        text = data.decode("utf-8-sig", "replace")
    return loads(text, path)


def _model(raw: Dict[str, Any], place: Place) -> str:
    model = raw.get("model")
    if model is None:
        raise place.error("the model has no name.", "Add model: owner/name.")
    if not isinstance(model, str) or not _MODEL.match(model) or ".." in model or model.endswith((".git", ".lock", ".")):
        raise place.down("model").error(
            "model " + shown(model) + " is no name.", "Write owner/name in letters, digits, . _ and -."
        )
    return model


def _commands(raw: Dict[str, Any], place: Place, root: Group) -> List[Command]:
    at = place.down("command")
    written = raw.get("command")
    if written is None or written in ("", [], {}):
        raise at.error("there is no command.", "Add command: python train.py.")
    if isinstance(written, dict):
        commands = [Command(str(name), _argv(item, at.down(name))) for name, item in written.items()]
    elif isinstance(written, list):
        commands = [Command(str(index + 1), _argv(item, at.down(index))) for index, item in enumerate(written)]
    else:
        commands = [Command("1", _argv(written, at))]
    known = _template_names(root)
    for command in commands:
        for name in templates(command.argv):
            if name not in known:
                raise at.error("the command asks for unknown {{" + name + "}}.", did_you_mean(name, known))
    return commands


def _argv(written: object, place: Place) -> List[str]:
    if isinstance(written, list) and written and all(isinstance(part, str) for part in written):
        return list(written)
    if not isinstance(written, str) or not written.strip():
        raise place.error("a command is " + shown(written) + ".", "Write it as text, such as python train.py.")
    try:
        argv = shlex.split(tidy_templates(written))
    except ValueError as error:
        raise place.error("the command cannot be split: " + str(error).lower() + ".", "Close the quote.") from None
    for part in argv:
        if part in _SHELL or (part.endswith(";") and len(part) > 1):
            raise place.error(
                "the command holds " + part + ", and no shell reads it.", "Write a list of commands, or sh -c '…'."
            )
    return argv


def _template_names(root: Group) -> List[str]:
    names = [ALL]
    for node in walk(root):
        names.append(node.path)
    for path in list(names):
        names.extend(_without_choices(root, path))
    return names


def _without_choices(root: Group, path: str) -> List[str]:
    choice_groups = [node for node in walk(root) if node.kind == "choice_group"]
    short = path
    for node in sorted(choice_groups, key=lambda node: -len(node.path)):
        if path.startswith(node.path + "."):
            head = node.path + "."
            rest = short[len(head) :].split(".", 1)
            if len(rest) == 2:
                short = head + rest[1]
    return [short] if short != path else []


def _env(section: object, place: Place) -> Dict[str, str]:
    env: Dict[str, str] = {}
    for name, value in as_mapping(section, place, "env").items():
        at = place.down(name)
        if not _VARIABLE.match(name):
            raise at.error("env: " + shown(name) + " is no name of a variable.", "Use letters, digits and _.")
        if name.startswith("BOUGH_"):
            raise at.error("env: " + name + " is bough's own.", "Choose a name that does not begin with BOUGH_.")
        if isinstance(value, (dict, list)) or value is None or "\0" in str(value):
            raise at.error(
                "env: the value of " + name + " is " + shown(value) + ".", 'Write text; "" for an empty one.'
            )
        env[name] = shown(value) if isinstance(value, bool) else str(value)
    return env


def _working_dir(value: object, place: Place) -> Optional[str]:
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise place.error("working_dir is " + shown(value) + ".", "Write a folder of the repository.")
    if value.startswith(("/", "~")) or ".." in value.split("/"):
        raise place.error("working_dir " + shown(value) + " leaves the model's folder.", "Write a folder below it.")
    return value


def _priority(value: object, place: Place) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 1000000:
        raise place.error("priority is " + shown(value) + ".", "Write a whole number; higher starts first.")
    return value


def _check_rest(raw: Dict[str, Any], place: Place) -> None:
    """Check the sections that are kept as they are."""
    git = raw.get("git")
    if git is not None and not isinstance(git, str):
        section = as_mapping(git, place.down("git"), "git")
        check_keys(section, ("url", "branch", "folder", "follow_branch"), place.down("git"), "git")
    resources = as_mapping(raw.get("resources"), place.down("resources"), "resources")
    check_keys(resources, ("cpu", "memory", "gpu", "gpu_memory"), place.down("resources"), "resources")
