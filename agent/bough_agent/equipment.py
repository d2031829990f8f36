"""What a job is handed beside its code: its GPUs, the data it asked for, the environment made for it.

=======================  =====================================================================================
``CUDA_VISIBLE_DEVICES``   the GPUs that are its own, in PCI order; ``-1`` where the agent lets jobs use none. A job
                         that asks for none is shown those that the agent shares out
``BOUGH_DATA``           a folder with a link to each data set, by its name
``BOUGH_DATA_<NAME>``    where one lies: ``imagenet-mini`` is BOUGH_DATA_IMAGENET_MINI
``OMP_NUM_THREADS``      the CPUs that it asked for, rounded up, unless its own ``env:`` says otherwise
=======================  =====================================================================================
"""

from __future__ import annotations

import math
import os
from collections.abc import MutableMapping
from pathlib import Path

from bough import _layout
from bough.errors import BoughError
from bough_agent.messages import Claim
from bough_agent.offers import Offers


class DataMissing(BoughError):
    """A data set that this agent had offered is gone."""

    code = "infra"


def variables(claim: Claim, gpus: tuple[int, ...], offers: Offers, data: Path | None) -> dict[str, str]:
    """Return the variables that say what the job has; ``data`` is the folder that `link` made."""
    env = {}
    visible = gpus or tuple(gpu.index for gpu in offers.gpus)
    if gpus or offers.manages_gpus:
        env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, visible)) or "-1"}
    if claim.needs.get("cpu") and "OMP_NUM_THREADS" not in claim.env:
        env["OMP_NUM_THREADS"] = str(math.ceil(claim.needs["cpu"]))
    if data is not None:
        env[_layout.DATA] = str(data)
    for name in claim.needs.get("data", ()):
        env[f"{_layout.DATA}_{name.upper().replace('-', '_')}"] = str(offers.data[name])
    return env


def link(claim: Claim, offers: Offers, folder: Path) -> Path | None:
    """Make the folder with links to the data that the job asked for, in that of its attempt; None if it asked for none.

    Raises:
        DataMissing: Some of it is not there any more: another agent may have it.
        OSError: It cannot be made.
    """
    names = claim.needs.get("data", ())
    if not names:
        return None
    place = folder / "data"
    place.mkdir()
    for name in names:
        if name not in offers.data or not offers.data[name].exists():
            raise DataMissing(
                f"the data {name} is not on this machine any more.", f"Give it again: --data {name}=/path."
            )
        (place / name).symlink_to(offers.data[name])
    return place


def activate(env: MutableMapping[str, str], bin_folder: Path) -> None:
    """Let the job find the programs of a virtual environment first."""
    env["VIRTUAL_ENV"] = str(bin_folder.parent)
    env["PATH"] = os.pathsep.join([str(bin_folder), env.get("PATH", os.defpath)])
