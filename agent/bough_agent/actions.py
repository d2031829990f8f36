"""Calls of a script's actions, on their way to it: all that have no result yet, in one file of the attempt's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bough import _layout
from bough_agent.home import Home, write_atomically
from bough_agent.messages import Json, Key


class Calls:
    """Writes ``control/actions.json`` of attempts when what is to be in it has changed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._told: dict[Key, list[Json]] = {}

    def tell(self, calls: Mapping[Key, list[Json]]) -> None:
        """Tell the scripts what is called; one whose folder cannot be written is told again next time."""
        for key, wanted in calls.items():
            folder = self._home.attempt(*key)
            if self._told.get(key) == wanted or not (folder / _layout.CONTROL).is_dir():
                continue
            try:
                write_atomically(folder / _layout.ACTIONS, json.dumps(wanted))
            except OSError:  # a full disk, or a trial that put something there
                continue
            self._told[key] = wanted

    def forget(self, key: Key) -> None:
        """The attempt is no longer here."""
        self._told.pop(key, None)
