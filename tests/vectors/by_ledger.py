"""The ledger's judgement of a case: one small function a kind, over the functions it uses itself.

>>> judge("cbor", {"bytes": "1801", "cap": 10})
Judgement(verdict='malformed', rule='R-10.2', output=None)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.errors import (
    BadSignature,
    LogMisbehaved,
    MalformedInput,
    NotCosigned,
    RuleViolation,
    UnusablePolicy,
)
from ledger.format import (
    block,
    cbor,
    checkpoint,
    entry,
    note,
    policy,
    proof,
    receipt,
    tlog_proof,
)
from ledger.format.block import NO_LOG_ID
from ledger.format.identity import IdentityToken, Opening
from ledger.format.keys import EncryptionKey, check_encryption_key, check_signing_key, verifies
from ledger.log.admission import check_boxes
from ledger.log.planner import Admission
from ledger.log.replay import batches, replay
from ledger.seal.boxes import open_box, verify_box
from ledger.tree import directory, merkle, tiles, vrf
from ledger.tree.directory_proof import verify_absent, verify_present
from tests.support.memory import MemoryLog
from tests.vectors import groups_by_ledger, lookups_by_ledger
from tests.vectors.case import Given, Judgement, Output

NEVER = frozenset({"evidence"})
"""Kinds that the ledger judges not: it writes evidence, and leaves it to others to believe it."""

_MAX_PROOF_BYTES = 16_384

_hex = bytes.fromhex


def judge(kind: str, given: Given) -> Judgement:
    """What the ledger makes of a case's input."""
    try:
        return Judgement("ok", output=JUDGES[kind](given) or None)
    except LogMisbehaved as error:
        cause = error.__cause__
        return Judgement("rule" if cause is None else _verdict(cause), error.rule)
    except (NotCosigned, UnusablePolicy) as error:
        return Judgement("rule", error.rule)
    except (MalformedInput, RuleViolation) as error:
        return Judgement(_verdict(error), error.rule)


def _verdict(error: BaseException) -> str:
    if isinstance(error, MalformedInput):
        return "malformed"
    assert isinstance(error, RuleViolation)
    return "signature" if isinstance(error, BadSignature) else "rule"


def _hashes(values: Sequence[str]) -> list[bytes]:
    return [_hex(value) for value in values]


def _cbor(given: Given) -> None:
    cbor.decode(_hex(given["bytes"]), given["cap"])


def _block(given: Given) -> Output:
    found = block.parse(_hex(given["bytes"]))
    block.verify(found, _hex(given["log_id"]) if given["log_id"] else NO_LOG_ID)
    return {"hash": found.hash.hex()}


def replayed(log_id: bytes, entries: Sequence[bytes]) -> tuple[MemoryLog, list[tuple[int, ...]]]:
    """The log of these entries, and the loud events of each block of its last batch."""
    log = MemoryLog()
    log.log_id = log_id
    events: list[tuple[int, ...]] = []
    for batch in batches(entries):
        blocks = [entry.parse(data).body for data in batch[:-1] if data[:2] == b"\x83\x00"]
        commit = replay(log, batch)
        planned = log.plan(blocks, commit.after.time)
        events = [r.outcome.events for r in planned.results if isinstance(r, Admission)]
        log.apply(commit)
    return log, events


def _log(given: Given) -> Output:
    log, events = replayed(_hex(given["log_id"]), _hashes(given["entries"]))
    told = [[int(code) for code in codes] for codes in events]
    head = log.head
    return {"directory": head.directory.hex(), "events": told, "tree": head.root.hex()}


def _tree(given: Given) -> Output:
    leaves = [merkle.leaf_hash(data) for data in _hashes(given["entries"])]
    root = merkle.Frontier().extend(leaves).after.root()
    assert merkle.root_of(leaves) == root
    return {"root": root.hex()}


def _inclusion(given: Given) -> None:
    proof, root = _hashes(given["proof"]), _hex(given["root"])
    merkle.verify_inclusion(_hex(given["leaf"]), given["index"], given["size"], proof, root)


def _consistency(given: Given) -> None:
    roots = _hex(given["old_root"]), _hex(given["new_root"])
    merkle.verify_consistency(given["old"], given["new"], _hashes(given["proof"]), *roots)


def _directory(given: Given) -> Output:
    pairs = [(_hex(label), _hex(value)) for label, value in given["pairs"]]
    nothing: dict[int, bytes] = {}
    update = directory.Directory().plan(pairs, nothing.__getitem__)
    return {"root": update.root.hex()}


def _directory_proof(given: Given) -> None:
    found = proof.parse(cbor.decode(_hex(given["proof"]), _MAX_PROOF_BYTES))
    label, root = _hex(given["label"]), _hex(given["root"])
    if given["value"] is None:
        verify_absent(label, found, root)
    else:
        verify_present(label, _hex(given["value"]), found, root)


def _vrf(given: Given) -> Output:
    beta = vrf.verify(_hex(given["public"]), _hex(given["alpha"]), _hex(given["proof"]))
    return {"beta": beta.hex(), "label": vrf.label(beta).hex()}


def _opening(given: Given) -> Output:
    opening = Opening.parse([_hex(given["nonce"]), given["identifier"]])
    return {"commitment": opening.commitment.hex()}


def _token(given: Given) -> Output:
    token = IdentityToken.parse(given["token"])
    assert token.export() == given["token"]
    return {"identifier": token.opening.identifier, "log_id": token.log_id.hex()}


def _ed25519(given: Given) -> None:
    check_signing_key(_hex(given["key"]))


def _x25519(given: Given) -> None:
    check_encryption_key(_hex(given["key"]))


def _signature(given: Given) -> None:
    if not verifies(_hex(given["key"]), _hex(given["message"]), _hex(given["signature"])):
        raise BadSignature("R-15.3", "the signature does not verify")


def _note(given: Given) -> Output:
    known = [note.parse_vkey(vkey) for vkey in given["vkeys"]]
    found, verified = note.open_note(_hex(given["note"]), known)
    signers = [{"name": one.verifier.name, "time": one.time} for one in verified]
    return {"signers": signers, "text": found.text.hex()}


def _vkey(given: Given) -> Output:
    key = note.parse_vkey(given["vkey"])
    return {"key": key.public.hex(), "name": key.name, "type": key.kind}


def _checkpoint(given: Given) -> Output:
    log = note.parse_vkey(given["vkey"])
    found = checkpoint.open_checkpoint(_hex(given["note"]), log)
    return {"origin": found.origin, "root": found.root.hex(), "size": found.size}


def _policy(given: Given) -> Output:
    found, log = policy.parse_policy(_hex(given["policy"])), note.parse_vkey(given["log"])
    demanded = given["demanded"]
    policy.check_usable(found, log, others=_hashes(given["others"]), demanded=demanded)
    cosigned = [
        note.Verified(note.Verifier("cosigner", note.COSIGNATURE, _hex(key)), time)
        for key, time in given["cosigned"]
    ]
    time = found.quorum_time(policy.counting(cosigned, given["now"]), demanded)
    if time is None and found.demands(demanded):
        raise RuleViolation("R-62.8", "the checkpoint has no quorum time")
    return {"time": time}


def _tlog_proof(given: Given) -> Output:
    data, log = _hex(given["proof"]), note.parse_vkey(given["vkey"])
    found = tlog_proof.open_proof(data, _hex(given["entry"]), log)
    head = checkpoint.open_checkpoint(found.note, log)
    return {"index": found.index, "root": head.root.hex(), "size": head.size}


def _receipt(given: Given) -> Output:
    log, data = note.parse_vkey(given["vkey"]), _hex(given["entry"])
    found = receipt.open_receipt(_hex(given["receipt"]), data, log.public)
    path = found.index, found.size, found.hashes
    return {"root": merkle.inclusion_root(merkle.leaf_hash(data), *path).hex()}


def _tile_path(given: Given) -> Output:
    tile = tiles.parse_path(given["path"])
    level = tile.level if isinstance(tile, tiles.Tile) else "entries"
    return {"index": tile.index, "level": level, "width": tile.width}


def _tile(given: Given) -> None:
    data, width = _hex(given["bytes"]), given["width"]
    tiles.node_reader(width, lambda tile: data)(merkle.Node(0, width - 1))


def _bundle(given: Given) -> Output:
    entries = tiles.decode_bundle(_hex(given["bytes"]), given["width"])
    return {"entries": [data.hex() for data in entries]}


def _boxes(given: Given) -> None:
    recipients = _hashes(given["recipients"])
    check_boxes(_hashes(given["boxes"]), recipients, _hex(given["box_root"]))


def _box(given: Given) -> None:
    key, box = EncryptionKey(_hex(given["secret"])), _hex(given["box"])
    place = given["position"], given["count"]
    verify_box(key.public, box, *place, _hashes(given["proof"]), _hex(given["box_root"]))
    open_box(box, key, _hex(given["expected"]))


JUDGES: dict[str, Callable[[Given], Output | None]] = {
    "block": _block,
    "box": _box,
    "boxes": _boxes,
    "bundle": _bundle,
    "cbor": _cbor,
    "checkpoint": _checkpoint,
    "consistency": _consistency,
    "directory": _directory,
    "directory-proof": _directory_proof,
    "ed25519": _ed25519,
    "inclusion": _inclusion,
    "log": _log,
    "note": _note,
    "opening": _opening,
    "policy": _policy,
    "receipt": _receipt,
    "signature": _signature,
    "tile": _tile,
    "tile-path": _tile_path,
    "tlog-proof": _tlog_proof,
    "token": _token,
    "tree": _tree,
    "vkey": _vkey,
    "vrf": _vrf,
    "x25519": _x25519,
    **groups_by_ledger.JUDGES,
    **lookups_by_ledger.JUDGES,
}
