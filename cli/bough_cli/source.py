"""What to optimize: a folder of the user's repository or a URL becomes one commit, a folder in it and its bough.yml.

The definition is read from the commit, so that what starts is what the commit says. The user's repository is read
through GitPython, in short-lived ``with Repo(...)``; everything that touches a remote goes through `bough._git`.
Nothing of the user's repository is changed: no index, stash, branch or other ref.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bough.errors import DefinitionError, NotFound, UsageError
from bough_cli import completing, home, snapshot
from bough_cli.records import clones
from bough_cli.snapshot import Agree, refuse

if TYPE_CHECKING:
    import git

    from bough._git import GitFailed
    from bough.definition import Definition
    from bough_cli.client import Client

FILE = "bough.yml"
PUSH_S = 600.0
FETCH_S = 600.0


@dataclass(frozen=True)
class Source:
    """A commit to run, and where it was found.

    Attributes:
        definition: bough.yml as the commit has it.
        commit: Its full id; "" where an agent has to find it: the newest of ``origin``'s branch at its URL.
        folder: Of the model, relative to the repository's root; "" is the root.
        git_dir: A repository on this machine that holds the commit.
        objects: Object folders of further ones, which hold what of it came from submodules.
        origin: ``{"url", "branch", "dirty"}`` as the coordinator stores it.
    """

    definition: Definition
    commit: str
    folder: str
    git_dir: Path
    origin: dict[str, Any]
    objects: tuple[str, ...] = ()

    def with_definition(self, definition: Definition) -> Source:
        """Return the same with another definition: the one with the settings of the command line."""
        return replace(self, definition=definition)


def find(
    place: str,
    ref: str | None = None,
    dirty: bool = False,
    folder: str | None = None,
    agree: Agree = refuse,
) -> Source:
    """Return what a directory or a URL (``URL#folder`` for a folder in it) names.

    ``agree`` is asked before more is sent than anybody would expect.

    Raises:
        UsageError: It is no repository, has no commit, is dirty, or the ref does not exist.
        DefinitionError: bough.yml is missing or wrong.
    """
    if not is_url(place):
        if folder:
            return from_directory(Path(place) / folder, ref, dirty, agree)
        return from_directory(Path(place), ref, dirty, agree)
    if dirty:
        raise UsageError(f"--dirty sends a working tree, and {place} has none here.", "Leave --dirty out.")
    url, _, fragment = place.partition("#")
    return from_url(url, ref, folder or fragment)


def is_url(place: str) -> bool:
    """Tell whether this is a URL or scp-like address and not a directory."""
    return "://" in place or (re.match(r"[\w.-]+@[\w.-]+:", place) is not None and not Path(place).exists())


def from_directory(directory: Path, ref: str | None = None, dirty: bool = False, agree: Agree = refuse) -> Source:
    """Return the source in a folder of a git repository: HEAD, another ref, or with ``dirty`` the working tree."""
    directory = _existing(directory)
    if _is_bare(directory):
        return from_url(directory.as_uri(), ref, "")
    elsewhere = _elsewhere(directory, ref, dirty)
    if elsewhere is not None:
        return elsewhere
    if ref is not None and dirty:
        raise UsageError("--ref and --dirty exclude each other: one names a commit, the other the working tree.", "")
    with _repository(directory) as repository:
        top = Path(str(repository.working_tree_dir)).resolve()
        folder = _relative(directory, top)
        following = _following(repository, directory, folder, ref, dirty)
        if following is not None:
            return following
        origin: dict[str, Any] = {"url": _origin_url(repository, top), "branch": _branch(repository, ref)}
        origin["dirty"] = False
        if ref is not None:
            commit = _resolve(repository, ref)
        else:
            commit = _head_or_snapshot(repository, directory, dirty, agree)
            origin["dirty"] = dirty and commit != repository.head.commit.hexsha
        git_dir = Path(repository.common_dir).resolve()
        definition = _definition_at(git_dir, commit, folder, directory)
        whole = completing.complete(repository, commit, dirty, agree)
    if whole.commit != commit:
        origin |= {"base": commit, "inside": list(whole.inside[:100])}
    return Source(definition, whole.commit, folder, git_dir, origin, whole.objects)


def from_url(url: str, ref: str | None, folder: str) -> Source:
    """Return the source at a URL, fetched into a bare cache of the home."""
    from bough import _git, _git_links

    _git.check_url(url, allow_file=True)
    folder = folder.strip("/")
    cache = _cache(url)
    wanted = _check_ref(ref or "HEAD", url)
    kept = f"refs/bough/fetched/{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    try:
        _git.run(
            ["fetch", "--no-tags", "--quiet", "--end-of-options", url, f"+{wanted}:{kept}"],
            git_dir=str(cache),
            timeout_s=FETCH_S,
            allow_file=True,
        )
    except _git.GitFailed as error:
        raise _fetch_failed(url, ref, error) from None
    try:
        commit = _git.resolve(str(cache), kept)
    except NotFound:  # git leaves out what would make the cache shallow too
        raise UsageError(
            f"{_git.clean(url)} is a shallow clone, and the coordinator keeps whole histories.",
            "Complete it there: git fetch --unshallow.",
        ) from None
    _git_links.check(str(cache), commit, _git.clean(url))
    origin = {"url": url, "branch": ref, "dirty": False}
    return Source(_definition_at(cache, commit, folder, None), commit, folder, cache, origin)


def push(source: Source, client: Client) -> None:
    """Bring the commit to the coordinator's repository of the model, where the agents fetch it.

    Raises:
        UsageError: The clone here is shallow.
        Unavailable, Denied: The coordinator is away, or does not accept the key.
        GitFailed: It refused the push.
    """
    from bough import _git_code

    if not source.commit:
        return  # an agent brings it
    if (source.git_dir / "shallow").exists():
        raise UsageError(
            "this clone is shallow, and the coordinator keeps whole histories.", "Run: git fetch --unshallow."
        )
    url = f"{client.url}/git/{source.definition.model}.git"
    client.get("/me")  # a wrong address or key is told in its words; git would speak of itself
    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": completing.alternates(source.objects)} if source.objects else None
    _git_code.push(str(source.git_dir), url, source.commit, client.address.key, PUSH_S, env)


def named(files: Sequence[str], shown: int = 3) -> str:
    """Return ``2 files (a, b)`` or ``7 files (a, b, c, …)``."""
    count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
    return f"{count} ({', '.join([*files[:shown], *(['…'] if len(files) > shown else [])])})"


def _elsewhere(directory: Path, ref: str | None, dirty: bool) -> Source | None:
    """Return the source where bough.yml itself names the URL of the code: an agent resolves it. Else None."""
    from bough import _git

    found = _loaded(directory, ref)
    section = {} if found is None else _git_section(found)
    if found is None or not section.get("url"):
        return None
    if dirty:
        raise UsageError(f"--dirty sends a working tree, and bough.yml takes the code from {section['url']}.", "")
    url = _git.check_url(section["url"], allow_file=True)
    origin = {"url": url, "branch": ref or section.get("branch"), "dirty": False}
    _check_ref(str(origin["branch"] or "HEAD"), url)
    return Source(found, "", str(section.get("folder") or "").strip("/"), directory, origin)


def _following(repository: git.Repo, directory: Path, folder: str, ref: str | None, dirty: bool) -> Source | None:
    """Return the source where each job takes the newest commit of this repository's branch. Else None.

    Agents fetch it from where the repository comes from, or from here where it has no origin.
    """
    found = _loaded(directory, ref)
    if found is None or not _follows(found) or not repository.head.is_valid():
        return None
    if dirty:
        raise UsageError("--dirty and follow_branch exclude each other: each job takes what is committed then.", "")
    branch = _branch(repository, ref)
    if branch is None:
        raise UsageError(
            f"follow_branch needs a branch, and {directory} has none checked out.", "Check one out, or name it: --ref."
        )
    commit = _resolve(repository, ref or "HEAD")
    top = Path(str(repository.working_tree_dir)).resolve()
    origin = {"url": _origin_url(repository, top), "branch": _check_ref(branch, str(top)), "dirty": False}
    git_dir = Path(repository.common_dir).resolve()
    return Source(_definition_at(git_dir, commit, folder, directory), "", folder, git_dir, origin)


def _loaded(directory: Path, ref: str | None) -> Definition | None:
    """Return the definition as it lies there, None without one; where a ref is meant, a broken one does not matter."""
    from bough import definition

    if not (directory / FILE).is_file():
        return None
    try:
        return definition.load(str(directory / FILE))
    except DefinitionError:
        if ref is None:
            raise
        return None


def _follows(found: Definition) -> bool:
    return found.settings.follow_branch or _git_section(found).get("follow_branch") is True


def _git_section(found: Definition) -> dict[str, Any]:
    section = found.raw.get("git") or {}
    return {"url": section} if isinstance(section, str) else dict(section)


def _existing(directory: Path) -> Path:
    if directory.name == FILE and directory.is_file():
        directory = directory.parent
    if not directory.is_dir():
        raise NotFound(f"there is no directory {directory}.", "Name a folder with a bough.yml, or a git URL.")
    return directory.resolve()


def _is_bare(directory: Path) -> bool:
    return (directory / "HEAD").is_file() and (directory / "objects").is_dir() and (directory / "refs").is_dir()


def _repository(directory: Path) -> git.Repo:
    """Open the repository around a folder.

    GitPython is told to use the git binary for objects too: its own reader knows neither SHA-256 nor new packs.
    """
    import os

    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import git

    try:
        git.refresh()
    except (ImportError, git.GitCommandNotFound):  # the second where this process has looked before
        raise UsageError("git was not found on this machine (PATH).", "Install git.") from None
    clones.around(directory)  # tells what git has against it, such as that it belongs to somebody else
    try:
        repository = git.Repo(directory, search_parent_directories=True, odbt=git.GitCmdObjectDB)
    except git.InvalidGitRepositoryError:
        raise UsageError(
            f"{directory} is not in a git repository.", "Make one: git init && git add -A && git commit -m first."
        ) from None
    if repository.working_tree_dir is None:
        repository.close()
        raise UsageError(f"{directory} is inside a bare repository.", "Name the repository itself.")
    return repository


def _relative(directory: Path, top: Path) -> str:
    folder = directory.relative_to(top).as_posix()
    return "" if folder == "." else folder


def _origin_url(repository: git.Repo, top: Path) -> str:
    """Where others find the repository: its origin without a password, else where it lies here."""
    urls = [remote.url for remote in repository.remotes if remote.name == "origin"]
    if not urls:
        return top.as_uri()
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", urls[0])


def _branch(repository: git.Repo, ref: str | None) -> str | None:
    if ref is not None:
        return ref
    return None if repository.head.is_detached else repository.active_branch.name


def _head_or_snapshot(repository: git.Repo, directory: Path, dirty: bool, agree: Agree) -> str:
    """Return the commit to send for a working tree: HEAD, or with ``dirty`` one of the tree as it is."""
    if not repository.head.is_valid():
        raise _no_head(repository, directory)
    _check_file(directory)
    if dirty:
        return snapshot.commit(repository, agree)
    changed = snapshot.changes(repository)
    if changed:
        raise UsageError(
            f"{directory} has uncommitted changes in {named(changed)}.",
            "Commit them, or start with --dirty to send the working tree.",
        )
    return str(repository.head.commit.hexsha)


def _no_head(repository: git.Repo, directory: Path) -> UsageError:
    """Return the error for a HEAD that is no commit: there is none yet, or it cannot be read any more."""
    from bough import _git

    try:
        named = _git.run(["rev-parse", "--verify", "--quiet", "HEAD"], git_dir=str(repository.git_dir)).decode()
    except _git.GitFailed:
        return UsageError(
            f"the repository of {directory} has no commit yet.", "Make one: git add -A && git commit -m first."
        )
    return UsageError(
        f"the repository of {directory} is damaged: its commit {named[:12]} cannot be read.",
        "See what is missing: git fsck. Then fetch it, or clone the repository again.",
    )


def _check_file(directory: Path) -> None:
    """Read the file as it lies there first: a mistake in it is better heard of before it is committed."""
    from bough import definition

    if not (directory / FILE).is_file():
        raise _no_file(str(directory))
    definition.load(str(directory / FILE))


def _no_file(where: str) -> DefinitionError:
    return DefinitionError(
        f"there is no bough.yml in {where}.", "Name the folder that holds one, or make it: bough init."
    )


def _resolve(repository: git.Repo, ref: str) -> str:
    from bough import _git

    try:
        return _git.resolve(str(repository.git_dir), _check_ref(ref, str(repository.working_tree_dir)))
    except NotFound:
        raise _no_ref(ref, str(repository.working_tree_dir)) from None


def _no_ref(ref: str, where: str) -> UsageError:
    return UsageError(f"the ref {ref} does not exist in {where}.", "Name a branch, a tag or a commit that does.")


def _check_ref(ref: str, where: str) -> str:
    """A ref that git could read as an option or a refspec is none."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./@{}~^+-]*", ref) or ".." in ref:
        raise _no_ref(repr(ref), where)
    return ref


def _cache(url: str) -> Path:
    from bough import _git

    cache = home.folder("sources") / f"{hashlib.sha256(url.encode()).hexdigest()[:20]}.git"
    if not (cache / "HEAD").exists():
        _git.run(["init", "--quiet", "--bare", str(cache)])
    return cache


def _fetch_failed(url: str, ref: str | None, error: GitFailed) -> UsageError:
    if ref is not None and "find remote ref" in error.stderr:
        return _no_ref(ref, url)
    if "find remote ref HEAD" in error.stderr:
        return UsageError(f"the repository {url} has no commit yet.", "Push one, or name a branch with --ref.")
    return UsageError(f"{url} cannot be fetched: {error.what}", error.do or f"Check it with: git ls-remote {url}")


def _definition_at(git_dir: Path, commit: str, folder: str, directory: Path | None) -> Definition:
    """Return the definition that a commit holds; its errors name the file as the user knows it."""
    from bough import _git, definition

    path = f"{folder}/{FILE}" if folder else FILE
    try:
        text = _git.run(["cat-file", "blob", f"{commit}:{path}"], git_dir=str(git_dir))
    except _git.GitFailed:
        where = f"{folder or 'the root'} of commit {commit[:7]}"
        if _lists(git_dir, commit, path):
            raise UsageError(
                f"the repository is damaged: {FILE} in {where} cannot be read.",
                "See what is missing: git fsck. Then fetch it, or clone the repository again.",
            ) from None
        raise _no_file(where) from None
    shown = str(directory / FILE) if directory else f"{path} of commit {commit[:7]}"
    try:
        return definition.loads(text.decode("utf-8-sig"), shown)
    except UnicodeDecodeError:
        raise DefinitionError("the file is not UTF-8.", "Save it as UTF-8.", shown) from None


def _lists(git_dir: Path, commit: str, path: str) -> bool:
    """Tell whether a commit names a file, whether or not its content can be read."""
    from bough import _git

    try:
        return bool(_git.run(["ls-tree", "-z", "--full-tree", commit, "--", path], git_dir=str(git_dir)))
    except _git.GitFailed:
        return True
