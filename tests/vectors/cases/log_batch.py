"""Entries, batches, the first block, the order of blocks (R-42)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import cbor2

from ledger.format import entry
from tests.support.actors import NOW, LogActor, User, Written, signing_key
from tests.vectors import lenient
from tests.vectors.case import Case, Json, bad
from tests.vectors.draft import Draft, Keyring
from tests.vectors.world import BOB, World, label_of


def cases() -> Iterator[Case]:
    yield from times()
    yield from entries()
    yield from shapes()
    yield from firsts()
    yield from order()


def times() -> Iterator[Case]:
    world = World()
    ada = world.create()
    world.heartbeat(NOW + 5)
    add = ada.add(world.anchor).raw
    yield world.ok("time-equal", "Two batches may carry one time.", add)
    shows = "Time goes back by 1 ms."
    yield world.bad("time-back", "R-42.3", "time-equal", shows, add, now=NOW + 4)
    earlier, root = world.batch(add, now=NOW + 5)
    given = world.given([earlier, entry.directory_root(NOW + 6, entry.parse(root).body)])
    shows = "A block's time is 1 ms before that of its batch's root."
    yield bad("log", "time-of-block-before", "R-42.3", "time-equal", shows, given)
    later, root = world.batch(add, now=NOW + 6)
    given = world.given([later, entry.directory_root(NOW + 5, entry.parse(root).body)])
    shows = "A block's time is 1 ms after that of its batch's root."
    yield bad("log", "time-of-block-after", "R-42.3", "time-equal", shows, given)


def entries() -> Iterator[Case]:
    world = World()
    world.create()
    right = world.batch()[0]
    root = entry.parse(right).body
    yield world.ok("heartbeat", "A batch without blocks: the directory root stands again.")
    for name, rule, shows, data in (
        ("kind-2", "R-42.1", "Kind 2 is unknown.", cbor2.dumps([2, NOW, root])),
        ("kind-true", "R-10.4", "true is not 1.", b"\x83\xf5" + right[2:]),
        ("kind-wide", "R-10.2", "A kind in two bytes.", b"\x83\x18\x01" + right[2:]),
        ("trailing", "R-10.2", "A byte follows the entry.", right + b"\x00"),
        ("cut", "R-10.2", "The entry is cut short.", right[:-1]),
        ("four-fields", "R-10.4", "Four fields.", cbor2.dumps([1, NOW, root, None])),
        ("short-root", "R-10.4", "A root of 31 bytes.", cbor2.dumps([1, NOW, root[:31]])),
        ("text-root", "R-10.4", "A root as text.", cbor2.dumps([1, NOW, "r" * 32])),
        ("time-2-53", "R-10.4", "Times are below 2^53.", cbor2.dumps([1, 2**53, root])),
    ):
        covers = ("R-42.1",) if rule == "R-10.4" else ()
        given = world.given([data, right])  # a right heartbeat: the tree ends as it must
        yield bad("log", f"entry-{name}", rule, "heartbeat", shows, given, covers=covers)
    yield from blocks_in_entries(world)


def blocks_in_entries(world: World) -> Iterator[Case]:
    add = world.users[-1].add(world.anchor).raw
    _, end = world.batch(add)
    yield world.ok("entry-block", "A block and a directory root.", add)
    inline = cbor2.dumps([0, NOW, cbor2.loads(add)], canonical=True)
    long = cbor2.dumps([0, NOW, bytes(65_536 - 14)])
    assert len(long) == 65_536
    for name, rule, shows, data in (
        ("inline", "R-10.3", "The block stands there as CBOR, not as a byte string.", inline),
        ("too-long", "R-42.1", "An entry of 65,536 bytes.", long),
        ("malformed", "R-40.1", "A byte follows the block.", entry.block(NOW, add + b"\x00")),
    ):
        given = world.given([data, end])
        yield bad("log", f"entry-block-{name}", rule, "entry-block", shows, given)


def shapes() -> Iterator[Case]:
    world = World()
    add = world.create().add(world.anchor).raw
    one, _ = world.batch(add)
    given = world.given([one])
    shows = "The last batch has no directory root."
    yield bad("log", "batch-no-root", "R-42.2", "entry-block", shows, given)
    create = User.create(world.actor, BOB, world.anchor, label=label_of(BOB)).raw
    first, second, both = world.batch(add, create)
    shows = (
        "A root over the whole batch stands in its middle: it is not that of the entries before."
    )
    given = world.given([first, both, second, both])
    yield bad("log", "batch-root-early", "R-42.5", "batch-two-chains", shows, given)
    shows = "The root of the batch before stands again, though a block came in."
    stale = entry.directory_root(NOW, world.log.head.directory)
    yield bad("log", "batch-root-stale", "R-42.5", "entry-block", shows, world.given([one, stale]))
    shows = "A heartbeat with another root than the batch before."
    given = world.given([entry.directory_root(NOW, bytes([1] * 32))])
    yield bad("log", "heartbeat-other-root", "R-42.5", "heartbeat", shows, given)


def founded(raw: bytes, *more: bytes) -> dict[str, Json]:
    """The input of a case whose only batch begins with the block `raw`."""
    batch = lenient.batch({}, 0, [raw, *more], NOW)
    entries = [data.hex() for data in batch]
    return {"log_id": sha256(raw).hexdigest(), "entries": entries}


def firsts() -> Iterator[Case]:
    founding = LogActor.make()
    draft = Draft.of(founding.raw, Keyring(founding.after))
    yield _first("first", founding)
    empty = entry.directory_root(NOW, bytes(32))
    log_id = sha256(founding.raw).hexdigest()
    given: dict[str, Json] = {"log_id": log_id, "entries": [empty.hex()]}
    shows = "The log begins with a directory root: there is no log.create."
    yield bad("log", "first-heartbeat", "R-42.4", "first", shows, given)
    batch = lenient.batch({}, 1, [founding.raw], NOW)
    given = {"log_id": log_id, "entries": [data.hex() for data in (empty, *batch)]}
    shows = "log.create stands at leaf 1."
    yield bad("log", "first-is-second", "R-42.4", "first", shows, given)
    shows = "log.create is anchored in a tree that can't exist yet."
    raw = draft.field("anchor", [1, draft.value[5][1]]).raw
    yield bad("log", "first-anchored", "R-42.4", "first", shows, founded(raw))
    raw = draft.field("anchor", [0, bytes(32)]).raw
    shows = "The root of the empty tree is SHA-256 of nothing, not zero."
    yield bad("log", "first-zero-root", "R-42.4", "first", shows, founded(raw))
    shows = "A second log.create in the first batch."
    other = LogActor.make("example.com/other").raw
    given = founded(founding.raw, other)
    yield bad("log", "first-twice", "R-42.4", "first", shows, given)
    world = World()
    given = {**world.given([]), "log_id": sha256(other).hexdigest()}
    shows = "A right log, and not the one that was asked for."
    yield bad("log", "first-of-another-log", "R-61.1", "first", shows, given)
    world.create()
    yield world.bad("first-again", "R-42.4", "first", "A second log.create, later.", other)


def _first(name: str, founding: Written[LogActor]) -> Case:
    world = World(founding)
    return Case("log", name, "A log of one block.", world.given([]))


def order() -> Iterator[Case]:
    world = World()
    world.create()
    enrolment = signing_key("another enrolment key")
    policy = world.actor.policy(world.anchor, enrolment=enrolment)
    before = User.create(world.actor, BOB, world.anchor, label=label_of(BOB)).raw
    after = User.create(policy.after, BOB, world.anchor, label=label_of(BOB)).raw
    shows = "Blocks apply in order: the new enrolment key counts from the policy on."
    yield world.ok("order-policy-first", shows, policy.raw, after)
    shows = "The old enrolment key counts until the policy."
    yield world.ok("order-policy-last", shows, before, policy.raw)
    nearest = "order-policy-last"
    shows = "The old enrolment key no longer counts, in the same batch."
    yield world.bad("order-old-key-late", "R-52.1", nearest, shows, policy.raw, before)
    nearest = "order-policy-first"
    shows = "The new enrolment key does not count yet, in the same batch."
    yield world.bad("order-new-key-early", "R-52.1", nearest, shows, after, policy.raw)
