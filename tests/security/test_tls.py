"""TLS: the coordinator's own certificate, recognized by its fingerprint, by every program that connects (S30, S46)."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tests.integration.api.running import Running, running
from tests.integration.recorded.conftest import Place

from bough import _git, _trust
from bough.errors import Denied, Unavailable, UsageError
from bough_agent.link import Link
from bough_cli import client as clients
from bough_cli.recorded import push_recorded
from bough_cli.records import transfer
from bough_cli.records.transfer import Other
from bough_server import tls
from bough_server.app import certificate_of
from bough_server.config import Config

pytest.importorskip("cryptography", reason="it comes with bough[server]")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A coordinator that speaks TLS with a certificate of its own."""
    with running(Config(tmp_path_factory.mktemp("home") / "coordinator", port=0, tls=True)) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of somebody who never connected."""
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(_trust, "_known", {})
    return tmp_path / "user"


def pinned(secured: Running) -> str:
    return f"{secured.url}#{tls.fingerprint(secured.home / 'tls.pem')}"


def test_without_the_fingerprint_nobody_connects(secured: Running, home: Path) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secured.url}/api/v1/health", timeout=5)
    with pytest.raises(Unavailable, match=r"the certificate of .* is none that is trusted here\. Use the whole"):
        clients.Client(clients.Address(clients.check_address(secured.url), secured.admin, "")).get("/me")
    with pytest.raises(Unavailable, match="is none that is trusted here"):
        Link(secured.url, secured.admin).register({})
    with pytest.raises(_git.GitFailed, match=r"(?i)certificate"):
        _git.run(["ls-remote", f"{secured.url}/git/me/digits.git"], token=secured.admin)


def test_with_the_fingerprint_the_command_line_the_agent_and_git_connect(secured: Running, home: Path) -> None:
    url = clients.check_address(pinned(secured))

    assert url == secured.url
    assert clients.Client(clients.Address(url, secured.admin, "")).get("/me")["scope"] == "admin"
    assert Link(url, secured.admin).register({"name": "a", "slots": 1, "epoch": "e"})["agent_id"]
    _git.run(["ls-remote", "--heads", f"{url}/git/me/digits.git"], token=secured.admin)


def test_records_and_runs_by_hand_are_brought_over_tls(secured: Running, home: Path, tmp_path: Path) -> None:
    """Each of them speaks git with the coordinator in a way of its own."""
    url = clients.check_address(pinned(secured))
    clone = str(tmp_path / "clone.git")
    _git.run(["init", "--quiet", "--bare", clone])
    folder = Place(tmp_path / "work").run()

    with clients.Client(clients.Address(url, secured.admin, "")) as client:
        reply = push_recorded(folder, client)
    other = Other(f"{url}/git/me/alone.git", url, secured.admin, True)
    brought = transfer.pull(clone, other, None, lambda *_: None)

    assert reply["state"] == "DONE"
    assert brought.kept == ()


def test_a_certificate_that_was_trusted_once_needs_no_fingerprint(
    secured: Running, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.check_address(pinned(secured))
    monkeypatch.setattr(_trust, "_known", {})  # the next command

    url = clients.check_address(secured.url)

    assert clients.health_of(url) is not None
    kept = list((home / "trusted").iterdir())
    assert [path.suffix for path in kept] == [".pem"]


def test_another_certificate_than_the_one_named_is_refused(secured: Running, home: Path) -> None:
    wrong = f"{secured.url}#{'0' * 64}"

    with pytest.raises(Denied, match=r"shows another certificate than the one in its address\. Copy"):
        clients.check_address(wrong)

    assert not (home / "trusted").exists()


def test_a_name_that_the_certificate_does_not_have_is_refused(secured: Running, home: Path) -> None:
    """The certificate is trusted, but not for every name that leads to it."""
    clients.check_address(pinned(secured))
    port = secured.url.rpartition(":")[2]
    context = ssl.create_default_context(cafile=_trust.authority_for(secured.url))

    with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="elsewhere.example")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://host:8400#abc", "what stands behind # in the coordinator's address is no fingerprint"),
        ("http://host:8400#" + "0" * 64, "is no fingerprint"),
        ("https://127.0.0.1:1#" + "0" * 64, r"cannot be reached over TLS \(Connection refused\)"),
    ],
)
def test_an_address_that_cannot_be_is_one_sentence(home: Path, address: str, said: str) -> None:
    with pytest.raises((UsageError, Unavailable), match=said):
        clients.check_address(address)


def test_the_certificate_stays_and_its_key_is_private(secured: Running, tmp_path: Path) -> None:
    config = Config(tmp_path, tls=True, tls_names=("gpu0.example", "10.1.2.3"))

    first = certificate_of(config)
    assert first is not None
    before = tls.fingerprint(first[0])

    assert certificate_of(config) == first
    assert tls.fingerprint(first[0]) == before
    assert {os.stat(path).st_mode & 0o077 for path in first} == {0}
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(first[0]), "-noout", "-text"], capture_output=True, text=True, timeout=20
    ).stdout
    for name in ("DNS:gpu0.example", "IP Address:10.1.2.3", "DNS:localhost", "IP Address:127.0.0.1"):
        assert name in shown


def test_a_certificate_of_ones_own_choice_is_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        tls.ensure_certificate(folder, frozenset(), 1.7e9)

    good = Config(tmp_path, tls=True, tls_cert=one / "tls.pem", tls_key=one / "tls.key")
    mixed = Config(tmp_path, tls=True, tls_cert=one / "tls.pem", tls_key=other / "tls.key")

    assert certificate_of(good) == (one / "tls.pem", one / "tls.key")
    with pytest.raises(UsageError, match=r"cannot be used with the key .*Give PEM files that belong together"):
        certificate_of(mixed)
    with pytest.raises(UsageError, match="a certificate and its key belong together"):
        Config(tmp_path, tls=True, tls_cert=one / "tls.pem")
    with pytest.raises(UsageError, match="holds no certificate"):
        tls.fingerprint(one / "tls.key")


def test_the_cookie_of_the_page_travels_only_encrypted(secured: Running) -> None:
    verify = str(secured.home / "tls.pem")
    with requests.Session() as session:
        headers = {"Authorization": f"Bearer {secured.admin}"}
        made = session.post(f"{secured.url}/api/v1/login-links", headers=headers, verify=verify, timeout=10)
        reply = session.get(secured.url + made.json()["url"], verify=verify, timeout=10, allow_redirects=False)

    assert "Secure" in reply.headers["Set-Cookie"]


def test_old_protocols_are_not_spoken(secured: Running) -> None:
    port = secured.url.rpartition(":")[2]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_1"],
        input=b"",
        capture_output=True,
        timeout=20,
    )

    assert done.returncode != 0
