"""Saved lookups whose blocks are not those of the chain (R-65.7), break its rules (R-65.8), or lead
to another state (R-65.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format import entry
from ledger.format.block import LOG_LABEL, Anchor
from ledger.format.bodies import Limits
from ledger.format.lookup import Link
from ledger.rules.state import UserState, decode_state
from ledger.tree.merkle import leaf_hash, root_of
from tests.support.actors import NOW, Device, User, Written, seed
from tests.support.lookups import Teller
from tests.vectors.asked import (
    ANCHORED,
    Town,
    asked,
    field,
    relinked,
    teller_of,
    town,
    with_block,
)
from tests.vectors.case import Case, bad, ok
from tests.vectors.cases.lookup_shape import KIND
from tests.vectors.world import ADA, World


def cases() -> Iterator[Case]:
    yield from bound()
    yield from places()
    yield from blocks()
    yield from anchors()
    yield from times()
    yield from log_states()
    yield from log_chain()
    yield from digests()


def refused(name: str, rule: str, shows: str, teller: Teller) -> Case:
    return bad(KIND, name, rule, "replay", shows, town().given(teller))


def bound() -> Iterator[Case]:
    """R-65.7: the links are those that the directory counts and binds."""
    t = town()
    label, other = t.ada.label, seed("accumulator")
    yield refused(
        "links-more",
        "R-65.7",
        "The directory counts three blocks.",
        t.teller.telling(label, length_told=3),
    )
    yield refused(
        "links-less",
        "R-65.7",
        "The directory counts one block.",
        t.teller.telling(label, length_told=1),
    )
    shows = "The directory binds other blocks."
    teller = t.teller.telling(label, accumulator_told=other)
    yield refused("links-other", "R-65.7", shows, teller)
    teller = t.teller.telling(LOG_LABEL, accumulator_told=other)
    yield refused("log-links-other", "R-65.7", "It binds another chain of the log.", teller)
    teller = t.teller.telling(LOG_LABEL, length_told=1)
    yield refused("log-links-less", "R-65.7", "It counts one block of the log.", teller)
    withheld = t.teller.telling(
        label,
        links=t.links[:1],
        state=t.early.told[label].state,
        length_told=2,
        accumulator_told=t.teller.told[label].accumulator,
    )
    shows = "The second block is withheld, and the state is that after the first."
    yield refused("links-withheld", "R-65.7", shows, withheld)


def places() -> Iterator[Case]:
    """R-65.7: where the links say that they stand."""
    t = town()
    first, second = t.links
    size = t.teller.size
    for name, shows, index in (
        ("leaf-last", "At the last leaf, where the directory root stands.", size - 1),
        ("leaf-beyond", "At a leaf beyond the tree.", size + 7),
    ):
        teller = relinked(t.teller, t.ada.label, first, Link(index, second.entry))
        yield refused(name, "R-65.7", shows, teller)


def second_block(raw: bytes) -> Teller:
    """Ada's second block is another."""
    t = town()
    first, second = t.links
    return relinked(t.teller, t.ada.label, first, with_block(second, raw))


def anchor(t: Town, size: int) -> Anchor:
    """The tree of the first `size` leaves."""
    return Anchor(size, root_of([leaf_hash(data) for data in t.world.log.entries[:size]]))


def blocks() -> Iterator[Case]:
    """R-65.8: blocks that break a rule, with all that follows from them."""
    t = town()
    at, honest = anchor(t, t.links[1].index), entry.parse(t.links[1].entry).body
    young, stranger = t.young, Device.make("stranger")
    twin = replace(stranger, encryption=young.devices[0].encryption)
    flipped = honest[:-1] + bytes([honest[-1] ^ 1])
    written: list[tuple[str, str, bytes]] = [
        ("block-signature", "A signature is broken.", flipped),
        (
            "block-author",
            "By a stranger's device.",
            replace(young, devices=(stranger,)).add(at).raw,
        ),
        ("block-log", "Signed for another log.", replace(young, log_id=seed("log")).add(at).raw),
        ("block-label", "Of Bob's chain.", replace(young, label=t.bob.label).add(at).raw),
        ("block-prev", "After another block.", replace(young, head=seed("head")).add(at).raw),
        ("block-seq", "With another seq.", replace(young, seq=2).add(at).raw),
        ("block-key-twice", "An encryption key that is there.", young.add(at, twin).raw),
    ]
    for name, shows, raw in written:
        yield refused(name, "R-65.8", shows, second_block(raw))


def anchors() -> Iterator[Case]:
    """R-65.8: R-44.1, R-44.2, R-44.4."""
    t = town()
    index = t.links[1].index
    for name, shows, where in (
        ("anchor-early", "An anchor that does not hold the block before.", anchor(t, 2)),
        ("anchor-late", "An anchor beyond the block's own place.", anchor(t, index + 1)),
        ("anchor-fork", "An anchor in another tree.", Anchor(index, seed("fork"))),
    ):
        yield refused(name, "R-65.8", shows, second_block(t.young.add(where).raw))
    told = asked(t.teller, ADA)
    path: list[bytes] = field(told, ANCHORED)
    for name, shows, proof in (
        ("anchored-cut", "A hash less.", path[:-1]),
        ("anchored-longer", "A hash more.", [*path, seed("hash")]),
        ("anchored-other", "A hash changed.", [seed("hash"), *path[1:]]),
    ):
        given = t.given(told, ADA, (ANCHORED, proof))
        yield bad(KIND, name, "R-65.8", "replay", shows, given)


def times() -> Iterator[Case]:
    """R-65.8: R-42.3."""
    t = town()
    first, second = t.links
    raw = entry.parse(second.entry).body
    for name, shows, time in (
        ("time-back", "The second block before the first.", NOW - 1),
        ("time-after", "The second block after the last entry.", NOW + 1),
    ):
        moved = Link(second.index, entry.block(time, raw))
        yield refused(name, "R-65.8", shows, relinked(t.teller, t.ada.label, first, moved))


def log_states() -> Iterator[Case]:
    """R-65.8: each block is judged by the log's own state just before it."""
    t = town()
    few = Limits(max_devices=2)
    world = World()
    ada = world.with_devices(3)
    world.admit_policy(world.actor.policy(world.anchor, limits=few))
    given = t.given(teller_of(world, ada))
    yield ok(KIND, "policy-after", "Three devices, then a policy that allows two.", given)
    world = World()
    ada = world.with_devices(2)
    world.admit_policy(world.actor.policy(world.anchor, limits=few))
    added = ada.add(world.anchor)
    given = t.given(grown(world, ada, added))
    shows = "A policy that allows two devices, then a third one."
    yield bad(KIND, "policy-before", "R-65.8", "policy-after", shows, given)


def grown(world: World, user: User, written: Written[User]) -> Teller:
    """The log, and in its next batch a block that it should not have admitted."""
    teller, data = teller_of(world, user), entry.block(NOW, written.raw)
    links = *teller.told[user.label].links, Link(world.log.head.size, data)
    return relinked(teller.lying(entries=[*world.log.entries, data]), user.label, *links)


def log_chain() -> Iterator[Case]:
    """R-65.8 for the log's own blocks."""
    t = town()
    first, policy = t.teller.told[LOG_LABEL].links
    raw = entry.parse(policy.entry).body
    founding = t.early.actor
    at = anchor(t, policy.index)
    written: list[tuple[str, str, bytes]] = [
        ("policy-signature", "The policy's signature is broken.", raw[:-1] + bytes([raw[-1] ^ 1])),
        ("policy-same", "A policy that changes nothing.", founding.policy(at).raw),
        (
            "policy-prev",
            "A policy after another block.",
            replace(founding, head=seed("head")).policy(at, limits=Limits(max_devices=3)).raw,
        ),
    ]
    for name, shows, policy_raw in written:
        teller = relinked(t.teller, LOG_LABEL, first, with_block(policy, policy_raw))
        yield refused(name, "R-65.8", shows, teller)


def digests() -> Iterator[Case]:
    """R-65.9: what the directory holds does not follow from the blocks."""
    t = town()
    label = t.ada.label
    state = decode_state(t.teller.told[label].state)
    assert isinstance(state, UserState)
    ghost = replace(state.devices[0], signing=seed("ghost"))
    states: list[tuple[str, str, bytes, dict[str, Any]]] = [
        ("digest-older", "The state before the last block.", label, {"state": older(label)}),
        (
            "digest-ghost",
            "A device that nobody added.",
            label,
            {"state": replace(state, devices=(*state.devices, ghost)).encode()},
        ),
        (
            "log-digest-older",
            "The log's state before its policy.",
            LOG_LABEL,
            {"state": older(LOG_LABEL)},
        ),
    ]
    for name, shows, of, lie in states:
        yield refused(name, "R-65.9", shows, t.teller.telling(of, **lie))


def older(label: bytes) -> bytes:
    return town().early.told[label].state
