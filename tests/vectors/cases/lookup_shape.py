"""Saved lookups that are good, and what breaks their shape (R-65.1, R-65.10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cbor2

from ledger.format.lookup import Mode
from tests.support.actors import NOW, seed
from tests.vectors.asked import (
    ACCUMULATOR,
    ANCHORED,
    ANSWER,
    ANSWERS,
    CHAIN,
    CONSISTENCY,
    DIGEST,
    FIRST,
    FIRST_TWO,
    LINKS,
    LOG,
    MODE,
    OPENING,
    POLICY,
    STATE,
    VERSION,
    VRF_PROOF,
    asked,
    field,
    teller_of,
    town,
)
from tests.vectors.case import Case, bad, ok
from tests.vectors.world import ADA, BOB, World

KIND = "lookup"
NOBODY = "nobody@example.org"
YEAR = 365 * 86_400_000


def cases() -> Iterator[Case]:
    yield from good()
    yield from saved()
    yield from bundles()
    yield from answers()
    yield from absent()


def good() -> Iterator[Case]:
    t = town()
    teller = t.teller
    yield ok(KIND, "replay", "Two devices, and a policy between their blocks.", t.given(teller))
    yield ok(KIND, "old", "The same, judged a year later.", t.given(teller, now=NOW + YEAR))
    yield ok(
        KIND,
        "ahead-5-minutes",
        "The last entry is 5 minutes ahead of the judge's clock.",
        t.given(teller, now=NOW - 300_000),
    )
    yield ok(KIND, "first-device", "A chain of one block.", t.given(t.early))
    yield ok(KIND, "nobody", "Nobody is registered.", t.given(teller, NOBODY))
    yield ok(KIND, "audited", "The state, under two auditors.", t.audited(teller))
    yield ok(KIND, "audited-nobody", "Nobody, under two.", t.audited(teller, NOBODY))
    covered = teller.lying(auditors=FIRST_TWO)
    yield ok(KIND, "replay-covered", "Replayed, and cosigned.", t.given(covered, auditors=POLICY))
    yield ok(
        KIND,
        "replay-uncovered",
        "Replayed; the judge's auditors have yet to cosign.",
        t.given(teller, auditors=POLICY),
    )
    yield ok(
        KIND, "cosigned-by-strangers", "Cosignatures that the judge ignores.", t.given(covered)
    )
    yield from loud()


def loud() -> Iterator[Case]:
    """Chains with loud events."""
    world = World()
    ada, bob = world.create(ADA), world.create(BOB)
    ada = world.admit(ada.add(world.anchor))
    ada = world.admit(ada.revoke(world.anchor, 0, author=1))
    ada = world.admit(ada.reset(world.actor, world.anchor))
    bob = world.admit(bob.close(world.anchor))
    teller, t = teller_of(world, ada, bob), town()
    yield ok(KIND, "reset", "Revoked all others, then reset.", t.given(teller))
    yield ok(KIND, "closed", "Closed.", t.given(teller, BOB))
    yield ok(KIND, "audited-closed", "Closed, by the state.", t.audited(teller, BOB))


def saved() -> Iterator[Case]:
    """R-65.10."""
    t = town()
    honest: dict[str, Any] = {**t.given(t.teller)}
    yield bad(
        KIND,
        "another-log",
        "R-65.10",
        "replay",
        "An answer of another log than the judge asks for.",
        honest | {"log_id": seed("log").hex()},
    )
    yield bad(
        KIND,
        "another-identifier",
        "R-65.10",
        "replay",
        "An answer about another person than the judge asks for.",
        honest | {"identifier": BOB},
    )
    raw = bytes.fromhex(honest["lookup"])
    fields: list[Any] = cbor2.loads(raw)
    bent: list[tuple[str, str, str, bytes]] = [
        ("saved-version", "R-65.10", "Version 2.", cbor2.dumps([2, *fields[1:]])),
        ("saved-longer", "R-10.4", "A field more.", cbor2.dumps([*fields, 0])),
        ("saved-inline", "R-10.4", "The bundle not in a byte string.", inline(fields)),
        ("saved-trailing", "R-10.2", "A byte more.", raw + b"\0"),
        ("saved-empty", "R-10.2", "No bytes.", b""),
    ]
    for name, rule, shows, data in bent:
        covers = () if rule == "R-65.10" else ("R-65.10",)
        given = honest | {"lookup": data.hex()}
        yield bad(KIND, name, rule, "replay", shows, given, covers=covers)


def inline(fields: list[Any]) -> bytes:
    return cbor2.dumps([*fields[:3], cbor2.loads(fields[3])])


def bundles() -> Iterator[Case]:
    """R-65.1 but for the answers' own fields."""
    t = town()
    told = asked(t.teller, ADA)
    replayed: list[tuple[str, str, tuple[int, ...], Any]] = [
        ("bundle-version", "Version 2.", (VERSION,), 2),
        ("first-null", "No first entry.", (FIRST,), None),
        ("consistency", "A consistency proof from nothing.", (CONSISTENCY,), [seed("hash")]),
        ("log-null", "No chain of the log.", (LOG,), None),
        ("two-answers", "An answer more.", (ANSWERS,), field(told, (ANSWERS,)) * 2),
        (
            "log-from-1",
            "The log's chain without its first link.",
            (LOG, 4),
            field(told, (LOG, 4))[1:],
        ),
        ("log-first", "The log's first link at leaf 1.", (LOG, 4, 0, 0), 1),
        ("log-empty", "The log's chain is absent.", (LOG,), emptied(field(told, (LOG,)))),
    ]
    for name, shows, path, value in replayed:
        yield bad(KIND, name, "R-65.1", "replay", shows, t.given(told, ADA, (path, value)))
    shapes: list[tuple[str, str, tuple[int, ...], Any]] = [
        ("no-answers", "No answer.", (ANSWERS,), []),
        ("mode-2", "An unknown mode.", (MODE,), 2),
        ("version-null", "No version.", (VERSION,), None),
        ("label-short", "A label of 31 bytes.", (*ANSWER, 0), seed("label")[:31]),
        ("vrf-short", "A VRF proof of 79 bytes.", VRF_PROOF, bytes(79)),
        ("digest-short", "A digest of 31 bytes.", DIGEST, seed("digest")[:31]),
        ("chain-four", "A chain of four fields.", CHAIN, field(told, CHAIN)[:4]),
        ("link-three", "A link of three fields.", (*LINKS, 0), [*field(told, (*LINKS, 0)), 0]),
        ("length-2-33", "A chain longer than seq can count.", (*CHAIN, 0), 2**33),
    ]
    for name, shows, path, value in shapes:
        given = t.given(told, ADA, (path, value))
        yield bad(KIND, name, "R-10.4", "replay", shows, given, covers=("R-65.1",))
    log = field(told, (LOG,))
    given = t.audited(cosigned(Mode.AUDITED), ADA, ((LOG,), log))
    yield bad(KIND, "audited-log", "R-65.1", "audited", "The log's chain, audited.", given)


def emptied(chain: list[Any]) -> list[Any]:
    return [0, bytes(32), bytes(32), chain[3], []]


def cosigned(mode: int, identifier: str = ADA) -> bytes:
    return asked(town().teller.lying(auditors=FIRST_TWO), identifier, mode)


def answers() -> Iterator[Case]:
    """R-65.1: what is null, and what is not."""
    t = town()
    told, audited = asked(t.teller, ADA), cosigned(Mode.AUDITED)
    state, links = field(audited, STATE), field(told, LINKS)
    replayed: list[tuple[str, str, tuple[int, ...], Any]] = [
        ("vrf-null", "No VRF proof.", VRF_PROOF, None),
        ("opening-null", "No opening.", OPENING, None),
        ("state-replayed", "A state to who replays.", STATE, state),
        ("anchored-null", "No proof of the newest anchor.", ANCHORED, None),
    ]
    for name, shows, path, value in replayed:
        yield bad(KIND, name, "R-65.1", "replay", shows, t.given(told, ADA, (path, value)))
    given = t.audited(audited, ADA, (STATE, None))
    yield bad(KIND, "state-null", "R-65.1", "audited", "No state, audited.", given)
    given = t.audited(audited, ADA, (LINKS, links), (ANCHORED, field(told, ANCHORED)))
    yield bad(KIND, "audited-links", "R-65.1", "audited", "Links, audited.", given)
    given = t.audited(audited, ADA, (ANCHORED, []))
    yield bad(KIND, "audited-anchored", "R-65.1", "audited", "A proof of no anchor.", given)


def absent() -> Iterator[Case]:
    """R-65.1: of who is not there, there is nothing but the proof."""
    t = town()
    told, audited = asked(t.teller, NOBODY), cosigned(Mode.AUDITED, NOBODY)
    there = asked(t.teller, ADA)
    replayed: list[tuple[str, str, tuple[int, ...], Any]] = [
        ("nobody-accumulator", "An accumulator of nobody.", ACCUMULATOR, seed("accumulator")),
        ("nobody-digest", "A digest of nobody.", DIGEST, seed("digest")),
        ("nobody-opening", "An opening of nobody.", OPENING, field(there, OPENING)),
        ("nobody-anchored", "An anchor of nobody.", ANCHORED, []),
    ]
    for name, shows, path, value in replayed:
        yield bad(KIND, name, "R-65.1", "nobody", shows, t.given(told, NOBODY, (path, value)))
    links = (LINKS, field(there, LINKS)), (ANCHORED, field(there, ANCHORED))
    given = t.given(told, NOBODY, *links)
    yield bad(KIND, "nobody-links", "R-65.1", "nobody", "Links of nobody.", given)
    state = field(cosigned(Mode.AUDITED), STATE)
    given = t.audited(audited, NOBODY, (STATE, state))
    yield bad(KIND, "nobody-state", "R-65.1", "audited-nobody", "A state of nobody.", given)
