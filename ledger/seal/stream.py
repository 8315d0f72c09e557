r"""Sealed streams: data of any size, encrypted to whoever has a session's secret, signed (R-90).

    magic ‖ preamble ‖ stream header[24] ‖ piece … ‖ last

A `Sealer` turns data into sealed bytes as it comes, an `Unsealer` sealed bytes into data. Neither
does any I/O, and both hold a few pieces at a time, however long the stream.

>>> from ledger.format.keys import SigningKey
>>> session = Session(b"s" * 32, b"secret" + bytes(26))
>>> preamble = session.preamble(bytes(32), resource=b"r" * 32, author=b"a" * 32)
>>> sealer = Sealer(session, preamble, SigningKey(bytes(32)))
>>> sealed = b"".join([sealer.start(), *sealer.update(b"hello"), *sealer.finish()])
>>> unsealer = Unsealer(session, log_id=bytes(32))
>>> data = b"".join(unsealer.update(sealed))
>>> ending = unsealer.finish()
>>> data + b"".join(ending.rest), ending.author
(b'hello', b'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')

What an `Unsealer` gave out counts for nothing until `finish` returned: only then is it known that
nothing was cut off, left out or put in, and who signed it. Whether that key is a device of the
author says the author's chain (R-90.6).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from ledger.errors import MalformedInput
from ledger.format.cose import Signer
from ledger.format.sealed import MAGIC, PREAMBLE_BYTES, TRAILER_BYTES, Preamble, Trailer
from ledger.seal.padding import padded_length

PIECE = 65_536
"""Bytes of content in a piece; in the last one, as many as are left (R-90.2)."""

_OVERHEAD = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
_MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_HEAD = len(MAGIC) + PREAMBLE_BYTES
_START = _HEAD + sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_LAST = TRAILER_BYTES + _OVERHEAD
_SEALED_PIECE = PIECE + _OVERHEAD

MIN_SEALED_BYTES = _START + _OVERHEAD + _LAST
_BURST = 16
"""Pieces that are handed to the digest's thread at once."""
_BURSTS = 4
"""Bursts that wait for it: with fewer, both wait for each other more than they work."""


@dataclass(frozen=True, slots=True)
class Session:
    """What readers share: `id` and `secret`, 32 random bytes each. It may hold many resources."""

    id: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.id) != 32 or len(self.secret) != 32:
            raise MalformedInput("R-90.1", "a session's id and secret have 32 bytes each")

    @property
    def commitment(self) -> bytes:
        """What tells this secret from any other."""
        return sha256(b"\x0a" + self.id + self.secret).digest()

    def key(self, resource: bytes) -> bytes:
        """The key of a resource's stream."""
        return sha256(b"\x0b" + self.secret + self.id + resource).digest()

    def preamble(
        self, log_id: bytes, *, resource: bytes, author: bytes, padded: bool = False
    ) -> Preamble:
        """How a stream of this session begins: `resource` is its id, `author` a user's label."""
        return Preamble(log_id, self.id, resource, author, self.commitment, padded)


class _Digest:
    """SHA-256 of what is written, computed beside the caller where there is much of it."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._pool: ThreadPoolExecutor | None = None
        self._burst: list[bytes] = []
        self._ahead: deque[Future[None]] = deque()

    def update(self, piece: bytes) -> None:
        """Add `piece`. At most `_BURSTS` bursts of them are held until they are hashed."""
        self._burst.append(piece)
        if len(self._burst) < _BURST:
            return
        burst, self._burst = self._burst, []
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._settle(_BURSTS - 1)
        self._ahead.append(self._pool.submit(self._write, burst))

    def digest(self) -> bytes:
        """Of everything. Nothing can be added after it."""
        self._settle(0)
        if self._pool:
            self._pool.shutdown()
        self._write(self._burst)
        return self._hash.digest()

    def _write(self, burst: list[bytes]) -> None:
        for piece in burst:
            self._hash.update(piece)

    def _settle(self, left: int) -> None:
        while len(self._ahead) > left:
            self._ahead.popleft().result()


class _Cutter:
    """Cuts what comes into pieces of `size` bytes, each once more than `behind` bytes follow it."""

    def __init__(self, size: int, behind: int) -> None:
        self._size = size
        self._behind = behind
        self.rest = b""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` makes whole; what is no piece yet is `rest`."""
        at = 0
        while len(self.rest) + len(data) - at > self._size + self._behind:
            missing = max(0, self._size - len(self.rest))
            piece = self.rest[: self._size] + data[at : at + missing]
            self.rest = self.rest[self._size :]
            at += missing
            yield piece
        self.rest += data[at:]


class Sealer:
    """Seals one resource: `start`, `update` as often as there is data, `finish`."""

    def __init__(self, session: Session, preamble: Preamble, signer: Signer) -> None:
        self._preamble = preamble
        self._signer = signer
        self._head = MAGIC + preamble.encode()
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        key = session.key(preamble.resource)
        self._stream = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        self._bound: bytes | None = self._head
        self._digest = _Digest()
        # What is cut off may be followed by nothing: the last piece is known at the end only.
        self._cutter = _Cutter(PIECE, behind=0)
        self._length = 0

    def start(self) -> bytes:
        """The bytes before the first piece."""
        start = self._head + self._stream
        self._digest.update(start)
        return start

    def update(self, data: bytes) -> Iterator[bytes]:
        """The sealed pieces that `data` makes complete; the rest is held back."""
        self._length += len(data)
        yield from self._content(data)

    def finish(self) -> Iterator[bytes]:
        """The rest, and the signed end."""
        length = self._length
        if self._preamble.padded:
            missing = padded_length(length) - length
            for zeros in _zeros(missing):
                yield from self._content(zeros)
        rest = self._push(self._cutter.rest, _MESSAGE)
        self._digest.update(rest)
        trailer = Trailer(self._preamble, length, self._digest.digest()).sign(self._signer)
        yield rest + self._push(trailer, _FINAL)

    def _content(self, data: bytes) -> Iterator[bytes]:
        """All but the last piece."""
        for piece in self._cutter.pieces(data):
            sealed = self._push(piece, _MESSAGE)
            self._digest.update(sealed)
            yield sealed

    def _push(self, piece: bytes, tag: int) -> bytes:
        bound, self._bound = self._bound, None
        push = sodium.crypto_secretstream_xchacha20poly1305_push
        return push(self._state, piece, bound, tag)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a stream's end says, and what of its data was held back until then: `rest`.

    `signer` is the key that signed; that it is a device of `author` is for others to say.
    """

    trailer: Trailer
    signer: bytes
    before: int
    """Zeros before `tail`."""
    tail: bytes = field(repr=False)
    zeros: int
    """And after it."""

    @property
    def author(self) -> bytes:
        """The label of whoever wrote it."""
        return self.trailer.preamble.author

    @property
    def rest(self) -> Iterator[bytes]:
        """The end of the data."""
        yield from _zeros(self.before)
        yield self.tail
        yield from _zeros(self.zeros)


class Unsealer:
    """Opens one resource: `update` as often as there are bytes, `finish`."""

    def __init__(self, session: Session, log_id: bytes) -> None:
        self._session = session
        self._log_id = log_id
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        self._preamble: Preamble | None = None
        self._bound: bytes | None = None
        self._digest = _Digest()
        self._head = b""
        # Nothing follows the last piece but the end, so what has more behind it is whole.
        self._cutter = _Cutter(_SEALED_PIECE, behind=_LAST)
        self._length = 0
        self._zeros = 0

    def update(self, data: bytes) -> Iterator[bytes]:
        """The data that these sealed bytes make known. Raises `MalformedInput` (R-90)."""
        if self._preamble is None:
            self._head += data
            if len(self._head) < _START:
                return
            start, data = _cut(self._head, _START)
            self._preamble = self._begin(start)
        for piece in self._cutter.pieces(data):
            before, data = self._open(piece)
            yield from _zeros(before)
            yield data

    def finish(self) -> Ending:
        """Judge the end. Raises `MalformedInput` (R-90), `BadSignature` (R-90.6)."""
        rest = self._cutter.rest
        if self._preamble is None or len(rest) < _OVERHEAD + _LAST:
            raise MalformedInput("R-90.3", "the stream is cut off")
        piece, last = _cut(rest, len(rest) - _LAST)
        if len(piece) == _OVERHEAD and self._length:
            raise MalformedInput("R-90.2", "the last piece is empty")
        before, tail = self._open(piece)
        trailer, signer = Trailer.open(self._pull(last, _FINAL), self._preamble)
        if trailer.digest != self._digest.digest():
            raise MalformedInput("R-90.4", "these are not the bytes that were signed")
        return Ending(trailer, signer, before, tail, self._missing(trailer.length))

    def _begin(self, start: bytes) -> Preamble:
        """R-90.1, and the stream's key."""
        if not start.startswith(MAGIC):
            raise MalformedInput("R-90.1", "this is no sealed stream")
        preamble = Preamble.decode(start[len(MAGIC) : _HEAD])
        if preamble.log_id != self._log_id:
            raise MalformedInput("R-90.1", "this stream was sealed at another log")
        if (preamble.session, preamble.commitment) != (self._session.id, self._session.commitment):
            raise MalformedInput("R-90.1", "this stream is of another session")
        key = self._session.key(preamble.resource)
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, start[_HEAD:], key)
        self._bound = start[:_HEAD]
        self._digest.update(start)
        return preamble

    def _open(self, piece: bytes) -> tuple[int, bytes]:
        """The data in `piece`, and how many zeros that waited are data before it.

        Zeros that may be padding are counted, and wait for data behind them or the end.
        """
        self._digest.update(piece)
        data = self._pull(piece, _MESSAGE)
        self._length += len(data)
        if not (self._preamble and self._preamble.padded):
            return 0, data
        filled = data.rstrip(b"\0")
        before = self._zeros if filled else 0
        self._zeros += len(data) - len(filled) - before
        return before, filled

    def _missing(self, length: int) -> int:
        """How many of the zeros that wait are data (R-90.4, R-90.5)."""
        padded = self._preamble and self._preamble.padded
        missing = length - (self._length - self._zeros)
        if self._length != (padded_length(length) if padded else length) or missing < 0:
            raise MalformedInput("R-90.5", "the content is not as long as was signed")
        return missing

    def _pull(self, message: bytes, tag: int) -> bytes:
        bound, self._bound = self._bound, None
        try:
            pull = sodium.crypto_secretstream_xchacha20poly1305_pull
            data, found = pull(self._state, message, bound)
        except (RuntimeError, CryptoError) as error:
            raise MalformedInput("R-90.2", "a piece was altered, moved or cut") from error
        if found != tag:
            raise MalformedInput("R-90.3", "the stream ends where it should not, or goes on")
        return data


def _cut(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]


def _zeros(count: int) -> Iterator[bytes]:
    for at in range(0, count, PIECE):
        yield bytes(min(PIECE, count - at))
