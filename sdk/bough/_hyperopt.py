"""The ended trials of an optimization as the documents of hyperopt's `Trials`: JSON data, never a pickle.

A label is the full path of a hyperparameter. As in hyperopt, what was drawn is stored: for a choice the index, for a
`range` the position on its grid, for anything else the number. See hyperopt/base.py, `Trials.insert_trial_docs`.
"""

from __future__ import annotations

from bough.definition import Space

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional

DONE = 2  # hyperopt.base.JOB_STATE_DONE


def documents(search: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Return a document for each ended trial, in the order of ends.

    Args:
        search: What ``GET /optimizations/{id}/asks`` replies: spaces and history.

    Returns:
        Trials that the newest space could not have drawn are left out: a bound or a choice has moved since.
    """
    space = Space.from_json(search["spaces"][-1][1])
    found: List[Dict[str, Any]] = []
    for _, values, loss in search["history"]:
        vals = _drawn(space, values)
        if vals is not None:
            found.append(_document(len(found), vals, loss))
    return found


def _document(tid: int, vals: Dict[str, List[Any]], loss: Optional[float]) -> Dict[str, Any]:
    idxs = {label: [tid] if drawn else [] for label, drawn in vals.items()}
    result = {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}
    return {
        "state": DONE, "tid": tid, "spec": None, "result": result,
        "misc": {"tid": tid, "cmd": ["domain_attachment", "FMinIter_Domain"], "workdir": None, "idxs": idxs,
                 "vals": vals},
        "exp_key": None, "owner": None, "version": 0, "book_time": None, "refresh_time": None,
    }  # fmt: skip


def _drawn(space: Space, values: Mapping[str, Any]) -> Optional[Dict[str, List[Any]]]:
    try:
        complete = space.complete(values)
    except KeyError:  # a choice group has lost this choice
        return None
    vals: Dict[str, List[Any]] = {}
    for path, expression in space.searched.items():
        if path not in complete:
            vals[path] = []
            continue
        value = complete[path]
        if not expression.contains(value):
            return None
        if expression.options is not None or expression.name == "range":
            index: Any = expression.index(value)
            vals[path] = [index if expression.options is not None else float(index)]
        else:
            vals[path] = [int(value) if expression.name == "randint" else float(value)]
    return vals
