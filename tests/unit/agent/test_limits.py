"""Which cgroup an agent divides, and what a job is kept to where it has none.

The folders here are ordinary ones with the files of a cgroup: what is written into them is what the kernel would read.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bough_agent.limits import BY_CGROUP, BY_NICE, NICE, Confinement, find

KEY = ("k3f9a2bq", 2)


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A mounted hierarchy with one unit, whose only process is this one."""
    unit = tmp_path / "system.slice" / "bough-agent.service"
    unit.mkdir(parents=True)
    (unit / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (unit / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return tmp_path


OWN = "3:cpu:/x\n0::/system.slice/bough-agent.service\n"


def test_a_delegated_cgroup_is_divided_the_agent_moves_into_a_leaf_and_each_job_gets_its_own(mount: Path) -> None:
    found = find(mount, OWN)

    unit = mount / "system.slice" / "bough-agent.service"
    assert found.description == BY_CGROUP
    assert (unit / "bough-agent" / "cgroup.procs").read_text() == str(os.getpid())
    assert (unit / "cgroup.subtree_control").read_text() == "+cpu +memory"
    limits = found.of_job(KEY, {"cpu": 1.5, "memory_bytes": 4 << 30})
    job = unit / "job-k3f9a2bq.2"
    assert limits == {"cgroup": str(job), "nice": None, "data_bytes": None, "may_gain": False}
    assert (job / "cpu.max").read_text() == "150000 100000"
    assert (job / "memory.max").read_text() == str(4 << 30)
    assert found.of_job(("other", 1), {"data": ["words"]})["cgroup"] is None


@pytest.mark.parametrize("why", ["others in it", "no controllers", "the whole machine", "version 1 alone", "not there"])
def test_what_is_not_the_agent_s_own_is_left_alone(mount: Path, why: str) -> None:
    unit, own = mount / "system.slice" / "bough-agent.service", OWN
    if why == "others in it":
        (unit / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    elif why == "no controllers":
        (unit / "cgroup.controllers").write_text("pids\n")
    elif why == "the whole machine":
        own = "0::/\n"
        (mount / "cgroup.controllers").write_text("cpu memory\n")
        (mount / "cgroup.procs").write_text(f"{os.getpid()}\n")
    elif why == "version 1 alone":
        own = "3:cpu:/x\n"
    else:
        own = "0::/elsewhere\n"

    assert find(mount, own).description == BY_NICE
    assert not list(mount.rglob("cgroup.subtree_control"))


def test_without_a_cgroup_a_job_is_nicer_and_its_data_limited_unless_it_has_gpus() -> None:
    nothing = {"cgroup": None, "nice": None, "data_bytes": None, "may_gain": False}
    here = Confinement(None)

    assert here.of_job(KEY, {}) == nothing
    assert here.of_job(KEY, {"cpu": 2, "memory_bytes": 1 << 30}) == {**nothing, "nice": NICE, "data_bytes": 1 << 30}
    assert here.of_job(KEY, {"gpu": 1, "memory_bytes": 1 << 30}) == nothing
