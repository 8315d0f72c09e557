"""Random logs with groups, and random things that may be wrong with a group's next block.

`logs` draws a log that is right so far; the others add one more batch: an honest block of a group
with one change, in the block or in its statement. Where the statement changes, the block commits to
it and is signed again, so that nothing but the statement is in its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ledger.format import cose
from ledger.format.bodies import Limits
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from tests.rules import mutations
from tests.rules.court import Court
from tests.rules.mutations import LABELS, NAMES, at, leaves, offer
from tests.support.actors import LogActor, User, Written, signing_key
from tests.support.groups import Group, Member, epoch_of
from tests.vectors.case import Json
from tests.vectors.draft import Draft
from tests.vectors.sayings import PUT, REMOVED, recount, restate

TEAMS = ("team", "all")
OPERATIONS = ("put", "put", "raise", "rotate", "remove", "close")
PEOPLE = ("add", "revoke", "reset", "close", "heartbeat")

Given = dict[str, Json]


class Town(mutations.Town):
    """A world whose users and groups are found by name: `all` is compound, `team` flat."""

    court: Court
    teams: dict[str, bytes]

    def group(self, name: str) -> Group | None:
        label = self.teams.get(name)
        return next((one for one in reversed(self.groups) if one.label == label), None)

    @property
    def everybody(self) -> list[Member]:
        found: list[Member | None] = [*map(self.newest, NAMES), *map(self.group, TEAMS)]
        return [one for one in found if one]


def write(town: Town, name: str, operation: str, choice: int) -> Written[Group]:
    """A block by the admins of a group: of this operation if it makes sense, else another."""
    ada, group = town.newest("ada"), town.group(name)
    assert ada
    if not ada.devices:
        ada = next(
            user for user in reversed(town.users) if user.label == ada.label and user.devices
        )
    if group is None:
        kind = Kind.COMPOUND if name == "all" else Kind.FLAT
        inside = [who for who in others(town, ada, name) if choice % 2]
        members = {who: role_of(who, choice) for who in inside}
        return Group.create(name, town.anchor, ada, {ada: Role.ADMIN, **members}, kind=kind)
    fit = others(town, ada, name)
    known = {entry.label: entry for entry in group.membership.entries}
    inside = [w for w in fit if w.label in known and known[w.label].epoch == epoch_of(w)]
    outside = [who for who in fit if who not in inside]
    who = fit[choice % len(fit)] if fit else ada
    if operation == "close":
        return group.close(town.anchor, ada)
    if operation == "put" and who in outside and who.label not in known:
        return group.update(town.anchor, ada, {who: role_of(who, choice)})
    if operation == "raise" and who in inside and known[who.label].role == Role.MEMBER:
        return group.update(town.anchor, ada, {who: Role.ADMIN})
    if operation == "remove" and who in inside:
        left = [ada, *(one for one in inside if one is not who)]
        return group.update(town.anchor, ada, removed=[who], rotate=left)
    put = {who: role_of(who, choice)} if who in outside else {}
    return group.update(town.anchor, ada, put, rotate=[ada, *inside])


def others(town: Town, ada: User, name: str) -> list[Member]:
    """Who may be in a group, beside Ada."""
    fit = [who for who in town.everybody if isinstance(who, User) or name == "all"]
    return [who for who in fit if who.label not in (ada.label, town.teams.get(name))]


def role_of(who: Member, choice: int) -> Role:
    return Role.GROUP if isinstance(who, Group) else Role(choice // 4 % 2)


steps = st.tuples(
    st.sampled_from((*TEAMS, *TEAMS, *NAMES)),
    st.sampled_from(OPERATIONS),
    st.sampled_from(PEOPLE),
    st.integers(0, 9),
)


@st.composite
def logs(draw: st.DrawFn) -> Town:
    """A right log with people and groups."""
    limits = Limits(max_devices=3, max_blocks_per_day=12, max_members=draw(st.integers(2, 4)))
    town = Town(LogActor.make(limits=limits))
    town.former, town.teams, town.court = {}, {}, Court(town)
    for name in NAMES:
        town.admit(User.create(town.actor, name, town.anchor, label=LABELS[name]))
    for name, operation, of_people, choice in draw(st.lists(steps, max_size=7)):
        if name in TEAMS:
            offer_group(town, name, write(town, name, operation, choice))
        elif of_people == "heartbeat":
            town.heartbeat()
        else:
            offer(town, mutations.write(town, name, of_people, choice))
    return town


def offer_group(town: Town, name: str, written: Written[Group]) -> None:
    """Admits a group's block if everybody does."""
    reader, server = town.court.reader(written), town.court.server(written)
    if server.verdict == "ok":
        town.court.admit(written, reader, server)
        town.teams[name] = written.after.label


@st.composite
def changed_field(draw: st.DrawFn, town: Town, written: Written[Group]) -> Written[Group]:
    """A field of the statement is another; the membership that it names may follow."""
    said = town.said(written)
    path = draw(st.sampled_from(leaves(said.value)))
    old = at(said.value, path)
    said = said.at(*path, to=draw(mutations.another(old, town)))
    return restate(town, written, draw(st.sampled_from((said, counted(town, written, said)))))


@st.composite
def changed_members(draw: st.DrawFn, town: Town, written: Written[Group]) -> Written[Group]:
    """Others are put or removed, in their order, and the membership follows."""
    labels = [who.label for who in town.everybody] + [written.block.label, bytes([9] * 32)]
    some = st.sampled_from(labels)
    entry = st.tuples(st.integers(0, 1), st.integers(0, 2))
    said = town.said(written)
    if draw(st.booleans()):
        put = draw(st.dictionaries(some, entry, max_size=3))
        said = said.at(PUT, to=[[label, *put[label]] for label in sorted(put)])
    if draw(st.booleans()):
        known = {label for label, *_ in said.value[PUT]}
        said = said.at(REMOVED, to=sorted(draw(st.sets(some, max_size=2)) - known))
    return restate(town, written, counted(town, written, said))


def counted(town: Town, written: Written[Group], said: Draft) -> Draft:
    """With the membership that a careless reader makes of it, where anybody could."""
    former = [one for one in town.groups if one.label == written.after.label]
    before = former[-1].membership if former else replace(written.after.membership, entries=())
    try:
        return recount(said, before)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError):
        return said


@st.composite
def changed_signers(draw: st.DrawFn, town: Town, written: Written[Group]) -> Written[Group]:
    """Others sign the statement, or the same for another purpose or log."""
    said = town.said(written)
    if draw(st.booleans()):
        everybody = [*said.signers, *town.keys.values(), signing_key("stranger")]
        return restate(
            town, written, said.by(*draw(st.lists(st.sampled_from(everybody), max_size=3)))
        )
    contexts = (cose.STATEMENT, cose.BLOCK, cose.LEAVE, cose.GRANT, cose.DELEGATION)
    log_id = draw(st.sampled_from((said.log_id, bytes(32), written.block.label)))
    return restate(town, written, said.under(draw(st.sampled_from(contexts)), log_id))


@st.composite
def other_statement(draw: st.DrawFn, town: Town, written: Written[Group]) -> Written[Group]:
    """A statement of another block, with or without a block that commits to it."""
    known = [raw for _, raw in town.statements] or [written.statement or b""]
    other = draw(st.sampled_from(known))
    return draw(st.sampled_from((replace(written, statement=other), restate(town, written, other))))


@st.composite
def changed_block(draw: st.DrawFn, town: Town, written: Written[Group]) -> Written[Group]:
    """The block has a change, the statement has none."""
    changes = (
        mutations.changed_field,
        mutations.changed_key,
        mutations.changed_signers,
        mutations.changed_anchor,
    )
    change = draw(st.sampled_from(changes))
    return replace(written, raw=draw(change(town.draft(written), town)))


Changed = Callable[[Town, Written[Group]], st.SearchStrategy[Written[Group]]]

IN_STATEMENTS: tuple[Changed, ...] = (
    lambda town, written: st.just(written),
    changed_field,
    changed_field,
    changed_members,
    changed_members,
    changed_signers,
    other_statement,
)


@st.composite
def changed_by(draw: st.DrawFn, changes: tuple[Changed, ...]) -> Given:
    """Input of kind `group`: a log, and a batch of a group's block with one of these changes."""
    town = draw(logs())
    name, operation, _, choice = draw(steps)
    written = write(town, name if name in TEAMS else "team", operation, choice)
    return town.given_groups(draw(draw(st.sampled_from(changes))(town, written)))


def logs_with_a_changed_statement() -> st.SearchStrategy[Given]:
    return changed_by(IN_STATEMENTS)


def logs_with_a_changed_block() -> st.SearchStrategy[Given]:
    return changed_by((changed_block,))


@st.composite
def spliced(draw: st.DrawFn, town: Town, written: Written[Group]) -> Written[Group]:
    """A few bytes of the statement are others, and its author does not sign again."""
    raw = written.statement or b""
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 3)))
    raw = raw[:start] + draw(st.binary(max_size=3)) + raw[end:]
    return draw(st.sampled_from((replace(written, statement=raw), restate(town, written, raw))))


def logs_with_changed_bytes() -> st.SearchStrategy[Given]:
    return changed_by((spliced,))


@st.composite
def logs_with_a_crowded_batch(draw: st.DrawFn) -> Given:
    """A log, and one more batch: while a group's admin speaks, people come and go, in any order.
    None of the authors saw the others' blocks.
    """
    town = draw(logs())
    name, operation, _, choice = draw(steps)
    team = write(town, name if name in TEAMS else "team", operation, choice)
    people = draw(st.lists(steps, min_size=1, max_size=2))
    others: list[Written[Any]] = [
        mutations.write(town, name, operation, choice)
        for name, (_, _, operation, choice) in zip(
            draw(st.permutations(NAMES)), people, strict=False
        )
    ]
    return town.given_groups(*draw(st.permutations([team, *others])))


@st.composite
def logs_with_mixed_statements(draw: st.DrawFn) -> Given:
    """A right log, some of whose statements are another's or were spliced."""
    town = draw(logs())
    found = town.given_groups()
    statements: Any = found["statements"]
    raws = [raw for _, raw in statements]
    places = st.integers(0, max(0, len(raws) - 1))
    if raws:
        one, other = draw(places), draw(places)
        raws[one], raws[other] = raws[other], raws[one]
        cut = draw(st.sampled_from((0, 0, 2, 2 * draw(st.integers(0, 40)))))
        raws[one] = raws[one][: len(raws[one]) - cut]
    pairs: Json = [[index, raw] for (index, _), raw in zip(statements, raws, strict=True)]
    return {**found, "statements": pairs}
