"""How good the searches are: the best loss after 50 and 100 trials, medians over 20 seeds.

Every optimizer that bough offers, asked as the coordinator asks it, beside hyperopt's `fmin` and Optuna used directly
with their own settings. Each finished search is a line of a file outside the repository, so that it can be interrupted:
the next run does only what is missing. Optuna is an extra; its rows are left out where it is not installed.

    python benchmarks/quality.py [--seeds 20] [--gp-seeds 20] [--only METHOD] [--cache FILE] [--table]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / part) for part in ("sdk", "server", "benchmarks")]
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from problems import PROBLEMS, Problem  # noqa: E402

from bough.errors import BoughError  # noqa: E402
from bough_server.optimizers.base import Outcome  # noqa: E402
from bough_server.optimizers.extras import NEEDS, optional_versions  # noqa: E402
from bough_server.optimizers.registry import ALGORITHMS  # noqa: E402
from bough_server.optimizers.seeds import seed_of_ask  # noqa: E402

TRIALS, AFTER, INITIAL_RANDOM = 100, (50, 100), 20
Search = Callable[[Problem, int], list[float]]  # (problem, seed) → the loss of each trial


def by_bough(algorithm: str, problem: Problem, seed: int) -> list[float]:
    """Return the losses of a search one trial at a time, as the coordinator would ask for it."""
    space = problem.space(algorithm)
    optimizer = ALGORITHMS[algorithm](space, INITIAL_RANDOM)
    history: list[Outcome] = []
    for number in range(TRIALS):
        values = space.complete(optimizer.ask(history, number, seed_of_ask(seed, number)))
        history.append(Outcome(number, values, problem.loss(values)))
    return [float(outcome.loss or 0.0) for outcome in history]


def by_fmin(algorithm: str, problem: Problem, seed: int) -> list[float]:
    """Return the losses of `hyperopt.fmin` with its own settings, over the same space."""
    import hyperopt

    from bough_server.optimizers.hyperopt_space import found_in, hyperopt_space

    space = problem.space()
    domain = hyperopt.base.Domain(None, hyperopt_space(space), pass_expr_memo_ctrl=True)

    def objective(expr: Any, memo: Any, ctrl: Any) -> dict[str, Any]:
        values = space.complete(found_in(space, ctrl.current_trial["misc"]["vals"]))
        return {"status": "ok", "loss": problem.loss(values)}

    objective.fmin_pass_expr_memo_ctrl = True  # type: ignore[attr-defined]  # pyright: ignore
    trials = hyperopt.Trials()
    hyperopt.fmin(
        objective, domain.expr, getattr(hyperopt, algorithm).suggest, TRIALS, trials=trials,
        rstate=np.random.default_rng(seed), show_progressbar=False, verbose=False, return_argmin=False,
    )  # fmt: skip
    return [float(loss) for loss in trials.losses()]


def by_optuna(sampler: str, problem: Problem, seed: int) -> list[float]:
    """Return the losses of Optuna's sampler with its own settings, in a study that lives on."""
    import optuna  # pyright: ignore[reportMissingImports]

    from bough_server.optimizers import optuna_search as ours

    space = problem.space("optuna-cmaes" if sampler == "CmaEsSampler" else "random")
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    drawing = ours.OptunaSearch(space, lambda number, seed: study.sampler)

    def objective(trial: Any) -> float:
        found: dict[str, Any] = {}
        drawing._draw(trial, space.root, found)
        return problem.loss(space.complete(found))

    study.optimize(objective, TRIALS)
    return [float(trial.value or 0.0) for trial in study.trials]


def methods() -> dict[str, Search]:
    """Return every search that can run here, by the name of its row."""
    there = optional_versions()
    found: dict[str, Search] = {}
    for name in ALGORITHMS:
        if name != "grid" and all(need in there for need in NEEDS.get(name, ())):
            found[f"bough {name}"] = partial(by_bough, name)
    for name in ("rand", "tpe", "anneal"):
        found[f"hyperopt {name}"] = partial(by_fmin, name)
    if "optuna" in there:
        found["optuna RandomSampler"] = partial(by_optuna, "RandomSampler")
        found["optuna TPESampler"] = partial(by_optuna, "TPESampler")
    if {"optuna", "cmaes"} <= set(there):
        found["optuna CmaEsSampler"] = partial(by_optuna, "CmaEsSampler")
    if {"optuna", "torch"} <= set(there):
        found["optuna GPSampler"] = partial(by_optuna, "GPSampler")
    return dict(sorted(found.items(), key=lambda item: _is_slow(item[0])))


def _is_slow(method: str) -> bool:
    return "gp" in method.lower().split(" ")[1]


def wanted(found: dict[str, Search], seeds: int, gp_seeds: int) -> Iterator[tuple[str, Problem, int]]:
    """Yield what the table needs, the quick ones first."""
    for method in found:
        for seed in range(gp_seeds if _is_slow(method) else seeds):
            for problem in PROBLEMS:
                yield method, problem, seed


def read(cache: Path) -> dict[tuple[str, str, int], list[float] | None]:
    """Return what is known: (method, problem, seed) → best losses after `AFTER`; None: that method refuses it."""
    lines = cache.read_text().splitlines() if cache.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return {(row["method"], row["problem"], row["seed"]): row["best"] for row in rows}


def fill(cache: Path, seeds: int, gp_seeds: int, only: str | None) -> None:
    """Run what is not known yet, and add a line for each."""
    found, known = methods(), read(cache)
    for method, problem, seed in wanted(found, seeds, gp_seeds):
        if (method, problem.name, seed) in known or (only and only not in method):
            continue
        try:
            losses = found[method](problem, seed)
            best: list[float] | None = [min(losses[:after]) for after in AFTER]
        except BoughError:
            best = None
        with cache.open("a") as file:
            file.write(json.dumps({"method": method, "problem": problem.name, "seed": seed, "best": best}) + "\n")
        print(f"{method}, {problem.name}, seed {seed}: {best}", file=sys.stderr, flush=True)


def table(cache: Path) -> str:
    """Return the medians as a Markdown table: best after 50 / after 100 trials, with the number of seeds if not 20."""
    known = read(cache)
    names = list(dict.fromkeys(method for method, _, _ in known))
    lines = ["| | " + " | ".join(problem.name for problem in PROBLEMS) + " |", "|---" * (len(PROBLEMS) + 1) + "|"]
    for method in names:
        cells = []
        for problem in PROBLEMS:
            found = [best for (one, name, _), best in known.items() if (one, name) == (method, problem.name)]
            kept = [best for best in found if best is not None]
            cells.append(_cell(kept) if kept else "refused" if found else "")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: list[list[float]]) -> str:
    medians = [statistics.median(best[i] for best in found) for i in range(len(AFTER))]
    count = "" if len(found) == 20 else f" ({len(found)})"
    return " / ".join(_short(one) for one in medians) + count


def _short(number: float) -> str:
    digits = 3 if number == 0 else max(0, 3 - math.floor(math.log10(abs(number))) - 1)
    return f"{number:.{min(digits, 5)}f}"


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--gp-seeds", type=int, default=20, help="seeds of the Gaussian process, which takes minutes each"
    )
    parser.add_argument("--only", help="only methods whose name contains this")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "bough-quality.jsonl")
    parser.add_argument("--table", action="store_true", help="run nothing, print what is known")
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    if "optuna" in optional_versions():
        import optuna  # pyright: ignore[reportMissingImports]

        optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not told.table:
        fill(told.cache, told.seeds, told.gp_seeds, told.only)
    print(table(told.cache))


if __name__ == "__main__":
    main()
