"""Enrolling people: identity tokens, and the little that the application must remember for them.

A token lets its bearer register (or reset) one identifier, once, until it expires. It goes to that
person over a private channel, after the application made sure who they are.

>>> with Register.open(Path("app/register.db")) as register:     # doctest: +SKIP
...     token = enrol("ada@example.org", log_id, enrolment_key, master, register, expiry=expiry)
...     token.export()
'keyroll-token-1.…'

The `Register` keeps the nonce behind each identifier's commitment: a reset must carry the same one
(R-52.4), so an identifier gets the same nonce in every token. Losing it means that nobody can be
reset any more; whoever reads it can tell which commitment in the log is whose.

The `master` secret makes what recovery by e-mail or passphrase rests on; it must outlive devices.

The application spells each person's identifier one way (case, NFC): the log compares bytes.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from ledger.format import cose
from ledger.format.bodies import Delegation, Purpose, delegate
from ledger.format.identity import IdentityToken, Opening, check_identifier
from ledger.format.keys import SigningKey
from ledger.localfile import LocalFile, open_file, told

_VERSION = 1
_SCHEMA = ("CREATE TABLE people (identifier TEXT PRIMARY KEY, nonce BLOB NOT NULL) WITHOUT ROWID",)


class Register(LocalFile):
    """Identifier to nonce, on disk. One process uses a file at a time."""

    @classmethod
    def open(cls, path: str | Path) -> Register:
        """The register in the file `path`, made if it is not there."""
        return cls(open_file(path, _SCHEMA, _VERSION))

    def opening(self, identifier: str) -> Opening:
        """What opens the identifier's commitment, made and kept when it is first asked for."""
        check_identifier(identifier)
        with told():
            self._db.execute(
                "INSERT OR IGNORE INTO people VALUES (?, ?)", (identifier, os.urandom(32))
            )
            query = "SELECT nonce FROM people WHERE identifier = ?"
            (nonce,) = self._db.execute(query, (identifier,)).fetchone()
        return Opening(nonce, identifier)

    def __contains__(self, identifier: str) -> bool:
        """Whether a token was ever made for this identifier."""
        query = "SELECT 1 FROM people WHERE identifier = ?"
        with told():
            return self._db.execute(query, (identifier,)).fetchone() is not None


def enrol(
    identifier: str,
    log_id: bytes,
    enrolment: cose.Signer,
    master: bytes,
    register: Register,
    *,
    expiry: int,
    reset_of: int | None = None,
) -> IdentityToken:
    """A token for `identifier`, until `expiry` (ms since 1970).

    With `reset_of`, the epoch that the person is in now, it is for a reset.
    """
    opening = register.opening(identifier)
    ephemeral = SigningKey(os.urandom(32))
    raw = delegate(
        enrolment,
        log_id,
        Purpose.CREATE if reset_of is None else Purpose.RESET,
        opening.commitment,
        ephemeral.public,
        epoch=reset_of or 0,
        expiry=expiry,
    )
    secret = token_secret(master, log_id, identifier)
    return IdentityToken(log_id, opening, Delegation.parse(raw), ephemeral, secret)


def token_secret(master: bytes, log_id: bytes, identifier: str) -> bytes:
    """What stands in every token of one person, and nowhere else (R-96.3)."""
    return hmac.digest(master, log_id + identifier.encode(), "sha256")
