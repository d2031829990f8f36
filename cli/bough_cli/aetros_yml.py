"""AETROS's ``aetros.yml`` as a bough.yml: what can be said is, what cannot is named.

The keys and both forms of its parameters are those of aetros-cli 0.10 to 0.14.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bough import definition
from bough.errors import NotFound, UsageError

NAMES = ("aetros.yml", ".aetros.yml")
PLAIN = ("string", "number", "boolean")
# What has no counterpart, and what to do instead.
UNMAPPED = {
    "image": "bough starts no containers: write the docker command into command:, or a setup:",
    "dockerfile": "bough starts no containers: write the docker command into command:, or a setup:",
    "install": "name the packages in a requirements file and that in setup:",
    "install_files": "commit the files",
    "ignore": "git decides what is sent: use .gitignore",
    "rebuild_image": "bough starts no containers",
    "category": "use tags on the page",
    "server": "aetros never used it either",
    "before_command": "put it first in command:",
    "gitCustom": "bough takes the repository of bough.yml, or git: {url, branch}",
    "sourcesAttached": "git decides what is sent",
}


@dataclass
class Converted:
    """A bough.yml made from an aetros.yml.

    Attributes:
        raw: The definition as JSON data.
        unmapped: (key, what to do about it), in the order of the file.
    """

    raw: dict[str, Any]
    unmapped: list[tuple[str, str]] = field(default_factory=list)


def find(directory: Path) -> Path:
    """Return the aetros.yml of a folder.

    Raises:
        NotFound: There is none.
    """
    for name in NAMES:
        if (directory / name).is_file():
            return directory / name
    raise NotFound(f"there is no {NAMES[0]} and no {NAMES[1]} in {directory.absolute()}.", "Name the folder it is in.")


def read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what an aetros.yml says, with what it imports: keys of the importing file win, as they did.

    Raises:
        UsageError: It is no YAML, no mapping, or imports itself.
        NotFound: What it imports is not there.
    """
    if path in seen:
        raise UsageError(f"{path} imports itself.", "Remove the import.")
    if not path.is_file():
        raise NotFound(f"there is no {path}, which {seen[-1] if seen else 'the command'} imports.", "Correct import:.")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        at = f", line {where.line + 1}" if where is not None else ""
        raise UsageError(f"{path} is no YAML{at}.", "Correct it first.") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} is no mapping.", "Correct it first.")
    parent = found.pop("import", None)
    if parent is None:
        return found
    return {**read(path.parent / str(parent), (*seen, path)), **found}


def convert(given: dict[str, Any], model: str) -> Converted:
    """Return the bough.yml that says the same.

    Args:
        given: What `read` returned.
        model: Used where the file names no ``owner/name``.
    """
    made = Converted({"model": _model(given.get("model"), model)})
    script = given.get("sourcePythonScript")
    command = given.get("command") or (f"python {script}" if script else None)
    made.raw["command"] = _commands(command if isinstance(command, str | list | dict) else "python train.py", made)
    if command is None:
        made.unmapped.append(("command", "there is none: python train.py is assumed"))
    _parameters(given, made)
    _settings(given, made)
    for name in ("working_dir", "priority"):
        if given.get(name) not in (None, 0, ""):
            made.raw[name] = given[name]
    output = given.get("output")
    if output:
        made.raw["output"] = [output] if isinstance(output, str) else output
    for name in given:
        if name in UNMAPPED and given[name] not in (None, False, [], {}):
            made.unmapped.append((name, UNMAPPED[name]))
        elif name not in KNOWN and name not in UNMAPPED:
            made.unmapped.append((str(name), "bough does not know it"))
    return made


def _commands(command: Any, made: Converted) -> Any:
    """Return commands as bough takes them: without a shell, unless one needs it."""
    if isinstance(command, list):
        return [_commands(one, made) for one in command]
    if isinstance(command, dict):
        return {str(name): _commands(one, made) for name, one in command.items()}
    text = str(command)
    if not re.search(r"[|&;<>$`\n*?]", text):
        return text
    beginning = text.splitlines()[0][:60]
    made.unmapped.append(("command", f"{beginning!r} needs a shell, as AETROS had one: it runs by sh -c"))
    return f"sh -c {shlex.quote(text)}"


KNOWN = (
    *("model", "command", "parameters", "servers", "resources", "output", "working_dir", "priority", "maxEpochs"),
    *("maxTime", "sourcePythonScript", "sourceGitUrl", "sourceGitTree", "models"),
)


def _model(found: Any, otherwise: str) -> str:
    """Return ``owner/name`` for ``owner/name``, ``org/space/name`` and ``owner/space:name``."""
    parts = [re.sub(r"[^A-Za-z0-9_.-]+", "-", part) for part in re.split(r"[/:]", str(found or "")) if part]
    return f"{parts[0]}/{'-'.join(parts[1:])}" if len(parts) > 1 else otherwise


def _settings(given: dict[str, Any], made: Converted) -> None:
    servers = given.get("servers")
    if servers:
        made.raw["agents"] = [str(name) for name in ([servers] if isinstance(servers, str) else servers)]
    for name, key, unit in (("maxEpochs", "max_epochs", ""), ("maxTime", "max_time", "m")):
        if given.get(name):
            option = key.replace("_", "-")
            limit = f"{given[name]}{unit}"
            words = f"write {key}: {limit} into optimization:, or give bough run --{option} {limit}"
            made.unmapped.append((name, words))
    resources = given.get("resources") or {}
    if isinstance(resources, dict) and any(resources.values()):
        made.unmapped.append(("resources", f"write resources: by hand; AETROS's were {json.dumps(resources)}"))
    url, branch = given.get("sourceGitUrl"), given.get("sourceGitTree")
    if url:
        made.raw["git"] = {"url": str(url), **({"branch": str(branch)} if branch else {})}
    if given.get("models"):
        made.unmapped.append(("models", "write one bough.yml for each, in a folder of its own"))


# -- hyperparameters ------------------------------------------------------------------------------------------


def _parameters(given: dict[str, Any], made: Converted) -> None:
    found = given.get("parameters")
    if not found:
        return
    entries = found if isinstance(found, list) else [_loose(name, value) for name, value in dict(found).items()]
    made.raw["hyperparameters"] = _children(entries, "", made)


def _children(entries: Any, base: str, made: Converted) -> dict[str, Any]:
    children: dict[str, Any] = {}
    for entry in entries or []:
        if not isinstance(entry, dict) or "name" not in entry:
            made.unmapped.append((f"parameters.{base}", "an entry without a name is left out"))
            continue
        name = str(entry["name"])
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
        plain = plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"
        path = f"{base}.{name}" if base else name
        if plain != name:
            made.unmapped.append((f"parameters.{path}", f"it is called {plain} now: change the script too"))
        node = _node(entry, path, made)
        if node is not None:
            children[plain] = node
    return children


def _node(entry: dict[str, Any], path: str, made: Converted) -> Any:
    kind, default = entry.get("type", "string"), _default(entry)
    if kind in PLAIN:
        return _plain(str(kind), default, entry.get("subtype"), path, made)
    if kind == "group":
        return {"type": "group", "children": _children(entry.get("children"), path, made)}
    if kind in ("choice_string", "choice_number"):
        choices = [child.get("value") if isinstance(child, dict) else child for child in entry.get("children") or []]
        choices = [str(one) if kind == "choice_string" else _number(one) for one in choices]
        if choices:
            return {"type": kind, "choices": choices, "default": choices[_index(default, choices)]}
    if kind == "choice_group":
        choices_of = _children(entry.get("children"), path, made)
        inner = {name: node.get("children", {}) for name, node in choices_of.items() if isinstance(node, dict)}
        if inner:
            return {"type": kind, "choices": inner, "default": list(inner)[_index(default, list(inner))]}
    made.unmapped.append((f"parameters.{path}", f"the type {kind} with these values has no counterpart"))
    return None


def _default(entry: dict[str, Any]) -> Any:
    return next((entry[name] for name in ("defaultValue", "default", "value") if entry.get(name) is not None), None)


def _plain(kind: str, default: Any, subtype: Any, path: str, made: Converted) -> Any:
    if default is None:
        made.unmapped.append((f"parameters.{path}", "it had no default: give it one"))
        default = {"string": "", "number": 0, "boolean": False}[kind]
    if kind == "boolean":
        default = str(default).lower() in ("true", "1", "yes", "on") if not isinstance(default, bool) else default
    if kind == "number":
        default = _number(default)
        return {"type": kind, "default": int(default) if subtype == "int" else default}
    return {"type": kind, "default": str(default) if kind == "string" else default}


def _number(value: Any) -> int | float:
    if isinstance(value, int | float):
        return value
    try:
        return int(value)
    except (TypeError, ValueError):
        pass
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0


def _index(default: Any, choices: list[Any]) -> int:
    """Return which choice is the default: AETROS kept its index, or its value."""
    if default in choices:
        return choices.index(default)
    return int(default) if isinstance(default, int) and 0 <= default < len(choices) else 0


def _loose(name: Any, value: Any) -> dict[str, Any]:
    """Return the full form of a loose parameter: by the type of its value, as AETROS guessed; a boolean stays one."""
    entry: dict[str, Any] = {"name": name, "defaultValue": value}
    if isinstance(value, bool):
        return {**entry, "type": "boolean"}
    if isinstance(value, int | float):
        return {**entry, "type": "number"}
    if isinstance(value, list):
        kind = "choice_number" if value and all(isinstance(one, int | float) for one in value) else "choice_string"
        return {"name": name, "type": kind, "children": [{"value": one} for one in value], "defaultValue": 0}
    if isinstance(value, dict):
        children = [_loose(inner, found) for inner, found in value.items()]
        is_choice = len(children) > 1 and all(isinstance(found, dict) for found in value.values())
        return {"name": name, "type": "choice_group" if is_choice else "group", "children": children, "defaultValue": 0}
    return {**entry, "type": "string", "defaultValue": "" if value is None else str(value)}


def text_of(made: Converted) -> str:
    """Return the bough.yml as text."""
    return definition.dumps(made.raw)
