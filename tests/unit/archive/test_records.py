"""What a record is made of, without git."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough_server.archive.http_backend import parse
from bough_server.archive.records import (
    RecordData,
    channel_csv,
    channel_file_name,
    finite,
    job_ref,
    json_file,
    number_text,
    stream,
)
from bough_server.archive.repositories import is_name


def test_the_ref_of_a_trial_sorts_by_its_number() -> None:
    assert job_ref("p7tq2m4x", 7, "k3f9a2bq") == "refs/bough/jobs/p7tq2m4x/0007-k3f9a2bq"
    assert job_ref(None, None, "k3f9a2bq") == "refs/bough/jobs/manual/0000-k3f9a2bq"


def test_the_same_data_gives_the_same_stream_whatever_the_order_of_the_files() -> None:
    one = RecordData("refs/bough/jobs/a/0001-b", "0" * 40, 12.7, "m", {"a": b"1", "b": b"2"})
    other = RecordData("refs/bough/jobs/a/0001-b", "0" * 40, 12.7, "m", {"b": b"2", "a": b"1"})

    assert stream([one]) == stream([other])


def test_what_the_code_has_below_dot_bough_is_deleted_before_anything_is_written() -> None:
    text = stream([RecordData("refs/x", "0" * 40, 0.0, "m", {"job.json": b"{}"})])

    assert text.index(b"D .bough\n") < text.index(b"M 100644")


@given(st.floats())
def test_a_number_reads_back_as_the_same_bits(value: float) -> None:
    again = float(number_text(value))

    assert again == value or (math.isnan(again) and math.isnan(value))
    assert math.copysign(1, again) == math.copysign(1, value) or math.isnan(value)


@given(st.sets(st.text(min_size=1, max_size=300), min_size=2, max_size=5))
def test_any_name_of_a_channel_is_one_file_of_its_own(names: set[str]) -> None:
    files = {channel_file_name(name) for name in names if name.encode("utf-8", "replace").decode() == name}

    assert all("/" not in file and len(file.encode()) < 255 and file not in (".", "..") for file in files)
    assert all(not file.startswith(".") for file in files)
    assert len(files) == len({name for name in names if name.encode("utf-8", "replace").decode() == name})


def test_json_of_a_record_holds_no_number_that_json_does_not_have() -> None:
    assert finite({"a": [math.nan, math.inf, (-math.inf, 1)]}) == {"a": ["nan", "inf", ["-inf", 1]]}
    assert json_file({"b": math.nan, "a": 1}) == b'{\n  "b": "nan",\n  "a": 1\n}\n'


def test_a_channel_is_a_table_of_its_points() -> None:
    columns: list[list[Any]] = [[1.0, 2.0], [5.25, 6.0], [0.5, math.nan], ["a,b", 'say "x"'], [False, True]]

    text = channel_csv(["loss", "note"], columns)

    assert text == b'x,time,loss,note,overrun\n1,5.25,0.5,"a,b",0\n2,6,nan,"say ""x""",1\n'


@pytest.mark.parametrize("name", ["a", "A-1", "x.y_z", "0" * 64], ids=["short", "dash", "dot", "long"])
def test_a_plain_name_may_be_a_folder(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "a..b", "a.git", "a.lock", "a.", "a/b", "a b", "a\n", "ä", "0" * 65, "a\0"]
)
def test_a_name_that_could_mislead_is_refused(name: str) -> None:
    assert not is_name(name)


def test_only_routes_of_the_smart_protocol_are_known() -> None:
    found = parse("GET", "/me/digits.git/info/refs", "service=git-receive-pack")

    assert found is not None
    assert (found.model, found.is_push, found.route) == ("me/digits", True, "info/refs")
    for method, path, query in [
        ("GET", "/me/digits.git/info/refs", ""),
        ("GET", "/me/digits.git/info/refs", "service=git-upload-archive"),
        ("GET", "/me/digits.git/HEAD", ""),
        ("GET", "/me/digits.git/objects/info/packs", ""),
        ("GET", "/me/digits.git/git-upload-pack", ""),
        ("POST", "/me/digits.git/info/refs", "service=git-upload-pack"),
        ("PUT", "/me/digits.git/git-receive-pack", ""),
        ("GET", "/a/b/c.git/info/refs", "service=git-upload-pack"),
    ]:
        assert parse(method, path, query) is None, (method, path, query)
