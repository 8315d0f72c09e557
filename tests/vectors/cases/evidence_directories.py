"""Evidence of what a directory root shows: chains, and lists of leaves (R-80.6, R-80.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.format.evidence import Evidence, ShownChain, WrongChain, WrongDirectory
from ledger.format.lookup import Link
from ledger.tree.merkle import leaf_hash
from tests.support.accuser import Accuser, directory_of
from tests.support.actors import LogActor, User, signing_key
from tests.support.lookups import Told
from tests.vectors.case import Case
from tests.vectors.cases.evidence_places import after, created, ghost
from tests.vectors.cases.evidence_trees import honest, nothing, proven
from tests.vectors.world import ADA, BOB, EVE, World, label_of

ADA_LABEL, BOB_LABEL = label_of(ADA), label_of(BOB)
END = 10
"""The leaf at which directory roots lie here, behind an honest log."""


def cases() -> Iterator[Case]:
    yield from chains()
    yield from framed_chains()
    yield from contexts()
    yield from moved_policies()
    yield from directories()
    yield from framed_directories()


def teller() -> tuple[World, dict[bytes, Told]]:
    """An honest log, and what its next directory root ought to tell."""
    world = honest()
    return world, dict(Accuser(world.actor, world.log.entries).told(END))


def root_of(world: World, told: dict[bytes, Told], *label: bytes, **changes: Any) -> Accuser:
    """The log with one more directory root, which tells another thing of a label."""
    for one in label:
        told = {**told, one: replace(told[one], **changes)}
    root = entry.directory_root(world.now, directory_of(told))
    return Accuser(world.actor, [*world.log.entries, root], {END: told})


def without(told: dict[bytes, Told], label: bytes) -> dict[bytes, Told]:
    return {one: said for one, said in told.items() if one != label}


def chains() -> Iterator[Case]:
    """R-80.6: lies."""
    world, told = teller()
    ada = told[ADA_LABEL]
    first, second = ada.links
    bob = told[BOB_LABEL].links[0]

    def shown(name: str, rule: str, shows: str, accuser: Accuser, *labels: bytes) -> Case:
        return proven(f"chain-{name}", rule, shows, accuser.wrong_chain(END, *labels))

    shows = "A state that does not follow from the blocks: it is an older one."
    old = Accuser(world.actor, world.log.entries).told(5)[ADA_LABEL].state
    yield shown("digest", "R-65.9", shows, root_of(world, told, ADA_LABEL, state=old), ADA_LABEL)
    shows = "The log's own state does not follow from its chain."
    old = Accuser(world.actor, world.log.entries).told(5)[LOG_LABEL].state
    yield shown("own-digest", "R-65.9", shows, root_of(world, told, LOG_LABEL, state=old))
    shows = "Three blocks, says the directory, and the accumulator holds two."
    longer = root_of(world, told, ADA_LABEL, length_told=3)
    yield shown("length", "R-65.7", shows, longer, ADA_LABEL)
    changed: dict[str, Any] = {"accumulator_told": None, "links": (second, first)}
    shows = "The later block stands first in the accumulator."
    yield shown("order", "R-65.7", shows, root_of(world, told, ADA_LABEL, **changed), ADA_LABEL)
    changed["links"] = (first, second, Link(END, second.entry))
    shows = "A block at the leaf of the directory root itself."
    yield shown("reaches", "R-65.7", shows, root_of(world, told, ADA_LABEL, **changed), ADA_LABEL)
    changed["links"] = (first, bob)
    shows = "Somebody else's block stands in the chain."
    yield shown("mixed", "R-43.1", shows, root_of(world, told, ADA_LABEL, **changed), ADA_LABEL)
    changed["links"] = (first, Link(3, world.log.entries[3]))
    shows = "A directory root stands in the chain."
    yield shown("root", "R-30.7", shows, root_of(world, told, ADA_LABEL, **changed), ADA_LABEL)
    changed["links"] = (second,)
    shows = "The chain begins with its second block."
    yield shown("late", "R-43.2", shows, root_of(world, told, ADA_LABEL, **changed), ADA_LABEL)
    shows = "The log's own chain is absent."
    yield shown("no-log", "R-30.7", shows, root_of(world, without(told, LOG_LABEL)))
    late = root_of(world, told, LOG_LABEL, accumulator_told=None, links=told[LOG_LABEL].links[1:])
    shows = "The log's own chain begins with its policy."
    yield shown("log-late", "R-42.4", shows, late)
    shows = "A block that breaks a rule stands in the chain, and the directory follows it."
    lie = after(world, ghost(world))
    found = lie.wrong_chain(lie.size - 1, BOB_LABEL)
    yield proven("chain-rule", "R-53.3", shows, found)
    retired = after(world, created(world, LogActor.make().after))
    found = retired.wrong_chain(retired.size - 1, label_of(EVE))
    shows = "A user by an enrolment key that was replaced before."
    yield proven("chain-enrolment", "R-52.1", shows, found)


def framed_chains() -> Iterator[Case]:
    """R-80.6: an honest log."""
    world, told = teller()
    accuser = root_of(world, told)
    right = accuser.wrong_chain(END, ADA_LABEL)
    body = right.body
    assert isinstance(body, WrongChain)
    own, mine = body.chains
    links = mine.part.links

    def wrong(name: str, shows: str, *chains: ShownChain, nearest: str = "chain-rule") -> Case:
        changed = replace(right, body=replace(body, chains=chains or body.chains))
        return nothing(f"chain-{name}", "R-80.6", nearest, shows, changed)

    def with_links(shown: ShownChain, *kept: Link) -> ShownChain:
        return replace(shown, part=replace(shown.part, links=kept))

    yield wrong("honest", "All is right.")
    yield wrong("log-honest", "The log's own chain is right.", own, nearest="chain-own-digest")
    shows = "The finder leaves a block out."
    cut = with_links(mine, links[0])
    yield wrong("cut", shows, own, cut, nearest="chain-length")
    shows = "That, and the length agrees."
    short = replace(cut, part=replace(cut.part, length=1))
    yield wrong("shortened", shows, own, short, nearest="chain-length")
    yield wrong("swapped", "Two blocks are swapped.", own, with_links(mine, *links[::-1]))
    forged = replace(links[1], entry=after(world, ghost(world)).entries[END])
    shows = "A block is replaced by one that breaks a rule: the finder made it."
    yield wrong("forged", shows, own, with_links(mine, links[0], forged))
    moved = replace(links[1], index=7)
    yield wrong("moved", "A block stands at another leaf.", own, with_links(mine, links[0], moved))
    extra = Link(8, world.log.entries[4])
    yield wrong("extra", "A block is added to the chain.", own, with_links(mine, *links, extra))
    shows = "The log's chain lacks its policy."
    yield wrong("policy", shows, with_links(own, own.part.links[0]), mine)
    bob = accuser.shown(BOB_LABEL, END)
    shows = "The chain of somebody else under this label."
    yield wrong("stolen", shows, own, replace(bob, label=ADA_LABEL))
    yield wrong("no-own", "The log's chain is not given.", mine)
    yield wrong("own-second", "The log's chain stands second.", mine, own)
    yield wrong("own-twice", "The log's chain stands twice.", own, own)
    yield wrong("three", "A chain too many.", own, mine, bob)
    shows = "A label that nobody has: absence breaks no rule."
    yield wrong("absent", shows, own, accuser.shown(label_of(EVE), END), nearest="chain-no-log")
    shows = "The proof is of an older directory root."
    yield wrong("older", shows, own, accuser.shown(ADA_LABEL, 5))
    shows = "The leaf is a block."
    changed = replace(body, leaf=accuser.leaf(8))
    yield nothing("chain-leaf", "R-80.2", "chain-rule", shows, replace(right, body=changed))


def contexts() -> Iterator[Case]:
    """The log's chain is wrong, and another one is accused: that one is right."""
    world, told = teller()
    old = Accuser(world.actor, world.log.entries).told(5)[LOG_LABEL].state
    accuser = root_of(world, told, LOG_LABEL, state=old)
    shows = "The log's own state does not follow, and a user's chain is accused."
    found = accuser.wrong_chain(END, ADA_LABEL)
    yield nothing("chain-wrong-own", "R-80.6", "chain-own-digest", shows, found)
    accuser = root_of(world, without(told, LOG_LABEL))
    shows = "The log's own chain is absent, and a user's chain is accused."
    found = accuser.wrong_chain(END, ADA_LABEL)
    yield nothing("chain-absent-own", "R-80.6", "chain-no-log", shows, found)


def moved_policies() -> Iterator[Case]:
    """An honest log of two policies, between which Eve came in."""
    world = honest()
    eve = User.create(world.actor, EVE, world.anchor, label=label_of(EVE))
    world.admit(eve)
    again = world.actor.policy(world.anchor, enrolment=signing_key("enrolment 3"))
    world.admit_policy(again)
    accuser = Accuser(world.actor, world.log.entries)
    right = accuser.wrong_chain(accuser.size - 1, label_of(EVE))
    body = right.body
    assert isinstance(body, WrongChain)
    own, mine = body.chains
    create, first, second = own.part.links
    links = (create, replace(first, index=11), second)
    framed = replace(own, part=replace(own.part, links=links))
    shows = "The finder moves the first policy behind Eve: the log's state at the end is the same."
    changed = replace(right, body=replace(body, chains=(framed, mine)))
    yield nothing("chain-moved-policy", "R-80.6", "chain-enrolment", shows, changed)


def directories() -> Iterator[Case]:
    """R-80.7: lies."""
    world, told = teller()
    ada = told[ADA_LABEL]
    first, second = ada.links
    loose: dict[str, Any] = {"accumulator_told": None}

    def lie(name: str, shows: str, accuser: Accuser, other: int | None) -> Case:
        found = accuser.wrong_directory(END, ADA_LABEL, other)
        return proven(f"list-{name}", "R-42.5", shows, found)

    shows = "The directory hides a block: it shows a revoked past."
    hides = root_of(world, told, ADA_LABEL, **loose, links=(first,))
    yield lie("hides", shows, hides, 6)
    shows = "The directory hides a user."
    yield lie("hides-all", shows, root_of(world, without(told, ADA_LABEL)), 2)
    forged = after(world, ghost(world)).entries[END]
    other = root_of(world, told, ADA_LABEL, **loose, links=(first, replace(second, entry=forged)))
    yield lie("other", "Another block than the one at this leaf.", other, 6)
    mixed = root_of(world, told, ADA_LABEL, **loose, links=(first, Link(4, world.log.entries[4])))
    yield lie("mixed", "Somebody else's block.", mixed, 4)
    ended = root_of(world, told, ADA_LABEL, **loose, links=(first, Link(5, world.log.entries[5])))
    yield lie("root", "A directory root.", ended, 5)
    ghost_ = root_of(world, told, ADA_LABEL, **loose, links=(*ada.links, Link(8, forged)))
    yield lie("ghost", "A block that was never in the log.", ghost_, 8)
    longer = root_of(world, told, ADA_LABEL, length_told=3)
    yield lie("length", "Three blocks, and the accumulator holds two.", longer, None)
    back = root_of(world, told, ADA_LABEL, **loose, links=(second, first))
    yield lie("order", "The leaves do not ascend.", back, None)
    twice = root_of(world, told, ADA_LABEL, **loose, links=(first, first))
    yield lie("twice", "A leaf twice.", twice, None)
    reaching = root_of(world, told, ADA_LABEL, **loose, links=(first, Link(END, second.entry)))
    yield lie("reaches", "The leaf of the directory root itself.", reaching, None)


def framed_directories() -> Iterator[Case]:
    """R-80.7: an honest log."""
    world, told = teller()
    accuser = root_of(world, told)
    right = accuser.wrong_directory(END, ADA_LABEL, 6)
    body = right.body
    assert isinstance(body, WrongDirectory)
    leaves, shown = body.blocks, body.chain

    def wrong(name: str, shows: str, nearest: str = "hides", **changes: Any) -> Case:
        changed = replace(right, body=replace(body, **changes))
        return nothing(f"list-{name}", "R-80.7", f"list-{nearest}", shows, changed)

    yield wrong("honest", "All is right.")
    yield wrong("one-short", "The finder leaves a leaf out of the list.", blocks=leaves[:1])
    shows = "That, and the length agrees."
    short = replace(shown, part=replace(shown.part, length=1))
    yield wrong("shortened", shows, blocks=leaves[:1], chain=short)
    altered = (leaves[0], (6, bytes([1] * 32)))
    yield wrong("altered", "The finder changes a hash.", "other", blocks=altered)
    yield wrong("reordered", "The finder swaps two leaves.", "order", blocks=leaves[::-1])
    longer = (*leaves, (8, leaf_hash(world.log.entries[8])))
    yield wrong("added", "The finder adds a leaf.", "ghost", blocks=longer, other=accuser.leaf(8))
    yield wrong("empty", "The list is empty.", "hides-all", blocks=())
    yield wrong("stranger", "The leaf is somebody else's.", other=accuser.leaf(4))
    yield wrong("of-root", "The leaf is a directory root.", other=accuser.leaf(5))
    shows = "The label is shown by the directory root before the block was there."
    early = accuser.wrong_directory(5, ADA_LABEL, 6).body
    yield nothing("list-later", "R-80.7", "list-hides", shows, replace(right, body=early))
    yield wrong("no-leaf", "No leaf is given.", other=None)
    shows = "The list is a lie by itself, and a leaf is given beside it."
    lying = root_of(world, told, ADA_LABEL, length_told=3).wrong_directory(END, ADA_LABEL, 6)
    yield nothing("list-and-leaf", "R-80.7", "list-length", shows, lying)
    linked = accuser.shown(ADA_LABEL, END)
    yield wrong("linked", "Links stand beside the list.", chain=linked)
    bob = accuser.shown(BOB_LABEL, END, linked=False)
    yield wrong("stolen", "The proof is of another label.", chain=replace(bob, label=ADA_LABEL))
    absent = accuser.shown(label_of(EVE), END)
    shows = "Somebody else's absence under this label."
    stolen = replace(absent, label=ADA_LABEL)
    yield wrong("absent", shows, "hides-all", chain=stolen, blocks=())
    shows = "Somebody is absent, and the leaf is another's."
    yield wrong("nobody", shows, "hides-all", chain=absent, blocks=(), other=accuser.leaf(4))
    shows = "The leaf that is hidden never stood in this tree: the finder made it."
    forged = after(world, world.users[2].add(world.anchor).raw).entries[END]
    stray: Evidence = replace(
        right, body=replace(body, other=replace(accuser.leaf(8), entry=forged))
    )
    yield nothing("list-made-up", "R-80.2", "list-hides", shows, stray)
