"""What one ask costs: bough's tpe and annealing against hyperopt's own functions on the same history, in CPU time.

Both answers are compared to the last bit. Runs are interleaved; ratios are medians of pairs, so that a busy machine
disturbs them less. The targets for tpe are 1x at 100 trials and 0.35x at 1,000 and 10,000.

    python benchmarks/ask.py [--sizes 100,1000,10000] [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / part) for part in ("sdk", "server", "benchmarks")]

import numpy as np  # noqa: E402
from hyperopt import hp  # noqa: E402
from hyperopt.base import Domain  # noqa: E402

from bough_server.optimizers.hyperopt_search import ANNEALING, RANDOM, TPE, Quick, Stock  # noqa: E402

SPACES: dict[str, Any] = {
    "mixed and conditional": {
        "batch": hp.quniform("batch", -0.5, 7.5, 1),
        "steps": hp.quniform("steps", -0.5, 100.5, 1),
        "rate": hp.uniform("rate", 0, 1),
        "decay": hp.loguniform("decay", -9, 0),
        "units": hp.qloguniform("units", 2, 6, 1),
        "act": hp.choice("act", [0, 1, 2]),
        "opt": hp.choice(
            "opt",
            [
                {"lr": hp.loguniform("sgd.lr", -9, 0), "momentum": hp.uniform("momentum", 0, 1)},
                {"lr": hp.loguniform("adam.lr", -11, -4), "warm": hp.randint("warm", 10)},
            ],
        ),
    },
    "ten uniform": {f"x{i}": hp.uniform(f"x{i}", 0, 1) for i in range(10)},
    "ten choices": {f"x{i}": hp.choice(f"x{i}", [0, 1, 2]) for i in range(10)},
}


def engines(space: Any, size: int) -> tuple[Stock, Quick]:
    """Return both, told the same trials; one in eleven failed."""
    domain = Domain(None, space)
    stock, quick = Stock(domain), Quick(domain)
    rng = np.random.default_rng(1)
    for number in range(size):
        drawn = quick.suggest(RANDOM, number, number)
        vals = {label: [one.item() if hasattr(one, "item") else one for one in found] for label, found in drawn.items()}
        loss = None if number % 11 == 0 else float(rng.normal())
        stock.tell(number, vals, loss)
        quick.tell(number, vals, loss)
    return stock, quick


def timed(engine: Stock | Quick, algorithm: str, number: int, seed: int) -> tuple[float, dict[str, list[Any]]]:
    """Return CPU seconds and the answer."""
    started = process_time()
    vals = engine.suggest(algorithm, number, seed)
    return process_time() - started, {label: list(found) for label, found in vals.items()}


def main() -> None:
    """Print a line per space, size and algorithm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--rounds", type=int, default=9)
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, space in SPACES.items():
        for size in map(int, told.sizes.split(",")):
            stock, quick = engines(space, size)
            for algorithm in (TPE, ANNEALING):
                timed(stock, algorithm, size, 0)
                pairs = []
                for seed in range(1, told.rounds + 1):
                    theirs, expected = timed(stock, algorithm, size, seed)
                    ours, answer = timed(quick, algorithm, size, seed)
                    if answer != expected:
                        sys.exit(f"{name}, {size}, {algorithm}, seed {seed}: {answer} is not {expected}")
                    pairs.append((ours, theirs))
                ours, theirs = (statistics.median(one) * 1000 for one in zip(*pairs, strict=True))
                ratio = statistics.median(one / other for one, other in pairs)
                print(
                    f"{name}, {size:,} trials, {algorithm}: {ratio:.2f}x ({ours:.1f} ms against {theirs:.1f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
