"""What lies about one identifier are made of: scenes, and ways to change what is told.

A lie either changes the bundle that an honest server would have sent, or tells another thing, from
which directory, tree, proofs and signatures follow anew, by the log's own keys: so each tests a
rule, and not a broken hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias, cast

from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Held, Outcome
from ledger.client.policy import Policy
from ledger.errors import KeyrollError, LogMisbehaved, MalformedInput
from ledger.format import entry
from ledger.format.cbor import decode, encode
from ledger.format.lookup import MAX_BUNDLE_BYTES, Bundle, Link, LookupRequest
from tests.client.light_world import ADA, AUDITED, BOB, LATER, NOBODY, REPLAY, LightWorld, keep
from tests.support.lookups import Teller


@dataclass
class Scene:
    """A question, what is held when it is asked, and who would answer it honestly."""

    world: LightWorld
    held: Held
    asked: LookupRequest
    policy: Policy
    teller: Teller

    @property
    def ada(self) -> bytes:
        return self.world.ada.label

    @property
    def bob(self) -> bytes:
        return self.world.bob.label

    @property
    def links(self) -> tuple[Link, ...]:
        """Ada's two blocks."""
        return self.teller.told[self.ada].links

    def judge(self, data: bytes) -> Outcome:
        return verify(data, self.asked, self.held, self.policy, LATER)


@cache
def world() -> LightWorld:
    return LightWorld.make()


@cache
def other_world() -> LightWorld:
    return LightWorld.make("other.example/log")


def scene(policy: Policy, seen: int | None, *names: str) -> Scene:
    """Who holds what they saw of Ada and Bob in the world's batch `seen` asks now.

    They ask by identifier, or by the label of "ada".
    """
    w = world()
    held = w.held()
    if seen is not None:
        held = keep(held, w.ask(ADA, BOB, policy=policy, teller=w.tellers[seen]))
    of = [w.ada.label if name == "ada" else name for name in names]
    return Scene(w, held, held.ask(w.ada.label, policy, of), policy, w.teller)


SCENES: dict[str, Callable[[], Scene]] = {
    "new": lambda: scene(REPLAY, None, ADA),
    "pair": lambda: scene(REPLAY, None, ADA, BOB),
    "nobody": lambda: scene(REPLAY, None, NOBODY),
    "known": lambda: scene(REPLAY, 0, "ada"),
    "again": lambda: scene(REPLAY, 0, ADA),
    "seen": lambda: scene(REPLAY, -1, "ada"),
    "seen again": lambda: scene(REPLAY, -1, ADA),
    "audited": lambda: scene(AUDITED, None, ADA),
    "audited nobody": lambda: scene(AUDITED, None, NOBODY),
    "audited known": lambda: scene(AUDITED, 0, "ada"),
    "audited seen": lambda: scene(AUDITED, -1, "ada"),
}

Lie: TypeAlias = Callable[[Scene], "bytes | Bundle | Teller"]
Change: TypeAlias = Callable[[Scene, Bundle], Bundle]
Tale: TypeAlias = Callable[[Scene], Teller]


@dataclass(frozen=True)
class Case:
    """A lie about `field` of the bundle, in one of the scenes, and how it is to be refused."""

    name: str
    field: str
    scene: str
    error: type[KeyrollError]
    rule: str
    lie: Lie

    def answer(self, s: Scene) -> bytes:
        """What the liar sends."""
        return self.told(s)[0]

    def told(self, s: Scene) -> tuple[bytes, Teller]:
        """The same, and who told it, if the log signed it."""
        lied, teller = self.lie(s), s.teller
        if isinstance(lied, Teller):
            teller = lied
            # A tree that was seen can't be shown otherwise: what is told anew is of a later one.
            if lied.size == s.held.view.size:
                teller = lied.lying(entries=[*lied.entries, s.teller.last])
            lied = teller.bundle(s.asked)
        return lied.encode() if isinstance(lied, Bundle) else lied, teller


MALFORMED, MISBEHAVED = MalformedInput, LogMisbehaved
NEW = "new,again,audited"
"""By identifier."""
REPLAYS = "new,known,again"
KNOWN = "known,audited known"
AUDITS = "audited,audited known"
ALL = f"{REPLAYS},{AUDITS}"
ABSENT = "nobody,audited nobody"


def cases(
    name: str, field: str, scenes: str, error: type[KeyrollError], rule: str, lie: Lie
) -> list[Case]:
    """One case for each of the scenes."""
    return [Case(f"{name} ({one})", field, one, error, rule, lie) for one in scenes.split(",")]


def changed(
    name: str, field: str, scenes: str, error: type[KeyrollError], rule: str, change: Change
) -> list[Case]:
    """The bundle is changed on its way."""

    def lie(s: Scene) -> Bundle:
        return change(s, s.teller.bundle(s.asked))

    return cases(name, field, scenes, error, rule, lie)


def told(name: str, field: str, scenes: str, rule: str, tale: Tale) -> list[Case]:
    """The log signs another thing."""
    return cases(name, field, scenes, MISBEHAVED, rule, tale)


# --- ways to change a bundle


def raw_field(at: int, value: object) -> Lie:
    """The bundle with another value at this place."""

    def lie(s: Scene) -> bytes:
        fields = cast(list[Any], decode(s.teller.answer(s.asked), MAX_BUNDLE_BYTES))
        fields[at] = value
        return encode(fields)

    return lie


def answers(bundle: Bundle, **changes: Any) -> Bundle:
    """Every answer, changed."""
    return replace(bundle, answers=tuple(replace(one, **changes) for one in bundle.answers))


def chains(bundle: Bundle, **changes: Any) -> Bundle:
    return answers(bundle, chain=replace(bundle.answers[0].chain, **changes))


def proofs(bundle: Bundle, **changes: Any) -> Bundle:
    return chains(bundle, proof=replace(bundle.answers[0].chain.proof, **changes))


def log_chain(bundle: Bundle, **changes: Any) -> Bundle:
    assert bundle.log
    return replace(bundle, log=replace(bundle.log, **changes))


def last_link(bundle: Bundle, **changes: Any) -> Bundle:
    *others, last = bundle.answers[0].chain.links
    return chains(bundle, links=(*others, replace(last, **changes)))


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def with_block(link: Link, change: Callable[[bytes], bytes]) -> Link:
    item = entry.parse(link.entry)
    return Link(link.index, entry.block(item.time, change(item.body)))


def broken(raw: bytes) -> bytes:
    """The block, its last signature broken."""
    return flipped(raw, len(raw) - 1)


def timed(link: Link, time: int) -> Link:
    return Link(link.index, entry.block(time, entry.parse(link.entry).body))
