"""`keyroll show`: a chain or an entry, decoded for people."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import click
from rich.console import Console
from rich.table import Table

from ledger.cli.source import open_source
from ledger.cli.words import example, print_json, time_of
from ledger.errors import UsageError
from ledger.format import block as blocks
from ledger.format import cose, entry
from ledger.format.bodies import BlockType

_LABEL_DIGITS = 64


@click.command(
    epilog=example(
        "keyroll show http://127.0.0.1:8480 0",
        "keyroll show log 6f2c01b7… --json    (a label: 64 hexadecimal digits)",
    )
)
@click.argument("place")
@click.argument("what", metavar="LABEL|INDEX")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def show(place: str, what: str, as_json: bool) -> None:
    """Decode the chain of a LABEL, or the entry at an INDEX.

    PLACE is a server's URL, or a log's directory that is not being served. Nothing is verified
    here: keyroll sync and keyroll-verifier do that.
    """
    with open_source(place) as source:
        if len(what) == _LABEL_DIGITS:
            found = source.chain(_label(what))
        elif what.isascii() and what.isdigit():
            found = [(int(what), source.entry(int(what)))]
        else:
            raise UsageError(f"{what} is neither a leaf index nor a label of 64 hexadecimal digits")
    decoded = [decode(index, data) for index, data in found]
    if as_json:
        print_json(decoded if len(what) == _LABEL_DIGITS else decoded[0])
        return
    for one in decoded:
        Console().print(_table(one))


def decode(index: int, data: bytes) -> dict[str, object]:
    """An entry as names and values, bytes in hexadecimal."""
    found = entry.parse(data)
    head: dict[str, object] = {"index": index, "time": found.time, "bytes": len(data)}
    if found.kind == entry.DIRECTORY_ROOT:
        return {**head, "type": "directory root", "root": found.body.hex()}
    block = blocks.parse(found.body)
    return {
        **head,
        "type": BlockType(block.type).spelling,
        "label": block.label.hex(),
        "seq": block.seq,
        "hash": block.hash.hex(),
        "prev": block.prev.hex(),
        "anchor": {"size": block.anchor.size, "root": block.anchor.root.hex()},
        "body": _plain(block.body),
        "signers": [kid.hex() for kid in block.envelope.signers],
    }


def _plain(value: object) -> object:
    """Dataclasses as names and values; bytes as hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, cose.Envelope):
        return {"signers": _plain(value.signers)}
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _table(decoded: dict[str, object]) -> Table:
    title = f"entry {decoded['index']}: {decoded['type']}"
    table = Table(show_header=False, title=title, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _flat("", decoded):
        if name == "time" and isinstance(value, int):
            table.add_row(name, f"{time_of(value)} ({value})")
        else:
            table.add_row(name, str(value))
    return table


def _flat(prefix: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in _flat(f"{prefix}{key} ", item)]
    if isinstance(value, list):
        return [(prefix.strip(), item) for item in value]
    return [(prefix.strip(), value)]


def _label(spelling: str) -> bytes:
    try:
        return bytes.fromhex(spelling)
    except ValueError:
        raise UsageError(f"{spelling} is not hexadecimal") from None
