"""Lies about one answer: label, VRF proof, opening, directory proof, links, state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ledger.client.history import history, log_history
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import Anchor
from ledger.format.bodies import ZERO_HASH, BlockType, Purpose, UserCreate
from ledger.format.identity import Opening
from ledger.format.lookup import Answer, Bundle, ChainPart, Link
from ledger.rules.state import UserState, decode_state
from ledger.seal.boxes import box_root
from ledger.tree import vrf
from ledger.tree.directory_proof import Nothing, Other, Own
from tests.client.lies import (
    ABSENT,
    ALL,
    AUDITS,
    KNOWN,
    MALFORMED,
    MISBEHAVED,
    NEW,
    REPLAYS,
    Case,
    Scene,
    answers,
    broken,
    cases,
    chains,
    changed,
    flipped,
    last_link,
    other_world,
    proofs,
    timed,
    told,
    with_block,
)
from tests.client.lies_of_trees import LOG
from tests.client.light_world import ADA, AUDITORS, BOB, EVE
from tests.support.actors import NOW, Device, User, Written, sealed, seed, signing_key
from tests.support.lookups import Teller
from tests.support.memory import MemoryLog

# --- who it is


def vrf_of(s: Scene, identifier: str) -> bytes:
    return vrf.prove(s.world.actor.vrf_secret, identifier.encode())


def registered_for_another(s: Scene) -> Teller:
    """Under Ada's label stands who registered with another identifier, whose opening is shown."""
    actor, log = s.world.actor, MemoryLog(entry.parse(s.world.log.entries[0]).body)
    thief = User.create(actor, EVE, log.anchor, label=s.ada)
    log.admit([thief.raw])
    return Teller.honest(actor, log, {s.ada: thief.after.opening}, AUDITORS[:2])


def a_group(s: Scene) -> Teller:
    """Under Ada's label stands a group's state."""
    team = s.teller.told[s.world.team.label]
    return s.teller.telling(s.ada, state=team.state)


IDENTITY: list[list[Case]] = [
    changed(
        *("another label", "label", ALL, MISBEHAVED, "R-65.4"),
        lambda s, b: answers(b, label=s.bob),
    ),
    changed(
        *("a VRF proof of another identifier", "vrf_proof", NEW, MISBEHAVED, "R-65.4"),
        lambda s, b: answers(b, vrf_proof=vrf_of(s, BOB)),
    ),
    changed(
        *("a VRF proof by another key", "vrf_proof", NEW, MISBEHAVED, "R-65.4"),
        lambda s, b: answers(b, vrf_proof=vrf.prove(seed("vrf"), ADA.encode())),
    ),
    changed(
        *("a VRF proof of zeros", "vrf_proof", NEW, MISBEHAVED, "R-65.4"),
        lambda s, b: answers(b, vrf_proof=bytes(80)),
    ),
    changed(
        *("no VRF proof", "vrf_proof", NEW, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, vrf_proof=None),
    ),
    changed(
        *("a VRF proof unasked", "vrf_proof", KNOWN, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, vrf_proof=vrf_of(s, ADA)),
    ),
    changed(
        *("no opening", "opening", NEW, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, opening=None),
    ),
    changed(
        *("an opening unasked", "opening", KNOWN, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, opening=s.world.ada.opening),
    ),
    changed(
        *("an opening of nobody", "opening", ABSENT, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, opening=s.world.ada.opening),
    ),
    changed(
        *("an opening that fits another commitment", "opening", NEW, MISBEHAVED, "R-65.6"),
        lambda s, b: answers(b, opening=Opening(seed("nonce"), ADA)),
    ),
    changed(
        *("another's opening", "opening", NEW, MISBEHAVED, "R-65.6"),
        lambda s, b: answers(b, opening=s.world.bob.opening),
    ),
    told(
        *("a chain for another identifier", "opening", "new,audited", "R-65.6"),
        registered_for_another,
    ),
    cases(
        *("that, with the true opening", "opening", "new,audited", MISBEHAVED, "R-65.6"),
        lambda s: answers(registered_for_another(s).bundle(s.asked), opening=s.world.ada.opening),
    ),
    told("a group for an identifier", "state", "audited", "R-65.9", a_group),
]


# --- what the directory holds


def shown_absent(s: Scene) -> Bundle:
    """All of the answer says that nobody is there, but for the root."""
    bundle = s.teller.bundle(s.asked)
    none = ChainPart(0, ZERO_HASH, ZERO_HASH, s.teller.proof(seed("nobody")))
    return replace(bundle, answers=(Answer(s.ada, bundle.answers[0].vrf_proof, None, none),))


def erased(s: Scene) -> Teller:
    """The directory forgets Ada."""
    return s.teller.lying(told={k: v for k, v in s.teller.told.items() if k != s.ada})


def siblings(bundle: Bundle) -> tuple[bytes, ...]:
    return bundle.answers[0].chain.proof.siblings


DIRECTORY: list[list[Case]] = [
    changed(
        *("another length", "chain.length", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, length=3),
    ),
    changed(
        *("another accumulator", "chain.accumulator", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, accumulator=seed("accumulator")),
    ),
    changed(
        *("another digest", "chain.digest", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, digest=seed("digest")),
    ),
    changed(
        *("the digest of another's state", "chain.digest", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, digest=s.teller.told[s.bob].digest),
    ),
    told(
        *("more than the links", "chain.length", REPLAYS, "R-65.7"),
        lambda s: s.teller.telling(s.ada, length_told=3),
    ),
    told(
        *("less than the links", "chain.length", "new", "R-65.7"),
        lambda s: s.teller.telling(s.ada, length_told=1),
    ),
    told(
        *("an accumulator of other blocks", "chain.accumulator", REPLAYS, "R-65.7"),
        lambda s: s.teller.telling(s.ada, accumulator_told=seed("accumulator")),
    ),
    changed(
        *("a digest of nobody", "chain.digest", ABSENT, MALFORMED, "R-65.1"),
        lambda s, b: chains(b, digest=seed("digest")),
    ),
    changed(
        *("an accumulator of nobody", "chain.accumulator", ABSENT, MALFORMED, "R-65.1"),
        lambda s, b: chains(b, accumulator=seed("accumulator")),
    ),
    changed(
        *("a proof of another label", "chain.proof", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, proof=s.teller.proof(s.bob)),
    ),
    changed(
        *("a proof of absence", "chain.proof", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, proof=s.teller.proof(seed("nobody"))),
    ),
    changed(
        *("a proof of presence", "chain.proof", ABSENT, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, proof=s.teller.proof(s.ada)),
    ),
    changed(
        *("an older tree's proof", "chain.proof", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: chains(b, proof=s.world.tellers[0].proof(s.ada)),
    ),
    changed(
        *("a deeper proof", "chain.proof.depth", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, depth=b.answers[0].chain.proof.depth + 1),
    ),
    changed(
        *("another mask", "chain.proof.mask", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, mask=flipped(b.answers[0].chain.proof.mask)),
    ),
    changed(
        *("a longer mask", "chain.proof.mask", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, mask=b.answers[0].chain.proof.mask + b"\0"),
    ),
    changed(
        *("siblings fewer", "chain.proof.siblings", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, siblings=siblings(b)[:-1]),
    ),
    changed(
        *("siblings more", "chain.proof.siblings", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, siblings=(*siblings(b), seed("sibling"))),
    ),
    changed(
        *("siblings changed", "chain.proof.siblings", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, siblings=tuple(map(flipped, siblings(b)))),
    ),
    changed(
        *("an end at another's leaf", "chain.proof.end", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, end=Other(s.bob, s.teller.told[s.bob].value)),
    ),
    changed(
        *("an end at nothing", "chain.proof.end", ALL, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, end=Nothing(seed("left"), seed("right"))),
    ),
    changed(
        *("an own leaf of nobody", "chain.proof.end", ABSENT, MISBEHAVED, "R-65.5"),
        lambda s, b: proofs(b, end=Own()),
    ),
    cases("absent who is there", "chain.length", ALL, MISBEHAVED, "R-65.5", shown_absent),
    told("erased who was seen", "chain.length", f"{KNOWN},again", "R-65.5", erased),
]


# --- the links


def relinked(s: Scene, *links: Link, state: bytes | None = None) -> Teller:
    """Another chain of Ada's, which the directory commits to."""
    return s.teller.telling(s.ada, links=links, state=state or s.teller.told[s.ada].state)


def second(s: Scene, change: Callable[[Link], Link]) -> Teller:
    """Ada's second block is another."""
    return relinked(s, s.links[0], change(s.links[1]))


def state_after(s: Scene, *links: Link) -> bytes:
    """The state that links lead to by the rules."""
    own = [(one.index, one.entry) for one in s.teller.told[LOG].links]
    log_id = s.world.log.log_id
    states = log_history(log_id, own)
    steps = history(states, log_id, [(one.index, one.entry) for one in links])
    return list(steps)[-1].chain.encoded


def anchor(s: Scene, size: int) -> Anchor:
    """A true anchor: the tree of this size."""
    end = s.world.log.batch_end(size)
    assert end
    return Anchor(size, end[0])


def in_crossed_order(s: Scene) -> Teller:
    one, two = s.links
    return relinked(s, replace(one, entry=two.entry), replace(two, entry=one.entry))


def ended(s: Scene) -> Teller:
    """The second block was seen, and a later directory forgets it."""
    return relinked(s, s.links[0], state=s.world.tellers[0].told[s.ada].state)


def early_ada(s: Scene) -> User:
    """Ada with her first device."""
    return User.create(s.world.actor, ADA, anchor(s, 2)).after


def forged(
    s: Scene, write: Callable[[User, Anchor], Written[User]], at: Anchor | None = None
) -> Teller:
    """Ada's second block is one that her devices would not sign, or not there."""
    raw = write(early_ada(s), at or anchor(s, s.links[1].index)).raw
    return second(s, lambda link: with_block(link, lambda _: raw))


def rewritten(s: Scene) -> Teller:
    """Another phone than the one that was seen, added by Ada's own key."""
    raw = early_ada(s).add(anchor(s, s.links[1].index), Device.make("another phone")).raw
    links = s.links[0], with_block(s.links[1], lambda _: raw)
    return relinked(s, *links, state=state_after(s, *links))


def born_again(s: Scene) -> Teller:
    """Ada was erased and made anew with other keys, by an application that signed twice."""
    device, ephemeral = Device.make("anew"), signing_key("second enrolment")
    user = early_ada(s)
    delegation = s.world.actor.delegate(Purpose.CREATE, user.opening.commitment, ephemeral.public)
    box = sealed(user.user_key.secret, device.encryption.public)
    root = box_root([device.encryption.public], [box])
    raw = blocks.write(
        *(BlockType.USER_CREATE, s.ada, 0, ZERO_HASH, anchor(s, 2)),
        UserCreate(delegation, device.keys, user.user_key.public, root),
        signers=[ephemeral, device.signing],
        log_id=s.world.log.log_id,
    )
    link = Link(s.links[0].index, entry.block(NOW, raw))
    return relinked(s, link, state=state_after(s, link))


def of_bob(s: Scene) -> bytes:
    return s.teller.told[s.bob].links[0].entry


LINKS: list[list[Case]] = [
    changed(
        *("links turned", "chain.links", "new,again", MISBEHAVED, "R-65.7"),
        lambda s, b: chains(b, links=b.answers[0].chain.links[::-1]),
    ),
    changed(
        *("a link dropped", "chain.links", "new,again", MISBEHAVED, "R-65.7"),
        lambda s, b: chains(b, links=b.answers[0].chain.links[1:]),
    ),
    changed(
        *("all links dropped", "chain.links", REPLAYS, MISBEHAVED, "R-65.7"),
        lambda s, b: answers(chains(b, links=()), anchored=None),
    ),
    changed(
        *("a link twice", "chain.links", REPLAYS, MISBEHAVED, "R-65.7"),
        lambda s, b: chains(b, links=(*b.answers[0].chain.links, b.answers[0].chain.links[-1])),
    ),
    changed(
        *("links in audited mode", "chain.links", AUDITS, MALFORMED, "R-65.1"),
        lambda s, b: chains(b, links=s.links),
    ),
    changed(
        *("links of nobody", "chain.links", "nobody", MALFORMED, "R-65.1"),
        lambda s, b: answers(chains(b, links=s.links), anchored=()),
    ),
    changed(
        *("another leaf", "chain.links.index", REPLAYS, MISBEHAVED, "R-65.7"),
        lambda s, b: last_link(b, index=s.links[1].index + 1),
    ),
    changed(
        *("another entry", "chain.links.entry", REPLAYS, MISBEHAVED, "R-65.7"),
        lambda s, b: last_link(b, entry=of_bob(s)),
    ),
    changed(
        *("the entry at another time", "chain.links.entry", REPLAYS, MISBEHAVED, "R-65.7"),
        lambda s, b: last_link(b, entry=timed(s.links[1], NOW - 1).entry),
    ),
    told("blocks in another order", "chain.links", "new,again", "R-65.8", in_crossed_order),
    told(
        *("no first block", "chain.links", "new", "R-65.8"),
        lambda s: relinked(s, s.links[1]),
    ),
    told("a block forgotten", "chain.length", "seen,seen again", "R-65.7", ended),
    told("another history", "chain.accumulator", "seen again", "R-65.7", rewritten),
    told("born again", "chain.accumulator", "again", "R-65.7", born_again),
    told(
        *("a block of another chain", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: second(s, lambda link: replace(link, entry=of_bob(s))),
    ),
    told(
        *("no entry", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: second(s, lambda link: replace(link, entry=b"\x80")),
    ),
    told(
        *("a directory root", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: second(s, lambda link: replace(link, entry=s.world.tellers[0].last)),
    ),
    told(
        *("a leaf beyond the tree", "chain.links.index", REPLAYS, "R-65.7"),
        lambda s: second(s, lambda link: replace(link, index=s.teller.size - 1)),
    ),
    told(
        *("a leaf before the anchor", "chain.links.index", REPLAYS, "R-65.8"),
        lambda s: second(s, lambda link: replace(link, index=s.links[0].index + 1)),
    ),
    told(
        *("leaves that do not ascend", "chain.links.index", REPLAYS, "R-65.7"),
        lambda s: second(s, lambda link: replace(link, index=s.links[0].index)),
    ),
    told(
        *("a time before the block before", "chain.links.entry", "new,again", "R-65.8"),
        lambda s: second(s, lambda link: timed(link, NOW - 1)),
    ),
    told(
        *("a time after the last entry's", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: second(s, lambda link: timed(link, NOW + 1)),
    ),
    told(
        *("a signature broken", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: second(s, lambda link: with_block(link, broken)),
    ),
    told(
        *("a device added by a stranger", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: replace(ada, devices=(Device.make("x"),)).add(at)),
    ),
    told(
        *("a block of another log", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: replace(ada, log_id=seed("log")).add(at)),
    ),
    told(
        *("a block for another label", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: replace(ada, label=s.bob).add(at, Device.make("x"))),
    ),
    told(
        *("a block on another head", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: replace(ada, head=seed("head")).add(at)),
    ),
    told(
        *("a block of another seq", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: replace(ada, seq=2).add(at)),
    ),
    told(
        *("a reset by another authority", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: ada.reset(other_world().actor, at)),
    ),
    told(
        *("an anchor before the block before", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: ada.add(at), anchor(s, 2)),
    ),
    told(
        *("an anchor beyond the block", "chain.links.entry", REPLAYS, "R-65.8"),
        lambda s: forged(s, lambda ada, at: ada.add(at), Anchor(s.teller.size, ZERO_HASH)),
    ),
    told(
        *("an anchor in a forked tree", "anchored", REPLAYS, "R-65.8"),
        lambda s: forged(s, User.add, Anchor(s.links[1].index, seed("fork"))),
    ),
    changed(
        *("no proof of the anchor", "anchored", REPLAYS, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, anchored=None),
    ),
    changed(
        *("a proof of no anchor", "anchored", f"{ABSENT},{AUDITS}", MALFORMED, "R-65.1"),
        lambda s, b: answers(b, anchored=()),
    ),
    changed(
        *("the anchor's proof cut", "anchored", REPLAYS, MISBEHAVED, "R-65.8"),
        lambda s, b: answers(b, anchored=(b.answers[0].anchored or ())[:-1]),
    ),
    changed(
        *("the anchor's proof longer", "anchored", REPLAYS, MISBEHAVED, "R-65.8"),
        lambda s, b: answers(b, anchored=(*(b.answers[0].anchored or ()), seed("hash"))),
    ),
    changed(
        *("the anchor's proof changed", "anchored", REPLAYS, MISBEHAVED, "R-65.8"),
        lambda s, b: answers(b, anchored=tuple(map(flipped, b.answers[0].anchored or ()))),
    ),
]


# --- the state


def restated(s: Scene, **changes: Any) -> bytes:
    """Ada's state, but for some fields."""
    state = decode_state(s.teller.told[s.ada].state)
    assert isinstance(state, UserState)
    return replace(state, **changes).encode()


def ghost(s: Scene) -> bytes:
    """Ada's state with a device that nobody added."""
    state = decode_state(s.teller.told[s.ada].state)
    assert isinstance(state, UserState)
    return restated(s, devices=(*state.devices, replace(state.devices[0], signing=seed("ghost"))))


def stated(s: Scene, state: bytes) -> Teller:
    """The directory commits to another state of Ada's."""
    return s.teller.telling(s.ada, state=state)


def older(s: Scene) -> bytes:
    return s.world.tellers[0].told[s.ada].state


STATES: list[list[Case]] = [
    changed(
        *("a state to who replays", "state", REPLAYS, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, state=s.teller.told[s.ada].state),
    ),
    changed(
        *("no state", "state", AUDITS, MALFORMED, "R-65.1"),
        lambda s, b: answers(b, state=None),
    ),
    changed(
        *("a state of nobody", "state", "audited nobody", MALFORMED, "R-65.1"),
        lambda s, b: answers(b, state=s.teller.told[s.ada].state),
    ),
    changed(
        *("another's state", "state", "audited", MISBEHAVED, "R-65.9"),
        lambda s, b: answers(b, state=s.teller.told[s.bob].state),
    ),
    changed(
        *("an older state", "state", "audited", MISBEHAVED, "R-65.9"),
        lambda s, b: answers(b, state=older(s)),
    ),
    changed(
        *("a state with a ghost device", "state", AUDITS, MISBEHAVED, "R-65.9"),
        lambda s, b: answers(b, state=ghost(s)),
    ),
    changed(
        *("bytes that are no state", "state", AUDITS, MISBEHAVED, "R-65.9"),
        lambda s, b: answers(b, state=b"\x80"),
    ),
    changed(
        *("a state and more", "state", AUDITS, MISBEHAVED, "R-65.9"),
        lambda s, b: answers(b, state=s.teller.told[s.ada].state + b"\0"),
    ),
    told(
        *("the log's state", "state", AUDITS, "R-65.9"),
        lambda s: stated(s, s.teller.told[LOG].state),
    ),
    told(
        *("bytes in the directory that are no state", "state", AUDITS, "R-65.9"),
        lambda s: stated(s, b"\x80"),
    ),
    told(
        *("a state that does not follow", "chain.digest", f"{REPLAYS},seen", "R-65.9"),
        lambda s: stated(s, older(s)),
    ),
    told(
        *("a ghost device in the directory", "chain.digest", f"{REPLAYS},seen", "R-65.9"),
        lambda s: stated(s, ghost(s)),
    ),
    cases(
        *("that, with the true digest", "chain.digest", REPLAYS, MISBEHAVED, "R-65.5"),
        lambda s: chains(stated(s, ghost(s)).bundle(s.asked), digest=s.teller.told[s.ada].digest),
    ),
    cases(
        *("that, with the true state", "state", "audited", MISBEHAVED, "R-65.9"),
        lambda s: answers(stated(s, ghost(s)).bundle(s.asked), state=s.teller.told[s.ada].state),
    ),
    told(
        *("another state than was seen", "state", "audited seen", "R-65.7"),
        lambda s: stated(s, ghost(s)),
    ),
    told(
        *("another commitment than was seen", "state", "audited known", "R-65.7"),
        lambda s: stated(s, restated(s, commitment=seed("commitment"))),
    ),
    told(
        *("another birth than was seen", "state", "audited known", "R-65.7"),
        lambda s: stated(s, restated(s, born=1)),
    ),
    told(
        *("a block before the one seen", "state", "audited known", "R-65.7"),
        lambda s: stated(s, restated(s, index=1)),
    ),
    told(
        *("a group where a user was", "state", "audited known", "R-65.7"),
        lambda s: stated(s, s.teller.told[s.world.team.label].state),
    ),
    told(
        *("fewer blocks than were seen", "chain.length", "audited seen", "R-65.7"),
        lambda s: s.teller.telling(s.ada, length_told=1),
    ),
]

LIES = [*IDENTITY, *DIRECTORY, *LINKS, *STATES]
