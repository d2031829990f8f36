"""The errors bough raises on purpose, named by what the reader should do about them.

::

    BoughError                      what happened, and what to do
    ├── UsageError                  change something, then try again          400
    │   └── DefinitionError         … in bough.yml, at this line              400
    ├── NotFound                    there is no such thing                    404
    ├── Denied                      use another key                           401
    │   └── Forbidden               this key may not do that                  403
    ├── Conflict                    it is no longer as you thought            409
    │   └── StaleLease              another attempt has taken over            409
    └── Unavailable                 try again later                           503

The class carries the HTTP status, so that a client turns a status back into the class (`from_reply`).
This module imports nothing: the SDK may raise from it in any interpreter since Python 3.7.
"""

from __future__ import annotations


class BoughError(Exception):
    """Something went wrong, in two parts.

    Args:
        what: What happened, with ids and values; a sentence with its full stop.
        do: What to do about it; a sentence, or "" where nothing can be done.
    """

    status = 500
    code = "error"

    def __init__(self, what: str, do: str = "") -> None:
        super().__init__((what + " " + do).strip())
        self.what = what
        self.do = do


class UsageError(BoughError):
    """The request cannot be carried out as it stands: change something."""

    status = 400
    code = "usage"


class DefinitionError(UsageError):
    """A bough.yml (or the same as JSON) is wrong.

    Args:
        what: What is wrong.
        do: The remedy.
        path: The file, or None when it came as JSON.
        line: 1-based line in that file, or None when unknown.
        at: The keys and indexes from the top down to what is wrong; () when unknown.
    """

    code = "definition"

    def __init__(
        self,
        what: str,
        do: str = "",
        path: str | None = None,
        line: int | None = None,
        at: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(what, do)
        self.path = path
        self.line = line
        self.at = at

    def __str__(self) -> str:
        text = super().__str__()
        if self.path is None and self.line is None:
            return text
        where = self.path or "bough.yml"
        if self.line is not None:
            where += ", line " + str(self.line)
        return text + "  (" + where + ")"


class NotFound(BoughError):
    """No such optimization, job, agent, model, commit or file."""

    status = 404
    code = "not_found"


class Denied(BoughError):
    """No key, an unknown key or a revoked one."""

    status = 401
    code = "denied"


class Forbidden(Denied):
    """The key is good, but not for this."""

    status = 403
    code = "forbidden"


class Conflict(BoughError):
    """The thing has moved on since the caller looked."""

    status = 409
    code = "conflict"


class StaleLease(Conflict):
    """The attempt was given up; another one has taken over or may do so."""

    code = "stale_lease"


class Unavailable(BoughError):
    """It cannot be done now; the same request may succeed later."""

    status = 503
    code = "unavailable"


_BY_CODE = {
    error.code: error
    for error in (UsageError, DefinitionError, NotFound, Denied, Forbidden, Conflict, StaleLease, Unavailable)
}
_BY_STATUS = {400: UsageError, 401: Denied, 403: Forbidden, 404: NotFound, 409: Conflict, 422: UsageError}


def from_reply(status: int, code: str, what: str, do: str = "") -> BoughError:
    """Return the error that an HTTP reply ``{error, detail, remedy}`` stands for.

    A code from a newer coordinator falls back to the class of its status, then to `BoughError`.
    """
    known: type[BoughError] | None = _BY_CODE.get(code)
    return (known or _BY_STATUS.get(status) or (Unavailable if status >= 500 else BoughError))(what, do)
