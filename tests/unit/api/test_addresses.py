"""What a coordinator says of where it can be reached."""

from __future__ import annotations

import socket

from bough_server.app import _elsewhere, url_of


def test_a_coordinator_for_other_machines_says_the_address_to_use_there() -> None:
    here = url_of("0.0.0.0", 8400)

    assert here == "http://127.0.0.1:8400"
    assert _elsewhere("0.0.0.0", here) == f"; on other machines: http://{socket.gethostname()}:8400"


def test_a_coordinator_for_this_machine_alone_names_no_other_address() -> None:
    assert _elsewhere("127.0.0.1", url_of("127.0.0.1", 8400)) == ""
