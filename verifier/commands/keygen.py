"""`keyroll-verifier keygen`: a cosigner's key."""

from __future__ import annotations

from pathlib import Path

import click

from verifier.errors import Malformed
from verifier.keyfile import Cosigner
from verifier.report import VERIFIED


@click.command(
    "keygen",
    epilog="Example: keyroll-verifier keygen witness.example.org/w1 -o w1.key",
    short_help="Makes a key for a witness or an auditor.",
)
@click.argument("name")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The new key file; it must not exist.",
)
def command(name: str, output: Path) -> int:
    """Makes a key for a witness or an auditor and prints its vkey, for others' policies.

    NAME is what it signs as: best a URL without scheme.
    """
    try:
        cosigner = Cosigner.make(name)
    except Malformed as error:
        raise click.BadParameter(error.why) from error
    cosigner.save(output)
    click.echo(cosigner.public.vkey)
    return VERIFIED
