"""Saved lookups whose answer is about another (R-65.4, R-65.6), is not what the directory holds
(R-65.5), or gives another state, audited (R-65.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DeviceKind
from ledger.format.identity import Opening
from ledger.format.lookup import Mode
from ledger.format.proof import to_value
from ledger.rules.state import UserState, decode_state
from ledger.tree import vrf
from tests.support.actors import User, seed
from tests.support.lookups import Teller
from tests.vectors.asked import (
    ACCUMULATOR,
    ANCHORED,
    CHAIN,
    DIGEST,
    FIRST_TWO,
    LABEL,
    LENGTH,
    LOG,
    OPENING,
    PROOF,
    STATE,
    VRF_PROOF,
    asked,
    bent,
    field,
    teller_of,
    town,
)
from tests.vectors.case import Case, bad, ok
from tests.vectors.cases.lookup_shape import KIND, NOBODY
from tests.vectors.world import ADA, EVE, World, label_of


def cases() -> Iterator[Case]:
    yield from labels()
    yield from presence()
    yield from proofs()
    yield from absence()
    yield from openings()
    yield from states()


def labels() -> Iterator[Case]:
    """R-65.4."""
    t = town()
    told, eve = asked(t.teller, NOBODY), asked(t.teller, EVE)
    proofs: list[tuple[str, str, bytes]] = [
        ("vrf-of-another", "A VRF proof of another identifier.", field(eve, VRF_PROOF)),
        ("vrf-key", "A VRF proof by another key.", vrf.prove(seed("vrf"), NOBODY.encode())),
        ("vrf-zeros", "A VRF proof of zeros.", bytes(80)),
    ]
    for name, shows, proof in proofs:
        given = t.given(told, NOBODY, (VRF_PROOF, proof))
        yield bad(KIND, name, "R-65.4", "nobody", shows, given)
    absent = (LABEL, field(eve, LABEL)), (CHAIN, field(eve, CHAIN))
    given = t.given(told, NOBODY, *absent)
    yield bad(KIND, "absent-of-another", "R-65.4", "nobody", "Another label is absent.", given)
    shows = "Ada's identifier and her commitment, under another label."
    yield bad(KIND, "label-of-another", "R-65.4", "first-device", shows, t.given(mislabelled()))


def registered(identifier: str, label: bytes) -> Teller:
    """A log where somebody has a label that is not the identifier's."""
    world = World()
    written = User.create(world.actor, identifier, world.anchor, label=label)
    return teller_of(world, world.admit(written))


def mislabelled() -> bytes:
    label = seed("label")
    teller, actor = registered(ADA, label), town().teller.actor
    opening = teller.openings[label]
    proof = vrf.prove(actor.vrf_secret, ADA.encode())
    shown = (VRF_PROOF, proof), (OPENING, [opening.nonce, opening.identifier])
    return bent(asked(teller, label), *shown)


def presence() -> Iterator[Case]:
    """R-65.5: the directory holds another value than the answer says, and the answer is right."""
    t = town()
    told = asked(t.teller, ADA)
    others: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
        ("length", LENGTH, {"length_told": 3}),
        ("accumulator", ACCUMULATOR, {"accumulator_told": seed("accumulator")}),
        ("digest", DIGEST, {"digest_told": seed("digest")}),
    ]
    for name, path, lie in others:
        shows = f"The directory holds another {name}."
        for prefix, label, change in (
            ("held", t.ada.label, (path, field(told, path))),
            ("log-held", LOG_LABEL, ((LOG, path[-1]), field(told, (LOG, path[-1])))),
        ):
            given = t.given(t.teller.telling(label, **lie), ADA, change)
            yield bad(KIND, f"{prefix}-{name}", "R-65.5", "replay", shows, given)
    audited = asked(t.teller.lying(auditors=FIRST_TWO), ADA, Mode.AUDITED)
    for name, path, value in (
        ("audited-length", LENGTH, 3),
        ("audited-accumulator", ACCUMULATOR, seed("accumulator")),
    ):
        given = t.audited(audited, ADA, (path, value))
        yield bad(KIND, name, "R-65.5", "audited", "Not what the directory holds.", given)


def proofs() -> Iterator[Case]:
    """R-65.5: proofs of presence that are none."""
    t = town()
    told = asked(t.teller, ADA)
    depth, mask, siblings, end = field(told, PROOF)
    bent_ones: list[tuple[str, str, Any]] = [
        ("proof-of-another", "Bob's proof.", to_value(t.teller.proof(t.bob.label))),
        ("proof-of-absence", "A proof of absence.", to_value(t.teller.proof(seed("nobody")))),
        ("proof-older", "A proof in an older tree.", to_value(t.early.proof(t.ada.label))),
        ("proof-deeper", "A path longer by one.", [depth + 1, mask, siblings, end]),
        ("proof-sibling", "A sibling changed.", [depth, mask, [seed("s"), *siblings[1:]], end]),
        ("proof-fewer", "A sibling less.", [depth, mask, siblings[:-1], end]),
    ]
    for name, shows, proof in bent_ones:
        yield bad(KIND, name, "R-65.5", "replay", shows, t.given(told, ADA, (PROOF, proof)))
    log = (LOG, 3), to_value(t.early.proof(LOG_LABEL))
    shows = "The log's own chain by a proof in an older tree."
    yield bad(KIND, "log-proof-older", "R-65.5", "replay", shows, t.given(told, ADA, log))
    erased = t.teller.lying(told={k: v for k, v in t.teller.told.items() if k != t.ada.label})
    absent = (PROOF, to_value(erased.proof(t.ada.label)))
    lied = asked(erased, NOBODY)
    shown = [(path, field(told, path)) for path in (LABEL, VRF_PROOF, OPENING, CHAIN, ANCHORED)]
    given = t.given(lied, ADA, *shown, absent)
    yield bad(KIND, "erased", "R-65.5", "replay", "The directory has forgotten her.", given)


def absence() -> Iterator[Case]:
    """R-65.5: who is there is said not to be."""
    t = town()
    told, nobody = asked(t.teller, ADA), asked(t.teller, NOBODY)
    hidden = (CHAIN, field(nobody, CHAIN)), (OPENING, None), (ANCHORED, None)
    shows = "Ada is hidden by another's proof of absence."
    given = t.given(told, ADA, *hidden)
    yield bad(KIND, "hidden", "R-65.5", "nobody", shows, given)
    given = t.given(told, ADA, *hidden, (PROOF, field(told, PROOF)))
    yield bad(KIND, "hidden-present", "R-65.5", "nobody", "Or by that of her presence.", given)
    given = t.given(told, ADA, *hidden, (PROOF, [0, b"", [], [0]]))
    yield bad(KIND, "hidden-bare", "R-65.5", "nobody", "Or by an empty proof.", given)


def openings() -> Iterator[Case]:
    """R-65.6."""
    t = town()
    told = asked(t.teller, ADA)
    shows = "Another nonce."
    given = t.given(told, ADA, (OPENING, [seed("nonce"), ADA]))
    yield bad(KIND, "opening-nonce", "R-65.6", "replay", shows, given)
    teller = registered(EVE, label_of(ADA))
    given = t.given(teller)
    shows = "Eve's commitment and opening, under Ada's label."
    yield bad(KIND, "opening-of-another", "R-65.6", "first-device", shows, given)
    mine: Opening = t.teller.openings[t.ada.label]
    given = t.given(teller, ADA, (OPENING, [mine.nonce, mine.identifier]))
    shows = "Eve's commitment under Ada's label, and Ada's opening."
    yield bad(KIND, "commitment-of-another", "R-65.6", "first-device", shows, given)


def states() -> Iterator[Case]:
    """R-65.9, audited."""
    t = town()
    state = decode_state(t.teller.told[t.ada.label].state)
    assert isinstance(state, UserState)
    ghost = replace(state.devices[0], signing=seed("ghost"))
    told = asked(t.teller.lying(auditors=FIRST_TWO), ADA, Mode.AUDITED)
    given_ones: list[tuple[str, str, bytes]] = [
        ("state-older", "An older state.", t.early.told[t.ada.label].state),
        ("state-ghost", "A device more.", replace(state, devices=(*state.devices, ghost)).encode()),
    ]
    for name, shows, data in given_ones:
        yield bad(*(KIND, name, "R-65.9", "audited", shows), t.audited(told, ADA, (STATE, data)))
    held: list[tuple[str, str, bytes]] = [
        ("state-longer", "The directory holds a state and a byte more.", state.encode() + b"\0"),
        ("state-wide", "It holds a state with a wide head.", b"\x98\x0d" + state.encode()[1:]),
        ("state-keyless", "It holds devices and no key.", replace(state, user_key=None).encode()),
        ("state-closed", "It holds a key and no devices.", replace(state, devices=()).encode()),
        ("state-retired", "It holds half a key.", replace(state, retired=bytes(16)).encode()),
        ("state-of-log", "It holds the log's state for her.", t.teller.told[LOG_LABEL].state),
    ]
    for name, shows, data in held:
        given = t.audited(t.teller.telling(t.ada.label, state=data))
        yield bad(KIND, name, "R-65.9", "audited", shows, given)
    for kind in DeviceKind:
        given = t.audited(t.teller.telling(t.ada.label, state=_with_device_of(state, kind)))
        yield ok(KIND, f"state-kind-{kind}", f"It holds a device of kind {kind}.", given)
    beyond = max(DeviceKind) + 1
    given = t.audited(t.teller.telling(t.ada.label, state=_with_device_of(state, beyond)))
    shows = f"It holds a device of kind {beyond}, which there is none of."
    yield bad(KIND, f"state-kind-{beyond}", "R-65.9", f"state-kind-{beyond - 1}", shows, given)


def _with_device_of(state: UserState, kind: int) -> bytes:
    """A state with one more device."""
    another = replace(state.devices[0], signing=seed("another"), kind=kind)
    return replace(state, devices=(*state.devices, another)).encode()
