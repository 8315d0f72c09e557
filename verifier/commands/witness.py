"""`keyroll-verifier witness`: sees to it that logs only grow, and cosigns."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verifier.commands.options import PolicyFile
from verifier.errors import Undecided
from verifier.keyfile import Cosigner
from verifier.policy import Policy
from verifier.report import VERIFIED

if TYPE_CHECKING:
    from verifier.witness_server import Witness

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "witness",
    epilog="Example: keyroll-verifier witness --policy logs.policy --key w1.key --state "
    "w1.db --new --listen 127.0.0.1:8481",
    short_help="Serves as a witness, which cosigns that logs only grow.",
)
@click.option(
    "--policy", required=True, type=PolicyFile(), help="A policy; its log lines name the logs."
)
@click.option("--key", required=True, type=FILE, help="The witness's key file, of keygen.")
@click.option("--state", required=True, type=FILE, help="Where it keeps what it cosigned last.")
@click.option("--listen", required=True, metavar="HOST:PORT", help="Port 0: any that is free.")
@click.option("--new", is_flag=True, help="Begin the state: for a key that has not cosigned yet.")
def command(policy: Policy, key: Path, state: Path, listen: str, new: bool) -> int:
    """Serves C2SP tlog-witness for the logs of a policy, until interrupted.

    Without its state a witness would contradict itself, so a missing one is an error; keep it, and
    never put back an old copy.
    """
    from verifier.witness_server import Witness
    from verifier.witness_store import Store

    host, port = _address(listen)
    logs = [known.key for known in policy.logs]
    cosigner = Cosigner.load(key)
    if any(log.key == cosigner.public.key for log in logs):
        raise Undecided(f"{key} is the key of one of the logs: a witness needs its own")
    with Store.open(state, cosigner.public.vkey, new=new) as store:
        asyncio.run(_serve(Witness(logs, cosigner, store), host, port))
    return VERIFIED


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{text} is not HOST:PORT", param_hint="--listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def _serve(witness: Witness, host: str, port: int) -> None:
    from verifier.witness_server import serving

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(witness, host, port) as url:
        click.echo(f"{witness.cosigner.public.vkey} at {url}")
        await stopped.wait()
