"""What a light client holds of a log, and what an answer adds to it: values, nothing but. Pure.

A `LogView` is a log as far as it was seen, a `Pin` a chain as it was seen and as it was last
accepted. `Held` is both, as a lookup finds them: `Held.ask` writes the request that fits them, and
`ledger.client.lookups.light.verify` judges its answer by them. It gives an `Outcome`, one `Found`
for each query that was answered, with the pins and the view to hold from then on.

>>> held = Held(LogView(bytes(32)))
>>> held.ask(b"u" * 32, Policy(), ["ada@example.org"]).queries
(Query(of='ada@example.org', held=0),)

A pin moves on with every answer, but what is loud in it, and alarms over one's own devices, stay
in it until it is `accepted`: until then, encrypt nothing to its owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from ledger.client.history import Event, Step
from ledger.client.policy import Policy
from ledger.errors import UsageError
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DeviceKind
from ledger.format.identity import Opening
from ledger.format.lookup import Link, LookupRequest, Mode, Query
from ledger.rules.state import Chain, Device, GroupState, LogState, State, UserState
from ledger.tree.merkle import EMPTY_ROOT


class Standing(Enum):
    """What stands behind an answer: see 'How far an answer goes' in 65-lookups."""

    SIGNED = "signed"
    """The log's signature alone: nobody asks for an auditor."""
    PROVISIONAL = "provisional"
    """Auditors have yet to cosign a checkpoint that covers it."""
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class LogView:
    """A log as it was last seen: the newest checkpoint accepted (`note`, `size`, `root`), the time
    of the newest last entry that was shown, entry 0, and the log's own chain after each block, once
    replayed, as the tree of the size `shown` had it.
    """

    log_id: bytes
    first: bytes = b""
    note: bytes = b""
    size: int = 0
    root: bytes = EMPTY_ROOT
    time: int = 0
    chain: tuple[Chain, ...] = ()
    shown: int = 0

    @property
    def states(self) -> tuple[LogState, ...]:
        return tuple(one.state for one in self.chain if isinstance(one.state, LogState))

    def blocks(self, mode: int) -> int:
        """How many blocks of the log's own chain are held. Audited, only the first is needed."""
        return len(self.chain) if mode == Mode.REPLAY else int(bool(self.first))


@dataclass(frozen=True, slots=True)
class Alarm:
    """A device that came into one's own chain, and that nobody here knows or added.

    The evidence: `entry` is the entry of the leaf that brought it (empty if it was not shown), and
    `bundle` the answer that shows it in the chain, under the log's signature.
    """

    device: Device
    entry: bytes
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Pin:
    """A chain as it was last seen, and its state as it was last accepted.

    `events` and `alarms` are what came since. `replayed` says that its blocks were: an audited
    state was believed, and is never built upon in a replay. `shown` is the size of the newest tree
    that had it so, `time` (ms) that of this tree's last entry.
    """

    label: bytes
    chain: Chain
    accepted: State
    events: tuple[Event, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    replayed: bool = True
    shown: int = field(default=0, compare=False)
    time: int = field(default=0, compare=False)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be accepted."""
        return not self.events and not self.alarms

    def accept(self) -> Pin:
        """This pin, all that it tells being accepted."""
        return replace(self, accepted=self.chain.state, events=(), alarms=())

    @property
    def user_key_changed(self) -> bool:
        """Whether the user key is another than the accepted one, or is gone."""
        return _user_key(self.chain.state) != _user_key(self.accepted)

    @property
    def arrived(self) -> tuple[Device, ...]:
        """The live devices that were not accepted yet."""
        accepted = {device.signing for device in devices(self.accepted)}
        return tuple(d for d in devices(self.chain.state) if d.signing not in accepted)

    @property
    def recoverable_by_mail(self) -> bool:
        """Whether its owner says that they can get back in by e-mail (96-recovery)."""
        return any(d.kind == DeviceKind.MAIL_RECOVERY for d in devices(self.chain.state))


@dataclass(frozen=True, slots=True)
class Own:
    """Whose client it is: their label, and the signing keys of all devices that were ever here."""

    label: bytes
    keys: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Held:
    """What is held when a question is asked, and so what its answer is judged by.

    `admitted` are blocks, by label, that the log admitted here, and has yet to show in a chain;
    `absent` is the size of the newest tree that had nothing for a label.
    """

    view: LogView
    pins: Mapping[bytes, Pin] = field(default_factory=dict)
    own: Own | None = None
    admitted: Mapping[bytes, Sequence[Link]] = field(default_factory=dict)
    absent: Mapping[bytes, int] = field(default_factory=dict)

    def ask(self, user: bytes, policy: Policy, of: Iterable[str | bytes]) -> LookupRequest:
        """The request of `user` for identifiers and labels. Raises `UsageError`."""
        mode, queries = policy.mode, tuple(Query(one, self.length(one, policy.mode)) for one in of)
        if any(query.of == LOG_LABEL for query in queries):
            raise UsageError("the zero label is the log's own: its chain comes with every answer")
        return LookupRequest(user, mode, self.view.size, self.view.blocks(mode), queries)

    def shown(self, label: bytes) -> int:
        """The size of the newest tree that showed a label's chain, or its absence; 0 if none."""
        pin = self.pins.get(label)
        return pin.shown if pin else self.absent.get(label, 0)

    def length(self, of: str | bytes, mode: int) -> int:
        """How many blocks of a label's chain are held; of an identifier's it does not matter."""
        pin = self.pins.get(of) if isinstance(of, bytes) else None
        return pin.chain.length if pin and (pin.replayed or mode == Mode.AUDITED) else 0


@dataclass(frozen=True, slots=True)
class Found:
    """What stands for one query. Of an absent one there is no pin.

    `pin` is the one to hold from now on, `before` the one that was held; `steps` are the blocks
    that came (replay), those `before` among them if they were asked for again; `opening` comes with
    identifiers.
    """

    query: Query
    label: bytes
    before: Pin | None = None
    pin: Pin | None = None
    opening: Opening | None = None
    steps: tuple[Step, ...] = ()
    standing: Standing = Standing.SIGNED

    @property
    def state(self) -> UserState | GroupState | None:
        """Who stands there now; None if nobody does."""
        state = self.pin.chain.state if self.pin else None
        assert not isinstance(state, LogState)  # nobody asks for the log's own
        return state

    @property
    def fresh(self) -> tuple[Step, ...]:
        """The steps that were not seen before."""
        seen = self.before.chain.length if self.before else 0
        return tuple(step for step in self.steps if step.chain.length > seen)

    @property
    def new_leaves(self) -> list[int]:
        """Where the blocks stand that are new; of an audited chain, the newest alone is told."""
        seen = self.before.chain.length if self.before else 0
        if self.steps or not self.pin or self.pin.chain.length == seen:
            return [step.index for step in self.fresh]
        return [self.pin.chain.state.index]

    @property
    def known(self) -> bool:
        """Whether it was seen before. If not: is it the right person? `state.born` tells more."""
        return self.before is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bundle proved. `view` is to be held from now on, and so is the pin of each `found`.

    `rest` are the queries that found no room in it; `bundle` and `asked` are the bytes.
    """

    found: tuple[Found, ...]
    view: LogView
    standing: Standing
    rest: tuple[Query, ...]
    asked: bytes
    bundle: bytes
    log_steps: tuple[Step, ...] = ()
    """What it brought of the log's own chain."""

    @property
    def evidence(self) -> dict[str, bytes]:
        """The bytes that show what the log said."""
        return {"checkpoint": self.view.note, "asked": self.asked, "bundle": self.bundle}


def devices(state: State) -> tuple[Device, ...]:
    """The live devices of a user; of anything else there are none."""
    return state.devices if isinstance(state, UserState) else ()


def _user_key(state: State) -> bytes | None:
    return state.user_key if isinstance(state, UserState) else None
