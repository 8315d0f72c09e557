"""The `keyroll` command: one module a subcommand, loaded when it is called.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | the log, or data, is wrong: misbehaviour, a refused block, a damaged database |
| 2 | asked for something that makes no sense as asked |
| 3 | not now: network, busy server, full disk, a log in use, wrong clock, too few cosignatures |

Errors are one sentence on standard error: what was wrong, where, what to do.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from ledger.errors import (
    ClockError,
    KeyrollError,
    NotCosigned,
    NotFresh,
    StoreFull,
    StoreInUse,
    TransportError,
    UsageError,
)

WRONG, USAGE, NOT_NOW = 1, 2, 3
_LATER = (TransportError, StoreFull, StoreInUse, ClockError, NotFresh, NotCosigned)

_COMMANDS = {
    "demo": "Play real key histories, audit them, attack them",
    "init": "Make a log",
    "serve": "Serve a log over HTTP",
    "status": "Say how a log is, or what its answers to you are worth",
    "show": "Decode a chain or an entry",
    "proof": "Save the proof that an entry is in the log",
    "backup": "Copy a log while it serves",
    "restore": "Make a log from a backup",
    "app": "Make an application's keys, enrol people",
    "register": "Become a user",
    "devices": "List, add and revoke devices",
    "lookup": "Ask for somebody's keys, without replaying the log",
    "contacts": "Say who was looked up here, and what waits to be accepted",
    "checkpoint": "Compare what the log signed for you with what others have",
    "groups": "Share keys with others, see who is in and why",
    "encrypt": "Seal a file to people and groups",
    "decrypt": "Open a sealed file, and say who wrote it",
    "share": "Let more people read what was sealed",
    "claim": "Read what was sealed to you before you registered",
    "lock": "Put your account under a passphrase, or change it",
    "unlock": "Take the passphrase off your account",
    "recovery": "Make a way back in, for the day when all devices are lost",
    "recover": "Begin on a new machine with a recovery code, or by e-mail",
    "reset": "Begin again after all devices were lost",
    "close": "End your chain",
    "sync": "Replay what is new in the log",
}


class _Lazy(click.Group):
    """Loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"ledger.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keyroll", prog_name="keyroll")
def commands() -> None:
    """A key transparency log: run it, enrol people, take part.

    Exit codes: 0 done, 1 the log or its data is wrong, 2 usage, 3 not now.
    """


def main() -> None:
    """The console script."""
    try:
        commands.main(prog_name="keyroll", standalone_mode=False)
    except click.Abort:
        sys.exit(_fail("interrupted", NOT_NOW))
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except KeyrollError as error:
        sys.exit(_fail(str(error), exit_code(error)))


def exit_code(error: KeyrollError) -> int:
    """What an error ends the command with."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, _LATER):
        return NOT_NOW
    return WRONG


def _fail(sentence: str, code: int) -> int:
    click.echo(f"keyroll: {sentence}", err=True)
    return code
