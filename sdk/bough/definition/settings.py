"""The `optimization:` section but its space: algorithm, objective, limits."""

from __future__ import annotations

import re

from bough.definition.place import as_mapping, check_keys, did_you_mean, shown
from bough.definition.scalars import is_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from bough.definition.place import Place

OPTUNA = ("optuna-tpe", "optuna-gp", "optuna-cmaes")  # with the extra of that name
ALGORITHMS = ("random", "tpe", "annealing", "grid", *OPTUNA)
KEYS = (
    "algorithm",
    "kpi",
    "max_trials",
    "initial_random",
    "max_parallel",
    "max_epochs",
    "max_time",
    "total_time",
    "seed",
    "agents",
    "on_failure",
    "pruning",
    "duplicates",
    "grace",
    "term",
    "follow_branch",
    "space",
)
PRUNING: Dict[str, Dict[str, Tuple[int, int]]] = {  # rule → its numbers: default, least
    "median": {"min_trials": (5, 1), "min_epochs": (1, 1)},
    "asha": {"reduction": (3, 2), "min_epochs": (1, 1)},
}
DUPLICATES = ("allow", "resample", "reuse")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+\Z")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MEAN = re.compile(r"mean\(\s*([0-9]{1,6})\s*\)\Z")


class Settings:
    """How an optimization goes about it. Times in seconds; None means: not limited, or not said."""

    def __init__(self) -> None:
        self.algorithm: str = "tpe"
        self.kpi_channel: Optional[str] = None
        self.kpi_direction: Optional[str] = None  # "maximize" or "minimize"; None: what the script declares
        self.kpi_reduce: str = "last"  # "last", "best" or "mean(k)"
        self.max_trials: int = 100
        self.initial_random: int = 20
        self.max_parallel: Optional[int] = None
        self.max_epochs: Optional[int] = None
        self.max_time_s: Optional[float] = None
        self.total_time_s: Optional[float] = None
        self.seed: Optional[int] = None
        self.agents: Optional[List[str]] = None
        self.retry: int = 0
        self.stop_after: Optional[int] = 5  # failures in a row
        self.pruning: Optional[Dict[str, Any]] = None  # {"rule": a name in PRUNING, and its numbers}
        self.duplicates: str = "allow"  # what becomes of a point that was tried before
        self.grace_s: float = 30.0
        self.term_s: float = 10.0
        self.follow_branch: bool = False


def read_settings(section: Dict[str, Any], place: Place) -> Settings:
    """Return the settings of an `optimization:` section.

    Raises:
        DefinitionError: A key is unknown or its value impossible.
    """
    check_keys(section, KEYS, place, "optimization")
    settings = Settings()
    read = _Reader(section, place)
    settings.algorithm = _algorithm(section, place)
    _read_kpi(settings, section.get("kpi"), place.down("kpi"))
    settings.max_trials = read.whole("max_trials", settings.max_trials, 1)
    settings.initial_random = read.whole("initial_random", settings.initial_random, 0)
    settings.max_parallel = read.optional_whole("max_parallel", 1)
    settings.max_epochs = read.optional_whole("max_epochs", 1)
    settings.seed = read.optional_whole("seed", 0)
    settings.max_time_s = read.duration("max_time")
    settings.total_time_s = read.duration("total_time")
    settings.grace_s = read.duration("grace", settings.grace_s)
    settings.term_s = read.duration("term", settings.term_s)
    settings.agents = read_names(section.get("agents"), place.down("agents"), "agents")
    settings.follow_branch = read.boolean("follow_branch")
    _read_on_failure(settings, section.get("on_failure"), place.down("on_failure"))
    settings.pruning = _pruning(section.get("pruning"), place.down("pruning"))
    settings.duplicates = _duplicates(section.get("duplicates"), settings.algorithm, place.down("duplicates"))
    return settings


def _algorithm(section: Dict[str, Any], place: Place) -> str:
    algorithm = section.get("algorithm", "tpe")
    if algorithm not in ALGORITHMS:
        raise place.down("algorithm").error(
            "algorithm " + shown(algorithm) + " is not known.", did_you_mean(algorithm, ALGORITHMS, "Algorithms")
        )
    return str(algorithm)


def _read_kpi(settings: Settings, kpi: object, place: Place) -> None:
    if isinstance(kpi, str):
        settings.kpi_channel = kpi
        return
    mapping = as_mapping(kpi, place, "kpi")
    check_keys(mapping, ("channel", "direction", "reduce"), place, "kpi")
    channel = mapping.get("channel")
    if channel is not None and (not isinstance(channel, str) or not channel):
        raise place.down("channel").error("the channel of kpi is " + shown(channel) + ".", "Write a channel's name.")
    direction = mapping.get("direction")
    if direction not in (None, "maximize", "minimize"):
        raise place.down("direction").error(
            "kpi direction " + shown(direction) + " is not known.", "Write maximize or minimize."
        )
    reduce = mapping.get("reduce", "last")
    mean = _MEAN.match(reduce) if isinstance(reduce, str) else None
    if reduce not in ("last", "best") and (mean is None or int(mean.group(1)) < 1):
        raise place.down("reduce").error(
            "kpi reduce " + shown(reduce) + " is not known.", "Write last, best or mean(5)."
        )
    settings.kpi_channel, settings.kpi_direction = channel, direction
    settings.kpi_reduce = "mean(" + str(int(mean.group(1))) + ")" if mean else str(reduce)


def _read_on_failure(settings: Settings, section: object, place: Place) -> None:
    mapping = as_mapping(section, place, "on_failure")
    check_keys(mapping, ("retry", "stop_after"), place, "on_failure")
    read = _Reader(mapping, place)
    settings.retry = read.whole("retry", 0, 0)
    if "stop_after" in mapping:
        settings.stop_after = read.optional_whole("stop_after", 1)


def _pruning(section: object, place: Place) -> Optional[Dict[str, Any]]:
    """Return the rule with all its numbers, or None where nothing is pruned."""
    if section is None:
        return None
    written = {section: None} if isinstance(section, str) else as_mapping(section, place, "pruning")
    name = next(iter(written), None)
    if len(written) != 1 or name not in PRUNING:
        raise place.error(
            "pruning is " + shown(section if name is None or len(written) != 1 else name) + ".",
            "Write median, asha, or one of them with its numbers: {asha: {reduction: 3, min_epochs: 1}}.",
        )
    at = place.down(name)
    numbers = as_mapping(written[name], at, name)
    check_keys(numbers, tuple(PRUNING[name]), at, name)
    read = _Reader(numbers, at)
    return {"rule": name, **{key: read.whole(key, *bounds) for key, bounds in PRUNING[name].items()}}


def _duplicates(written: object, algorithm: str, place: Place) -> str:
    if written is None:
        return "allow"
    if written not in DUPLICATES:
        raise place.error("duplicates is " + shown(written) + ".", "Write allow, resample or reuse.")
    if written == "resample" and algorithm == "grid":
        raise place.error("grid tries each point once, and cannot resample.", "Take duplicates out, or write reuse.")
    return str(written)


def read_names(value: object, place: Place, where: str) -> Optional[List[str]]:
    """Return a list of names, or None where nothing is said; one name may stand without brackets."""
    if value is None:
        return None
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise place.error(where + " is " + shown(value) + ", not a list of names.", "Write [first, second].")
    return list(names)


class _Reader:
    """Reads the values of one section, each with its bounds."""

    def __init__(self, section: Dict[str, Any], place: Place) -> None:
        self.section = section
        self.place = place

    def whole(self, key: str, default: int, least: int) -> int:
        value = self.section.get(key, default)
        most = 2**53 if key == "seed" else 2**31  # what the coordinator's tables hold
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < most:
            is_too_much = isinstance(value, int) and value >= most
            at_most = " and below " + str(most) if is_too_much else ""
            raise self.place.down(key).error(
                key + " is " + shown(value) + ".", "Write a whole number, at least " + str(least) + at_most + "."
            )
        return value

    def optional_whole(self, key: str, least: int) -> Optional[int]:
        return None if self.section.get(key) is None else self.whole(key, least, least)

    def boolean(self, key: str) -> bool:
        value = self.section.get(key, False)
        if not isinstance(value, bool):
            raise self.place.down(key).error(key + " is " + shown(value) + ".", "Write true or false.")
        return value

    def duration(self, key: str, default: Any = None) -> Any:
        value = self.section.get(key)
        if value is None:
            return default
        return read_duration(value, self.place.down(key), key)


def read_duration(value: object, place: Place, key: str) -> float:
    """Return the seconds of a text such as `90s`, `10m` or `1h30m`.

    Raises:
        DefinitionError: There is no unit, or it is no duration, or it is zero.
    """
    if is_number(value) or (isinstance(value, str) and value.replace(".", "", 1).isdigit()):
        raise place.error(
            "{0}: {1} has no unit.".format(key, shown(value)),
            "Write {0}m for minutes or {0}s for seconds.".format(shown(value)),
        )
    text = value.replace(" ", "") if isinstance(value, str) else ""
    if not _DURATION.match(text):
        raise place.error(key + " is " + shown(value) + ", which is no duration.", "Write such as 90s, 10m or 1h30m.")
    parts: List[Tuple[str, str]] = _DURATION_PART.findall(text)
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < seconds < 1e9:
        raise place.error(key + " is " + shown(value) + ".", "Write a duration above 0 and below 30 years.")
    return seconds
