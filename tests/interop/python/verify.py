"""Runs in the peers' environment: what Python's COSE libraries say of our blocks and receipts.

    python verify.py blocks        [{message, aad}]          -> [{pycose: [bool], cwt: [bool]}]
    python verify.py receipts      [{receipt, entry, key}]   -> [bool]

JSON from standard input to standard output; bytes in hexadecimal. A block has an answer for each
signature, under its own kid.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSE, COSEKey, VerifyError
from pycose.headers import KID
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import CoseMessage
from scitt_cose.receipt import verify_receipt

OKP, ED25519, EDDSA = 1, 6, -8


def block(given: dict[str, str]) -> dict[str, list[bool]]:
    message, aad = bytes.fromhex(given["message"]), bytes.fromhex(given["aad"])
    signers = CoseMessage.decode(message).signers
    return {
        "pycose": [by_pycose(signer, aad) for signer in signers],
        "cwt": [by_cwt(message, signer.phdr[KID], aad) for signer in signers],
    }


def by_pycose(signer: Any, aad: bytes) -> bool:
    signer.key = OKPKey(crv=Ed25519, x=signer.phdr[KID])
    signer.external_aad = aad
    return bool(signer.verify_signature())


def by_cwt(message: bytes, kid: bytes, aad: bytes) -> bool:
    key = COSEKey.new({1: OKP, 2: kid, 3: EDDSA, -1: ED25519, -2: kid})
    try:
        COSE.new().decode(message, [key], external_aad=aad)
    except VerifyError:
        return False
    return True


def receipt(given: dict[str, str]) -> bool:
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(given["key"]))
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    found = verify_receipt(
        bytes.fromhex(given["receipt"]), leaf_entry_hex=given["entry"], log_public_key_pem=pem
    )
    return bool(found.ok)


judge = {"blocks": block, "receipts": receipt}[sys.argv[1]]
print(json.dumps([judge(given) for given in json.load(sys.stdin)]))
