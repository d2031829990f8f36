"""How machines reach a coordinator: TLS with its own certificate or an authority's, and several behind one port.

Each with real processes: coordinators, an agent in a home of its own, a user in another, and a script that reports.
"""

from __future__ import annotations

import datetime
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.conftest import Machine, git, wait_for

BOUGH_YML = f"""\
model: me/door
command: {sys.executable} -u train.py
hyperparameters: {{x: 0.0}}
optimization:
  algorithm: random
  max_trials: 6
  max_parallel: 2
  seed: 3
  space: {{x: "uniform(-5, 5)"}}
"""
TRAIN = """\
import time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, max_optimization=False)
for step in range(1, 11):
    kpi.send(step, job.get_parameter("x") ** 2 + 1 / step)
    time.sleep(0.05)
open("weights", "wb").write(b"w" * 100_000)
job.commit_file("weights")
"""
FILES = {"bough.yml": BOUGH_YML, "train.py": TRAIN}
Repository = Callable[..., Path]


def elsewhere(machine: Machine, name: str) -> Machine:
    """Return the same machine for another user, who has a home of their own and knows nothing of the first one's."""
    home = machine.home / name
    home.mkdir()
    return replace(machine, home=home, environ={**machine.environ, "HOME": str(home), "BOUGH_HOME": str(home)})


def start_agent(machine: Machine, address: str, key: str) -> subprocess.Popen[str]:
    options = ["--coordinator", address, "--name", "one", "--slots", "2", "--home", str(machine.home / "agent")]
    options += ["--allow-file-repo", str(machine.home.parent.parent)]
    return machine.start("agent", "server", *options, BOUGH_SECURE_KEY=key)


def until_done(user: Machine, optimization: str) -> list[dict[str, Any]]:
    """Wait for the end of an optimization and return its trials."""

    def ended() -> list[dict[str, Any]]:
        ran = user.bough("job", "ls", "--optimization", optimization, "--json")
        rows: list[dict[str, Any]] = ran.json() if ran.code == 0 else []
        return rows if len(rows) == 6 and all(row["ended_at"] for row in rows) else []

    trials: list[dict[str, Any]] = wait_for(ended, 90.0, "six trials")
    assert {(row["state"], row["partial"], row["attempt"]) for row in trials} == {("DONE", False, 1)}, trials
    points = user.bough("export", optimization, "--points").out.splitlines()
    assert len(points) == 1 + 6 * 10
    return trials


def use_everything(user: Machine, place: Path) -> None:
    """Search over the connection, then bring its records into a clone, a run by hand there, and code by its URL."""
    started = user.bough("optimize", str(place), "--detach", "--json").json()
    trials = until_done(user, started["id"])
    wait_for(lambda: _pulled(user, place), 30.0, "the records")
    taken = user.bough("job", "cat", trials[0]["id"], ".bough/files/weights", cwd=place)
    assert len(taken.out) == 100_000, taken.err
    by_url = user.bough("run", place.as_uri(), "--detach", "--json")
    job = by_url.json()["id"]
    wait_for(lambda: user.bough("job", "show", job, "--json").json()["state"] == "DONE", 60.0, "the job by URL")


def _pulled(user: Machine, place: Path) -> bool:
    ran = user.bough("pull", cwd=place)
    assert ran.code == 0, ran.err
    return len(git(place, "for-each-ref", "refs/bough/jobs").splitlines()) == 6


def test_everything_goes_over_tls_with_the_coordinators_own_certificate(
    machine: Machine, repository: Repository
) -> None:
    pytest.importorskip("cryptography", reason="it comes with bough[server]")
    machine.coordinator("--tls")
    said = wait_for(lambda: re.search(r"connect to (https://\S+#[0-9a-f]{64})", machine.said(machine.daemons[0])))
    address = said[1].replace(said[1].split("//")[1].split(":")[0], "127.0.0.1", 1)
    user = elsewhere(machine, "user")

    key = machine.key("admin")

    refused = user.bough("login", address.partition("#")[0], "--key", key)
    wrong = user.bough("login", address.partition("#")[0] + "#" + "0" * 64, "--key", key)
    assert (refused.code, wrong.code) == (1, 1)
    assert "shows another certificate than the one in its address" in wrong.err
    assert "is none that is trusted here" in refused.err

    ran = user.bough("login", address, "--key", key)
    assert ran.code == 0, ran.err
    start_agent(elsewhere(machine, "gpu"), address, machine.key())
    use_everything(user, repository(FILES))
    assert "Traceback" not in "".join(path.read_text() for path in machine.home.rglob("daemon-*.log"))


def _authority(folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority and a certificate of 127.0.0.1 that it vouches for: (authority, certificate, key)."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("our authority", "127.0.0.1")]

    def signed(one: int, *extensions: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder().subject_name(names[one]).issuer_name(names[0])
        builder = builder.public_key(keys[one].public_key()).serial_number(one + 1)
        builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(9))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    found = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    for path, content in zip(found, (signed(0, x509.BasicConstraints(True, None), usage, identifier),
                                     signed(1, address, issuer), private), strict=True):  # fmt: skip
        path.write_bytes(content)
    return found


def test_everything_goes_over_tls_with_a_certificate_of_ones_own_authority(
    machine: Machine, repository: Repository, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="it comes with bough[server]")
    authority, certificate, key = _authority(tmp_path)
    url = machine.coordinator("--tls-cert", str(certificate), "--tls-key", str(key))
    stranger = elsewhere(machine, "stranger")
    assert "is none that is trusted here" in machine.bough("job", "ls").err
    machine.environ["SSL_CERT_FILE"] = str(authority)
    user = elsewhere(machine, "user")
    admin = machine.key("admin")
    by_name = url.replace("127.0.0.1", "localhost")

    assert "is one for another name. Use a name that it has" in user.bough("login", by_name, "--key", admin).err
    assert url.startswith("https://127.0.0.1:")
    assert "is none that is trusted here" in stranger.bough("login", url, "--key", admin).err
    assert user.bough("login", url, "--key", admin).code == 0
    start_agent(elsewhere(machine, "gpu"), url, machine.key())
    until_done(user, user.bough("optimize", str(repository(FILES)), "--detach", "--json").json()["id"])


def test_coordinators_behind_one_port_are_one_and_the_one_that_leads_may_be_killed(
    machine: Machine, repository: Repository, postgres: str
) -> None:
    """Connections are dealt by the kernel: agent, user and script never know with which one they speak."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = machine.home / "coordinator" / "coordinator.json"

    def start() -> subprocess.Popen[str]:
        daemon = machine.start("coordinator", "--port", str(port), "--database", postgres, "--share-port")
        wait_for(lambda: "coordinator listens on" in machine.said(daemon), 40.0, "a coordinator")
        return daemon

    leader, other = start(), start()
    url = str(json.loads(place.read_text())["url"])
    user = elsewhere(machine, "user")
    assert user.bough("login", url, "--key", machine.key("admin")).code == 0
    listening = {one.pid for one in psutil.net_connections() if one.laddr and one.laddr.port == port and not one.raddr}
    assert listening == {leader.pid, other.pid}
    agent = start_agent(machine, url, machine.key())
    optimization = user.bough("optimize", str(repository(FILES)), "--detach", "--json").json()["id"]
    wait_for(lambda: any(row["started_at"] for row in user.bough("job", "ls", "--json").json()), 30.0, "a trial")

    leader.kill()
    leader.wait()

    until_done(user, optimization)
    agent.terminate()
    agent.wait(30)
    ran = machine.bough("coordinator", "check", "--database", postgres)
    assert (ran.code, ran.out) == (0, "the store is sound\n")
