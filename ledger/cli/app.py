"""`keyroll app`: an application's keys, and the tokens by which it enrols people."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.app.keys import Role
from ledger.cli.words import example, print_json
from ledger.client.text import parse_log_id
from ledger.format.bodies import DAY_MS
from ledger.log.clock import wall_ms

DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.group()
def app() -> None:
    """Make an application's keys, enrol people."""


@app.command(epilog=example("keyroll app init app"))
@click.argument("directory", type=DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def init(directory: Path, as_json: bool) -> None:
    """Make an application's keys in DIRECTORY.

    These are its root, the enrolment key, the recovery authority and a master secret. Once the log
    is made, move app-root.key and authority.key away: enrolling needs neither. Best give
    authority.key to somebody else. Back up master.key: what people recover by rests on it.
    """
    keys.make(directory)
    publics = {role.value: keys.load(directory, role).public.hex() for role in Role}
    if as_json:
        print_json(publics)
        return
    for name, public in publics.items():
        click.echo(f"{keys.key_file(directory, Role(name))}  {public}")


@app.command(
    name="enrol",
    epilog=example("keyroll app enrol app ada@example.org --log-id 6f2c… > token.txt"),
)
@click.argument("directory", type=DIRECTORY)
@click.argument("identifier")
@click.option("--log-id", required=True, help="The log's id, 64 hexadecimal digits.")
@click.option("--reset", is_flag=True, help="For somebody who lost all devices.")
@click.option(
    "--epoch",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    help="With --reset: how many resets they had before (see keyroll devices list).",
)
@click.option("--days", type=click.IntRange(1, 3_650), default=7, help="How long it holds.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def enrol_person(
    directory: Path,
    identifier: str,
    log_id: str,
    reset: bool,
    epoch: int,
    days: int,
    as_json: bool,
) -> None:
    """Print an identity token for IDENTIFIER.

    Whoever holds the token can become this person in the log, once: make sure who they are, and
    give it to them over a private channel.
    """
    expiry = wall_ms() + days * DAY_MS
    with Register.open(directory / "register.db") as register:
        token = enrol(
            identifier,
            parse_log_id(log_id),
            keys.load(directory, Role.ENROLMENT),
            keys.master(directory),
            register,
            expiry=expiry,
            reset_of=epoch if reset else None,
        ).export()
    if as_json:
        print_json({"identifier": identifier, "token": token, "expiry": expiry})
    else:
        click.echo(token)
