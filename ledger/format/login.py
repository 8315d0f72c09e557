"""Requests of somebody in particular: a request, and a login that signs it (R-72.1).

    [request, login]        login = COSE_Sign1([time, path, SHA-256(request)]), context "login"

`authenticate` writes one, `Authenticated` reads it, and `Login.check` says by which key.

>>> from ledger.format.keys import SigningKey
>>> key = SigningKey(bytes(32))
>>> body = authenticate(b"asked", "/v1/boxes", key, bytes(32), now=7)
>>> asked = Authenticated.decode(body)
>>> asked.request, asked.login.check(asked.request, "/v1/boxes", bytes(32), now=8) == key.public
(b'asked', True)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from ledger.errors import BadSignature, RuleViolation
from ledger.format import cose
from ledger.format.bodies import HASH_BYTES, MAX_TIME
from ledger.format.cbor import array, blob, bstr, decode, encode, text, uint
from ledger.format.wire import MAX_REQUEST_BYTES

LOGIN_WINDOW_MS = 300_000
"""R-72.1."""

_MAX_LOGIN_BYTES = 512


@dataclass(frozen=True, slots=True)
class Login:
    """A device's or an ephemeral key's signature over one request, at one time (ms)."""

    envelope: cose.Envelope
    time: int
    path: str
    digest: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Login:
        envelope = cose.parse(raw, _MAX_LOGIN_BYTES)
        f = array(decode(envelope.payload, _MAX_LOGIN_BYTES), 3, "login")
        time = uint(f[0], "time", MAX_TIME)
        return cls(envelope, time, text(f[1], 64, "path"), bstr(f[2], HASH_BYTES, "hash"))

    def check(self, request: bytes, path: str, log_id: bytes, now: int) -> bytes:
        """The key that signed this request, here and now. Raises `RuleViolation` (R-72.1)."""
        if len(self.envelope.signers) != 1:
            raise RuleViolation("R-72.1", "a login has one signature")
        if self.path != path:
            raise RuleViolation("R-72.1", "the login is for another path")
        if self.digest != sha256(request).digest():
            raise RuleViolation("R-72.1", "the login is for another request")
        if abs(self.time - now) > LOGIN_WINDOW_MS:
            detail = f"the login is {(now - self.time) / 1000:.0f} s old by this server's clock"
            raise RuleViolation("R-72.1", detail)
        try:
            cose.verify(self.envelope, cose.aad(cose.LOGIN, log_id))
        except BadSignature as error:
            raise BadSignature("R-72.1", error.detail) from error
        return self.envelope.signers[0]


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A request, encoded, and who makes it."""

    request: bytes
    login: Login = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> Authenticated:
        f = array(decode(data, MAX_REQUEST_BYTES), 2, "authenticated request")
        login = Login.parse(blob(f[1], _MAX_LOGIN_BYTES, "login"))
        return cls(blob(f[0], MAX_REQUEST_BYTES, "request"), login)


def authenticate(request: bytes, path: str, signer: cose.Signer, log_id: bytes, now: int) -> bytes:
    """The body that asks for `request` at `path` in the name of `signer`, at `now` (ms)."""
    payload = encode([now, path, sha256(request).digest()])
    return encode([request, cose.sign(payload, [signer], cose.LOGIN, log_id)])
