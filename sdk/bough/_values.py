"""What a hyperparameter's dotted path means, on the flat values of a job.

The values are keyed by full path and hold what is active: ``{"dense": True, "dense.neurons": 64, "optimizer": "sgd",
"optimizer.sgd.lr": 0.01}``. A choice group's own path holds the chosen name, an optional group's true or false, a
plain group has no entry. A path inside a choice group may leave out the chosen name: ``optimizer.lr``.
"""

from __future__ import annotations

from bough.errors import UsageError

CHOSEN = "$value"  # in the dict of a group, a choice group is {"$value": "sgd", "sgd": {…}}


class Absent(Exception):
    """The job has no such hyperparameter; `UsageError` by `Values.explain`."""


class Values:
    """The hyperparameters of one job.

    Args:
        flat: Active hyperparameters by full path.
        origin: Where they came from, for messages: "this job", "/home/me/model/bough.yml".
        remedy: What to do when something is missing because there is no source of values at all; else "".
    """

    def __init__(self, flat: dict[str, object], origin: str = "this job", remedy: str = "") -> None:
        self._flat = flat
        self._origin = origin
        self._remedy = remedy
        self._doubted: set[str] = set()

    def get(self, path: str, return_group: bool = False) -> object:
        """Return the value at `path`; a group's children as a nested dict.

        Raises:
            Absent: Nothing active is called so.
        """
        full = self._locate("", path)
        if full is None:
            raise Absent(path)
        if full in self._flat and not return_group:
            return self._flat[full]
        return self._children(full)

    def _locate(self, base: str, path: str) -> str | None:
        """Return the full path that `path` means below `base`. As written comes first, then through the choice."""
        written = base + "." + path if base else path
        if self._is_known(written):
            return written
        head, dot, rest = path.partition(".")
        if dot:
            here = base + "." + head if base else head
            found = self._locate(here, rest) if self._is_known(here) else None
            if found is not None:
                return found
        chosen = self._flat.get(base)
        if isinstance(chosen, str) and chosen and self._has_children(base + "." + chosen):
            return self._locate(base + "." + chosen, path)
        return None

    def _is_known(self, full: str) -> bool:
        return full in self._flat or self._has_children(full)

    def _has_children(self, full: str) -> bool:
        prefix = full + "."
        return any(name.startswith(prefix) for name in self._flat)

    def _children(self, full: str) -> object:
        """Return a group's children; {} for a group that is off or empty; a plain value as it is."""
        own = self._flat.get(full)
        if isinstance(own, str):
            return self._tree(full + "." + own)
        if own is None or isinstance(own, bool):
            return self._tree(full)
        return own

    def _tree(self, full: str) -> dict[str, object]:
        prefix = full + "."
        names: dict[str, None] = {}
        for name in self._flat:
            if name.startswith(prefix):
                names[name[len(prefix) :].partition(".")[0]] = None
        return {name: self._inner(prefix + name) for name in names}

    def _inner(self, full: str) -> object:
        """Return what stands for a hyperparameter in the dict of its group."""
        own = self._flat.get(full)
        if not self._has_children(full):
            return own
        if isinstance(own, str):
            return {CHOSEN: own, own: self._tree(full + "." + own)}
        return self._tree(full)

    def explain(self, path: str) -> UsageError:
        """Return the error for a path that is absent: why, and what was probably meant."""
        what = "There is no hyperparameter " + path + " in " + self._origin + self._why_inactive(path) + "."
        if self._remedy:
            return UsageError(what, self._remedy)
        nearest = self._nearest(path)
        if nearest is None:
            return UsageError(what, "Declare it in bough.yml, or give default=.")
        return UsageError(what, "Did you mean " + nearest + "? Else declare it in bough.yml, or give default=.")

    def doubt(self, path: str) -> str | None:
        """Return, once for each path, what was probably meant by one for which a default stands in; mostly None.

        A choice that was not made and a group that is off are the everyday reasons for a default.
        """
        if path in self._doubted or self._why_inactive(path):
            return None
        self._doubted.add(path)
        return self._nearest(path, 0.75)

    def _why_inactive(self, path: str) -> str:
        """Return " while …" where a choice or an absent group on the way explains it, else ""."""
        parts = path.split(".")
        for length in range(len(parts) - 1, 0, -1):
            full = self._locate("", ".".join(parts[:length]))
            own = self._flat.get(full) if full else None
            if own is False:
                return " while the group " + str(full) + " is off"
            if isinstance(own, str):
                return " while " + str(full) + " is " + repr(own)
        return ""

    def _nearest(self, path: str, likeness: float = 0.6) -> str | None:
        from difflib import get_close_matches

        found = get_close_matches(path, self._spellings(), 1, likeness)
        return found[0] if found else None

    def _spellings(self) -> list[str]:
        """Return every path a script may write: in full, without the chosen names, and plain groups."""
        chosen = [name + "." + own for name, own in self._flat.items() if isinstance(own, str)]
        found: dict[str, None] = {}
        for name in self._flat:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                found[".".join(parts[:length])] = None
            short = name
            for choice in sorted(chosen, key=len, reverse=True):
                if name.startswith(choice + "."):
                    short = choice.rpartition(".")[0] + short[len(choice) :]
            found[short] = None
        return list(found)
