"""A session's secret in two halves, for somebody who has no key yet (98-pending).

>>> session = Session(b"s" * 32, b"secret" + bytes(26))
>>> left, mailed = halves_of(session, label=b"l" * 32)
>>> joined(session.id, session.commitment, [left], [bytes(32), mailed]) == session
True

Neither half tells anything of the secret; both follow from it, so that who leaves them again
leaves the same (R-98.1).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from itertools import product

from ledger.seal.stream import Session


def halves_of(session: Session, label: bytes) -> tuple[bytes, bytes]:
    """The half for the log's server, under `label`, and that for the recovery service."""
    half = sha256(b"\x13" + session.secret + session.id + label).digest()
    return half, _xor(session.secret, half)


def joined(
    session: bytes, commitment: bytes, left: Iterable[bytes], mailed: Iterable[bytes]
) -> Session | None:
    """The session, by those halves that fit the commitment, if any do (R-98.7)."""
    for one, other in product(left, mailed):
        found = Session(session, _xor(one, other))
        if hmac.compare_digest(found.commitment, commitment):
            return found
    return None


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
