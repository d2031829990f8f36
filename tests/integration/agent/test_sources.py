"""Models by URL, as an agent fetches them: with real git, and every way in which that may fail."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.agent.conftest import Repository

from bough import _git
from bough_agent.sources import Sources, Unresolved, _explained

MODEL = "/me/model.git"


def git(place: Path, *args: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return _git.run([*who, *args], cwd=str(place), allow_file=True).decode().strip()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A repository of somebody, with a branch, a tag and a subfolder."""
    place = tmp_path / "else where"
    _git.run(["init", "-q", "-b", "main", str(place)])
    (place / "models").mkdir()
    (place / "models" / "train.py").write_text("1\n")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "first")
    git(place, "commit", "-q", "--allow-empty", "-m", "second")
    git(place, "tag", "-a", "v1", "-m", "one")
    git(place, "branch", "other")
    git(place, "commit", "-q", "--allow-empty", "-m", "third")
    return place


def sources(tmp_path: Path, repository: Repository, *allowed: Path, url: str | None = None) -> Sources:
    coordinator = url or repository.bare.parents[1].as_uri()
    return Sources(tmp_path / "sources", coordinator, None, allowed, allow_file=True)


def test_a_branch_a_tag_and_the_head_are_found_and_brought_to_the_coordinator(
    tmp_path: Path, repository: Repository, elsewhere: Path
) -> None:
    found = sources(tmp_path, repository)
    url = elsewhere.as_uri()

    head, branch, tag = (found.resolve(MODEL, url, ref) for ref in (None, "other", "v1"))

    assert head == git(elsewhere, "rev-parse", "HEAD")
    assert branch == tag == git(elsewhere, "rev-parse", "v1^{commit}")
    assert found.resolve(MODEL, url, head) == head
    for commit in (head, branch):
        assert _git.resolve(str(repository.bare), f"refs/bough/code/{commit}") == commit
    git(elsewhere, "commit", "-q", "--allow-empty", "-m", "third")
    assert found.resolve(MODEL, url, "main") == git(elsewhere, "rev-parse", "HEAD")


def test_a_repository_that_was_used_long_ago_goes_and_is_fetched_again(
    tmp_path: Path, repository: Repository, elsewhere: Path
) -> None:
    found = sources(tmp_path, repository)
    head = found.resolve(MODEL, elsewhere.as_uri(), None)
    now = time.time()

    found.prune(now + 29 * 86400)
    assert len(list((tmp_path / "sources").glob("*.git"))) == 1
    found.prune(now + 3600, max_bytes=1)
    assert len(list((tmp_path / "sources").glob("*.git"))) == 1, "used today"
    found.prune(now + 2 * 86400, max_bytes=1)
    assert list((tmp_path / "sources").glob("*.git")) == []
    assert found.resolve(MODEL, elsewhere.as_uri(), None) == head
    found.prune(now + 31 * 86400)
    assert list((tmp_path / "sources").glob("*.git")) == []


@pytest.mark.parametrize("ref", ["--upload-pack=touch x", "-h", "a b", "", "a..b", "a:b", "+main", "refs/heads/*"])
def test_a_ref_that_is_none_never_reaches_git(
    tmp_path: Path, repository: Repository, elsewhere: Path, ref: str
) -> None:
    with pytest.raises(Unresolved, match="is no name of a branch or tag"):
        sources(tmp_path, repository).resolve(MODEL, elsewhere.as_uri(), ref)


def test_what_is_not_there_is_named(tmp_path: Path, repository: Repository, elsewhere: Path) -> None:
    found = sources(tmp_path, repository)
    _git.run(["init", "-q", str(tmp_path / "empty")])

    with pytest.raises(Unresolved, match=r"there is no branch or tag nope in file:///.*Correct it, or push it there"):
        found.resolve(MODEL, elsewhere.as_uri(), "nope")
    with pytest.raises(Unresolved, match=r"empty has no commit yet\. Push one"):
        found.resolve(MODEL, (tmp_path / "empty").as_uri(), None)
    with pytest.raises(Unresolved, match=r"there is no repository .*nowhere on this machine"):
        found.resolve(MODEL, (tmp_path / "nowhere").as_uri(), None)
    with pytest.raises(Unresolved, match=r"git URL ext::sh"):
        found.resolve(MODEL, "ext::sh -c touch% x", None)
    with pytest.raises(Unresolved, match=r"cannot be brought to the coordinator"):
        found.resolve("/me/not-there.git", elsewhere.as_uri(), None)


def test_files_of_this_machine_are_fetched_only_where_that_is_allowed(
    tmp_path: Path, repository: Repository, elsewhere: Path
) -> None:
    """The user's own where the coordinator is here too; else what the agent was told to allow, links followed."""
    away = "https://coordinator.example.org"
    url = elsewhere.as_uri()

    with pytest.raises(
        Unresolved, match=r"does not allow it\. Start the agent with --allow-file-repo .*, or use https"
    ):
        sources(tmp_path, repository, url=away).resolve(MODEL, url, None)
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(elsewhere)
    link = (tmp_path / "allowed" / "link").as_uri()
    with pytest.raises(Unresolved, match="does not allow it"):
        sources(tmp_path, repository, tmp_path / "allowed", url=away).resolve(MODEL, link, None)
    with pytest.raises(Unresolved, match="cannot be brought to the coordinator"):  # so far, that is, it is allowed
        sources(tmp_path, repository, elsewhere, url="http://127.0.0.1:9").resolve(MODEL, url, None)


def test_a_repository_of_another_user_is_not_this_users(
    tmp_path: Path, repository: Repository, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)

    with pytest.raises(Unresolved, match=r"belongs to another user, and this agent does not allow it"):
        sources(tmp_path, repository).resolve(MODEL, elsewhere.as_uri(), None)


def test_submodules_lfs_and_shallow_clones_are_refused_with_what_to_do(
    tmp_path: Path, repository: Repository, elsewhere: Path
) -> None:
    found = sources(tmp_path, repository)
    git(elsewhere, "update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},lib")
    git(elsewhere, "commit", "-qm", "a submodule")
    with pytest.raises(Unresolved, match=r"has submodules \(lib\), which agents do not fetch"):
        found.resolve(MODEL, elsewhere.as_uri(), "main")
    (elsewhere / ".gitattributes").write_text("*.bin filter=lfs\n")
    digest = "ab" * 32
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 9\n"
    (elsewhere / "weights.bin").write_text(text)
    git(elsewhere, "checkout", "-q", "other")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-qm", "weights")
    with pytest.raises(Unresolved, match=r"Git LFS keeps elsewhere \(weights\.bin\)"):
        found.resolve(MODEL, elsewhere.as_uri(), "other")
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=v1", elsewhere.as_uri(), "shallow")
    with pytest.raises(Unresolved, match=r"shallow is a shallow clone, .* Complete it there: git fetch"):
        found.resolve(MODEL, (tmp_path / "shallow").as_uri(), None)


class _Closed(http.server.BaseHTTPRequestHandler):
    """Answers every request with a wish for a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def closed() -> Iterator[str]:
    """The address of a server that lets nobody in."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Closed)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_wants_a_password_is_named_with_what_to_do(
    tmp_path: Path, repository: Repository, closed: str
) -> None:
    with pytest.raises(Unresolved, match=r"wants authentication that this agent does not have\. Give the agent's user"):
        sources(tmp_path, repository).resolve(MODEL, f"{closed}/x.git", "main")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("fatal: unable to access 'https://h/x/': Could not resolve host: h", "the host example.org is unknown"),
        ("Host key verification failed.\nfatal: Could not read", "has not yet met the ssh host example.org"),
        ("git@h: Permission denied (publickey).", "wants authentication"),
        ("fatal: unable to access: Connection timed out", "cannot be fetched: git fetch failed"),
    ],
    ids=["host", "key", "rights", "other"],
)
def test_what_git_says_becomes_a_sentence(said: str, told: str) -> None:
    error = _git.GitFailed("git fetch failed: x.", "", 128, said)

    assert told in str(_explained("ssh://git@example.org/x.git", "main", error))
    assert told in str(_explained("git@example.org:x.git", "main", error))
