"""The verifier's judgement of a case, over `verifier.judge` and the functions beside it.

It sees no boxes, openings or tokens, and takes tiles apart while it fetches them: `NOT_JUDGED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.vectors.by_ledger import Given, Judgement, Output
from verifier import judge as judges
from verifier import keys
from verifier.cbor import fits
from verifier.errors import BadSignature, Invalid, Malformed
from verifier.merkle import leaf_hash, tree_root
from verifier.note import parse_vkey
from verifier.vrf import verify

NOT_JUDGED = frozenset({"box", "boxes", "bundle", "opening", "tile", "token"})

_hex = bytes.fromhex


def judge(kind: str, given: Given) -> Judgement:
    """What the verifier makes of a case's input."""
    try:
        return Judgement("ok", output=JUDGES[kind](given) or None)
    except Invalid as error:
        return Judgement(error.verdict, error.rule)


def _hashes(values: Sequence[str]) -> list[bytes]:
    return [_hex(value) for value in values]


def _cbor(given: Given) -> None:
    judges.judge_cbor(_hex(given["bytes"]), given["cap"])


def _block(given: Given) -> Output:
    log_id = _hex(given["log_id"]) if given["log_id"] else None
    return {"hash": judges.judge_block(_hex(given["bytes"]), log_id).hash.hex()}


def _log(given: Given) -> Output:
    tree, directory = judges.judge_log(_hashes(given["entries"]), _hex(given["log_id"]))
    return {"directory": directory.hex(), "tree": tree.hex()}


def _tree(given: Given) -> Output:
    return {"root": tree_root([leaf_hash(data) for data in _hashes(given["entries"])]).hex()}


def _inclusion(given: Given) -> None:
    proof, root = _hashes(given["proof"]), _hex(given["root"])
    judges.judge_inclusion(_hex(given["leaf"]), given["index"], given["size"], proof, root)


def _consistency(given: Given) -> None:
    roots = _hex(given["old_root"]), _hex(given["new_root"])
    judges.judge_consistency(given["old"], given["new"], *roots, _hashes(given["proof"]))


def _directory(given: Given) -> Output:
    pairs = [(_hex(label), _hex(value)) for label, value in given["pairs"]]
    return {"root": judges.judge_directory(pairs).hex()}


def _vrf(given: Given) -> Output:
    public, alpha, proof = (_hex(given[name]) for name in ("public", "alpha", "proof"))
    label = judges.judge_vrf(public, alpha, proof)
    return {"beta": verify(public, alpha, proof).hex(), "label": label.hex()}


def _key(given: Given) -> bytes:
    key = _hex(given["key"])
    if not fits(key, 32):  # as everywhere: a key's length is checked with its array's shape
        raise Malformed("R-10.4", "a key is 32 bytes")
    return key


def _ed25519(given: Given) -> None:
    keys.require_ed25519(_key(given))


def _x25519(given: Given) -> None:
    keys.require_x25519(_key(given))


def _signature(given: Given) -> None:
    if not keys.verifies(_hex(given["signature"]), _hex(given["message"]), _hex(given["key"])):
        raise BadSignature("R-15.3", "the signature does not verify")


def _note(given: Given) -> Output:
    note = judges.judge_note(_hex(given["note"]), given["vkeys"][0])
    return {"text": note.text.encode().hex()}


def _vkey(given: Given) -> Output:
    key = parse_vkey(given["vkey"])
    return {"key": key.key.hex(), "name": key.name}


def _checkpoint(given: Given) -> Output:
    found = judges.judge_checkpoint(_hex(given["note"]), given["vkey"])
    return {"origin": found.origin, "root": found.root.hex(), "size": found.size}


def _tile_path(given: Given) -> Output:
    level, number, width = judges.judge_tile_path(given["path"])
    return {
        "index": number,
        "level": level if level == "entries" else int(level),
        "width": width,
    }


JUDGES: Mapping[str, Callable[[Given], Output | None]] = {
    "block": _block,
    "cbor": _cbor,
    "checkpoint": _checkpoint,
    "consistency": _consistency,
    "directory": _directory,
    "ed25519": _ed25519,
    "inclusion": _inclusion,
    "log": _log,
    "note": _note,
    "signature": _signature,
    "tile-path": _tile_path,
    "tree": _tree,
    "vkey": _vkey,
    "vrf": _vrf,
    "x25519": _x25519,
}


def agrees(output: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> bool:
    """Whether the verifier's output is the case's, as far as it tells one (no loud events)."""
    return output is None or all((wanted or {}).get(key) == told for key, told in output.items())
