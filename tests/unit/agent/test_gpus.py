"""What `nvidia-smi` prints, as recorded from machines, and which of it --gpus means."""

from __future__ import annotations

import pytest

from bough.errors import UsageError
from bough_agent import gpus
from bough_agent.gpus import Gpu

TABLE = """\
0, NVIDIA H200, 143771, 517, 37
1, NVIDIA A100-SXM4-80GB, 81920, 0, [N/A]
not a row
"""
MIB = 1 << 20


def test_its_table_is_understood_and_what_is_none_of_it_left_out() -> None:
    assert gpus.read(TABLE) == [
        Gpu(0, "NVIDIA H200", 143771 * MIB, 517 * MIB, 37.0),
        Gpu(1, "NVIDIA A100-SXM4-80GB", 81920 * MIB, 0, None),
    ]


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [("all", [0, 1]), ("none", []), ("0", []), ("1", [0]), ("2", [0, 1]), ("1,", [1]), ("1,0", [0, 1])],
)
def test_each_way_to_choose(wanted: str, indexes: list[int]) -> None:
    assert [gpu.index for gpu in gpus.choose(gpus.read(TABLE), wanted)] == indexes


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("some", "--gpus 'some' is not understood. Use all, none, a number of GPUs, or a list: 0,1."),
        ("3", "there are no 3 GPUs. This machine has 2: 0, 1."),
        ("0,7", "there is no GPU 7. This machine has 2: 0, 1."),
    ],
)
def test_what_is_not_there_is_said(wanted: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        gpus.choose(gpus.read(TABLE), wanted)

    assert str(caught.value) == sentence


def test_a_machine_without_the_program_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert gpus.look() == []
