"""What test vectors ask: the kinds and inputs of `specs/vectors`, each a judgement of one's own.

Byte strings are hexadecimal. An input yields its `output`, or raises `Invalid` with its verdict and
rule.

    judge("inclusion", {"leaf": "…", "index": 3, "size": 9, "proof": [], "root": "…"})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verifier import evidence, prefix
from verifier.blocks import open_block
from verifier.cbor import decode
from verifier.errors import BadSignature, BrokenRule, Invalid, Malformed, Misbehaviour, Undecided
from verifier.groups import (
    Grant,
    Leave,
    Membership,
    check_counts,
    open_grant,
    open_leave,
)
from verifier.judge import (
    LogJudgement,
    _checked,
    judge_bundle,
    judge_checkpoint,
    judge_directory,
    judge_note,
    judge_policy,
    judge_tile,
    judge_tile_path,
    replay_log,
)
from verifier.keys import Check, require_ed25519, require_x25519, verifies
from verifier.lookup import judge_lookup
from verifier.merkle import (
    check_consistency,
    check_inclusion,
    leaf_hash,
    tree_root,
)
from verifier.note import parse_vkey
from verifier.policy import parse_policy
from verifier.proofs import open_receipt, open_tlog_proof
from verifier.replay import Replay
from verifier.rules import events
from verifier.vrf import commitment, verify, verify_label

Given = Mapping[str, Any]
Found = dict[str, Any]


def judge(kind: str, given: Given) -> Found:
    """What a vector's input yields, as its `output`. KeyError: a kind that is not judged here."""
    return JUDGES[kind](given)


def _octets(text: str) -> bytes:
    return bytes.fromhex(text)


def _all(texts: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def _block(given: Given) -> Found:
    log_id = given["log_id"] and _octets(given["log_id"])
    return {"hash": open_block(_octets(given["bytes"]), log_id).hash.hex()}


def _log(given: Given) -> Found:
    tree, directory, loud, *_ = replay_log(
        _all(given["entries"]), given["log_id"] and _octets(given["log_id"])
    )
    return {"tree": tree.hex(), "directory": directory.hex(), "events": loud}


def _told(given: Given) -> LogJudgement:
    """A log with its statements."""
    statements = {index: _octets(data) for index, data in given["statements"]}
    return replay_log(_all(given["entries"]), _octets(given["log_id"]), statements)


def _group(given: Given) -> Found:
    tree, directory, _, _, held = _told(given)
    found = {label.hex(): Membership.restore(row).digest().hex() for label, row in held.items()}
    return {"tree": tree.hex(), "directory": directory.hex(), "memberships": found}


def _leave(given: Given) -> Found:
    _counts(_told(given).replay, *open_leave(_octets(given["leave"]), _octets(given["log_id"])), 0)
    return {}


def _grant(given: Given) -> Found:
    replay, grant = _told(given).replay, _octets(given["grant"])
    _counts(replay, *open_grant(grant, replay.log_id), given["time"])
    return {}


def _counts(replay: Replay, wish: Leave | Grant, checks: Sequence[Check], time: int) -> None:
    held = replay.membership(wish.group)
    check_counts(_checked(wish, checks), held, replay.state(wish.user), time)


def _cbor(given: Given) -> Found:
    decode(_octets(given["bytes"]), given["cap"])
    return {}


def _note(given: Given) -> Found:
    text, signers = judge_note(_octets(given["note"]), given["vkeys"])
    told = [{"name": signer.key.name, "time": signer.time} for signer in signers]
    return {"text": text.encode().hex(), "signers": told}


def _checkpoint(given: Given) -> Found:
    found = judge_checkpoint(_octets(given["note"]), given["vkey"])
    return {"origin": found.origin, "size": found.size, "root": found.root.hex()}


def _tlog_proof(given: Given) -> Found:
    proof, entry = _octets(given["proof"]), _octets(given["entry"])
    found = open_tlog_proof(proof, entry, parse_vkey(given["vkey"]))
    return {"index": found.index, "size": found.size, "root": found.root.hex()}


def _receipt(given: Given) -> Found:
    receipt, entry = _octets(given["receipt"]), _octets(given["entry"])
    found = open_receipt(receipt, entry, parse_vkey(given["vkey"]))
    return {"root": found.root.hex()}


def _vkey(given: Given) -> Found:
    key = parse_vkey(given["vkey"])
    return {"name": key.name, "key": key.key.hex(), "type": key.type}


def _ed25519(given: Given) -> Found:
    require_ed25519(_octets(given["key"]))
    return {}


def _x25519(given: Given) -> Found:
    require_x25519(_octets(given["key"]))
    return {}


def _signature(given: Given) -> Found:
    signature, message, key = _all([given["signature"], given["message"], given["key"]])
    if not verifies(signature, message, key):
        raise BadSignature("R-15.3", "the signature does not verify")
    return {}


def _vrf(given: Given) -> Found:
    public, alpha, proof = _all([given["public"], given["alpha"], given["proof"]])
    label = verify_label(public, alpha, proof)
    return {"beta": verify(public, alpha, proof).hex(), "label": label.hex()}


def _opening(given: Given) -> Found:
    return {"commitment": commitment(_octets(given["nonce"]), given["identifier"]).hex()}


def _path(given: Given) -> Found:
    level, number, width = judge_tile_path(given["path"])
    return {"level": level if level == "entries" else int(level), "index": number, "width": width}


def _tile(given: Given) -> Found:
    judge_tile(_octets(given["bytes"]), given["width"])
    return {}


def _bundle(given: Given) -> Found:
    entries = judge_bundle(_octets(given["bytes"]), given["width"])
    return {"entries": [entry.hex() for entry in entries]}


def _policy(given: Given) -> Found:
    times = {_octets(key): time for key, time in given["cosigned"]}
    found = judge_policy(
        _octets(given["policy"]),
        given["log"],
        _all(given["others"]),
        times,
        given["demanded"],
        given["now"],
    )
    return {"time": found}


def _evidence(given: Given) -> Found:
    log_id = given["log_id"] and _octets(given["log_id"])
    witnesses = given["witnesses"]
    policy = None if witnesses is None else parse_policy(witnesses.encode())
    found = evidence.judge(_octets(given["evidence"]), log_id, policy)
    if found.outcome == evidence.NOTHING:
        raise Malformed(found.rule, found.sentence)
    return {"verdict": found.outcome, "kind": found.kind, "rule": found.rule}


def _lookup(given: Given) -> Found:
    lookup, log_id = _all([given["lookup"], given["log_id"]])
    auditors = given["auditors"] and parse_policy(_octets(given["auditors"]))
    try:
        found = judge_lookup(lookup, log_id, given["identifier"], given["now"], auditors)
    except Misbehaviour as error:
        raise error.__cause__ or error from None
    except Undecided as error:
        raise BrokenRule("R-65.9", str(error)) from error
    return {
        "covered": found.covered is not None,
        "digest": found.part.digest.hex() if found.state else None,
        "events": [
            [code, step.leaf_index]
            for step in found.steps
            for code in events(step.before, step.chain.state)
        ],
        "label": found.label.hex(),
        "length": found.part.length,
        "size": found.head.size,
        "time": found.head.time,
    }


def _tree(given: Given) -> Found:
    return {"root": tree_root([leaf_hash(entry) for entry in _all(given["entries"])]).hex()}


def _inclusion(given: Given) -> Found:
    leaf, root = _octets(given["leaf"]), _octets(given["root"])
    check_inclusion(leaf, given["index"], given["size"], _all(given["proof"]), root)
    return {}


def _consistency(given: Given) -> Found:
    roots = _octets(given["old_root"]), _octets(given["new_root"])
    check_consistency(given["old"], given["new"], *roots, _all(given["proof"]))
    return {}


def _directory(given: Given) -> Found:
    pairs = [(_octets(label), _octets(held)) for label, held in given["pairs"]]
    return {"root": judge_directory(pairs).hex()}


def _directory_proof(given: Given) -> Found:
    held = None if given["value"] is None else _octets(given["value"])
    proof = prefix.parse(_octets(given["proof"]))
    prefix.check(proof, _octets(given["label"]), held, _octets(given["root"]))
    return {}


JUDGES: Mapping[str, Callable[[Given], Found]] = {
    "block": _block,
    "bundle": _bundle,
    "cbor": _cbor,
    "checkpoint": _checkpoint,
    "consistency": _consistency,
    "directory": _directory,
    "directory-proof": _directory_proof,
    "ed25519": _ed25519,
    "evidence": _evidence,
    "grant": _grant,
    "group": _group,
    "inclusion": _inclusion,
    "leave": _leave,
    "log": _log,
    "lookup": _lookup,
    "note": _note,
    "opening": _opening,
    "policy": _policy,
    "receipt": _receipt,
    "signature": _signature,
    "tile": _tile,
    "tile-path": _path,
    "tlog-proof": _tlog_proof,
    "tree": _tree,
    "vkey": _vkey,
    "vrf": _vrf,
    "x25519": _x25519,
}


def verdict(kind: str, given: Given) -> tuple[str, str, Found | None]:
    """Verdict, rule and output of a vector's input; rule is empty and output None as they apply."""
    try:
        return "ok", "", judge(kind, given)
    except Invalid as error:
        return error.verdict, error.rule, None
