"""`keyroll groups`: who shares a key, who may say so, and why somebody is in."""

from __future__ import annotations

from collections.abc import Iterable
from string import hexdigits

import click

from ledger.cli.group_words import (
    deed_facts,
    facts,
    name_of,
    not_in,
    print_group,
    print_reasons,
    print_way,
    way_facts,
)
from ledger.cli.person import Person, event_words, person_command
from ledger.cli.words import example, print_json
from ledger.client.group.group import Group
from ledger.client.user.user import User
from ledger.errors import UsageError
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from ledger.rules.state import GroupState, UserState

_LABEL_DIGITS = 64


@click.group(
    epilog=example(
        "keyroll groups create 6f2c01b7",
        "keyroll groups add 90ab 11d4 --admin",
        "keyroll groups show 90ab",
        "keyroll groups why 90ab 11d4",
    )
)
def groups() -> None:
    """Make groups, say who is in them, and see why.

    Users and groups are named by their labels, or how these begin; you yourself also by your
    identifier. Who is in a group is verified here, by what its admins signed.
    """


@groups.command(
    epilog=example("keyroll groups create 6f2c 11d4", "keyroll groups create --compound 90ab")
)
@click.argument("members", nargs=-1, metavar="[LABEL]...")
@click.option("--admin", "admins", multiple=True, metavar="LABEL", help="Another admin.")
@click.option("--compound", is_flag=True, help="To hold flat groups too. For ever.")
@click.option("--accept", is_flag=True, help="Accept what was loud about those who come in.")
@person_command
async def create(
    person: Person,
    members: tuple[str, ...],
    admins: tuple[str, ...],
    compound: bool,
    accept: bool,
) -> None:
    """Make a group, with you as an admin.

    Prints its label: tell it to the members.
    """
    async with person.user() as user:
        roles = {find(user, name): Role.MEMBER for name in members}
        roles |= {find(user, name): Role.ADMIN for name in admins}
        _look_at(person, user, roles, accept)
        kind = Kind.COMPOUND if compound else Kind.FLAT
        group = await Group.create(user, roles, kind=kind)
        await _answer(person, group, f"made; tell its members the label\n{group.label.hex()}")


@groups.command(
    epilog=example("keyroll groups add 90ab 11d4", "keyroll groups add 90ab 11d4 --admin")
)
@click.argument("group")
@click.argument("labels", nargs=-1, required=True)
@click.option("--admin", is_flag=True, help="As admins.")
@click.option("--accept", is_flag=True, help="Accept what was loud about those who come in.")
@person_command
async def add(
    person: Person, group: str, labels: tuple[str, ...], admin: bool, accept: bool
) -> None:
    """Put users, or flat groups, into GROUP.

    Who was reset comes in again, with new keys for everybody. Who is in keeps their role.
    """
    async with person.user() as user:
        found = [find(user, name) for name in labels]
        _look_at(person, user, found, accept)
        opened = find_group(user, group)
        await opened.add(*found, role=Role.ADMIN if admin else Role.MEMBER)
        await _answer(person, opened, f"{len(found)} in")


@groups.command(epilog=example("keyroll groups remove 90ab 11d4"))
@click.argument("group")
@click.argument("labels", nargs=-1, required=True)
@person_command
async def remove(person: Person, group: str, labels: tuple[str, ...]) -> None:
    """Take users or groups out of GROUP, and give it new keys."""
    async with person.user() as user:
        opened = find_group(user, group)
        found = [find(user, name) for name in labels]
        await opened.remove(*found)
        await _answer(person, opened, f"{len(found)} out")


@groups.command(epilog=example("keyroll groups role 90ab 11d4 admin"))
@click.argument("group")
@click.argument("label")
@click.argument("role", type=click.Choice(["admin", "member"]))
@person_command
async def role(person: Person, group: str, label: str, role: str) -> None:
    """Make a user of GROUP an admin, or no admin any more.

    The latter gives the group new keys.
    """
    async with person.user() as user:
        opened = find_group(user, group)
        found = find(user, label)
        await opened.set_role(found, Role[role.upper()])
        await _answer(person, opened, f"{name_of(user, found)} is {role} now")


@groups.command(epilog=example("keyroll groups rotate 90ab"))
@click.argument("group")
@person_command
async def rotate(person: Person, group: str) -> None:
    """Give GROUP new keys, without those who are gone or asked to leave."""
    async with person.user() as user:
        opened = find_group(user, group)
        await opened.rotate()
        await _answer(person, opened, "new keys")


@groups.command(epilog=example("keyroll groups leave 90ab"))
@click.argument("group")
@person_command
async def leave(person: Person, group: str) -> None:
    """Ask to leave GROUP.

    The next act of an admin does it: nobody can take themselves out, for they would know the new
    keys. Until then nobody encrypts to the group.
    """
    async with person.user() as user:
        opened = find_group(user, group)
        await opened.leave()
        person.tell(
            "asked: the next act of an admin takes you out", group=opened.label.hex(), asked=True
        )


@groups.command(epilog=example("keyroll groups close 90ab"))
@click.argument("group")
@click.option("--yes", is_flag=True, help="Don't ask.")
@person_command
async def close(person: Person, group: str, yes: bool) -> None:
    """End GROUP for ever."""
    async with person.user() as user:
        opened = find_group(user, group)
        if not yes:
            question = f"end the group {opened.label.hex()} for ever?"
            click.confirm(question, abort=True, err=True)
        await opened.close()
        person.tell("closed", group=opened.label.hex(), closed=True)


@groups.command(epilog=example("keyroll groups show 90ab", "keyroll groups show"))
@click.argument("group", required=False)
@person_command
async def show(person: Person, group: str | None) -> None:
    """Say who is in GROUP, and whether it may be encrypted to.

    Without GROUP: list the groups that were made here.
    """
    async with person.user() as user:
        if group is None:
            found = [one.label.hex() for one in Group.founded(user)]
            person.tell("\n".join(found) or "no group was made here", groups=found)
            return
        opened = find_group(user, group)
        view = await opened.view()
        if person.as_json:
            print_json(facts(opened.label, view))
        else:
            print_group(user, opened.label, view)


@groups.command(epilog=example("keyroll groups why 90ab 11d4"))
@click.argument("group")
@click.argument("who")
@person_command
async def why(person: Person, group: str, who: str) -> None:
    """Say what put WHO into GROUP: the blocks, when, and by whom."""
    async with person.user() as user:
        opened, label = find_group(user, group), find(user, who)
        ways = await opened.why(label)
        if person.as_json:
            print_json({"label": label.hex(), "ways": [way_facts(way) for way in ways]})
            return
        for way in ways:
            print_way(user, way, label)
        if not ways:
            click.echo(not_in(user, opened, label))


# --- finding


def find(user: User, name: str) -> bytes:
    """The label of a user or a group: their label, how it begins, or one's own identifier."""
    if name == user.identifier:
        return user.label
    return _among(user, name, user.log.replica.labels())


def find_group(user: User, name: str) -> Group:
    """The group with this label, or whose label begins so."""
    replica = user.log.replica
    if len(name) == _LABEL_DIGITS:
        return Group(user, _among(user, name, replica.labels()))
    labels = [label for label in replica.labels() if label.hex().startswith(name.lower())]
    states = {label: chain.state for label in labels if (chain := replica.chain(label))}
    found = [label for label, state in states.items() if isinstance(state, GroupState)]
    if not name or len(found) != 1:
        raise UsageError(f"{len(found)} groups have a label that begins '{name}'")
    return Group(user, found[0])


def _among(user: User, name: str, labels: Iterable[bytes]) -> bytes:
    if name == user.identifier:
        return user.label
    if not set(name.lower()) <= set(hexdigits):
        raise UsageError(f"name people by their labels here: keyroll lookup {name} tells it")
    found = [label for label in labels if label.hex().startswith(name.lower())]
    if not name or len(found) != 1:
        raise UsageError(f"{len(found)} labels begin '{name}': name more digits, or sync first")
    return found[0]


def _look_at(person: Person, user: User, labels: Iterable[bytes], accept: bool) -> None:
    """Refuse who something loud happened to since they were last looked at."""
    with person.home.contacts(user.log) as contacts:
        for label in labels:
            chain = user.log.replica.chain(label)
            if label == user.label or not (chain and isinstance(chain.state, UserState)):
                continue
            contact = contacts.look(user.log.replica, label)
            if accept:
                contacts.accept(contact)
            elif contact.events:
                happened = ", ".join(map(event_words, contact.events))
                advice = "ask them, then use --accept"
                raise UsageError(f"since you last looked at {label.hex()}: {happened}; {advice}")
            if not contact.known:
                words = f"{name_of(user, label)} is seen for the first time: make sure who it is"
                click.echo(words, err=True)


async def _answer(person: Person, group: Group, sentence: str) -> None:
    """What came of an act: how the group stands, and what else was due."""
    view = await group.view()
    newest = group.deeds()[-1]
    if person.as_json:
        print_json(facts(group.label, view) | {"newest": deed_facts(newest)})
        return
    click.echo(sentence)
    entries = len(view.membership.entries)
    click.echo(f"{entries} in the group, keys of generation {view.state.generation}")
    for label in newest.terms.removed:
        click.echo(f"out since the last act: {name_of(group.user, label)}")
    print_reasons(group.user, view.reasons)
