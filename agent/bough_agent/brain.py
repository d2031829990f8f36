"""What the agent decides, without doing any of it: ``step(mind, event) -> (mind, actions)``.

Promises, tested as properties over random histories:

* an attempt that was taken on ends exactly once: exit accepted, preparation failed, released or fenced;
* attempts that take a slot are never more than there are slots;
* an attempt is launched at most once, and not after it was fenced or released.

Nothing here reads a clock, a file or a socket. Whatever the agent wants to tell the coordinator waits in
``mind.outbox`` until a sync that carried it was answered, because a sync may have to be sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from bough_agent import shares
from bough_agent.messages import Claim, Json, Key, Reply
from bough_agent.shares import Stock

RUN = ("run", None)
INFRA_PAUSE_S = 2.0  # after the first failure of the machinery; doubles with each further one
INFRA_PAUSE_MOST_S = 60.0


class Phase(Enum):
    """How far an attempt has come on this agent."""

    PREPARING = "preparing"  # its code is fetched, its folder is written
    LAUNCHING = "launching"  # the spawner was asked
    RUNNING = "running"  # its supervisor lives
    EXITED = "exited"  # exit.json is there, not all of it is with the coordinator


@dataclass(frozen=True)
class Held:
    """One attempt that this agent answers for."""

    claim: Claim
    slot: int
    phase: Phase = Phase.PREPARING
    desired: tuple[str, str | None] = RUN
    fenced: bool = False
    stopping: bool = False
    paused: bool = False
    gpus: tuple[int, ...] = ()
    python: str | None = None
    commit: str | None = None  # that this agent found for it
    outcome: str = ""

    @property
    def takes_slot(self) -> bool:
        """Whether it still runs or is about to: an exit that is only to be shipped needs no slot."""
        return self.phase is not Phase.EXITED


@dataclass(frozen=True)
class Mind:
    """All that the agent knows. ``outbox`` holds (number, event of the sync), oldest first."""

    slots: int
    held: Mapping[Key, Held] = field(default_factory=dict)
    outbox: tuple[tuple[int, Json], ...] = ()
    sequence: int = 0
    draining: bool = False
    quitting: str | None = None  # None, "detach", "requeue" or "drain"
    jobs_left: int | None = None  # how many more claims may be taken; None is any number
    infra_failures: int = 0  # in a row
    claim_after: float = 0.0  # on the agent's clock: no claim before that
    claimed_nothing_at: float | None = None  # when an offer of free slots last brought nothing; None after a grant
    bell: int = 0
    stock: Stock = field(default_factory=Stock)  # what its jobs share
    quarantine: str | None = None  # why the coordinator gives it no jobs


# -- events ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Replied:
    """The coordinator answered a sync which carried reports up to number ``sent``."""

    reply: Reply
    sent: int
    now: float
    asked: bool = False  # whether the sync offered free slots
    about: frozenset[Key] | None = None  # the attempts of which it carried reports; None: of all


@dataclass(frozen=True)
class Adopted:
    """An attempt of an earlier run of this agent was found; what became of it is looked at next.

    ``desired`` is what its supervisor was last told.
    """

    claim: Claim
    desired: tuple[str, str | None] = RUN
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Code and folder of the attempt are ready; ``python`` is what its commands will find under that name.

    ``commit`` is what the agent found where the claim named none.
    """

    key: Key
    python: str | None
    commit: str | None = None


@dataclass(frozen=True)
class PrepareFailed:
    """The attempt could not be prepared, or not be launched: reason checkout, error or infra."""

    key: Key
    reason: str
    message: str
    now: float


@dataclass(frozen=True)
class Started:
    """The attempt's supervisor lives."""

    key: Key
    at: float  # wall clock, for display


@dataclass(frozen=True)
class Stopping:
    """The supervisor said why it is stopping the attempt."""

    key: Key
    cause: str


@dataclass(frozen=True)
class Paused:
    """The supervisor has stopped the attempt's tree, or lets it go on."""

    key: Key
    is_on: bool


@dataclass(frozen=True)
class Exited:
    """The attempt's exit.json is there; ``outcome`` says for people how it ended."""

    key: Key
    outcome: str


@dataclass(frozen=True)
class Lost:
    """The attempt's supervisor died without an exit.json; what was left of the tree has been ended."""

    key: Key
    message: str


@dataclass(frozen=True)
class Tampered:
    """What the attempt reported was changed behind the agent's back."""

    key: Key


@dataclass(frozen=True)
class Quit:
    """The agent was asked to stop: "detach" leaves supervisors running, "requeue" stops them, "drain" waits."""

    how: str


@dataclass(frozen=True)
class Impatient:
    """The time that quitting leaves to running attempts is over."""


_OfAttempt = Prepared | PrepareFailed | Started | Stopping | Paused | Exited | Lost | Tampered
Event = Replied | Adopted | Quit | Impatient | _OfAttempt


# -- actions --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Prepare:
    """Fetch the code and write the folder, in the tree of this slot."""

    claim: Claim
    slot: int
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Launch:
    """Ask the spawner for a supervisor."""

    key: Key


@dataclass(frozen=True)
class Mirror:
    """Write control/desired.json."""

    key: Key
    desired: str
    cause: str | None


@dataclass(frozen=True)
class Alert:
    """Run the command that the job's definition wants to be run at its end."""

    claim: Claim
    outcome: str


@dataclass(frozen=True)
class Forget:
    """The attempt is no longer this agent's; ``keep`` its folder for whoever wants to look, or remove it."""

    key: Key
    keep: bool


@dataclass(frozen=True)
class Say:
    """Tell the person at the console."""

    text: str


Action = Prepare | Launch | Mirror | Alert | Forget | Say
Actions = list[Action]


# -- what the mind knows --------------------------------------------------------------------------------------
def free_slots(mind: Mind, now: float) -> int:
    """Return how many attempts may be claimed at this moment."""
    if mind.draining or mind.quitting or now < mind.claim_after:
        return 0
    free = mind.slots - sum(held.takes_slot for held in mind.held.values())
    return max(0, free if mind.jobs_left is None else min(free, mind.jobs_left))


def taken(mind: Mind) -> list[tuple[Mapping[str, Any], tuple[int, ...]]]:
    """Return what each running job has of the stock."""
    return [(held.claim.needs, held.gpus) for held in mind.held.values() if held.takes_slot]


def is_finished(mind: Mind) -> bool:
    """Tell whether a quitting agent has nothing left to wait for, except that its outbox is sent."""
    if mind.quitting == "detach":
        return True
    return not mind.held and (mind.quitting is not None or mind.jobs_left == 0)


# -- one step -------------------------------------------------------------------------------------------------
def step(mind: Mind, event: Event) -> tuple[Mind, Actions]:
    """Return what the agent knows after an event, and what it does about it."""
    match event:
        case Replied():
            return _replied(mind, event)
        case Adopted():
            return _adopted(mind, event)
        case Quit(how):
            return _quit(mind, how)
        case Impatient():
            return mind, [Mirror(key, "kill", "user") for key, held in mind.held.items() if held.takes_slot]
        case _ if event.key not in mind.held:
            return mind, []  # given back meanwhile
        case Prepared(key, python, commit):
            return _prepared(mind, key, python, commit)
        case PrepareFailed():
            return _prepare_failed(mind, event)
        case Started(key, at):
            return _started(mind, key, at)
        case Stopping(key, cause):
            return _stopping(mind, key, cause)
        case Paused(key, is_on):
            return _paused(mind, key, is_on)
        case Exited(key, outcome):
            return _exited(mind, key, outcome)
        case Lost(key, message):
            return _lost(mind, key, message)
        case Tampered(key):
            return mind, [Mirror(key, "kill", "journal")]


def _replied(mind: Mind, event: Replied) -> tuple[Mind, Actions]:
    reply = event.reply
    outbox = tuple(item for item in mind.outbox if item[0] > event.sent or not _is_about(item[1], event.about))
    mind = replace(mind, outbox=outbox, draining=reply.drain, bell=reply.bell)
    mind, actions = _steered(mind, reply)
    for key in sorted(reply.ended & mind.held.keys()):
        mind, more = _ended(mind, key)
        actions += more
    for key in sorted(reply.fenced & mind.held.keys()):
        mind, more = _fenced(mind, key)
        actions += more
    mind, more = _desired(mind, reply.desired)
    actions += more
    for key, message in reply.refused:
        mind = _report(mind, key, event="prepare_failed", reason="error", message=message)
    for claim in reply.granted:
        mind, more = _granted(mind, claim)
        actions += more
    if reply.granted:
        mind = replace(mind, claimed_nothing_at=None)
    elif event.asked and mind.claimed_nothing_at is None:
        mind = replace(mind, claimed_nothing_at=event.now)
    return mind, actions


def _steered(mind: Mind, reply: Reply) -> tuple[Mind, Actions]:
    """Take in how many slots there are from now on, and whether the agent is trusted."""
    actions: Actions = []
    if reply.slots is not None and reply.slots != mind.slots:
        actions.append(Say(f"{reply.slots} slots from now on, {mind.slots} before"))
        mind = replace(mind, slots=reply.slots)
    if reply.quarantine != mind.quarantine:
        why = f"in quarantine: {reply.quarantine}. No new jobs come until it is released: bough agent release NAME"
        actions.append(Say(why if reply.quarantine else "out of quarantine: taking jobs again"))
        mind = replace(mind, quarantine=reply.quarantine)
    return mind, actions


def _granted(mind: Mind, claim: Claim) -> tuple[Mind, Actions]:
    if claim.key in mind.held:
        return mind, []  # a lost reply, said again
    used = {held.slot for held in mind.held.values() if held.takes_slot}
    slot = next((n for n in range(mind.slots) if n not in used), None)
    if mind.jobs_left is not None:
        mind = replace(mind, jobs_left=max(0, mind.jobs_left - 1))
    gpus = shares.pick(mind.stock, taken(mind), claim.needs)
    if slot is None or gpus is None or mind.quitting:
        lacks = "no free slot" if slot is None else "not the resources for it just now"
        message = "the agent is stopping" if mind.quitting else f"the agent has {lacks}"
        return _report(mind, claim.key, event="released", message=message), []
    mind = replace(mind, held={**mind.held, claim.key: Held(claim, slot, gpus=gpus)})
    return _report(mind, claim.key, event="preparing"), [Prepare(claim, slot, gpus)]


def _adopted(mind: Mind, event: Adopted) -> tuple[Mind, Actions]:
    # Beyond our slots lie those of an agent that had more: their trees are still in use.
    used = {held.slot for held in mind.held.values()}
    slot = next(n for n in range(len(used) + 1) if n not in used)
    held = Held(event.claim, slot, Phase.RUNNING, event.desired, gpus=event.gpus)
    mind = replace(mind, held={**mind.held, event.claim.key: held})
    return mind, [Say(f"{event.claim.title} was left by this agent's last run; going on with it")]


def _prepared(mind: Mind, key: Key, python: str | None, commit: str | None) -> tuple[Mind, Actions]:
    held = mind.held[key]
    if held.fenced:
        return _drop(mind, key), [Forget(key, keep=False)]
    mind = replace(_change(mind, key, phase=Phase.LAUNCHING, python=python, commit=commit), infra_failures=0)
    wish: Actions = [] if held.desired == RUN else [Mirror(key, *held.desired)]
    return mind, [*wish, Launch(key)]


def _started(mind: Mind, key: Key, at: float) -> tuple[Mind, Actions]:
    held = mind.held[key]
    if held.phase is not Phase.LAUNCHING:
        return mind, []
    mind = _change(mind, key, phase=Phase.RUNNING)
    if not held.fenced:
        found = {} if held.commit is None else {"commit": held.commit}
        mind = _report(mind, key, event="running", at=at, python=held.python, **found)
    return mind, [Say(f"{held.claim.title} started")]


def _prepare_failed(mind: Mind, event: PrepareFailed) -> tuple[Mind, Actions]:
    held = mind.held[event.key]
    mind = _drop(mind, event.key)
    actions: Actions = [Forget(event.key, keep=False)]
    if held.fenced:
        return mind, actions
    if event.reason == "infra":
        pause_s = min(INFRA_PAUSE_MOST_S, INFRA_PAUSE_S * 2**mind.infra_failures)
        mind = replace(mind, infra_failures=mind.infra_failures + 1, claim_after=event.now + pause_s)
    mind = _report(mind, event.key, event="prepare_failed", reason=event.reason, message=event.message)
    return mind, [*actions, Say(f"{held.claim.title} could not start: {event.message}")]


def _stopping(mind: Mind, key: Key, cause: str) -> tuple[Mind, Actions]:
    if mind.held[key].stopping:
        return mind, []
    return _report(_change(mind, key, stopping=True), key, event="stopping", cause=cause), []


def _paused(mind: Mind, key: Key, is_on: bool) -> tuple[Mind, Actions]:
    held = mind.held[key]
    if held.paused is is_on or held.fenced or held.phase is Phase.EXITED:
        return mind, []
    mind = _report(_change(mind, key, paused=is_on), key, event="paused" if is_on else "continued")
    return mind, [Say(f"{held.claim.title} {'is paused' if is_on else 'goes on'}")]


def _exited(mind: Mind, key: Key, outcome: str) -> tuple[Mind, Actions]:
    held = mind.held[key]
    if held.phase is Phase.EXITED:
        return mind, []
    if held.fenced:
        return _drop(mind, key), [Forget(key, keep=True)]
    if mind.quitting == "requeue":
        return _release(mind, key, "the agent is stopping", keep=False)
    return _change(mind, key, phase=Phase.EXITED, outcome=outcome), []


def _ended(mind: Mind, key: Key) -> tuple[Mind, Actions]:
    held = mind.held[key]
    if held.phase is not Phase.EXITED:
        return _fenced(mind, key)
    alert: Actions = [Alert(held.claim, held.outcome)] if held.claim.needs.get("on_end") else []
    return _drop(mind, key), [*alert, Forget(key, keep=False), Say(f"{held.claim.title} ended: {held.outcome}")]


def _fenced(mind: Mind, key: Key) -> tuple[Mind, Actions]:
    held = mind.held[key]
    text = Say(f"{held.claim.title}: attempt {key[1]} was given up by the coordinator; ending it")
    if held.phase is Phase.EXITED:
        return _drop(mind, key), [Forget(key, keep=True), text]
    if held.fenced:
        return mind, []
    kill: Actions = [] if held.phase is Phase.PREPARING else [Mirror(key, "kill", "fenced")]
    return _change(_silence(mind, key), key, fenced=True), [*kill, text]


def _desired(mind: Mind, desired: Mapping[Key, tuple[str, str | None]]) -> tuple[Mind, Actions]:
    actions: Actions = []
    for key, held in mind.held.items():
        wanted = desired.get(key, RUN)
        if wanted == held.desired or held.fenced or held.phase is Phase.EXITED or mind.quitting == "requeue":
            continue
        mind = _change(mind, key, desired=wanted)
        actions.append(Mirror(key, *wanted))
    return mind, actions


def _quit(mind: Mind, how: str) -> tuple[Mind, Actions]:
    mind, actions = replace(mind, quitting=how), []
    for key, held in mind.held.items():
        if held.phase is Phase.PREPARING:
            mind, more = _release(mind, key, "the agent is stopping", keep=False)
            actions += more
        elif how == "requeue" and held.takes_slot:
            actions.append(Mirror(key, "stop", "user"))
    return mind, actions


def _release(mind: Mind, key: Key, message: str, keep: bool) -> tuple[Mind, Actions]:
    held = mind.held[key]
    mind = _drop(mind, key)
    if not held.fenced:
        mind = _report(mind, key, event="released", message=message)
    return mind, [Forget(key, keep=keep), Say(f"{held.claim.title} was given back: {message}")]


def _lost(mind: Mind, key: Key, message: str) -> tuple[Mind, Actions]:
    """Whatever was not yet said of it is no longer said: it may be what the coordinator would not take."""
    held = mind.held[key]
    mind = _drop(_silence(mind, key), key)
    if not held.fenced:
        mind = _report(mind, key, event="released", reason="lost", message=message)
    return mind, [Forget(key, keep=True), Say(f"{held.claim.title} was given back: {message}")]


def _change(mind: Mind, key: Key, **fields: Any) -> Mind:
    return replace(mind, held={**mind.held, key: replace(mind.held[key], **fields)})


def _drop(mind: Mind, key: Key) -> Mind:
    return replace(mind, held={k: held for k, held in mind.held.items() if k != key})


def _report(mind: Mind, key: Key, **event: Any) -> Mind:
    number = mind.sequence + 1
    return replace(mind, sequence=number, outbox=(*mind.outbox, (number, {"job": key[0], "attempt": key[1], **event})))


def _is_about(event: Json, about: frozenset[Key] | None) -> bool:
    return about is None or (event["job"], event["attempt"]) in about


def _silence(mind: Mind, key: Key) -> Mind:
    """Take back what was not yet said about an attempt that is no longer ours."""
    job, attempt = key
    outbox = tuple(item for item in mind.outbox if (item[1]["job"], item[1]["attempt"]) != (job, attempt))
    return replace(mind, outbox=outbox)
