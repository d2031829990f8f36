"""What a search expression is: its name, its numbers or options, and the values it can draw.

The names and roundings are hyperopt's, with bounds in natural units for the log-uniform ones; `range` and `on_off`
are bough's. mu and sigma of the lognormal ones are those of the log. `expression_text` reads them.
"""

from __future__ import annotations

from bough.definition import place, scalars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple, Union

    from bough.definition.scalars import Value

    Number = Union[int, float]

SIGNATURES: Dict[str, Tuple[str, ...]] = {
    "range": ("low", "high", "step"),
    "uniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "loguniform": ("low", "high"),
    "qloguniform": ("low", "high", "q"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
    "randint": ("low", "high"),
    "uniformint": ("low", "high"),
    "choice": (),
    "pchoice": (),
    "on_off": (),
}
_CLOSE = 1e-9  # how far a sample may lie beyond a bound, as a share of it: the last bits of exp(log(bound))


class Expression:
    """How one hyperparameter is searched.

    Attributes:
        name: One of `SIGNATURES`.
        args: The numbers by name (low, high, step, q, mu, sigma); empty for choices.
        options: The values that are chosen from, for choice, pchoice and on_off; else None.
        weights: Probability of each option for pchoice; else None.
        integer: Values are whole numbers.
    """

    __slots__ = ("args", "integer", "name", "options", "weights")

    def __init__(
        self,
        name: str,
        args: Optional[Dict[str, Number]] = None,
        options: Optional[List[Value]] = None,
        weights: Optional[List[float]] = None,
        integer: bool = False,
    ) -> None:
        self.name = name
        self.args = args or {}
        self.options = options
        self.weights = weights
        self.integer = integer

    def to_json(self) -> Dict[str, Any]:
        """Return the mapping form; `read_expression` gives the same expression back from it."""
        if self.name == "pchoice":
            return {self.name: [list(pair) for pair in zip(self.options or [], self.weights or [])]}
        if self.name == "choice":
            return {self.name: list(self.options or [])}
        return {self.name: dict(self.args)}

    @property
    def count(self) -> Optional[int]:
        """How many values a finite expression has: choices, `range`, `randint` and `uniformint`; else None."""
        if self.options is not None:
            return len(self.options)
        low, high = self.args.get("low", 0), self.args.get("high", 0)
        if self.name == "range":
            return grid_size(low, high, self.args["step"])
        if self.name == "randint":
            return int(high - low)
        return int(high - low) + 1 if self.name == "uniformint" else None

    def at(self, index: int) -> Value:
        """Return the value number `index` (0-based, in rising order) of a finite expression."""
        if self.options is not None:
            return self.options[index]
        if self.name == "range":
            return grid_value(self.args["low"], self.args["step"], index, self.integer)
        return self.number(self.args["low"] + index)

    def index(self, value: object) -> Optional[int]:
        """Return which value of a finite expression `value` is, or None when it is none of them."""
        if self.options is not None:
            for index, option in enumerate(self.options):
                if option == value and isinstance(option, bool) == isinstance(value, bool):
                    return index
            return None
        if not scalars.is_number(value):
            return None
        assert isinstance(value, (int, float))
        index = round((value - self.args["low"]) / self.args.get("step", 1))
        return index if 0 <= index < (self.count or 0) and self.at(index) == value else None

    def number(self, drawn: Number) -> Number:
        """Return a drawn number as the value a script gets: whole where declared so, and never -0.0."""
        return round(drawn) if self.integer else float(drawn) + 0.0

    def contains(self, value: object) -> bool:
        """Whether this expression could have drawn `value`."""
        if self.count is not None:
            return self.index(value) is not None
        if not scalars.is_number(value):
            return False
        assert isinstance(value, (int, float))
        if "q" in self.args and not _is_multiple(value, self.args["q"]):
            return False
        if self.name in ("lognormal", "qlognormal"):
            return value > 0 or (value == 0 and self.name == "qlognormal")
        if "mu" in self.args:
            return True
        low, high = self.bounds()
        return low - _CLOSE * abs(low) <= value <= high + _CLOSE * abs(high)

    def bounds(self) -> Tuple[float, float]:
        """Return the lowest and highest value a bounded expression can draw, hyperopt's rounding included."""
        low, high = float(self.args["low"]), float(self.args["high"])
        if "q" not in self.args:
            return low, high
        q = self.args["q"]
        return round(low / q) * q, round(high / q) * q

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Expression):
            return NotImplemented
        return (self.to_json(), self.integer) == (other.to_json(), other.integer)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Expression(" + repr(self.to_json()) + ")"

    def __str__(self) -> str:
        """Return it as it is written in a file, such as ``uniform(0, 1)``."""
        shown = [place.shown(value) for value in (self.args.values() if self.options is None else self.options)]
        return self.name + "(" + ", ".join(shown) + ")"


def _is_multiple(value: Number, q: Number) -> bool:
    steps = value / q
    return abs(steps - round(steps)) <= 1e-6


# -- the grid of `range`: counted in decimals as written, so that 35 steps of 0.005 are 0.175 ------------------
def grid_size(low: Number, high: Number, step: Number) -> int:
    """Return how many values lie on the grid low, low + step, … up to and with `high`."""
    from decimal import Decimal

    return int((Decimal(repr(high)) - Decimal(repr(low))) / Decimal(repr(step))) + 1


def grid_value(low: Number, step: Number, index: int, integer: bool) -> Number:
    """Return low + index * step, exact in decimals."""
    from decimal import Decimal

    value = Decimal(repr(low)) + index * Decimal(repr(step))
    return int(value) if integer else float(value) + 0.0
