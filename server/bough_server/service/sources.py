"""Code that is not pinned yet: a branch or tag at a URL, which an agent resolves: the coordinator connects nowhere.

A job or optimization without a commit (the column holds "") is *unresolved*; what happens then is in `resolving`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bough import _git, definition
from bough.errors import UsageError

Row = Mapping[str, Any]
UNRESOLVED = ""
FOLLOW = "follow"  # in a source: each job takes the branch's newest commit
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+-]{0,250}")


def of_request(given: Mapping[str, Any], found: definition.Definition) -> dict[str, Any]:
    """Return the source of a request, with what the definition says in its section ``git`` where that is silent."""
    declared = declared_source(found)
    source = {name: declared[name] for name in ("url", "branch") if declared.get(name)}
    source |= {name: value for name, value in given.items() if value is not None and name != FOLLOW}
    return {**source, FOLLOW: True} if declared[FOLLOW] else source


def declared_source(found: definition.Definition) -> dict[str, Any]:
    """Return ``{"url", "branch", "folder", "follow"}`` of a definition, as far as it names them."""
    section = found.raw.get("git") or {}
    section = {"url": section} if isinstance(section, str) else section
    follow = found.settings.follow_branch or section.get("follow_branch") is True
    return {**{name: section.get(name) for name in ("url", "branch", "folder")}, FOLLOW: follow}


def check(source: Mapping[str, Any]) -> None:
    """Refuse a source that no agent could resolve.

    Raises:
        UsageError: It names no URL, one that git may not follow, or a branch that is no name.
    """
    url, branch = source.get("url"), source.get("branch")
    if not isinstance(url, str) or not url:
        raise UsageError(
            "there is neither a commit nor a source with a URL.",
            'Send the full hash of a commit that was pushed, or {"source": {"url": …, "branch": …}}.',
        )
    _git.check_url(url, allow_file=True)
    if branch is not None and (not isinstance(branch, str) or not _REF.fullmatch(branch) or ".." in branch):
        raise UsageError(f"{str(branch)[:100]!r} is no name of a branch or tag.", "Correct the source's branch.")


def commit_of_trial(optimization: Row) -> str:
    """Return the commit that a new trial starts with: none, where each takes the newest."""
    return UNRESOLVED if (optimization["source"] or {}).get(FOLLOW) else str(optimization["commit"])


def fetch_of(job: Row) -> dict[str, Any] | None:
    """Return what the claim of a job tells its agent to resolve; None for a pinned one."""
    if job["commit"] != UNRESOLVED:
        return None
    return {"url": job["source"].get("url"), "ref": job["source"].get("branch")}
