"""What pruning saves: the best accuracy on `examples/digits` and the epochs trained for it, over 20 seeds.

    python benchmarks/pruning.py [--seeds 20] [--trials 30] [--epochs 27] [--cache FILE] [--table]

Real searches: the example's network and space, tpe, one trial at a time, every epoch's accuracy sent to a coordinator,
which decides. Only the process of a trial is left out: an agent in this process trains. Without a rule, with the median
rule and with asha the same seeds are searched. The target is the same best accuracy with half of the epochs. Each
finished search is a line of a file outside the repository; the next run does what is missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import requests
import yaml
from big_store import ROOT
from restart import Coordinator

from bough_cli.inprocess import Attempt, InProcessAgent

RULES: dict[str, Any] = {
    "none": None,
    "median": {"median": {"min_trials": 5, "min_epochs": 1}},
    "asha": {"asha": {"reduction": 3, "min_epochs": 1}},
}
NAME = "pruning"


@cache
def data() -> Any:
    """Return the example's split of the digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, digits = load_digits(return_X_y=True)
    return train_test_split(pixels / 16.0, digits, test_size=0.3, random_state=1)


def network(job: Any) -> Any:
    """Return the example's network for a job."""
    folder = str(ROOT / "examples" / "digits")
    if folder not in sys.path:
        sys.path.append(folder)
    from train import network as of_example  # type: ignore[import-not-found]  # pyright: ignore

    return of_example(job)


def train(agent: InProcessAgent, attempt: Attempt, epochs: int) -> int:
    """Train a trial until its last epoch or until it is to stop; return how many epochs that were."""
    train_x, valid_x, train_y, valid_y = data()
    model = network(attempt.job)
    accuracy = attempt.job.create_channel("accuracy", kpi=True)
    for epoch in range(1, epochs + 1):
        model.partial_fit(train_x, train_y, classes=range(10))
        accuracy.send(epoch, model.score(valid_x, valid_y))
        attempt.job.progress(epoch, epochs)
        agent.ship(attempt)
        if attempt.stop_cause is not None:
            return epoch
    return epochs


def search(coordinator: Coordinator, rule: str, seed: int, trials: int, epochs: int) -> dict[str, Any]:
    """Return the best accuracy of one search, its epochs, and how many trials were pruned."""
    agent = InProcessAgent(coordinator.url, coordinator.key, coordinator.home / "attempts")
    definition: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "digits" / "bough.yml").read_text())
    chosen = {"max_trials": trials, "max_parallel": 1, "seed": seed, "agents": [agent.connect(NAME)]}
    definition["optimization"] |= chosen
    for name in ("max_epochs", "max_time"):
        definition["optimization"].pop(name)
    if RULES[rule] is not None:
        definition["optimization"]["pruning"] = RULES[rule]
    body = {"definition": definition, "commit": "0" * 40, "folder": "", "source": {}}
    key = {"Authorization": f"Bearer {coordinator.key}"}
    made = requests.post(f"{coordinator.url}/api/v1/optimizations", json=body, headers=key, timeout=60)
    made.raise_for_status()
    total = 0
    for number in range(trials):
        while (attempt := agent.claim()) is None:
            pass
        try:
            total += train(agent, attempt, epochs)
            agent.end(attempt, None, wants=number + 1 < trials)
        except ValueError as error:  # the weights ran away: the network says so itself
            agent.end(attempt, str(error), wants=number + 1 < trials)
    agent.close()
    address = f"{coordinator.url}/api/v1/optimizations/{made.json()['id']}"
    rows = requests.get(f"{address}/trials", params={"limit": 1000}, headers=key, timeout=60).json()["rows"]
    ends = [row["end_reason"] for row in rows]
    return {"best": max(row["kpi"] or 0.0 for row in rows), "epochs": total, "pruned": ends.count("pruned")}


def table(known: list[dict[str, Any]]) -> str:
    """Return the figures as a Markdown table; each rule beside the same seeds without one."""
    head = "| rule | seeds | best accuracy, median [quartiles] | epochs | of those without a rule | pruned |"
    lines = [head, "|---" * 6 + "|"]
    plain = {row["seed"]: row for row in known if row["rule"] == "none"}
    for rule in RULES:
        mine = [row for row in known if row["rule"] == rule]
        if len(mine) < 2:
            continue
        best = statistics.quantiles([row["best"] for row in mine], n=4)
        shares = [row["epochs"] / plain[row["seed"]]["epochs"] for row in mine if row["seed"] in plain]
        epochs, pruned = (statistics.median(row[name] for row in mine) for name in ("epochs", "pruned"))
        share = f"{statistics.median(shares):.2f}" if shares else ""
        accuracy = f"{best[1]:.4f} [{best[0]:.4f}, {best[2]:.4f}]"
        lines.append(f"| {rule} | {len(mine)} | {accuracy} | {epochs:.0f} | {share} | {pruned:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "bough-pruning.jsonl")
    parser.add_argument("--table", action="store_true", help="run nothing, print what is known")
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    size = {"trials": told.trials, "epochs_each": told.epochs}
    lines = told.cache.read_text().splitlines() if told.cache.exists() else []
    known = [row for row in map(json.loads, lines) if {name: row[name] for name in size} == size]
    done = {(row["rule"], row["seed"]) for row in known}
    missing = [(rule, seed) for seed in range(told.seeds) for rule in RULES if (rule, seed) not in done]
    if missing and not told.table:
        with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
            coordinator = Coordinator(Path(folder))
            for rule, seed in missing:
                row = {"rule": rule, "seed": seed, **size, **search(coordinator, rule, seed, told.trials, told.epochs)}
                known.append(row)
                with told.cache.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, file=sys.stderr, flush=True)
            coordinator.stop()
    print(table(known))


if __name__ == "__main__":
    main()
