"""Saved lookups whose log, checkpoint or last entry is wrong (R-61, R-65.2, R-65.3)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import cbor2

from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL, NO_LOG_ID, Anchor
from ledger.format.bodies import ZERO_HASH, BlockType
from ledger.format.checkpoint import Checkpoint
from ledger.format.keys import SigningKey
from ledger.format.lookup import Mode, Saved
from ledger.format.note import Note, NoteSignature, Signer, cosign, parse_note
from ledger.tree.merkle import leaf_hash
from tests.support.actors import NOW, LogActor, seed, signing_key
from tests.support.lookups import Auditor, Teller
from tests.vectors.asked import (
    AUDITORS,
    CHECKPOINT,
    FIRST,
    FIRST_TWO,
    INCLUSION,
    LAST,
    POLICY,
    asked,
    bent,
    field,
    town,
)
from tests.vectors.case import Case, Json, bad
from tests.vectors.cases.lookup_shape import KIND, NOBODY
from tests.vectors.draft import envelope, pairs_of, payload_of

FIRST_ONE, SECOND, _ = AUDITORS


def cases() -> Iterator[Case]:
    yield from checkpoints()
    yield from cosignatures()
    yield from first_blocks()
    yield from last_entries()
    yield from times()


def checkpoints() -> Iterator[Case]:
    """R-65.2, R-61.1, R-61.4."""
    t = town()
    told = asked(t.teller, NOBODY)
    actor, head = t.teller.actor, t.teller.head
    stranger, text = signing_key("stranger"), Checkpoint(actor.origin, head.size, head.root)
    notes: list[tuple[str, str, bytes]] = [
        ("checkpoint-key", "Signed by another key.", signed(text.encode(), stranger)),
        (
            "checkpoint-origin",
            "Of another origin, signed by the log's key under its own name.",
            signed(Checkpoint("other.example", head.size, head.root).encode()),
        ),
        ("checkpoint-line", "An extension line.", signed(text.encode() + b"more\n")),
        (
            "checkpoint-unsigned",
            "The log's signature is broken.",
            Note(text.encode(), (spoilt(Signer(actor.origin, actor.log_key), text),)).encode(),
        ),
    ]
    for name, shows, note in notes:
        given = t.given(told, NOBODY, ((CHECKPOINT,), note))
        covers = ("R-61.1",) if name == "checkpoint-key" else ()
        yield bad(KIND, name, "R-65.2", "nobody", shows, given, covers=covers)
    yield one_leaf()


def spoilt(signer: Signer, text: Checkpoint) -> NoteSignature:
    found = signer.sign(text.encode())
    return NoteSignature(found.name, found.key_id, found.blob[:-1] + bytes([found.blob[-1] ^ 1]))


def signed(text: bytes, key: SigningKey | None = None) -> bytes:
    actor = town().teller.actor
    return Note(text, (Signer(actor.origin, key or actor.log_key).sign(text),)).encode()


def one_leaf() -> Case:
    """A tree that has nothing but a directory root in it."""
    t = town()
    audited = asked(t.teller, NOBODY, Mode.AUDITED)
    actor, last = t.teller.actor, field(audited, (LAST,))
    text = Checkpoint(actor.origin, 1, leaf_hash(last)).encode()
    cosigned = [cosign(text, one.name, one.key, NOW // 1000) for one in FIRST_TWO]
    note = Note(text, (Signer(actor.origin, actor.log_key).sign(text), *cosigned)).encode()
    given = t.audited(audited, NOBODY, ((CHECKPOINT,), note), ((INCLUSION,), []))
    return bad(KIND, "one-leaf", "R-61.4", "audited-nobody", "A tree of one leaf.", given)


def cosignatures() -> Iterator[Case]:
    """R-65.2 for lines of the judge's auditors, R-65.9 where they are too few."""
    t = town()
    few: list[tuple[str, str, tuple[Auditor, ...]]] = [
        ("cosigned-by-none", "No cosignature.", ()),
        ("cosigned-by-one", "One auditor, and two are asked for.", (FIRST_ONE,)),
        ("cosigned-by-another", "One, and a stranger.", (FIRST_ONE, Auditor.make("stranger"))),
        (
            "cosigned-under-a-name",
            "One, and another's key under an auditor's name.",
            (FIRST_ONE, Auditor(SECOND.name, signing_key("stranger"))),
        ),
    ]
    for name, shows, auditors in few:
        told = asked(t.teller.lying(auditors=auditors), NOBODY, Mode.AUDITED)
        given = t.audited(told, NOBODY)
        yield bad(KIND, name, "R-65.9", "audited-nobody", shows, given, verdict="rule")
    broken: list[tuple[str, str, Teller]] = [
        ("cosigned-twice", "One auditor twice.", t.teller.lying(auditors=(FIRST_ONE, FIRST_ONE))),
    ]
    for name, shows, teller in broken:
        given = t.audited(asked(teller, NOBODY, Mode.AUDITED), NOBODY)
        yield bad(KIND, name, "R-65.2", "audited-nobody", shows, given)
    told = asked(t.teller.lying(auditors=FIRST_TWO), NOBODY, Mode.AUDITED)
    note = parse_note(field(told, (CHECKPOINT,)))
    older = parse_note(t.early.note()).text
    moved = cosign(older, AUDITORS[2].name, AUDITORS[2].key, NOW // 1000)
    lied = Note(note.text, (*note.signatures, moved)).encode()
    given = t.audited(told, NOBODY, ((CHECKPOINT,), lied))
    shows = "A third auditor's cosignature of an older tree."
    yield bad(KIND, "cosigned-elsewhere", "R-65.2", "audited-nobody", shows, given)


def first_blocks() -> Iterator[Case]:
    """R-65.2: first blocks that found no log, though the log id is their hash."""
    founding = LogActor.make()
    actor, honest = founding.after, founding.block
    told = asked(town().teller.lying(auditors=FIRST_TWO), NOBODY, Mode.AUDITED)
    place = BlockType.LOG_CREATE, LOG_LABEL, 0, ZERO_HASH
    signers = [actor.app_root, actor.log_key]

    def made(anchor: Anchor, by: list[Any]) -> bytes:
        return blocks.write(*place, anchor, honest.body, signers=by, log_id=NO_LOG_ID)

    (first, second), payload = pairs_of(founding.raw), payload_of(founding.raw)
    spoiled = (second[0], second[1][:-1] + bytes([second[1][-1] ^ 1]))
    raws: list[tuple[str, str, bytes]] = [
        ("first-signature", "A signature is broken.", envelope(payload, [first, spoiled])),
        ("first-signers", "The signers are crossed.", made(honest.anchor, signers[::-1])),
        ("first-anchor", "An anchor in a tree.", made(Anchor(1, seed("root")), signers)),
    ]
    for name, shows, raw in raws:
        yield bad(KIND, name, "R-65.2", "audited-nobody", shows, founded(told, raw))
    other = LogActor.make(heartbeat=59_000)
    given = town().audited(told, NOBODY, ((FIRST,), entry.block(NOW, other.raw)))
    shows = "Another first block, by the same keys, than the log id names."
    yield bad(KIND, "first-other", "R-65.2", "audited-nobody", shows, given)


def founded(told: bytes, raw: bytes) -> dict[str, Json]:
    """The input for a log that begins with this block. Nothing else in it depends on the log id."""
    log_id = sha256(raw).digest()
    bundle = bent(told, ((FIRST,), entry.block(NOW, raw)))
    return {
        "lookup": Saved(log_id, NOBODY, bundle).encode().hex(),
        "log_id": log_id.hex(),
        "identifier": NOBODY,
        "auditors": POLICY.hex(),
        "now": NOW,
    }


def last_entries() -> Iterator[Case]:
    """R-65.3."""
    t = town()
    told = asked(t.teller, NOBODY)
    root, path = t.teller.directory.root, field(told, (INCLUSION,))
    bent_ones: list[tuple[str, str, tuple[int, ...], Any]] = [
        ("inclusion-cut", "A hash less.", (INCLUSION,), path[:-1]),
        ("inclusion-longer", "A hash more.", (INCLUSION,), [*path, seed("hash")]),
        ("inclusion-turned", "The hashes in another order.", (INCLUSION,), path[::-1]),
        ("inclusion-other", "A hash changed.", (INCLUSION, 0), seed("hash")),
        ("last-time", "At another time.", (LAST,), entry.directory_root(NOW + 1, root)),
    ]
    for name, shows, where, value in bent_ones:
        given = t.given(told, NOBODY, (where, value))
        yield bad(KIND, name, "R-65.3", "nobody", shows, given)
    ends: list[tuple[str, str, Any]] = [
        ("last-block", "The last entry is of kind 0.", [0, NOW, root]),
        ("last-kind-2", "The last entry is of kind 2.", [2, NOW, root]),
        ("last-longer", "The last entry has a field more.", [1, NOW, root, 0]),
    ]
    for name, shows, end in ends:
        lying = t.teller.lying(last_told=cbor2.dumps(end))
        yield bad(KIND, name, "R-65.3", "nobody", shows, t.given(lying, NOBODY))


def times() -> Iterator[Case]:
    """R-61.3: a saved lookup may be old, but not of the future."""
    t = town()
    given = t.given(t.teller, now=NOW - 300_001)
    shows = "The last entry is more than 5 minutes ahead of the judge's clock."
    yield bad(KIND, "ahead", "R-61.3", "ahead-5-minutes", shows, given)
