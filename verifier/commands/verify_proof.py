"""`keyroll-verifier verify-proof`: judges a tlog-proof or a receipt, offline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from verifier.commands.options import LogId, PolicyFile
from verifier.errors import Invalid, Undecided
from verifier.note import ED25519, NoteKey, parse_vkey
from verifier.policy import Policy, check_apart, check_log, cosigned
from verifier.proofs import Logged, log_key, open_proof
from verifier.report import MISBEHAVIOUR, UNDECIDED, VERIFIED

NOT_PROVEN = MISBEHAVIOUR

Input = TypeVar("Input")
Found = TypeVar("Found")
_MAX_FILE = 1 << 20
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "verify-proof",
    epilog="Example: keyroll-verifier verify-proof 17.tlog-proof --entry 17.entry --log-id 5c1f… "
    "--first 0.entry",
    short_help="Judges a tlog-proof or a COSE Receipt.",
)
@click.argument("file", type=_FILE)
@click.option("--entry", required=True, type=_FILE, help="The entry that it is about.")
@click.option("--vkey", help="The log's verifier key.")
@click.option("--log-id", type=LogId(), help="Or else: SHA-256 of the log's first block,")
@click.option("--first", type=_FILE, help="and the log's entry 0, which holds that block.")
@click.option("--witnesses", type=PolicyFile(), help="A policy: whose cosignatures must be there.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def command(
    file: Path,
    entry: Path,
    vkey: str | None,
    log_id: bytes | None,
    first: Path | None,
    witnesses: Policy | None,
    as_json: bool,
) -> int:
    """Judges FILE, a tlog-proof or a COSE Receipt: does it show that the entry is in the log?

    Asks nobody. Exit codes: 0 it does, 1 it does not, 2 that can't be said.
    """
    try:
        log = _log(vkey, log_id, first)
        answer = _judge(_read(file), _read(entry), log, witnesses)
    except (Undecided, OSError) as error:
        answer = {"outcome": "undecided", "exit_code": UNDECIDED, "reason": str(error)}
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else _sentence(answer))
    return int(answer["exit_code"])


def _judge(data: bytes, entry: bytes, log: NoteKey, policy: Policy | None) -> dict[str, Any]:
    """What comes of it, ready for JSON."""
    try:
        found = open_proof(data, entry, log, policy.keys if policy else ())
        if found is None:
            raise Undecided("neither a tlog-proof, version 1, nor a COSE Receipt")
        if policy is not None:
            check_log(policy, log)
            check_apart(policy, (), log.key)
            now = time.time_ns() // 1_000_000
            policy.quorum_time(cosigned(policy, found.signers, now), 0)
    except Invalid as error:
        told = {"outcome": "not proven", "exit_code": NOT_PROVEN}
        return told | {"rule": error.rule, "reason": error.why}
    return {"outcome": "proven", "exit_code": VERIFIED} | _facts(found, log)


def _facts(found: Logged, log: NoteKey) -> dict[str, Any]:
    return {
        "origin": log.name,
        "index": found.index,
        "size": found.size,
        "root": found.root.hex(),
        "signers": [{"name": one.key.name, "time": one.time} for one in found.signers],
    }


def _sentence(answer: dict[str, Any]) -> str:
    if "origin" not in answer:
        rule = f" ({answer['rule']})" if "rule" in answer else ""
        return f"{answer['outcome']}: {answer['reason']}{rule}"
    where = "somewhere: a receipt is not signed for a place"
    if answer["index"] is not None:
        where = "as leaf {index}, in its tree of size {size}".format_map(answer)
    names = ", ".join(one["name"] for one in answer["signers"])
    return f"proven: {answer['origin']} holds the entry, {where}\nsigned by {names}"


def _log(vkey: str | None, log_id: bytes | None, first: Path | None) -> NoteKey:
    """The log's key by what was said about it, which has to make sense."""
    if vkey is not None and log_id is None and first is None:
        key = _given(parse_vkey, "--vkey", vkey)
        if key.type != ED25519:
            raise Undecided("--vkey: a cosigner's key, and not a log's")
        return key
    if vkey is None and log_id is not None and first is not None:
        data = _read(first)
        return _given(lambda entry: log_key(entry, log_id), first, data)
    raise click.UsageError("say which log: either --vkey, or --log-id with --first")


def _given(parse: Callable[[Input], Found], what: object, given: Input) -> Found:
    """What `given` spells. The proof is not to blame for what came with it."""
    try:
        return parse(given)
    except Invalid as error:
        raise Undecided(f"{what}: {error}") from error


def _read(path: Path) -> bytes:
    """A file, not beyond what any of them may be."""
    with path.open("rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise Undecided(f"{path} is larger than any such file may be")
    return data
