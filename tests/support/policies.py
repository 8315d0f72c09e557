"""Policies as their files spell them, and cosignatures under checkpoints.

>>> from tests.support.lookups import Auditor
>>> one, two = map(Auditor.make, ("one", "two"))
>>> policy = quorum(1, one, two)
>>> policy.quorum_met({two.key.public})
True
"""

from __future__ import annotations

from ledger.format.note import Note, Verifier, cosign, parse_note
from ledger.format.policy import TrustPolicy, parse_policy
from tests.support.lookups import Auditor


def policy_text(k: int, *cosigners: Auditor, log: Verifier | None = None) -> str:
    """A policy that asks for `k` of these; of 0 for nobody."""
    lines = [f"log {log.vkey}"] if log else []
    lines += [f"witness {one.name} {one.verifier.vkey}" for one in cosigners]
    if k:
        lines.append(f"group them {k} {' '.join(one.name for one in cosigners)}")
    return "\n".join([*lines, f"quorum {'them' if k else 'none'}", ""])


def quorum(k: int, *cosigners: Auditor, log: Verifier | None = None) -> TrustPolicy:
    """The same, parsed."""
    return parse_policy(policy_text(k, *cosigners, log=log).encode())


def cosigned(note: bytes, time: int, *cosigners: Auditor) -> bytes:
    """The checkpoint with cosignatures of `time` (ms) under it."""
    parsed = parse_note(note)
    lines = [cosign(parsed.text, one.name, one.key, time // 1000) for one in cosigners]
    return Note(parsed.text, (*parsed.signatures, *lines)).encode()
