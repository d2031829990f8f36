"""What the samplers of Optuna can search: a space that one of them cannot express is refused before anything starts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from bough.definition.expressions import Expression
    from bough.definition.place import Place
    from bough.definition.space import Space

MAX_STEPS = 2**31
_BOUNDED = {
    "normal": "Write uniform(low, high).",
    "lognormal": "Write loguniform(low, high).",
    "qnormal": "Write quniform(low, high, q).",
    "qlognormal": "Write quniform(low, high, q).",
}


def check_optuna(algorithm: str, space: Space, place: Place) -> None:
    """Refuse what the sampler called `algorithm` (optuna-tpe, optuna-gp or optuna-cmaes) cannot search.

    Raises:
        DefinitionError: Names the hyperparameter and its expression.
    """
    for path, expression in space.searched.items():
        refusal = _refusal(algorithm, expression)
        if refusal is not None:
            raise place.down(path).error("parameter " + path + ": " + refusal[0], refusal[1])


def _refusal(algorithm: str, expression: Expression) -> Optional[Tuple[str, str]]:
    name = expression.name
    chosen = ", and the algorithm is " + algorithm + "."
    if name in _BOUNDED:
        return name + " has no bounds" + chosen, _BOUNDED[name]
    if name == "qloguniform":
        return name + " rounds what is even in the logarithm" + chosen, "Write quniform(low, high, q), or use tpe."
    if name == "pchoice":
        return name + " has probabilities of its own" + chosen, "Write choice(…), or use tpe."
    if expression.options is not None and algorithm == "optuna-cmaes":
        return name + " has no order" + chosen, "Take this line out of space, or use optuna-tpe."
    if name == "quniform" and (expression.args["high"] - expression.args["low"]) / expression.args["q"] > MAX_STEPS:
        return name + " has more than 2**31 values" + chosen, "Take a larger q, or uniform."
    return None
