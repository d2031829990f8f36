"""The optimizer process: JSON lines on stdin and stdout, so that an ask never holds up the coordinator.

First line out: ``{"ready": {"hyperopt": "0.3.0", …}}`` or ``{"failed": reason}``. Then for each line in
``{"id", "optimization", "algorithm", "space", "keep", "new", "number", "seed", "initial_random"}`` one line out:
``{"id", "values"}``, ``{"id", "failed"}``, or ``{"id", "resend": true}`` when the first `keep` outcomes are not here.
`new` is ``[[number, values, loss], …]``. ``{"id", "describe": space, "seed", "samples"}`` is answered by
``{"id", "description"}`` (`description.describe`), ``{"id", "importance": space, "new", "seed"}`` by
``{"id", "found"}`` (`importance.importance`). It ignores SIGINT and ends when stdin ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, TextIO

from bough.definition import Space
from bough.errors import BoughError
from bough_server.optimizers.base import Optimizer, Outcome, Value

CACHED = 16  # optimizations whose history is kept


class Search:
    """One optimization as this process knows it: a cache, rebuilt whenever the coordinator's words do not fit it."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.made_from: tuple[Any, ...] | None = None
        self.optimizer: Optimizer | None = None
        self.space: Space | None = None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Value]:
        """Return the complete flat values for a request."""
        from bough_server.optimizers.registry import ALGORITHMS
        from bough_server.optimizers.seeds import seed_of_ask

        made_from = (request["algorithm"], request["initial_random"], json.dumps(request["space"]))
        if made_from != self.made_from or self.optimizer is None or self.space is None:
            self.space = Space.from_json(request["space"])
            self.optimizer = ALGORITHMS[request["algorithm"]](self.space, request["initial_random"])
            self.made_from = made_from
        self.outcomes += [Outcome(number, values, loss) for number, values, loss in request["new"]]
        number = request["number"]
        found = self.optimizer.ask(self.outcomes, number, seed_of_ask(request["seed"], number))
        return self.space.complete(found)


class Worker:
    """Answers requests; remembers the histories of the optimizations asked about last."""

    def __init__(self) -> None:
        self.searches: OrderedDict[str, Search] = OrderedDict()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to one request; an error in it becomes one line of text."""
        if "describe" in request:
            return described(request)
        if "importance" in request:
            return weighed(request)
        name = request["optimization"]
        search = self.searches.pop(name, None)
        if request["keep"] == 0:
            search = Search()
        elif search is None or len(search.outcomes) != request["keep"]:
            return {"id": request["id"], "resend": True}
        try:
            values = search.ask(request)
        except Exception as error:  # whatever it was, the coordinator must hear of it, and this process goes on
            return {"id": request["id"], "failed": one_line(error)}
        self.searches[name] = search
        while len(self.searches) > CACHED:
            self.searches.popitem(last=False)
        return {"id": request["id"], "values": values}


def described(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply to a request for the description of a space."""
    from bough_server.optimizers import description

    try:
        space = Space.from_json(request["describe"])
        found = description.describe(space, request["seed"], request["samples"])
    except Exception as error:  # as for an ask
        return {"id": request["id"], "failed": one_line(error)}
    return {"id": request["id"], "description": found}


def weighed(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply to a request for the importance of hyperparameters."""
    try:
        from bough_server.optimizers import importance  # scikit-learn: half a second, and no ask needs it

        history = [Outcome(number, values, loss) for number, values, loss in request["new"]]
        found = importance.importance(Space.from_json(request["importance"]), history, request["seed"])
    except Exception as error:  # as for an ask
        return {"id": request["id"], "failed": one_line(error)}
    return {"id": request["id"], "found": found}


def one_line(error: BaseException) -> str:
    """Return an error as one line for a person."""
    text = " ".join(str(error).split())
    return text if isinstance(error, BoughError) else f"{type(error).__name__}: {text}"[:1000]


def versions() -> dict[str, str]:
    """Return the versions that the points drawn depend on; of what is optional, where it is installed."""
    import hyperopt
    import numpy
    import scipy

    from bough_server.optimizers.extras import optional_versions

    python = ".".join(map(str, sys.version_info[:3]))
    always = {"hyperopt": hyperopt.__version__, "numpy": numpy.__version__, "scipy": scipy.__version__}
    return {**always, "python": python, **optional_versions()}


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer line by line until `requests` ends."""
    worker = Worker()
    for line in requests:
        replies.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        replies.flush()


def private_stdout() -> TextIO:
    """Return the real stdout and point file descriptor 1 at stderr: nobody else may write between our lines."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def main() -> None:
    """Run as ``python -m bough_server.optimizers.worker``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # hyperopt's own; nobody could act on them
    replies = private_stdout()
    try:
        import_module("bough_server.optimizers.registry")  # hyperopt: 1-3 s, now rather than at the first ask
        ready: dict[str, Any] = {"ready": versions()}
    except ImportError as error:
        ready = {"failed": f"{one_line(error)}. Install it: pip install 'bough[server]'"}
    try:
        replies.write(json.dumps(ready) + "\n")
        replies.flush()
        if "ready" in ready:
            serve(sys.stdin, replies)
    except BrokenPipeError:  # the coordinator is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), replies.fileno())


if __name__ == "__main__":
    main()
