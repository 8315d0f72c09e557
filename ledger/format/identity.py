"""Identifiers, their commitments, and the token that enrols a person (36-labels, 50-rules).

An identifier (an e-mail address, a staff number) never stands in a block. A commitment does; its
opening `[nonce, identifier]` goes to the server at registration, and to whoever looks the
identifier up.

>>> opening = Opening(bytes(32), "alice@example.com")
>>> len(opening.commitment)
32
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from hashlib import sha256

from ledger.errors import MalformedInput
from ledger.format.bodies import HASH_BYTES, MAX_DELEGATION_BYTES, Delegation
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, text, uint
from ledger.format.keys import SigningKey
from ledger.value import value

MAX_IDENTIFIER_BYTES = 254
SECRET_BYTES = 32
TOKEN_PREFIX = "keyroll-token-1."
_MAX_TOKEN_BYTES = 2_048

# Lone surrogates too: they have no UTF-8.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_identifier(identifier: str) -> str:
    """`identifier` if it is one (R-36.5), else `MalformedInput`."""
    size = len(identifier.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_IDENTIFIER_BYTES:
        raise MalformedInput("R-36.5", f"an identifier has 1 to 254 bytes, this has {size}")
    if _CONTROL.search(identifier):
        raise MalformedInput("R-36.5", "an identifier holds no control characters")
    return identifier


@value
class Opening:
    """What is behind an identifier commitment: 32 random bytes, and the identifier."""

    nonce: bytes = field(repr=False)
    identifier: str

    @property
    def commitment(self) -> bytes:
        """R-36.6."""
        return sha256(b"\x06" + self.nonce + self.identifier.encode()).digest()

    @classmethod
    def parse(cls, value: Value) -> Opening:
        f = array(value, 2, "opening")
        nonce = bstr(f[0], HASH_BYTES, "nonce")
        return cls(nonce, check_identifier(text(f[1], _MAX_TOKEN_BYTES, "identifier")))

    def to_value(self) -> Value:
        return [self.nonce, self.identifier]


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """What an application hands to a person's device to enrol (or reset) once. A secret."""

    log_id: bytes
    opening: Opening
    delegation: Delegation
    ephemeral: SigningKey = field(repr=False)
    secret: bytes = field(repr=False)
    """The person's token secret, in every token of theirs (R-96.3)."""

    def export(self) -> str:
        """As text, to be carried over a private channel."""
        fields: list[Value] = [1, self.log_id, self.opening.identifier, self.opening.nonce]
        data = encode([*fields, self.delegation.raw, self.ephemeral.seed, self.secret])
        return TOKEN_PREFIX + urlsafe_b64encode(data).decode()

    @classmethod
    def parse(cls, token: str) -> IdentityToken:
        """The token that `export` wrote, if its parts fit together."""
        f = array(decode(_token_bytes(token), _MAX_TOKEN_BYTES), 7, "identity token")
        if uint(f[0], "version") != 1:
            raise MalformedInput("R-41.2", "this version of identity tokens is unknown")
        found = cls(
            bstr(f[1], HASH_BYTES, "log id"),
            Opening.parse([f[3], f[2]]),
            Delegation.parse(blob(f[4], MAX_DELEGATION_BYTES, "delegation")),
            SigningKey(bstr(f[5], 32, "ephemeral seed")),
            bstr(f[6], SECRET_BYTES, "token secret"),
        )
        if found.delegation.commitment != found.opening.commitment:
            raise MalformedInput("R-36.6", "the token's opening does not fit its delegation")
        if found.delegation.ephemeral != found.ephemeral.public:
            raise MalformedInput("R-52.1", "the token's key is not the one that was delegated to")
        if found.delegation.log_id != found.log_id:
            raise MalformedInput("R-52.2", "the token's delegation is for another log")
        return found


def _token_bytes(token: str) -> bytes:
    body = token.strip().removeprefix(TOKEN_PREFIX)
    if body == token.strip() or len(body) > _MAX_TOKEN_BYTES * 2:
        raise MalformedInput("R-10.1", f"an identity token begins with {TOKEN_PREFIX}")
    try:
        data = urlsafe_b64decode(body)
    except (Base64Error, ValueError) as error:
        raise MalformedInput("R-10.2", "the identity token is not base64") from error
    if urlsafe_b64encode(data).decode() != body:  # other characters are skipped without a word
        raise MalformedInput("R-10.2", "the identity token is not in its one base64 spelling")
    return data
