"""Evidence that a statement breaks a group's rules (R-80.10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format.bodies import Limits
from ledger.format.evidence import Evidence, WrongStatement
from ledger.format.statement import Role
from tests.support.accuser import Accuser
from tests.support.actors import Written
from tests.support.groups import Group
from tests.vectors.case import Case
from tests.vectors.cases.evidence_trees import nothing, proven
from tests.vectors.cases.statement_shape import Town
from tests.vectors.sayings import PUT, SEQ, restate
from tests.vectors.world import World


def cases() -> Iterator[Case]:
    yield from lies()
    yield from devices()
    yield from moved_policies()
    yield from frames()


def told(world: World, *written: Written[Any], authors: tuple[bytes, ...]) -> Evidence:
    """Evidence about the last statement of the batch that holds what was written."""
    entries = [*world.log.entries, *world.batch(*(one.raw for one in written))]
    accuser = Accuser(world.actor, entries)
    (group,) = world.groups[-1:]
    statements = [data for _, data in world.statements]
    statements += [one.statement for one in written if one.statement]
    return accuser.wrong_statement(accuser.size - 1, group.label, authors, statements)


def lies() -> Iterator[Case]:
    town = Town.make()
    world, anchor, ada, bob = town.world, town.world.anchor, town.ada, town.bob
    add = town.add()
    said = world.said(add)
    by_bob = town.team.update(anchor, bob, {town.eve: Role.MEMBER})
    again = town.team.update(anchor, ada, {bob: Role.MEMBER})
    nothing_put = town.team.update(anchor, ada, {})
    two = sorted([[ada.label, 0, 0], [bob.label, 0, 1]], reverse=True)
    found: dict[str, tuple[str, str, Written[Group]]] = {
        "member": ("R-56.5", "A member who is no admin puts somebody in.", by_bob),
        "nothing": ("R-56.8", "Nothing changes and nothing rotates.", nothing_put),
        "order": ("R-56.1", "Labels that don't ascend.", restate(world, add, said.at(PUT, to=two))),
        "seq": ("R-56.3", "Another place.", restate(world, add, said.at(SEQ, to=7))),
        "there": ("R-56.6", "Bob is put who is there.", again),
        "unread": ("R-40.1", "No envelope.", restate(world, add, b"statement")),
        "flipped": ("R-56.4", "The signature is broken.", restate(world, add, flipped(add))),
    }
    both = (ada.label, bob.label)
    for name, (rule, shows, written) in found.items():
        authors = both if name == "member" else both[:1]
        yield proven(f"said-{name}", rule, shows, told(world, written, authors=authors))
    shows = "A statement in order."
    right = told(world, add, authors=both[:1])
    yield nothing("said-honest", "R-80.10", "said-member", shows, right)
    body = right.body
    assert isinstance(body, WrongStatement)
    shows = "That, and one statement more than the group has blocks."
    more = replace(right, body=replace(body, statements=(*body.statements, body.statements[0])))
    yield nothing("said-beyond", "R-80.10", "said-member", shows, more)
    stranger = restate(world, add, said.at(5, to=bytes([5] * 32)))
    shows = "The author is nobody: the directory shows so."
    yield proven(
        "said-nobody", "R-56.4", shows, told(world, stranger, authors=(both[0], bytes([5] * 32)))
    )


def flipped(written: Written[Group]) -> bytes:
    data = written.statement or b""
    return data[:-1] + bytes([data[-1] ^ 1])


def devices() -> Iterator[Case]:
    """Devices that came later, or went."""
    town = Town.make()
    world = town.world
    ada = world.admit(town.ada.revoke(world.anchor, 1))
    by_gone = town.team.update(world.anchor, town.ada, {town.eve: Role.MEMBER}, device=1)
    shows = "A device signs that was revoked before."
    found = told(world, by_gone, authors=(ada.label,))
    yield proven("said-revoked", "R-56.4", shows, found)

    town = Town.make()
    world = town.world
    world.admit(town.team.update(world.anchor, town.ada, {town.eve: Role.MEMBER}, device=1))
    world.admit(town.ada.revoke(world.anchor, 1))
    shows = "The device that signed was revoked afterwards."
    right = told(world, authors=(town.ada.label,))
    yield nothing("said-before", "R-80.10", "said-revoked", shows, right)

    town = Town.make()
    world = town.world
    ada = world.admit(town.ada.add(world.anchor))
    update = town.team.update(world.anchor, ada, {town.eve: Role.MEMBER}, device=2)
    right = told(world, update, authors=(ada.label,))
    shows = "The device that signed came in after the group was made."
    yield nothing("said-new-device", "R-80.10", "said-revoked", shows, right)
    body = right.body
    assert isinstance(body, WrongStatement)
    own, group, author = body.chains
    cut = replace(author, part=replace(author.part, links=author.part.links[:-1]))
    shows = "That, and the finder leaves out the block that brought it in."
    framed = replace(right, body=replace(body, chains=(own, group, cut)))
    yield nothing("said-cut-author", "R-80.10", "said-revoked", shows, framed)
    end = body.leaf.index
    accuser = Accuser(world.actor, [*world.log.entries, *world.batch(update.raw)])
    older = accuser.shown(author.label, end - 4)
    shows = "That, and the author's chain is shown by an older directory root."
    framed = replace(right, body=replace(body, chains=(own, group, older)))
    yield nothing("said-older-author", "R-80.10", "said-revoked", shows, framed)


def moved_policies() -> Iterator[Case]:
    """An honest log that raises its limits before a group grows, and once more afterwards."""
    town = Town.make(Limits(max_members=2))
    world, limits = town.world, town.world.actor.limits
    raised = (replace(limits, max_members=members) for members in (3, 4))
    world.admit_policy(world.actor.policy(world.anchor, limits=next(raised)))
    world.admit(town.add())
    world.admit_policy(world.actor.policy(world.anchor, limits=next(raised)))
    right = told(world, authors=(town.ada.label,))
    shows = "The limits were raised just before."
    yield nothing("said-raised", "R-80.10", "said-member", shows, right)
    body = right.body
    assert isinstance(body, WrongStatement)
    own, group, ada = body.chains
    create, first, second = own.part.links
    links = (create, replace(first, index=second.index - 1), second)
    framed = replace(own, part=replace(own.part, links=links))
    shows = "That, and the finder moves the policy behind: the state at the end is the same."
    moved = replace(right, body=replace(body, chains=(framed, group, ada)))
    yield nothing("said-moved-policy", "R-80.10", "said-member", shows, moved)
    shows = "The finder makes up a statement that can't be read."
    made_up = replace(right, body=replace(body, statements=(*body.statements[:-1], b"made up")))
    yield nothing("said-made-up", "R-80.10", "said-unread", shows, made_up)


def frames() -> Iterator[Case]:
    town = Town.make()
    world, ada, bob = town.world, town.ada, town.bob
    add = town.add()
    by_bob = town.team.update(world.anchor, bob, {town.eve: Role.MEMBER})
    lie = told(world, by_bob, authors=(ada.label, bob.label))
    body = lie.body
    assert isinstance(body, WrongStatement)
    own, group, *authors = body.chains
    first, second = body.statements

    def wrong(name: str, shows: str, **changes: Any) -> Case:
        changed = replace(lie, body=replace(body, **changes))
        return nothing(f"said-{name}", "R-80.10", "said-member", shows, changed)

    shows = "The statement is not the one that the block commits to."
    yield wrong("other", shows, statements=(first, add.statement))
    yield wrong("no-first", "The group's first statement is left out.", statements=(second,))
    shows = "Only the first statement, which is in order."
    yield wrong(
        "first", shows, statements=(first,), chains=(own, group, shown_of(authors, ada.label))
    )
    shows = "More statements than the group has blocks."
    yield wrong("more", shows, statements=(first, second, second))
    yield wrong("no-author", "An author's chain is not given.", chains=(own, group, authors[0]))
    yield wrong(
        "authors-swapped", "The authors' chains descend.", chains=(own, group, *authors[::-1])
    )
    yield wrong("no-group", "The group's chain is not given.", chains=(own, *authors))
    yield wrong("no-log", "The log's chain is not given.", chains=(group, *authors))
    yield wrong("log-alone", "The log's chain stands alone.", chains=(own,))
    entries = [*world.log.entries, *world.batch(by_bob.raw)]
    accuser = Accuser(world.actor, entries)
    eve = accuser.shown(town.eve.label, accuser.size - 1)
    more = sorted([*authors, eve], key=lambda one: one.label)
    yield wrong(
        "more-authors", "The chain of somebody who wrote nothing.", chains=(own, group, *more)
    )
    shows = "The second chain is a user's."
    yield wrong("user", shows, chains=(own, eve, *authors))
    cut = replace(group, part=replace(group.part, links=group.part.links[:1]))
    shows = "The group's chain lacks its second block."
    yield wrong("cut-group", shows, chains=(own, cut, *authors))
    world.admit(by_bob)
    after = world.groups[-1].update(world.anchor, ada, {ada: Role.ADMIN})
    shows = "It is not the last statement that breaks a rule, but one before it."
    found = told(world, after, authors=(ada.label, bob.label))
    yield nothing("said-earlier", "R-80.10", "said-member", shows, found)


def shown_of(chains: list[Any], label: bytes) -> Any:
    return next(chain for chain in chains if chain.label == label)
