"""What an agent's loop and its conversation with the coordinator share: what is known, and what is to be shipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bough_agent import brain
from bough_agent.brain import Mind
from bough_agent.gpus import Watch
from bough_agent.messages import Json, Key
from bough_agent.offers import Offers
from bough_agent.shipping import Shipment


@dataclass
class Books:
    """One agent's.

    Attributes:
        mind: All that the brain knows.
        say: Tells the person at the console.
        step: Lets the brain take in an event, and does what it decides.
        give_up: Ends the tree of an attempt, which is then given back as lost, for this reason.
        offers: What there is for jobs.
        watch: Looks at the GPUs; None without GPUs.
        shipments: What each attempt reports, from its launch on.
        exits: How ended attempts ended, until the coordinator has all of them.
    """

    mind: Mind
    say: Callable[[str], None]
    step: Callable[[brain.Event], None]
    give_up: Callable[[Key, str], None]
    offers: Offers
    watch: Watch | None = None
    shipments: dict[Key, Shipment] = field(default_factory=dict)
    exits: dict[Key, Json] = field(default_factory=dict)
