"""Which repository `bough pull` and `bough push` mean: a coordinator, a git remote of the clone, or a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bough import _git
from bough.errors import NotFound, UsageError
from bough_cli import client as clients
from bough_cli.records.transfer import Other

if TYPE_CHECKING:
    from bough_cli.client import Address

ORIGIN = "origin"


def coordinator(place: str | None, url: str | None, key: str | None) -> Address | None:
    """Return the coordinator that is meant, None where a remote or a URL of git is.

    Args:
        place: The argument of the command, None where there is none.
        url: --coordinator.
        key: --key.
    """
    if url is not None or place is None:
        return clients.find(url, key)
    if not place.startswith(("http://", "https://")) or clients.health_of(place.rstrip("/")) is None:
        return None
    return clients.find(place, key)


def of_git(git_dir: str, place: str | None) -> Other:
    """Return a remote of the clone, by its name, or what a URL or a folder names.

    Raises:
        NotFound: There is no such remote or folder.
        UsageError: The URL is not one that git may follow.
    """
    name = place or ORIGIN
    if name in remotes(git_dir):
        return Other(name, f"remote {name}")
    if place is None:
        raise NotFound(
            "no coordinator is known, and this clone has no remote origin.",
            "Name the other side: a remote, a URL or a coordinator.",
        )
    if "://" in place or ":" in place:
        return Other(_git.check_url(place, allow_file=True), _git.clean(place))
    if not Path(place).is_dir():
        raise NotFound(f"there is no remote and no folder {place}.", "See: git remote -v.")
    return Other(Path(place).resolve().as_uri(), place)


def remotes(git_dir: str) -> list[str]:
    """Return the names of the clone's remotes; one that reads like an option is none."""
    try:
        told = _git.run(["remote"], git_dir=git_dir).decode("utf-8", "replace").splitlines()
    except _git.GitFailed as error:
        raise UsageError(f"the repository {git_dir} cannot be read: {error.what}", error.do) from None
    return [name for name in told if name and not name.startswith("-")]


@contextmanager
def of_coordinator(address: Address, model: str) -> Iterator[Other]:
    """Give the repository of a model on a coordinator that was found to accept the key.

    Raises:
        Denied, Unavailable: The key is not accepted, or nothing answers.
    """
    with clients.Client(address) as client:
        client.get("/me")  # a wrong key is told in its words; git would speak of itself
        yield Other(f"{client.url}/git/{model}.git", f"{client.url} ({model})", address.key, True)
