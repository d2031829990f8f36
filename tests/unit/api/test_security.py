"""Decisions of the door that need no server."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from bough.errors import Denied, Forbidden, UsageError
from bough_server.api.events import message
from bough_server.api.page import Page
from bough_server.api.security import (
    Failures,
    Sessions,
    TooManyAttempts,
    bearer,
    check_same_origin,
    cookie_value,
    host_name,
)
from bough_server.app import is_loopback, own_names, refuse_exposure, url_of


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_a_link_opens_one_session_and_then_no_more() -> None:
    sessions = Sessions(b"secret", Time())
    code = sessions.link("k1")

    cookie = sessions.redeem(code)

    assert sessions.key_id(cookie) == "k1"
    with pytest.raises(Denied, match=r"this link was used or is older than 10 minutes\. Get a fresh one"):
        sessions.redeem(code)


@pytest.mark.parametrize(("later_s", "good"), [(599.0, True), (600.0, False)])
def test_a_link_is_good_for_ten_minutes(later_s: float, good: bool) -> None:
    now = Time()
    sessions = Sessions(b"secret", now)
    code = sessions.link("k1")
    now.at += later_s

    if good:
        assert sessions.redeem(code)
    else:
        with pytest.raises(Denied, match="older than 10 minutes"):
            sessions.redeem(code)


def test_a_session_ends_after_thirty_days_and_survives_a_restart_until_then() -> None:
    now = Time()
    before = Sessions(b"secret", now)
    cookie = before.redeem(before.link("k1"))
    again = Sessions(b"secret", now)

    assert again.key_id(cookie) == "k1"
    now.at += 30 * 24 * 3600
    assert again.key_id(cookie) is None


@pytest.mark.parametrize("change", ["x", "k2", "", ".."])
def test_a_forged_cookie_opens_nothing(change: str) -> None:
    sessions = Sessions(b"secret", Time())
    content, _, signature = sessions.redeem(sessions.link("k1")).rpartition(".")

    assert sessions.key_id(f"{content.replace('k1', change)}.{signature}") is None
    assert sessions.key_id(change) is None
    assert sessions.key_id(f"{content}.{'0' * 64}") is None


def test_ten_wrong_keys_a_minute_and_no_more() -> None:
    now = Time()
    failures = Failures(now)
    for _ in range(10):
        failures.note("10.0.0.1")

    with pytest.raises(TooManyAttempts, match="Wait a minute") as refused:
        failures.note("10.0.0.1")

    assert refused.value.status == 429
    assert refused.value.retry_after_s == 60.0
    failures.note("10.0.0.2")
    now.at += 60.0
    failures.note("10.0.0.1")


def test_a_key_comes_as_bearer_or_as_password_of_basic_authentication() -> None:
    basic = base64.b64encode(b"any:bough_x").decode()

    assert bearer("Bearer bough_x") == "bough_x"
    assert bearer(f"Basic {basic}") == "bough_x"
    assert bearer("Basic %%%") == ""
    assert bearer("") is None


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"host": "localhost:1", "origin": "http://localhost:1", "sec-fetch-site": "same-origin"}, True),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, True),
        ({"host": "localhost:1"}, False),
        ({"host": "localhost:1", "origin": "null"}, False),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, False),
        ({"host": "localhost:1", "origin": "http://evil"}, False),
        ({"host": "localhost:1", "origin": "http://localhost:1", "sec-fetch-site": "cross-site"}, False),
        ({"host": "localhost:1", "origin": "http://localhost:1", "sec-fetch-site": "same-site"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_only_our_own_page_may_change_things_with_a_cookie(headers: dict[str, str], good: bool) -> None:
    if good:
        check_same_origin(headers)
    else:
        with pytest.raises(Forbidden, match="came from another site's page"):
            check_same_origin(headers)


def test_names_of_hosts_are_read_without_port_and_brackets() -> None:
    assert [host_name(host) for host in ("LocalHost:80", "[::1]:80", "10.0.0.1", "")] == [
        "localhost",
        "::1",
        "10.0.0.1",
        "",
    ]


def test_a_cookie_is_found_among_others() -> None:
    assert cookie_value("a=1; bough_x=v.1; b=2", "bough_x") == "v.1"
    assert cookie_value("a=1", "bough_x") is None
    assert cookie_value(";;;=", "bough_x") is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org"])
def test_beyond_this_machine_plain_http_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match=r"reachable from other machines.* --allow-plain-http\."):
        refuse_exposure(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_on_this_machine_plain_http_is_fine(host: str) -> None:
    refuse_exposure(host)

    assert is_loopback(host)
    assert own_names(host) == (frozenset((host,)), False)


def test_the_url_is_one_that_works_from_here() -> None:
    assert url_of("127.0.0.1", 1) == "http://127.0.0.1:1"
    assert url_of("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert url_of("::1", 1) == "http://[::1]:1"


def test_an_event_is_one_line_of_data_whatever_it_holds() -> None:
    assert message(3, "job", {"text": "a\nb"}) == b'id: 3\nevent: job\ndata: {"text":"a\\nb"}\n\n'


def test_the_import_map_is_allowed_by_its_hash_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.js").write_text("1")
    (tmp_path / "index.html").write_text('<script type="importmap">{"imports": {}}</script>')

    page = Page(tmp_path)

    # printf '{"imports": {}}' | openssl dgst -sha256 -binary | base64
    assert "script-src 'self' 'sha256-CJt/FpW3RQlGvqBeO/YK74xrTm1ctS6rLMJu1bV4fMc='" in page.policy()
    assert "unsafe" not in page.policy()
    assert page.answer("app/main.js", None) is not None
    assert page.answer("../index.html", None) is None


def test_without_its_libraries_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    answer = Page(tmp_path).answer("index.html", None)

    assert answer is not None
    assert b"installed without its page. Install it again without BOUGH_SKIP_WEB" in bytes(answer.body)


def test_a_browser_that_unpacks_gets_the_page_packed_and_the_same(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "vendor").mkdir()
    (tmp_path / "index.html").write_text("<p>hello</p>")
    (tmp_path / "app" / "main.js").write_text("// a line\n" * 1000)

    packed = Page(tmp_path).answer("app/main.js", None, accepts_gzip=True)
    plain = Page(tmp_path).answer("app/main.js", None)
    small = Page(tmp_path).answer("index.html", None, accepts_gzip=True)

    assert packed is not None
    assert plain is not None
    assert small is not None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(bytes(packed.body)) == bytes(plain.body)
    assert len(packed.body) < len(plain.body) / 10
    assert "Content-Encoding" not in small.headers
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Vary"] == "Accept-Encoding"
