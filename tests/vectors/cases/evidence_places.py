"""Evidence that an entry breaks a rule at its place (R-80.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import Limits
from ledger.format.evidence import BrokenRule, Evidence, ShownChain
from tests.support.accuser import Accuser
from tests.support.actors import LogActor, User, signing_key
from tests.vectors.case import Case
from tests.vectors.cases.evidence_trees import honest, nothing, proven
from tests.vectors.cases.log_anchor import at
from tests.vectors.world import BOB, EVE, World, label_of


def cases() -> Iterator[Case]:
    yield from lies()
    yield from batches()
    yield from beginnings()
    yield from enrolments()
    yield from frames()


def after(world: World, *raws: bytes, now: int | None = None) -> Accuser:
    """The log with one more batch of these blocks, right or wrong."""
    return Accuser(world.actor, [*world.log.entries, *world.batch(*raws, now=now)])


def ghost(world: World) -> bytes:
    """A device that is not Bob's brings in another."""
    stranger, draft = signing_key("stranger"), world.draft(world.users[1].add(world.anchor))
    return draft.at(6, 0, to=stranger.public).by(stranger, draft.signers[1]).raw


def created(world: World, actor: LogActor | None = None) -> bytes:
    """Eve comes in, by what `actor` delegates."""
    return User.create(actor or world.actor, EVE, world.anchor, label=label_of(EVE)).raw


def lies() -> Iterator[Case]:
    """Blocks that break a rule in an otherwise right log."""
    world = honest()
    _, bob, ada = world.users
    end, anchor = len(world.log.entries), world.anchor
    add = world.draft(bob.add(anchor))
    again = entry.parse(world.log.entries[6]).body
    taken = User.create(world.actor, BOB, anchor, label=bob.label).raw
    found = {
        "author": ("R-53.3", "A device that is not the user's brings one in.", ghost(world)),
        "kids": ("R-50.2", "The new device did not sign.", add.by(add.signers[0]).raw),
        "seq": ("R-43.1", "A block of the past once more.", again),
        "taken": ("R-43.2", "A user who is there is made anew.", taken),
        "nobody": ("R-43.2", "A device for nobody.", add.field("label", bytes([9] * 32)).raw),
        "prev": ("R-44.4", "The anchor lacks the chain's block before.", ada.add(at(world, 6)).raw),
        "empty": ("R-44.1", "The anchor is beyond.", add.field("anchor", [99, bytes(32)]).raw),
        "second-log": ("R-42.4", "A second log.create.", LogActor.make("example.com/2").raw),
        "policy": ("R-51.2", "A policy that changes nothing.", world.actor.policy(anchor).raw),
    }
    for name, (rule, shows, raw) in found.items():
        yield proven(f"rule-{name}", rule, shows, after(world, raw).broken_rule(end))
    shows = "A block in order, after all that is right too."
    right = after(world, add.raw).broken_rule(end)
    yield nothing("rule-honest", "R-80.5", "rule-author", shows, right)
    shows = "The second block of the batch breaks a rule; the first is another's."
    second = after(world, created(world), ghost(world))
    yield proven("rule-second", "R-53.3", shows, second.broken_rule(end + 1))
    shows = "The tree has grown since: consistency leads on to it."
    root = entry.directory_root(world.now + 1, bytes(32))
    grown = Accuser(world.actor, [*second.entries, root])
    yield proven("rule-grown", "R-53.3", shows, grown.broken_rule(end + 1))
    shows = "Two blocks of one chain in a batch: the second's anchor lacks the first."
    more = bob.add(anchor)
    twice = after(world, more.raw, more.after.add(anchor).raw)
    yield proven("rule-twice", "R-44.4", shows, twice.broken_rule(end + 1))
    small = World(LogActor.make(limits=Limits(max_block_bytes=1_024, max_devices=24)))
    raw = small.with_devices(24).revoke(small.anchor, *range(1, 24)).raw
    shows = "A block that is longer than this log's limit."
    long = after(small, raw)
    yield proven("rule-size", "R-41.1", shows, long.broken_rule(len(small.log.entries)))


def batches() -> Iterator[Case]:
    """R-42.3, without chains."""
    world = honest()
    end = len(world.log.entries)
    one = after(world, created(world))
    root = entry.directory_root(world.now + 1, bytes(32))
    shows = "The directory root of a batch is of a later time than its block."
    two_times = Accuser(world.actor, [*one.entries[:-1], root])
    found = two_times.broken_rule(end + 1, chained=False)
    yield proven("batch-two-times", "R-42.3", shows, found)
    shows = "A block is of an earlier time than the batch before."
    back = after(world, created(world), now=world.now - 1).broken_rule(end, chained=False)
    yield proven("batch-back", "R-42.3", shows, back)
    shows = "The directory root is of its batch's time."
    found = one.broken_rule(end + 1, chained=False)
    yield nothing("batch-honest", "R-80.5", "batch-two-times", shows, found)
    shows = "Two batches, each of its own time, are passed off as one."
    body = back.body
    assert isinstance(body, BrokenRule)
    whole = Accuser(world.actor, world.log.entries)
    both = BrokenRule(
        whole.note(), whole.leaf(3, 4), (), tuple(whole.entries[4:7]), whole.consistency(7)
    )
    found = replace(back, body=both)
    yield nothing("batch-of-two", "R-80.5", "batch-two-times", shows, found)
    shows = "Chains are given where none are needed."
    more = replace(back, body=replace(body, chains=one.chains(end - 1)))
    yield nothing("batch-chains", "R-80.5", "batch-back", shows, more)


def beginnings() -> Iterator[Case]:
    """The first batch, which follows nothing."""
    founding = LogActor.make()
    world = World(founding)
    create = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    early = world.draft(create).field("anchor", [1, bytes(32)]).at(6, 1, 2, to=1).raw
    time, create_log = world.now, world.log.entries[0]
    entries = [create_log, entry.block(time, early), entry.directory_root(time, bytes(32))]
    accuser = Accuser(world.actor, entries)
    shows = "A first device of the wrong kind, in the log's first batch."
    found = accuser.broken_rule(1)
    yield proven("first-batch", "R-53.2", shows, found)
    body = found.body
    assert isinstance(body, BrokenRule)

    def wrong(name: str, shows: str, changed: Evidence) -> Case:
        return nothing(f"first-batch-{name}", "R-80.5", "first-batch", shows, changed)

    shows = "The finder gives entry 0 another time than it has in the tree."
    moved = entry.block(time + 1, entry.parse(create_log).body)
    yield wrong("moved", shows, replace(found, first=moved))
    shows = "The entries do not begin with the log's first."
    cut = replace(body, entries=body.entries[1:])
    yield wrong("cut", shows, replace(found, body=cut))
    shows = "The log's first entry alone."
    alone = replace(body, entries=body.entries[:1], consistency=accuser.consistency(1))
    yield wrong("alone", shows, replace(found, body=alone))


def enrolments() -> Iterator[Case]:
    """An enrolment key that was replaced, and honest logs that replaced one."""
    world = honest()
    end, old = len(world.log.entries), LogActor.make().after
    shows = "A user by the enrolment key that was replaced in the batch before."
    lie = after(world, created(world, old))
    found = lie.broken_rule(end)
    yield proven("enrolment-retired", "R-52.1", shows, found)
    right = after(world, created(world)).broken_rule(end)
    yield from _omitted(right)
    fresh = world.actor.policy(world.anchor, enrolment=signing_key("enrolment 3"))
    shows = "A policy in the same batch replaces the key, and the user is by the new one."
    same = after(world, fresh.raw, created(world, fresh.after)).broken_rule(end + 1)

    def wrong(name: str, shows: str, changed: Evidence) -> Case:
        return nothing(f"enrolment-{name}", "R-80.5", "enrolment-retired", shows, changed)

    yield wrong("same-batch", shows, same)
    shows = "That, and the finder leaves the policy out of the batch."
    body = same.body
    assert isinstance(body, BrokenRule)
    left_out = replace(body, entries=body.entries[1:])
    yield wrong("left-out", shows, replace(same, body=left_out))
    shows = "A policy behind the user in the batch replaces the key."
    later = after(world, created(world), fresh.raw).broken_rule(end)
    yield wrong("later", shows, later)
    shows = "A user by the old key stands in the same batch behind the policy: now it is a lie."
    behind = after(world, fresh.raw, created(world)).broken_rule(end + 1)
    yield proven("enrolment-behind", "R-52.1", shows, behind)


def _omitted(right: Evidence) -> Iterator[Case]:
    """The log's chain without its policy, for a block that is right by it."""
    body = right.body
    assert isinstance(body, BrokenRule)
    own, user = body.chains
    part = own.part

    def wrong(name: str, shows: str, *chains: ShownChain) -> Case:
        changed = replace(right, body=replace(body, chains=chains))
        return nothing(f"enrolment-{name}", "R-80.5", "enrolment-retired", shows, changed)

    shows = "A user by the new enrolment key: all is right."
    yield wrong("honest", shows, own, user)
    shows = "The finder leaves the log.policy out of the log's chain."
    cut = replace(own, part=replace(part, links=part.links[:1]))
    yield wrong("omitted", shows, cut, user)
    shows = "That, and the length agrees."
    yield wrong("shortened", shows, replace(cut, part=replace(cut.part, length=1)), user)
    yield wrong("alone", "The log's chain is not given.", user)
    yield wrong("swapped", "The log's chain stands second.", user, own)
    gone = replace(own, part=replace(user.part))
    yield wrong("gone", "The log's chain is shown by another label's proof.", gone, user)


def frames() -> Iterator[Case]:
    """Honest logs, and what a finder may leave out or change of the file."""
    world = honest()
    end = len(world.log.entries)
    ada = world.users[2]
    accuser = after(world, ada.revoke(world.anchor, 1).raw)
    right = accuser.broken_rule(end)
    body = right.body
    assert isinstance(body, BrokenRule)
    own, mine = body.chains
    links = mine.part.links

    def wrong(name: str, shows: str, rule: str = "R-80.5", **changes: Any) -> Case:
        changed = replace(right, body=replace(body, **changes))
        return nothing(f"place-{name}", rule, "rule-author", shows, changed)

    def with_links(*kept: int) -> tuple[ShownChain, ShownChain]:
        part = replace(mine.part, links=tuple(links[at] for at in kept))
        return own, replace(mine, part=part)

    yield wrong("honest", "A revocation in order.")
    shows = "The device that is revoked was brought in by a block that the finder leaves out."
    yield wrong("middle", shows, chains=with_links(0))
    yield wrong("first", "The chain's first block is left out.", chains=with_links(1))
    yield wrong("reordered", "Two blocks are swapped.", chains=with_links(1, 0))
    shows = "The chain of somebody else stands for the block's label."
    yield wrong("other-chain", shows, chains=(own, accuser.shown(label_of(BOB), end - 1)))
    stolen = replace(accuser.shown(label_of(BOB), end - 1), label=ada.label)
    shows = "That, under the block's label."
    yield wrong("other-label", shows, chains=(own, stolen))
    nobody = accuser.shown(label_of(EVE), end - 1)
    shows = "The proof that somebody else is absent."
    absent = (own, replace(nobody, label=ada.label))
    yield wrong("absent", shows, chains=absent)
    shows = "The chains are those of an older directory root."
    yield wrong("older", shows, chains=accuser.chains(5, ada.label))
    shows = "What stands before is an older directory root: the batch would hold two."
    older: dict[str, Any] = {"before": accuser.leaf(5, 6), "chains": accuser.chains(5, ada.label)}
    entries = tuple(accuser.entries[6 : end + 1])
    yield wrong("two-roots", shows, **older, entries=entries)
    shows = "An older directory root, and the entries behind it are left out."
    yield wrong("skipped", shows, **older)
    shows = "What stands before is a block."
    block = accuser.leaf(8, 9)
    tail = tuple(accuser.entries[9 : end + 1])
    yield wrong("after-block", shows, "R-80.2", before=block, entries=tail)
    shows = "What stands before is shown in the whole tree, not in the one that ends with it."
    yield wrong("before-in-tree", shows, "R-80.2", before=accuser.leaf(9))
    shows = "The accused entry never stood in this tree: the finder made it."
    forged = after(world, ghost(world)).entries[end]
    user = accuser.shown(label_of(BOB), end - 1)
    yield wrong("made-up", shows, entries=(forged,), chains=(own, user))
    shows = "Nothing leads from there to the checkpoint."
    yield wrong("consistency", shows, consistency=(*body.consistency, bytes(32)))
    yield wrong("no-chains", "No chains are given.", chains=())
    twice = (own, mine, mine)
    yield wrong("three-chains", "A chain too many.", chains=twice)
    shows = "The log's chain with another digest."
    part = replace(own.part, digest=bytes([1] * 32))
    yield wrong("digest", shows, chains=(replace(own, part=part), mine))
    shows = "The directory root that closes the batch is accused."
    ended: dict[str, Any] = {"entries": tuple(accuser.entries[end : end + 2]), "consistency": ()}
    yield wrong("of-root", shows, **ended, chains=(accuser.shown(LOG_LABEL, end - 1),))
    other = World(LogActor.make("example.com/other"))
    shows = "The file names another log than the one whose leaves it shows."
    renamed = replace(right, first=other.log.entries[0])
    yield nothing("place-other-log", "R-80.2", "rule-author", shows, renamed)
