"""`keyroll recovery mail`: a way back in by a code that is sent by mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

import click

from ledger.cli.mail_words import ask_for_code, line, secret_line, service_at, service_option
from ledger.cli.person import Person, person_command
from ledger.cli.register import MAX_TOKEN
from ledger.cli.words import example
from ledger.client.service import RecoveryService
from ledger.client.user.user import User
from ledger.format.identity import IdentityToken

_at = service_option("The recovery service's address; remembered.")


@click.group()
def mail() -> None:
    """A way back in by a code that is sent by mail. Off unless you enrol."""


@mail.command(epilog=example("keyroll recovery mail enrol token.txt --service https://…"))
@click.argument("token", type=click.File("r"))
@_at
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
    secret, seconds = secret_line(known), delay * 3_600
    async with _asked(person, at) as (service, user):
        device = await service.enrol(user, found, ask_for_code, passphrase=secret, delay=seconds)
    person.tell(
        f"{service.url} can give you back your keys; their device is {device.hex()[:16]}",
        service=service.url,
        device=device.hex(),
    )


@mail.command(epilog=example("keyroll recovery mail status"))
@_at
@person_command
async def status(person: Person, at: str | None) -> None:
    """Say what the service has of you, and what happened to it. What is told counts as seen."""
    async with _asked(person, at) as (service, user):
        found = await service.acknowledge(user)
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
@_at
@person_command
async def stop(person: Person, at: str | None) -> None:
    """Stop every recovery of your keys that was begun and is not done."""
    async with _asked(person, at) as (service, user):
        count = await service.records(user).stop()
    person.tell(f"stopped, for {count} records", records=count)


@mail.command(epilog=example("keyroll recovery mail remove"))
@_at
@person_command
async def remove(person: Person, at: str | None) -> None:
    """Have the service forget all that it has of you. Then revoke the device: keyroll devices."""
    async with _asked(person, at) as (service, user):
        count = await service.remove(user)
    person.tell(f"{count} records are gone; revoke their devices: keyroll devices", records=count)


@asynccontextmanager
async def _asked(person: Person, at: str | None) -> AsyncIterator[tuple[RecoveryService, User]]:
    async with service_at(person.home, at) as service, person.user() as user:
        yield service, user
