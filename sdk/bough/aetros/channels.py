"""AETROS's channels: `send` as scripts of 2016 to 2018 wrote it."""

from __future__ import annotations

import math

from bough._channel import Channel


class JobChannel:
    """A channel as `JobBackend.create_channel` returns it."""

    NUMBER = "number"
    TEXT = "text"
    IMAGE = "image"

    def __init__(self, channel: Channel) -> None:
        self.name = channel.name
        self.traces = channel.traces
        self._channel = channel

    def send(self, x: object, y: object) -> None:
        """Report one point. What is no number, or not one value per trace, is left out and said in the log."""
        self._channel.send(_natural(x), y if self._channel.type != Channel.NUMBER else _listed(y))


class JobLossChannel:
    """A channel with the traces training and validation."""

    def __init__(self, channel: JobChannel) -> None:
        self.name = channel.name
        self._channel = channel

    def send(
        self, x: object, training: object = None, validation: object = None,
        training_loss: object = None, validation_loss: object = None,
    ) -> None:  # fmt: skip
        """Report both losses at x. The longer names are those of AETROS up to 0.13; a missing loss is NaN."""
        first = training_loss if training is None else training
        second = validation_loss if validation is None else validation
        self._channel.send(x, [math.nan if value is None else value for value in (first, second)])


def _natural(value: object) -> object:
    """Return the number that a text holds, as scripts sent numbers in quotes; anything else as it is."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _listed(y: object) -> object:
    return [_natural(value) for value in y] if isinstance(y, (list, tuple)) else _natural(y)
