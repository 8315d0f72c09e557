"""`keyroll proof`: a file that shows to anybody, offline, that an entry is in the log."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.source import open_source
from ledger.cli.words import example
from ledger.errors import StoreError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog=example(
        "keyroll proof http://127.0.0.1:8480 17 -o 17.tlog-proof --entry 17.entry",
        "keyroll proof log 17 --receipt -o 17.receipt",
        "keyroll-verifier verify-proof 17.tlog-proof --vkey … --entry 17.entry",
    )
)
@click.argument("place")
@click.argument("index", type=click.IntRange(0, 2**63 - 1))
@click.option("-o", "--output", required=True, type=_FILE, help="Where to save it.")
@click.option("--receipt", is_flag=True, help="As a COSE Receipt (RFC 9942), not a tlog-proof.")
@click.option("--entry", type=_FILE, help="Save the entry, too.")
def proof(place: str, index: int, output: Path, receipt: bool, entry: Path | None) -> None:
    """Save a proof, as the log gives it, that the entry at INDEX is in the log.

    PLACE is a server's URL, or a log's directory that is not being served. Nothing is verified
    here: keyroll-verifier verify-proof does that, for anybody.
    """
    with open_source(place) as source:
        data = source.receipt(index) if receipt else source.tlog_proof(index)
        beside = source.entry(index) if entry else b""
    _save(output, data)
    if entry:
        _save(entry, beside)
    click.echo(f"{output}: {len(data):,} bytes, about entry {index}")


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
