"""Reads search expressions: `loguniform(1e-4, 1)` as text or as a mapping, checked against the parameter they search.

Nothing is evaluated: a small parser reads names, numbers, quoted text and commas.
"""

from __future__ import annotations

import math
import re

from bough.definition import scalars
from bough.definition.expressions import SIGNATURES, Expression, grid_size, grid_value
from bough.definition.place import did_you_mean, shown
from bough.definition.tree import Group, Parameter, checked, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, NoReturn, Tuple

    from bough.definition.expressions import Number
    from bough.definition.place import Place
    from bough.definition.scalars import Value
    from bough.definition.tree import Node

CONTINUOUS = ("uniform", "loguniform", "normal", "lognormal")
WHOLE = ("randint", "uniformint")
MAX_GRID = 10**9
_CALL = re.compile(r"\s*([A-Za-z_]+)\s*(?:\((.*)\)\s*)?\Z", re.DOTALL)
_TOKEN = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[^,='\"\s][^,='\"]*|[,=])")
_BRACKET = re.compile(r"[()\[\]{}]")


def read_expression(written: object, node: Node, place: Place) -> Expression:
    """Return the expression that `written` (text or a mapping with one key) says for the hyperparameter `node`.

    Raises:
        DefinitionError: It is no expression, its numbers are impossible, or it does not fit the type of `node`.
    """
    return _Reader(node, place).read(written)


def split_expression(written: object, node: Node, place: Place) -> Tuple[str, List[Any], Dict[str, Any]]:
    """Return name, arguments by place and arguments by name of an expression, before they are checked.

    Raises:
        DefinitionError: It is no expression.
    """
    return _Reader(node, place).split(written)


class _Reader:
    """Reads one expression; holds what every error needs."""

    def __init__(self, node: Node, place: Place) -> None:
        self.node = node
        self.place = place
        self.integer = isinstance(node, Parameter) and node.integer

    def fail(self, what: str, do: str = "") -> NoReturn:
        raise self.place.error("parameter " + self.node.path + ": " + what, do)

    def read(self, written: object) -> Expression:
        name, positional, named = self.split(written)
        if name not in SIGNATURES:
            self.fail(shown(name) + " is no expression.", did_you_mean(name, SIGNATURES, "Expressions"))
        if isinstance(self.node, Group) and not self.node.optional:
            self.fail("the group is always there.", "Write optional: true in it, or search its children.")
        if name == "on_off":
            return self.on_off(positional, named)
        if name == "choice":
            return self.choice(positional, named)
        if name == "pchoice":
            return self.pchoice(positional, named)
        return self.numeric(name, positional, named)

    # -- the two ways to write one --
    def split(self, written: object) -> Tuple[str, List[Any], Dict[str, Any]]:
        if isinstance(written, dict):
            if len(written) != 1:
                self.fail("an expression has exactly one name.", "Write {uniform: {low: 0, high: 1}}.")
            name, args = next(iter(written.items()))
            return self.split_mapping(str(name), args)
        match = _CALL.match(written) if isinstance(written, str) else None
        if match is None:
            remedy = (
                "Write choice(…) or range(low, high, step)."
                if isinstance(written, list)
                else ("Write one such as uniform(0, 1), or take the line out of space to keep the default.")
            )
            self.fail(shown(written) + " is no expression.", remedy)
        return (match.group(1), *self.arguments(match.group(2) or ""))

    def split_mapping(self, name: str, args: Any) -> Tuple[str, List[Any], Dict[str, Any]]:
        if args is None:
            return name, [], {}
        if isinstance(args, dict):
            return name, [], args
        return name, list(args) if isinstance(args, (list, tuple)) else [args], {}

    def arguments(self, text: str) -> Tuple[List[Any], Dict[str, Any]]:
        positional: List[Any] = []
        named: Dict[str, Any] = {}
        tokens = self.tokens(text)
        if not tokens:
            return positional, named
        for part in _split_at_commas(tokens):
            if len(part) == 1 and part[0] not in ",=":
                positional.append(self.scalar(part[0]))
            elif len(part) == 3 and part[1] == "=" and "=" not in (part[0], part[2]):
                key = str(_unquoted(part[0]))
                if key in named:
                    self.fail(key + " is there twice.", "Keep one of them.")
                named[key] = self.scalar(part[2])
            else:
                self.fail("the arguments (" + text.strip() + ") cannot be read.", "Separate them by commas.")
        return positional, named

    def tokens(self, text: str) -> List[str]:
        found: List[str] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or (match.group(1)[0] not in "\"'" and _BRACKET.search(match.group(1))):
                self.fail("the arguments (" + text.strip() + ") cannot be read.", "Separate them by commas.")
            found.append(match.group(1).strip())
            position = match.end()
        return found

    def scalar(self, token: str) -> Any:
        text = _unquoted(token)
        if text != token:
            return text
        try:
            return scalars.scalar(token)
        except ValueError as error:
            self.fail(str(error) + ".", "Write a finite number.")

    # -- choices --
    def on_off(self, positional: List[Any], named: Dict[str, Any]) -> Expression:
        if positional or named:
            self.fail("on_off takes no arguments.", "Write on_off, or choice(…) for a subset.")
        if not (isinstance(self.node, Group) or self.node.kind == "boolean"):
            self.fail("on_off is for booleans and optional groups, not for a " + self.node.kind + ".", "Write choice.")
        return Expression("on_off", options=[False, True])

    def choice(self, positional: List[Any], named: Dict[str, Any]) -> Expression:
        if named:
            self.fail("choice takes values, no names.", "For probabilities write pchoice(relu=0.7, gelu=0.3).")
        known = options(self.node)
        if not positional and known is None:
            self.fail("a " + self.node.kind + " has no choices of its own.", "List them: choice(first, second).")
        values = [self.option(value) for value in positional] if positional else list(known or [])
        self.check_unique(values)
        return Expression("choice", options=values, integer=self.integer)

    def pchoice(self, positional: List[Any], named: Dict[str, Any]) -> Expression:
        pairs: List[Any] = list(named.items()) if named else positional
        remedy = "Write pchoice(first=0.7, second=0.3)."
        if not pairs or any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs):
            self.fail("pchoice needs a probability for each choice.", remedy)
        values = [self.option(self.typed(value)) for value, _ in pairs]
        weights = [weight for _, weight in pairs]
        for value, weight in zip(values, weights):
            if not scalars.is_number(weight) or weight <= 0:
                self.fail("the probability of " + shown(value) + " is " + shown(weight) + ".", "Write one above 0.")
        self.check_unique(values)
        total = math.fsum(weights)
        if abs(total - 1.0) > 1e-9:
            self.fail("the probabilities add up to " + repr(round(total, 12)) + ", not to 1.", "Change one of them.")
        return Expression(
            "pchoice", options=values, weights=[float(weight) for weight in weights], integer=self.integer
        )

    def typed(self, value: Any) -> Any:
        """Return a key as the type of the parameter: keys of a mapping are always text."""
        if not isinstance(value, str) or self.node.kind in ("string", "choice_string", "choice_group"):
            return value
        return self.scalar(value)

    def option(self, value: Any) -> Value:
        if self.node.kind in ("string", "choice_string", "choice_group") and scalars.is_number(value):
            value = shown(value)
        return checked(self.node, value, self.place)

    def check_unique(self, values: List[Value]) -> None:
        for index, value in enumerate(values):
            if value in values[:index]:
                self.fail("the choice " + shown(value) + " is there twice.", "Keep one of them.")

    # -- numbers --
    def numeric(self, name: str, positional: List[Any], named: Dict[str, Any]) -> Expression:
        if self.node.kind != "number":
            self.fail(name + " is for numbers, and this is a " + self.node.kind + ".", "Write choice or on_off.")
        args = self.numbers(name, positional, named)
        self.check_integer(name, args)
        if "low" in args:
            self.check_bounds(name, args)
        for key in ("sigma", "q", "step"):
            if key in args and args[key] <= 0:
                self.fail(key + " is " + shown(args[key]) + ".", "Write one above 0.")
        if name == "range":
            self.check_grid(args)
        return Expression(name, args, integer=self.integer)

    def numbers(self, name: str, positional: List[Any], named: Dict[str, Any]) -> Dict[str, Number]:
        signature = SIGNATURES[name]
        usage = name + "(" + ", ".join(signature) + ")"
        if len(positional) > len(signature):
            self.fail(
                name + " takes " + str(len(signature)) + " numbers, not " + str(len(positional)) + ".",
                "Write " + usage + ".",
            )
        if name == "randint" and len(positional) + len(named) == 1:
            positional, named = [0, *positional, *([named["high"]] if "high" in named else [])], {}
        args = dict(zip(signature, positional))
        for key, value in named.items():
            if key not in signature or key in args:
                self.fail("unknown argument " + shown(key) + " of " + name + ".", "Write " + usage + ".")
            args[key] = value
        if name == "range" and self.integer:
            args.setdefault("step", 1)
        missing = [key for key in signature if key not in args]
        if missing:
            self.fail(name + " lacks " + " and ".join(missing) + ".", "Write " + usage + ".")
        for key, value in args.items():
            if not scalars.is_number(value) or abs(value) > 1e300:
                self.fail(key + " is " + shown(value) + ", which is not a usable number.", "Write " + usage + ".")
        return {key: args[key] + 0 if isinstance(args[key], int) else args[key] + 0.0 for key in signature}

    def check_integer(self, name: str, args: Dict[str, Number]) -> None:
        fix = "Use range, uniformint or randint, or make its default a decimal."
        if self.integer and name in CONTINUOUS:
            self.fail(name + " draws decimals, and this is an integer hyperparameter.", fix)
        whole = ("low", "high", "step") if name == "range" else ("low", "high") if name in WHOLE else ("q",)
        for key in whole:
            if key not in args or not (self.integer or name in WHOLE):
                continue
            if args[key] != int(args[key]):
                self.fail(
                    key + " " + shown(args[key]) + " is not a whole number.", "Round it." if name in WHOLE else fix
                )
            args[key] = int(args[key])

    def check_bounds(self, name: str, args: Dict[str, Number]) -> None:
        low, high = args["low"], args["high"]
        if low > high:
            self.fail("low " + shown(low) + " is above high " + shown(high) + ".", "Swap the two.")
        if low == high:
            self.fail(
                "low and high are both " + shown(low) + ".",
                "Widen them, or take the line out of space and set the default.",
            )
        if "log" in name and low <= 0:
            self.fail(
                "low is " + shown(low) + ", and " + name + " has a logarithm.",
                "Write bounds above 0, in natural units.",
            )
        if name in WHOLE and high - low >= 2**31 - 1:
            self.fail("there are more than 2**31 values.", "Narrow the bounds, or use quniform.")

    def check_grid(self, args: Dict[str, Number]) -> None:
        low, high, step = args["low"], args["high"], args["step"]
        if (high - low) / step > MAX_GRID:
            self.fail("range has more than a billion values.", "Take a larger step, or uniform.")
        last = grid_value(low, step, grid_size(low, high, step) - 1, self.integer)
        if last != high:
            beyond = grid_value(low, step, grid_size(low, high, step), self.integer)
            self.fail(
                "high " + shown(high) + " is not on the grid of range(" + shown(low) + ", …, " + shown(step) + ").",
                "Write high as " + shown(last) + " or " + shown(beyond) + ".",
            )
        if last == low:
            self.fail("range has a single value.", "Take a smaller step.")


def _unquoted(token: str) -> str:
    return token[1:-1] if len(token) >= 2 and token[0] in "\"'" and token[-1] == token[0] else token


def _split_at_commas(tokens: List[str]) -> List[List[str]]:
    parts: List[List[str]] = [[]]
    for token in tokens:
        if token == ",":  # a token of an expression  # nosec B105
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
