"""What stands around a sealed stream: its preamble, and the trailer that its author signs (R-90).

    magic    = "keyroll" 01
    preamble = [1, log id, session, resource, author, commitment, padded]
    trailer  = COSE_Sign over [log id, session, resource, author, commitment, u64(length), digest]

Both have one length each, so a reader knows where the stream begins and where its end does.

>>> preamble = Preamble(bytes(32), bytes(32), bytes(32), bytes(32), bytes(32), padded=False)
>>> Preamble.decode(preamble.encode()) == preamble
True
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.errors import BadSignature, MalformedInput
from ledger.format import cose
from ledger.format.bodies import HASH_BYTES
from ledger.format.cbor import Value, array, bstr, decode, encode, uint

MAGIC = b"keyroll\x01"
PREAMBLE_BYTES = 173
"""Of the encoded preamble, without the magic."""
TRAILER_BYTES = 330

VERSION = 1

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Preamble:
    """Which resource of which session this is, and who says to have written it (R-90.1)."""

    log_id: bytes
    session: bytes
    resource: bytes
    author: bytes
    commitment: bytes
    padded: bool

    def encode(self) -> bytes:
        """The bytes that follow the magic."""
        return encode([VERSION, *self.names, self.padded])

    @classmethod
    def decode(cls, data: bytes) -> Preamble:
        """Raises `MalformedInput` (R-10.*, R-90.1)."""
        f = array(decode(data, PREAMBLE_BYTES), 7, "preamble")
        if uint(f[0], "version") != VERSION:
            raise MalformedInput("R-90.1", "this stream is of another version")
        if type(f[6]) is not bool:
            raise MalformedInput("R-10.4", "padded is neither true nor false")
        log_id, session, resource, author, commitment = _names(f[1:6])
        return cls(log_id, session, resource, author, commitment, f[6])

    @property
    def names(self) -> list[bytes]:
        """The fields that the trailer repeats."""
        return [self.log_id, self.session, self.resource, self.author, self.commitment]


def _names(f: list[Value]) -> list[bytes]:
    what = ("log id", "session", "resource", "author", "commitment")
    return [bstr(value, HASH_BYTES, name) for value, name in zip(f, what, strict=True)]


@dataclass(frozen=True, slots=True)
class Trailer:
    """What the author signs at the end: whose, and which bytes (R-90.3, R-90.4)."""

    preamble: Preamble
    length: int
    digest: bytes

    def sign(self, signer: cose.Signer) -> bytes:
        """The trailer's bytes, signed by a device of the author."""
        fields: list[Value] = [*self.preamble.names]
        fields += [self.length.to_bytes(_LENGTH_BYTES), self.digest]
        return cose.sign(encode(fields), [signer], cose.HEADER, self.preamble.log_id)

    @classmethod
    def open(cls, data: bytes, preamble: Preamble) -> tuple[Trailer, bytes]:
        """The trailer of the stream that began with `preamble`, and the key that signed it.

        Raises `MalformedInput` (R-90.3) and `BadSignature` (R-90.6).
        """
        envelope = cose.parse(data, TRAILER_BYTES)
        if len(envelope.signers) != 1:
            raise MalformedInput("R-90.3", "a trailer has one signature")
        f = array(decode(envelope.payload, len(envelope.payload)), 7, "trailer")
        if _names(f[:5]) != preamble.names:
            raise MalformedInput("R-90.3", "the trailer is of another stream")
        length = int.from_bytes(bstr(f[5], _LENGTH_BYTES, "length"))
        try:
            cose.verify(envelope, cose.aad(cose.HEADER, preamble.log_id))
        except BadSignature as error:
            raise BadSignature("R-90.6", error.detail) from error
        return cls(preamble, length, bstr(f[6], HASH_BYTES, "digest")), envelope.signers[0]
