"""`keyroll recovery mail`: a way back in by a code that is sent by mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TextIO

import click

from ledger.cli.mail_words import Service, ask_for_code, line, secret_line, unseen
from ledger.cli.person import Person, person_command
from ledger.cli.register import MAX_TOKEN
from ledger.cli.words import example
from ledger.client.transport import HttpTransport
from ledger.client.user.mail_recovery import MailRecovery
from ledger.format.identity import IdentityToken
from ledger.log.clock import wall_ms

_URL = "The recovery service's address; remembered."


@click.group()
def mail() -> None:
    """A way back in by a code that is sent by mail. Off unless you enrol."""


@mail.command(epilog=example("keyroll recovery mail enrol token.txt --service https://…"))
@click.argument("token", type=click.File("r"))
@click.option("--service", "at", help=_URL)
@click.option("--delay", type=click.IntRange(0, 720), default=0, help="Hours that it waits.")
@click.option("--with", "known", type=click.File("r"), help="Has a passphrase it takes as well.")
@person_command
async def enrol(
    person: Person, token: TextIO, at: str | None, delay: int, known: TextIO | None
) -> None:
    """Let a recovery service keep a locked key of yours.

    It can't open it: that takes your identity TOKEN (a file). You are asked for the code that it
    sends to your address. Your application, together with the service or with whoever reads your
    mail, could get in; a --delay, in which your devices can stop a recovery, and a passphrase
    (--with FILE) hinder them.
    """
    found = IdentityToken.parse(token.read(MAX_TOKEN))
    async with _at(person, at) as (service, way):
        begun = await way.begin(found, passphrase=secret_line(known), delay=delay * 3_600)
        device = await way.finish(begun, await ask_for_code())
        service.save(person.home)
    person.tell(
        f"{service.url} can give you back your keys; their device is {device.hex()[:16]}",
        service=service.url,
        device=device.hex(),
    )


@mail.command(epilog=example("keyroll recovery mail status"))
@click.option("--service", "at", help=_URL)
@person_command
async def status(person: Person, at: str | None) -> None:
    """Say what the service has of you, and what happened to it. What is told counts as seen."""
    async with _at(person, at) as (service, way):
        now, found = wall_ms(), await way.watch()
        service = replace(service, seen=max([now, *(e.time for e in unseen(found, now))]))
        service.save(person.home)
    facts = [
        {
            "method": one.method.name.lower(),
            "delay": one.delay,
            "events": [{"what": e.what.name.lower(), "time": e.time} for e in one.events],
        }
        for one in found
    ]
    lines = []
    for one in found:
        lines.append(f"{one.method.name.lower()}, waits {one.delay // 3_600} h")
        lines += [f"    {line(event)}" for event in one.events]
    person.tell("\n".join(lines) or f"{service.url} has nothing of yours", records=facts)


@mail.command(epilog=example("keyroll recovery mail stop"))
@click.option("--service", "at", help=_URL)
@person_command
async def stop(person: Person, at: str | None) -> None:
    """Stop every recovery of your keys that was begun and is not done."""
    async with _at(person, at) as (_, way):
        count = await way.stop()
    person.tell(f"stopped, for {count} records", records=count)


@mail.command(epilog=example("keyroll recovery mail remove"))
@click.option("--service", "at", help=_URL)
@person_command
async def remove(person: Person, at: str | None) -> None:
    """Have the service forget all that it has of you. Then revoke the device: keyroll devices."""
    async with _at(person, at) as (_, way):
        count = await way.remove()
    (person.home.path / "service.json").unlink(missing_ok=True)
    person.tell(f"{count} records are gone; revoke their devices: keyroll devices", records=count)


@asynccontextmanager
async def _at(person: Person, at: str | None) -> AsyncIterator[tuple[Service, MailRecovery]]:
    service = Service.chosen(person.home, at)
    async with person.user() as user, HttpTransport(service.url) as transport:
        yield service, MailRecovery(user, transport)
