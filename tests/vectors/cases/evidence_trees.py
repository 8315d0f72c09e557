"""Evidence that a tree gives by itself (R-80.1 to R-80.4, R-80.8, R-80.9, R-80.11)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace

import cbor2

from ledger.format import entry
from ledger.format.block import Anchor
from ledger.format.bodies import DAY_MS
from ledger.format.evidence import Evidence, Fork, Leaf, WrongAnchor, WrongEntry, WrongTime
from ledger.format.note import COSIGNATURE, Verifier
from ledger.log.commit import Head
from ledger.tree.merkle import EMPTY_ROOT
from tests.support.accuser import Accuser
from tests.support.actors import NOW, LogActor, User, signing_key
from tests.support.lookups import Auditor
from tests.vectors.case import Case, Json, bad, ok
from tests.vectors.cases.log_anchor import at
from tests.vectors.world import BOB, World, label_of

SECOND = 1_000
MINUTES_5 = 300 * SECOND


def given(
    found: Evidence | bytes, log_id: bytes | None = None, witnesses: str | None = None
) -> dict[str, Json]:
    """The input of a case. Log id and policy are the judge's own."""
    data = found.encode() if isinstance(found, Evidence) else found
    return {"evidence": data.hex(), "log_id": log_id and log_id.hex(), "witnesses": witnesses}


def proven(name: str, rule: str, shows: str, found: Evidence, witnesses: str | None = None) -> Case:
    """A file that proves that the log broke a rule."""
    output = {"verdict": "proven", "kind": found.kind.name.lower(), "rule": rule}
    return ok("evidence", name, shows, given(found, witnesses=witnesses), output=output)


def undecided(name: str, rule: str, shows: str, found: Evidence, witnesses: str | None) -> Case:
    """A file in order, which can't be judged by itself."""
    output = {"verdict": "undecided", "kind": found.kind.name.lower(), "rule": rule}
    return ok("evidence", name, shows, given(found, witnesses=witnesses), output=output)


def nothing(
    name: str,
    rule: str,
    nearest: str,
    shows: str,
    found: Evidence | bytes,
    *,
    log_id: bytes | None = None,
    witnesses: str | None = None,
) -> Case:
    """A file that proves nothing, though its like does."""
    return bad("evidence", name, rule, nearest, shows, given(found, log_id, witnesses))


def honest() -> World:
    """Leaves: 0 log.create · 2 Ada · 4 Bob · 6 Ada's second device · 8 a new enrolment key."""
    world = World()
    ada = world.create()
    world.create(BOB)
    world.now += SECOND
    world.admit(ada.add(world.anchor))
    world.admit_policy(world.actor.policy(world.anchor, enrolment=signing_key("enrolment 2")))
    return world


def cases() -> Iterator[Case]:
    yield from forks()
    yield from files()
    yield from notes()
    yield from entries()
    yield from anchors()
    yield from ages()
    yield from times()
    yield from quorums()
    yield from replayables()


def branches() -> tuple[Accuser, Accuser]:
    """Two histories of one log, which part behind leaf 5."""
    left, right = World(), World()
    for world in (left, right):
        world.create()
        world.create(BOB)
    left.heartbeat(NOW + 1)
    right.heartbeat(NOW + 2)
    left.heartbeat(NOW + 3)
    return Accuser(left.actor, left.log.entries), Accuser(right.actor, right.log.entries)


def forks() -> Iterator[Case]:
    left, right = branches()
    fork = left.fork(right.note(), right.size)
    same = replace(right.file(Fork(left.note(7), right.note(), right.root(7))), first=fork.first)
    shows = "A tree of 7 leaves, and one of 8 whose first 7 are others."
    yield proven("fork", "R-61.2", shows, fork)
    shows = "Two roots for one size."
    yield proven("fork-one-size", "R-61.2", shows, same)
    body = fork.body
    assert isinstance(body, Fork)

    def wrong(name: str, shows: str, changed: Fork, nearest: str = "fork") -> Case:
        return nothing(f"fork-{name}", "R-80.3", nearest, shows, replace(fork, body=changed))

    shows = "The older checkpoint is one of this history: a cached one proves nothing."
    yield wrong("cached", shows, replace(body, older=left.note(7)))
    shows = "One checkpoint twice."
    once = Fork(left.note(), left.note(), left.root(left.size))
    yield wrong("once", shows, once, "fork-one-size")
    shows = "The notes are swapped: the larger tree stands first."
    yield wrong("swapped", shows, replace(body, older=body.newer, newer=body.older))
    shows = "The root is that of the other history: nothing leads from it to this one."
    yield wrong("other-root", shows, replace(body, root=right.root(7)))
    shows = "The proof begins at another size."
    shifted = replace(body, root=left.root(6), consistency=left.consistency(6))
    yield wrong("other-size", shows, shifted)
    longer = replace(body, consistency=(*body.consistency, bytes(32)))
    yield wrong("proof-longer", "One hash too many.", longer)
    shorter = replace(body, consistency=body.consistency[:-1])
    yield wrong("proof-shorter", "One hash too few.", shorter)
    shows = "Two roots for one size, and the root given is the older one's."
    assert isinstance(same.body, Fork)
    yield wrong("one-size-root", shows, replace(same.body, root=left.root(7)), "fork-one-size")
    padded = replace(same.body, consistency=(bytes(32),))
    shows = "Two roots for one size, and a proof where none is needed."
    yield wrong("one-size-proof", shows, padded, "fork-one-size")


def files() -> Iterator[Case]:
    """R-80.1."""
    left, right = branches()
    fork = left.fork(right.note(), right.size)
    data, own = fork.encode(), left.actor.log_id
    output = {"verdict": "proven", "kind": "fork", "rule": "R-61.2"}
    shows = "The judge asks for evidence about this log."
    yield ok("evidence", "file-this-log", shows, given(fork, own), output=output)
    shows = "The judge asks for evidence about another log."
    other = LogActor.make("example.com/other")
    rule, nearest = "R-80.1", "file-this-log"
    yield nothing("file-that-log", rule, nearest, shows, fork, log_id=other.after.log_id)

    def wrong(name: str, shows: str, found: Evidence | bytes) -> Case:
        return nothing(f"file-{name}", "R-80.1", "fork", shows, found)

    yield wrong("empty", "No bytes at all.", b"")
    yield wrong("trailing", "A byte follows.", data + b"\x00")
    yield wrong("cut", "The last byte is missing.", data[:-1])
    value = cbor2.loads(data)
    yield wrong("version", "Version 2.", cbor2.dumps([2, *value[1:]]))
    yield wrong("kind-9", "Kind 9.", cbor2.dumps([1, 9, *value[2:]]))
    shows = "A fork that calls itself evidence about one entry."
    yield wrong("other-kind", shows, cbor2.dumps([1, 1, *value[2:]]))
    yield wrong("five-fields", "A field more.", cbor2.dumps([*value, None]))
    long_head = data[:2] + b"\x18\x00" + data[3:]
    yield wrong("long-head", "The kind in two bytes.", long_head)
    text = cbor2.dumps([*value[:3], [*value[3][:2], value[3][2].hex(), value[3][3]]])
    yield wrong("text", "The root is text.", text)
    shows = "The first entry is a directory root."
    yield wrong("first-root", shows, replace(fork, first=left.entries[1]))
    shows = "The first entry is a user's."
    yield wrong("first-user", shows, replace(fork, first=left.entries[2]))
    create = left.entry(0).body
    shows = "The first entry's signature is not the log's."
    flipped = entry.block(NOW, create[:-1] + bytes([create[-1] ^ 1]))
    yield wrong("first-flipped", shows, replace(fork, first=flipped))


def notes() -> Iterator[Case]:
    """R-80.2."""
    left, right = branches()
    fork = left.fork(right.note(), right.size)
    body = fork.body
    assert isinstance(body, Fork)

    def wrong(name: str, shows: str, changed: Evidence, nearest: str = "fork") -> Case:
        return nothing(f"note-{name}", "R-80.2", nearest, shows, changed)

    log = left.actor
    stranger = replace(log, log_key=signing_key("stranger"))
    newest = Head(left.size, left.root(left.size), NOW)
    shows = "The checkpoint is signed by another key under the same origin."
    forged = replace(body, newer=stranger.note(newest))
    yield wrong("other-key", shows, replace(fork, body=forged))
    shows = "The checkpoint is signed by this key under another origin."
    renamed = replace(body, newer=replace(log, origin="example.com/other").note(newest))
    yield wrong("other-origin", shows, replace(fork, body=renamed))
    shows = "The file names another log, whose key signed none of this."
    other = World(LogActor.make("example.com/other"))
    yield wrong("other-log", shows, replace(fork, first=other.log.entries[0]))
    text = body.newer.replace(b"\n8\n", b"\n9\n")
    yield wrong("size", "The size was changed.", replace(fork, body=replace(body, newer=text)))
    shows = "The older tree has one leaf: no log publishes that."
    one = Fork(log.note(Head(1, bytes([1] * 32), NOW)), left.note(), left.root(1))
    one = replace(one, consistency=left.consistency(1))
    yield wrong("size-1", shows, replace(fork, body=one))


def entries() -> Iterator[Case]:
    """R-80.4."""
    world = honest()
    eve = User.create(world.actor, "eve@example.org", world.anchor, label=label_of(BOB))
    draft = world.draft(eve)
    flipped = eve.raw[:-1] + bytes([eve.raw[-1] ^ 1])
    lies = {
        "signature": ("R-40.4", "A signature that does not verify.", flipped),
        "context": ("R-40.4", "A signature for another log.", draft.under(log_id=b"1" * 32).raw),
        "type": ("R-41.2", "A type that there is not.", draft.field("type", 10).raw),
        "label": ("R-41.3", "A user under the log's label.", draft.field("label", bytes(32)).raw),
        "envelope": ("R-40.1", "No envelope at all.", b"block"),
    }
    end = len(world.log.entries)
    accused: dict[str, Accuser] = {}
    for name, (rule, shows, raw) in lies.items():
        accuser = Accuser(world.actor, [*world.log.entries, *world.batch(raw)])
        accused[name] = accuser
        yield proven(f"entry-{name}", rule, shows, accuser.wrong_entry(end))
    shows = "An entry of kind 2."
    data = cbor2.dumps([2, NOW, b"block"])
    kind = Accuser(world.actor, [*world.log.entries, data, *world.batch()])
    yield proven("entry-kind", "R-42.1", shows, kind.wrong_entry(end))
    shows = "An empty entry."
    empty = Accuser(world.actor, [*world.log.entries, b"", *world.batch()])
    yield proven("entry-empty", "R-42.1", shows, empty.wrong_entry(end))
    batch = world.batch(world.users[1].add(world.anchor).raw)
    shows = "The tree ends with a block, and no directory root closes it."
    ending = Accuser(world.actor, [*world.log.entries, batch[0]])
    yield proven("entry-end", "R-42.2", shows, ending.wrong_entry(end))
    closed = Accuser(world.actor, [*world.log.entries, *batch])

    def wrong(name: str, rule: str, nearest: str, shows: str, found: Evidence) -> Case:
        return nothing(f"entry-{name}", rule, nearest, shows, found)

    shows = "A block in order, which a directory root closes."
    yield wrong("honest", "R-80.4", "entry-end", shows, closed.wrong_entry(end))
    shows = "A directory root, as every tree ends with one."
    yield wrong("root", "R-80.4", "entry-end", shows, closed.wrong_entry(closed.size - 1))
    shows = "Leaf 0 has the log's first block, which is signed for no log id."
    yield wrong("first", "R-80.4", "entry-signature", shows, closed.wrong_entry(0))
    yield from _leaves(accused["signature"].wrong_entry(end), accused["signature"], closed)


def _leaves(found: Evidence, accuser: Accuser, honest: Accuser) -> Iterator[Case]:
    """R-80.2: leaves that do not stand where they are said to."""
    body = found.body
    assert isinstance(body, WrongEntry)
    leaf, nearest = body.leaf, "entry-signature"

    def wrong(name: str, shows: str, changed: Leaf, note: bytes = b"") -> Case:
        moved = replace(body, leaf=changed, note=note or body.note)
        return nothing(f"leaf-{name}", "R-80.2", nearest, shows, replace(found, body=moved))

    shows = "The entry that is wrong never stood in this tree: the finder made it."
    yield wrong(
        "not-there", shows, replace(honest.leaf(leaf.index), entry=leaf.entry), honest.note()
    )
    yield wrong("index", "It stands at another leaf.", replace(leaf, index=leaf.index - 1))
    yield wrong("beyond", "The leaf is beyond the tree.", replace(leaf, index=accuser.size))
    longer = (*leaf.inclusion, bytes(32))
    yield wrong("longer", "The proof is one hash too long.", replace(leaf, inclusion=longer))
    shorter = leaf.inclusion[:-1]
    yield wrong("shorter", "The proof is one hash too short.", replace(leaf, inclusion=shorter))
    inner = replace(leaf, index=leaf.index // 2, inclusion=leaf.inclusion[1:])
    yield wrong("inner", "A node of the tree is passed off as a leaf.", inner)


def anchors() -> Iterator[Case]:
    """R-80.8, but for ages."""
    world = honest()
    ada, end = world.users[-1], len(world.log.entries)
    wrong_root = Anchor(world.anchor.size, bytes([7] * 32))

    def anchored(anchor: Anchor) -> Accuser:
        return Accuser(world.actor, [*world.log.entries, *world.batch(ada.add(anchor).raw)])

    shows = "An anchor with another root than the tree has there: its author saw another history."
    fork = anchored(wrong_root)
    yield proven("anchor-root", "R-44.2", shows, fork.wrong_anchor(end, root=True))
    shows = "An anchor in a tree that ends with a block."
    inner = anchored(at(world, 7))
    yield proven("anchor-block", "R-44.2", shows, inner.wrong_anchor(end, end=True))
    shows = "An anchor in the empty tree."
    yield proven("anchor-0", "R-44.1", shows, anchored(Anchor(0, EMPTY_ROOT)).wrong_anchor(end))
    beyond = anchored(Anchor(end + 1, bytes(32)))
    shows = "An anchor that holds the block itself."
    yield proven("anchor-beyond", "R-44.1", shows, beyond.wrong_anchor(end))
    honest_ = anchored(world.anchor)

    def wrong(name: str, nearest: str, shows: str, found: Evidence) -> Case:
        return nothing(f"anchor-{name}", "R-80.8", f"anchor-{nearest}", shows, found)

    shows = "The anchor is the tree that stands there."
    yield wrong("honest", "root", shows, honest_.wrong_anchor(end, root=True))
    shows = "The anchor ends with a directory root of the same minute."
    yield wrong("fresh", "block", shows, honest_.wrong_anchor(end, end=True))
    shows = "Nothing is given that the anchor contradicts."
    yield wrong("nothing", "0", shows, honest_.wrong_anchor(end))
    found = inner.wrong_anchor(end, end=True)
    body = found.body
    assert isinstance(body, WrongAnchor)
    moved = replace(found, body=replace(body, end=inner.leaf(4)))
    yield wrong("other-end", "block", "The leaf is another one than the anchor's last.", moved)
    both = replace(found, body=replace(body, root=inner.root(7), consistency=inner.consistency(7)))
    yield wrong("both", "block", "Root and leaf are given.", both)
    other = fork.wrong_anchor(end, root=True)
    assert isinstance(other.body, WrongAnchor)
    other = replace(other, body=replace(other.body, end=fork.leaf(world.anchor.size - 1)))
    yield wrong("root-and-end", "root", "The anchor's last leaf is given beside the root.", other)
    more = replace(found, body=replace(body, consistency=inner.consistency(7)))
    yield wrong("proof", "block", "A proof is given that belongs to no root.", more)
    found = beyond.wrong_anchor(end)
    assert isinstance(found.body, WrongAnchor)
    more = replace(found, body=replace(found.body, end=beyond.leaf(5)))
    yield wrong("beyond-more", "beyond", "A leaf is given where none is needed.", more)
    found = fork.wrong_anchor(end, root=True)
    body = found.body
    assert isinstance(body, WrongAnchor)
    other = replace(found, body=replace(body, root=bytes([8] * 32)))
    yield wrong("made-up", "root", "Nothing leads from the root to the checkpoint.", other)
    shows = "The anchor is outside of the log: its author, or the finder, may have lied."
    outside = replace(honest_.leaf(end), entry=fork.entries[end])
    proof = honest_.consistency(world.anchor.size)
    stray = replace(body, note=honest_.note(), leaf=outside, consistency=proof)
    yield nothing("anchor-outside", "R-80.2", "anchor-root", shows, replace(found, body=stray))
    shows = "The log's first block is anchored in the empty tree, and no other is."
    create = replace(found, body=WrongAnchor(fork.note(), fork.leaf(0)))
    yield wrong("of-create", "0", shows, create)
    shows = "A directory root has no anchor."
    root = replace(found, body=replace(body, leaf=fork.leaf(end - 1)))
    yield wrong("of-root", "root", shows, root)


def ages() -> Iterator[Case]:
    """R-80.8: anchors of long ago."""
    world = World()
    raw = world.create().add(world.anchor).raw
    end = len(world.log.entries)

    def aged(age: int) -> Evidence:
        batch = world.batch(raw, now=NOW + age)
        return Accuser(world.actor, [*world.log.entries, *batch]).wrong_anchor(end, end=True)

    shows = "The anchor is 24 hours and 1 ms older than the block."
    yield proven("anchor-old", "R-44.3", shows, aged(DAY_MS + 1))
    shows = "The anchor is exactly 24 hours older than the block."
    yield nothing("anchor-24-h", "R-80.8", "anchor-old", shows, aged(DAY_MS))


def times() -> Iterator[Case]:
    """R-80.9: backwards."""
    world = honest()
    end = len(world.log.entries)
    back = Accuser(world.actor, [*world.log.entries, *world.batch(now=NOW - 1)])
    shows = "A later leaf is of an earlier time."
    yield proven("time-back", "R-42.3", shows, back.wrong_time(2, end))

    def wrong(name: str, shows: str, found: Evidence) -> Case:
        return nothing(f"time-{name}", "R-80.9", "time-back", shows, found)

    yield wrong("same", "Both leaves are of one time.", back.wrong_time(2, 4))
    yield wrong("onward", "The later leaf is of a later time.", back.wrong_time(2, 6))
    yield wrong("swapped", "The earlier leaf stands second.", back.wrong_time(end, 2))
    yield wrong("one-leaf", "A leaf against itself.", back.wrong_time(2, 2))


WITNESSES = tuple(map(Auditor.make, ("W1", "W2", "W3")))


def policy(quorum: str = "two", log: str = "") -> str:
    """Two of three witnesses."""
    lines = [
        f"witness {one.name} {Verifier(one.name, COSIGNATURE, one.key.public).vkey}"
        for one in WITNESSES
    ]
    return "\n".join(
        [*([log] if log else []), *lines, "group two 2 W1 W2 W3", f"quorum {quorum}", ""]
    )


def quorums() -> Iterator[Case]:
    """R-80.9: ahead of witnesses."""
    world = honest()
    early = (NOW - MINUTES_5) // SECOND
    accuser = Accuser(world.actor, world.log.entries)

    def seen(index: int, *when: int) -> Evidence:
        text = accuser.note().partition(b"\n\n")[0] + b"\n"
        lines = b""
        for one, seconds in zip(WITNESSES, when, strict=False):
            whole = accuser.note(None, one, seconds=seconds)
            lines += whole.rpartition(b"\n\n")[2].split(b"\n")[1] + b"\n"
        own = accuser.note().rpartition(b"\n\n")[2]
        return accuser.wrong_time(index, note=text + b"\n" + own + lines)

    shows = "Two of three witnesses had seen the leaf 5 minutes and 1 s before its time."
    found = seen(6, early, early)
    rule = "R-62.9"
    yield proven("ahead", rule, shows, found, policy())

    def wrong(name: str, shows: str, found: Evidence) -> Case:
        return nothing(f"ahead-{name}", "R-80.9", "ahead", shows, found, witnesses=policy())

    shows = "One witness is no quorum: its clock may be slow."
    yield wrong("one", shows, seen(6, early))
    yield wrong("one-early", "One of the two was in time.", seen(6, early, NOW // SECOND))
    shows = "Two cosigned exactly 5 minutes before the leaf's time."
    yield wrong("5-minutes", shows, seen(6, early + 1, early + 1))
    yield wrong("no-time", "Cosignatures of time 0 do not count.", seen(6, 0, 0))
    shows = "An old checkpoint that nobody cosigned."
    yield wrong("none", shows, seen(6))
    rule = "R-80.9"
    yield undecided("ahead-no-policy", rule, "The judge has no policy.", found, None)
    shows = "The judge's policy asks for no witness."
    yield undecided("ahead-quorum-none", rule, shows, found, policy("none"))
    known = Verifier("example.com/other", 1, signing_key("other").public)
    shows = "The judge's policy is for other logs."
    yield undecided("ahead-other-log", rule, shows, found, policy(log=f"log {known.vkey}"))
    body = found.body
    assert isinstance(body, WrongTime)
    shows = "The time of a cosignature was changed."
    line = body.note.splitlines()[-1].split(b" ")
    blob = bytearray(b64decode(line[2]))
    blob[11] ^= 1
    line[2] = b64encode(bytes(blob))
    note = b"\n".join([*body.note.splitlines()[:-1], b" ".join(line), b""])
    altered = replace(found, body=replace(body, note=note))
    yield nothing("ahead-forged", "R-80.2", "ahead", shows, altered, witnesses=policy())


def replayables() -> Iterator[Case]:
    world = honest()
    accuser = Accuser(world.actor, world.log.entries)
    shows = "A directory root that is said not to follow from the entries: replay them."
    yield undecided("replayable", "R-80.11", shows, accuser.replayable(9), None)
    shows = "A block is no directory root."
    yield nothing("replayable-block", "R-80.11", "replayable", shows, accuser.replayable(8))
