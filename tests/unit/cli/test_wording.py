"""Numbers, times, options and values as the terminal shows and reads them."""

from __future__ import annotations

import click
import pytest

from bough.definition import loads
from bough.errors import UsageError
from bough_cli import fixing, options, source, wording

DEFINITION = loads("""\
model: me/small
command: python train.py
hyperparameters:
  lr: 0.1
  layers: 2
  optimizer:
    type: choice_group
    default: sgd
    choices:
      sgd: {momentum: 0.9}
      adam: {beta: 0.99}
""")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.1 + 0.2, "0.3"), (1e-7, "1e-07"), (True, "true"), (12345678, "12345678"), ("nan", "nan")],
)
def test_a_number_is_short(value: object, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3601, "1 h 0 min")],
)
def test_a_duration_has_its_units(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5 h", 5400), ("1d", 86400)]
)
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert options.Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["10", "ten", "", "0s", "-1s", "10 minutes", "5s3"])
def test_a_time_without_unit_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no time\. Write the unit: 90s, 10m or 1h30m"):
        options.Duration().convert(text, None, None)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert options.split_parameters(["a=b=c", "x="]) == {"a": "b=c", "x": ""}


def test_values_of_an_optimization_may_lie_on_a_branch_that_the_search_chooses() -> None:
    assert fixing.typed(DEFINITION, {"lr": "1e-3", "optimizer.adam.beta": "0.9"}) == {
        "lr": 0.001,
        "optimizer.adam.beta": 0.9,
    }
    with pytest.raises(UsageError, match=r"layrs.*layers"):
        fixing.typed(DEFINITION, {"layrs": "3"})


def test_values_of_one_job_must_matter_to_it() -> None:
    given = {"optimizer": "adam", "optimizer.adam.beta": "0.5"}

    assert fixing.chosen(DEFINITION, given) == {"optimizer": "adam", "optimizer.adam.beta": 0.5}
    with pytest.raises(UsageError, match=r"optimizer.adam.beta is not active: optimizer is sgd"):
        fixing.chosen(DEFINITION, {"optimizer.adam.beta": "0.5"})
    with pytest.raises(UsageError, match=r"layers.*three.*not a number"):
        fixing.chosen(DEFINITION, {"layers": "three"})


@pytest.mark.parametrize("place", ["https://example.org/a/b.git", "file:///a", "git@example.org:a/b.git", "ssh://h/a"])
def test_urls_are_told_from_directories(place: str) -> None:
    assert source.is_url(place)


@pytest.mark.parametrize("place", [".", "a/b", "/a/b", "a:b", "me@home"])
def test_directories_are_told_from_urls(place: str) -> None:
    assert not source.is_url(place)


def test_files_are_counted_and_the_first_are_named() -> None:
    assert source.named(["a"]) == "1 file (a)"
    assert source.named(["a", "b", "c", "d"]) == "4 files (a, b, c, …)"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m\n", b"\x1b[1;31mred\x1b[0m\n"),
        (b"10%\r20%\b\b", b"10%\r20%\b\b"),
        (b"\x1b]0;owned\x07", b"]0;owned"),
        (b"\x1b[2J\x1b[H", b"[2J[H"),
        (b"\x1b]52;c;cm0gLXJm\x1b\\", b"]52;c;cm0gLXJm\\"),
        ("\x9b31m é".encode(), "31m é".encode()),
        (b"\x1b", b""),
    ],
)
def test_a_log_on_a_terminal_may_colour_but_not_steer(said: bytes, shown: bytes) -> None:
    assert wording.harmless_log(said) == shown


def test_what_the_coordinator_says_cannot_steer_a_terminal() -> None:
    said = {"message": "\x1b]0;x\x07a\u202eb", "values": ["\x9b31m", {"k\x1b": 1.5}], "text": "a\n\tü"}

    assert wording.harmless(said) == {"message": " ]0;x a b", "values": [" 31m", {"k ": 1.5}], "text": "a\n\tü"}
