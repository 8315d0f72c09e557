"""Lies about the tree: version, checkpoint, cosignatures, first and last entry, the log's chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from ledger.errors import NotCosigned, NotFresh
from ledger.format import entry
from ledger.format.bodies import DAY_MS, ZERO_HASH, Demands
from ledger.format.cbor import encode
from ledger.format.checkpoint import Checkpoint
from ledger.format.keys import SigningKey
from ledger.format.lookup import Bundle, Link
from ledger.format.note import Note, NoteSignature, Signer, cosign, parse_note
from ledger.log.commit import Head
from tests.client.lies import (
    ALL,
    AUDITS,
    KNOWN,
    MALFORMED,
    MISBEHAVED,
    REPLAYS,
    Case,
    Lie,
    Scene,
    broken,
    cases,
    changed,
    flipped,
    log_chain,
    other_world,
    raw_field,
    told,
    with_block,
    world,
)
from tests.client.light_world import ADA, AUDITORS, BOB, EVE, LATER, STRANGER
from tests.support.actors import NOW, LogActor, User, seed
from tests.support.lookups import Auditor, Teller
from tests.support.memory import MemoryLog

LOG = bytes(32)
FIRST, SECOND, _ = AUDITORS


# --- checkpoints


def signed(text: bytes, *more: NoteSignature, name: str = "", key: SigningKey | None = None) -> Lie:
    """The bundle under this text, signed by the log or another."""

    def lie(s: Scene) -> Bundle:
        actor = s.world.actor
        signer = Signer(name or actor.origin, key or actor.log_key)
        note = Note(text, (signer.sign(text), *more))
        return replace(s.teller.bundle(s.asked), checkpoint=note.encode())

    return lie


def resigned(s: Scene, name: str = "", key: SigningKey | None = None, more: bytes = b"") -> Bundle:
    head = s.teller.head
    text = Checkpoint(name or s.world.actor.origin, head.size, head.root).encode()
    lied = signed(text + more, name=name, key=key)(s)
    assert isinstance(lied, Bundle)
    return lied


def foreign(s: Scene) -> Bundle:
    """Another log's honest answer."""
    other = other_world()
    queries = tuple(
        replace(one, of=other.ada.label) if isinstance(one.of, bytes) else one
        for one in s.asked.queries
    )
    return other.teller.bundle(replace(s.asked, queries=queries))


def one_leaf(s: Scene) -> Bundle:
    return replace(s.teller.bundle(s.asked), checkpoint=s.teller.sign(Head(1, seed("root"))))


def rollback(s: Scene) -> Bundle:
    """An older tree than the one that was seen."""
    asked = replace(s.asked, old=0)
    return replace(s.world.tellers[1].bundle(asked), consistency=())


@cache
def fork(heartbeats: int) -> Teller:
    """The same log from its first block on, but Eve is there instead of Bob."""
    w = world()
    log = MemoryLog(entry.parse(w.log.entries[0]).body)
    ada = User.create(w.actor, ADA, log.anchor)
    log.admit([ada.raw, User.create(w.actor, EVE, log.anchor).raw])
    for _ in range(heartbeats):
        log.admit([])
    return Teller.honest(w.actor, log, {ada.after.label: ada.after.opening}, AUDITORS[:2])


def forked(s: Scene, size: int) -> Bundle:
    teller = fork(size - 5)
    asked = replace(s.asked, old=0, queries=(replace(s.asked.queries[0], held=0),))
    honest = teller.bundle(asked)
    return replace(honest, first=None, consistency=teller.consistency(s.asked.old))


CHECKPOINTS: list[list[Case]] = [
    cases("another version", "version", ALL, MALFORMED, "R-65.1", raw_field(0, 2)),
    cases("no version", "version", ALL, MALFORMED, "R-10.4", raw_field(0, None)),
    changed(
        *("the other mode", "mode", ALL, MALFORMED, "R-65.1"),
        lambda s, b: replace(b, mode=1 - b.mode),
    ),
    cases("an unknown mode", "mode", ALL, MALFORMED, "R-10.4", raw_field(1, 2)),
    cases(
        *("signed by another key", "checkpoint", ALL, MALFORMED, "R-65.2"),
        lambda s: resigned(s, key=other_world().actor.log_key),
    ),
    cases(
        *("signed for another origin", "checkpoint", ALL, MALFORMED, "R-65.2"),
        lambda s: resigned(s, name="other.example/log"),
    ),
    cases(
        *("an extension line", "checkpoint", ALL, MALFORMED, "R-65.2"),
        lambda s: resigned(s, more=b"more\n"),
    ),
    changed(
        *("another size, not signed", "checkpoint", ALL, MALFORMED, "R-65.2"),
        lambda s, b: replace(b, checkpoint=b.checkpoint.replace(b"\n", b"\n1", 1)),
    ),
    cases("another log", "checkpoint", "new,audited", MALFORMED, "R-65.2", foreign),
    cases("a tree of one leaf", "checkpoint", "new,audited", MISBEHAVED, "R-61.4", one_leaf),
    cases(
        "a rollback", "checkpoint", "seen,seen again,audited seen", MISBEHAVED, "R-61.2", rollback
    ),
    cases("a fork", "consistency", KNOWN, MISBEHAVED, "R-61.2", lambda s: forked(s, 12)),
    cases(
        *("a fork of the same size", "consistency", KNOWN, MISBEHAVED, "R-61.2"),
        lambda s: forked(s, s.asked.old),
    ),
    changed(
        *("consistency cut", "consistency", KNOWN, MISBEHAVED, "R-61.2"),
        lambda s, b: replace(b, consistency=b.consistency[:-1]),
    ),
    changed(
        *("consistency longer", "consistency", KNOWN, MISBEHAVED, "R-61.2"),
        lambda s, b: replace(b, consistency=(*b.consistency, seed("hash"))),
    ),
    changed(
        *("consistency changed", "consistency", KNOWN, MISBEHAVED, "R-61.2"),
        lambda s, b: replace(b, consistency=tuple(map(flipped, b.consistency))),
    ),
    changed(
        *("consistency with nothing", "consistency", "new,audited", MALFORMED, "R-65.1"),
        lambda s, b: replace(b, consistency=(seed("hash"),)),
    ),
]


# --- cosignatures


def cosigned_by(*auditors: Auditor) -> Lie:
    return lambda s: s.teller.lying(auditors=auditors).bundle(s.asked)


def second_signs(sign: Callable[[Scene, bytes], NoteSignature]) -> Lie:
    """Under the log's signature and the first auditor's stands another line."""

    def lie(s: Scene) -> Bundle:
        note = parse_note(s.teller.note())
        signatures = (*note.signatures[:2], sign(s, note.text))
        return replace(s.teller.bundle(s.asked), checkpoint=Note(note.text, signatures).encode())

    return lie


def of_older_tree(s: Scene, text: bytes) -> NoteSignature:
    older = parse_note(s.world.tellers[0].note()).text
    return cosign(older, SECOND.name, SECOND.key, 1)


COSIGNATURES: list[list[Case]] = [
    cases("no cosignature", "checkpoint", AUDITS, NotCosigned, "R-65.9", cosigned_by()),
    cases("one too few", "checkpoint", AUDITS, NotCosigned, "R-65.9", cosigned_by(FIRST)),
    cases(
        *("a stranger's cosignature", "checkpoint", AUDITS, NotCosigned, "R-65.9"),
        cosigned_by(FIRST, STRANGER),
    ),
    cases(
        *("a cosignature twice", "checkpoint", AUDITS, MALFORMED, "R-65.2"),
        cosigned_by(FIRST, FIRST),
    ),
    cases(
        *("an auditor's name, another key", "checkpoint", AUDITS, NotCosigned, "R-65.9"),
        cosigned_by(FIRST, Auditor(SECOND.name, STRANGER.key)),
    ),
    cases(
        *("a cosignature of an older tree", "checkpoint", AUDITS, MALFORMED, "R-65.2"),
        second_signs(of_older_tree),
    ),
    cases(
        *("a plain signature for a cosignature", "checkpoint", AUDITS, NotCosigned, "R-65.9"),
        second_signs(lambda s, text: Signer(SECOND.name, SECOND.key).sign(text)),
    ),
]


# --- first and last entry


OTHER_FIRST = entry.block(NOW, LogActor.make(demands=Demands(max_age=DAY_MS - 1)).raw)
"""Of another log by the same keys, under the same origin."""


def begun(bundle: Bundle, first: bytes) -> Bundle:
    """The bundle with another first entry, in the log's chain too."""
    if bundle.log:
        bundle = log_chain(bundle, links=(Link(0, first), *bundle.log.links[1:]))
    return replace(bundle, first=first)


def at_time(data: bytes | None, time: int) -> bytes:
    return entry.block(time, entry.parse(data or b"").body)


ENTRIES: list[list[Case]] = [
    changed(
        *("no first entry", "first", "new,audited", MALFORMED, "R-65.1"),
        lambda s, b: replace(b, first=None),
    ),
    changed(
        *("a first entry unasked", "first", KNOWN, MALFORMED, "R-65.1"),
        lambda s, b: replace(b, first=s.teller.entries[0]),
    ),
    changed(
        *("another first block of that origin", "first", "new,audited", MALFORMED, "R-65.2"),
        lambda s, b: begun(b, OTHER_FIRST),
    ),
    changed(
        *("half a first entry", "first", "new,audited", MALFORMED, "R-65.2"),
        lambda s, b: begun(b, (b.first or b"")[:-1]),
    ),
    changed(
        *("the first entry at another time", "first", "new", MALFORMED, "R-65.1"),
        lambda s, b: replace(b, first=at_time(b.first, NOW - 1)),
    ),
    changed(
        *("another directory root", "last", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, last=entry.directory_root(NOW, seed("root"))),
    ),
    changed(
        *("the last entry at another time", "last", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, last=entry.directory_root(NOW + 1, entry.parse(b.last).body)),
    ),
    changed(
        *("the last entry of an older tree", "last", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, last=s.world.tellers[0].last),
    ),
    told("a block at the end", "last", ALL, "R-65.3", lambda s: ending(s, s.teller.entries[-1])),
    told("no entry at the end", "last", ALL, "R-65.3", lambda s: ending(s, b"\x83\x01")),
    told(
        *("an unknown kind at the end", "last", ALL, "R-65.3"),
        lambda s: ending(s, encode([2, NOW, bytes(32)])),
    ),
    told("time goes back", "last", KNOWN, "R-65.3", lambda s: s.teller.lying(time=NOW - 1)),
    cases(
        *("time runs ahead", "last", ALL, NotFresh, "R-61.3"),
        lambda s: s.teller.lying(time=LATER + 300_001),
    ),
    cases(
        *("time stands still", "last", "new,audited", NotFresh, "R-61.3"),
        lambda s: s.teller.lying(time=LATER - DAY_MS - 1),
    ),
    changed(
        *("inclusion cut", "inclusion", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, inclusion=b.inclusion[:-1]),
    ),
    changed(
        *("inclusion longer", "inclusion", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, inclusion=(*b.inclusion, seed("hash"))),
    ),
    changed(
        *("inclusion changed", "inclusion", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, inclusion=tuple(map(flipped, b.inclusion))),
    ),
    changed(
        *("inclusion turned", "inclusion", ALL, MALFORMED, "R-65.3"),
        lambda s, b: replace(b, inclusion=b.inclusion[::-1]),
    ),
]


def ending(s: Scene, last: bytes) -> Teller:
    return s.teller.lying(last_told=last)


# --- the log's own chain


def unmade(s: Scene) -> Teller:
    """The policy's signature is broken."""
    first, policy = s.teller.told[LOG].links
    return s.teller.telling(LOG, links=(first, with_block(policy, broken)))


def moved_first(s: Scene) -> Teller:
    """The log's first block is said to stand at leaf 1."""
    first, policy = s.teller.told[LOG].links
    return s.teller.telling(LOG, links=(replace(first, index=1), policy))


def forgotten(s: Scene) -> Teller:
    """The policy is gone from a later tree."""
    first = s.world.tellers[0].told[LOG]
    return s.teller.telling(LOG, links=first.links, state=first.state)


LOG_CHAIN: list[list[Case]] = [
    changed(
        *("no log chain", "log", REPLAYS, MALFORMED, "R-65.1"),
        lambda s, b: replace(b, log=None),
    ),
    changed(
        *("a log chain unasked", "log", AUDITS, MALFORMED, "R-65.1"),
        lambda s, b: replace(b, log=b.answers[0].chain),
    ),
    changed(
        *("the log absent", "log", "new", MALFORMED, "R-65.1"),
        lambda s, b: log_chain(b, length=0, accumulator=ZERO_HASH, digest=ZERO_HASH, links=()),
    ),
    changed(
        *("the log gone", "log", "known,seen", MISBEHAVED, "R-65.5"),
        lambda s, b: log_chain(b, length=0, accumulator=ZERO_HASH, digest=ZERO_HASH, links=()),
    ),
    changed(
        *("the policy withheld", "log.links", REPLAYS, MISBEHAVED, "R-65.7"),
        lambda s, b: log_chain(b, links=b.log.links[:-1] if b.log else ()),
    ),
    changed(
        *("another length of the log's chain", "log.length", REPLAYS, MISBEHAVED, "R-65.5"),
        lambda s, b: log_chain(b, length=3),
    ),
    changed(
        *("the log's accumulator", "log.accumulator", REPLAYS, MISBEHAVED, "R-65.5"),
        lambda s, b: log_chain(b, accumulator=seed("accumulator")),
    ),
    changed(
        *("the log's digest", "log.digest", REPLAYS, MISBEHAVED, "R-65.5"),
        lambda s, b: log_chain(b, digest=seed("digest")),
    ),
    told(
        *("an accumulator of the log's that the links don't give", "log.links", REPLAYS, "R-65.7"),
        lambda s: s.teller.telling(LOG, accumulator_told=seed("accumulator")),
    ),
    changed(
        *("the log's proof of another label", "log.proof", REPLAYS, MISBEHAVED, "R-65.5"),
        lambda s, b: log_chain(b, proof=b.answers[0].chain.proof),
    ),
    cases(
        *("the first block at another leaf", "log.links", "new", MALFORMED, "R-65.1", moved_first),
    ),
    told("the policy's signature broken", "log.links", REPLAYS, "R-65.8", unmade),
    told("the policy forgotten", "log.length", "seen,seen again", "R-65.7", forgotten),
    told(
        *("a state of the log that does not follow", "log.digest", REPLAYS, "R-65.9"),
        lambda s: s.teller.telling(LOG, state=s.world.tellers[0].told[LOG].state),
    ),
]


# --- which answers


def swapped(s: Scene) -> Bundle:
    """Bob's answer to a question for Ada."""
    other = s.bob if isinstance(s.asked.queries[0].of, bytes) else BOB
    asked = s.held.ask(s.ada, s.policy, [other])
    return replace(s.teller.bundle(s.asked), answers=s.teller.bundle(asked).answers)


ANSWERS: list[list[Case]] = [
    cases("no answers", "answers", ALL, MALFORMED, "R-10.4", raw_field(8, [])),
    cases("another's answer", "answers", ALL, MISBEHAVED, "R-65.4", swapped),
    changed(
        *("more answers than questions", "answers", ALL, MALFORMED, "R-65.1"),
        lambda s, b: replace(b, answers=b.answers * 2),
    ),
    changed(
        *("answers in another order", "answers", "pair", MISBEHAVED, "R-65.4"),
        lambda s, b: replace(b, answers=b.answers[::-1]),
    ),
]

LIES = [*CHECKPOINTS, *COSIGNATURES, *ENTRIES, *LOG_CHAIN, *ANSWERS]
