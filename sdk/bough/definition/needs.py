"""What a job needs of its agent beside the code: resources, data, an environment, and a command when it has ended.

`read_needs` turns the sections as they are written into JSON data with one form for each thing, in which everyone else
speaks of them: the claim, the store, the agent's decisions.
"""

from __future__ import annotations

import re
import shlex

from bough.definition.place import Place, as_mapping, check_keys, shown
from bough.definition.settings import read_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

RESOURCES = ("cpu", "memory", "gpu", "gpu_memory")
SETUP = ("requirements", "commands", "files", "python")
MEMORY_DO = "Write it with its unit, such as 512MiB, 4GB or 1.5GiB."
_UNITS = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
_UNITS.update({"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40})
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([KMGT]i?B)\Z")
_DATA = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
_MOST_CPUS = 4096
_MOST_GPUS = 64


def read_needs(raw: Dict[str, Any], place: Place) -> Dict[str, Any]:
    """Return what is said in `resources`, `data`, `setup` and `on_end`; nothing that is not said is in it.

    Returns:
        Any of `cpu` (a number of CPUs), `memory_bytes`, `gpu` (whole GPUs, or a share below 1), `gpu_memory_bytes` (of
        each), `data` (names), `setup` ({"requirements", "commands", "files", "python"}) and `on_end` (an argv).

    Raises:
        DefinitionError: Something of it is wrong.
    """
    needs = _resources(raw.get("resources"), place.down("resources"))
    data = _data(raw.get("data"), place.down("data"))
    if data:
        needs["data"] = data
    if raw.get("setup") is not None:
        needs["setup"] = _setup(raw["setup"], place.down("setup"))
    if raw.get("on_end") is not None:
        needs["on_end"] = _argv(raw["on_end"], place.down("on_end"), "on_end")
    return needs


def memory_bytes(text: object) -> int:
    """Return the bytes of a text such as 4GB or 1.5GiB; 0 where it is none."""
    match = _MEMORY.match(text) if isinstance(text, str) else None
    if match is None:
        return 0
    return int(float(match.group(1)) * _UNITS[match.group(2)])


def _resources(section: object, place: Place) -> Dict[str, Any]:
    written = as_mapping(section, place, "resources")
    check_keys(written, RESOURCES, place, "resources")
    needs: Dict[str, Any] = {}
    if written.get("cpu") is not None:
        needs["cpu"] = _number(written["cpu"], place.down("cpu"), "cpu", _MOST_CPUS)
    if written.get("gpu") is not None:
        gpu = _number(written["gpu"], place.down("gpu"), "gpu", _MOST_GPUS)
        if gpu > 1 and gpu != int(gpu):
            raise place.down("gpu").error(
                "resources: gpu is " + shown(written["gpu"]) + ".", "Write a whole number, or a share below 1: 0.5."
            )
        needs["gpu"] = gpu
    for key in ("memory", "gpu_memory"):
        if written.get(key) is not None:
            size = memory_bytes(written[key])
            if not 0 < size < 1 << 50:
                raise place.down(key).error("resources: " + key + " is " + shown(written[key]) + ".", MEMORY_DO)
            needs[key + "_bytes"] = size
    if "gpu_memory_bytes" in needs and "gpu" not in needs:
        needs["gpu"] = 1
    return needs


def _number(value: object, place: Place, key: str, most: int) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        do = "Write a number above 0, at most " + str(most) + "."
        raise place.error("resources: " + key + " is " + shown(value) + ".", do)
    return value


def _data(section: object, place: Place) -> List[str]:
    names = read_names(section, place, "data") or []
    for name in names:
        if not _DATA.match(name):
            do = "Use letters, digits, _ and -, such as imagenet; the agent maps it: --data imagenet=/path."
            raise place.error("data: " + shown(name) + " is no name of a data set.", do)
    return sorted(set(names))


def _setup(section: object, place: Place) -> Dict[str, Any]:
    if isinstance(section, str):
        section = {"requirements": section}
    elif isinstance(section, list):
        section = {"commands": section}
    written = as_mapping(section, place, "setup")
    check_keys(written, SETUP, place, "setup")
    commands = written.get("commands") or []
    if not isinstance(commands, list):
        commands = [commands]
    at = place.down("commands")
    setup = {
        "requirements": _file(written.get("requirements"), place.down("requirements"), "requirements"),
        "commands": [_argv(command, at, "a command of setup") for command in commands],
        "files": [
            _file(name, place.down("files"), "files")
            for name in read_names(written.get("files"), place.down("files"), "setup: files") or []
        ],
        "python": written.get("python"),
    }
    python = setup["python"]
    if python is not None and (not isinstance(python, str) or not python.strip()):
        raise place.down("python").error("setup: python is " + shown(python) + ".", "Name a program: python3.12.")
    if not setup["requirements"] and not setup["commands"]:
        raise place.error("setup makes nothing.", "Name a requirements file, or commands.")
    return setup


def _file(value: object, place: Place, key: str) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value or value.startswith("/") or ".." in value.split("/"):
        raise place.error("setup: " + key + " is " + shown(value) + ".", "Name a file of the model's folder.")
    return value


def _argv(value: object, place: Place, what: str) -> List[str]:
    if isinstance(value, list) and value and all(isinstance(part, str) and part for part in value):
        return list(value)
    if not isinstance(value, str) or not value.strip():
        raise place.error(what + " is " + shown(value) + ".", "Write a command as text, or as a list of its words.")
    try:
        return shlex.split(value)
    except ValueError as error:
        raise place.error(what + " cannot be split: " + str(error).lower() + ".", "Close the quote.") from None
