"""A mandated auditor's way to the statements of groups: its key, its log-in, its questions.

A server gives statements to the auditors that its configuration names (specs/70-http, R-72.5). What
it gives is not believed: `groups.open_statement` compares it with what the block commits to.

    with open_source(url) as source:
        statements = Statements(source, read_seed(key_file), log_id)
        statements.of(range(256, 512))          # by leaf index

All faults are `Undecided`: a statement that is not given proves nothing.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Protocol, cast

from nacl.signing import SigningKey

from verifier.blocks import SIZE
from verifier.cbor import Many, Shape, decode, encode, fits, flatten
from verifier.envelope import LOGIN, write_envelope
from verifier.errors import Malformed, Undecided
from verifier.fetch import HttpSource, Refused, Source
from verifier.keyfile import read_private

PREFIX = "keyroll-key-1."
PATH = "/v1/audit"
MAX_LEAVES = 256  # of one answer
MAX_ANSWER = (1 << 20) + (1 << 16)  # statements of 1 MiB, and what stands around them
ANSWER: Shape = (SIZE, Many((SIZE, bytes), range(MAX_LEAVES + 1)))
REFUSALS = {
    401: ": is this machine's clock right?",
    403: ": the server does not know {key} as an auditor's key; its operator has to add it",
}


class Poster(Protocol):
    """`post` returns the answer to a request body; other faults than `Refused` are `Undecided`."""

    def post(self, path: str, body: bytes, cap: int) -> bytes: ...


def read_seed(path: Path) -> bytes:
    """The seed in a key file: one line, `keyroll-key-1.` and its base64url, for its owner only."""
    line = read_private(path)
    try:
        seed = urlsafe_b64decode(line.removeprefix(PREFIX))
    except ValueError:
        seed = b""
    if len(seed) != 32 or line != PREFIX + urlsafe_b64encode(seed).decode():
        raise Undecided(f"{path} is not a key file")
    return seed


def poster(source: Source) -> Poster:
    """Whoever can be asked for statements."""
    if not isinstance(source, HttpSource):
        raise Undecided("a local directory has no statements: give the URL of the log's server")
    return source


class Statements:
    """The statements of one log's group blocks."""

    def __init__(self, server: Poster, seed: bytes, log_id: bytes) -> None:
        self._server = server
        self._key = SigningKey(seed)
        self._log_id = log_id

    def of(self, leaves: range) -> dict[int, bytes]:
        """What the server gives for these leaves, by their indices; a block's may be missing."""
        found: dict[int, bytes] = {}
        start = leaves.start
        while start < leaves.stop:
            start, given = self._ask(start)
            found |= given
        return {index: data for index, data in found.items() if index in leaves}

    def _ask(self, start: int) -> tuple[int, dict[int, bytes]]:
        """R-72.5: the statements of the leaves from `start` to the index that comes first."""
        request = encode([start])
        body = encode([request, self._login(request)])
        try:
            end, given = _parse(self._server.post(PATH[1:], body, MAX_ANSWER))
        except Refused as error:
            key = bytes(self._key.verify_key).hex()
            raise Undecided(f"{error}{REFUSALS.get(error.status, '').format(key=key)}") from error
        except Malformed as error:
            raise Undecided(f"{PATH}: {error.why}") from error
        if end <= start:
            raise Undecided(f"{PATH}: the statements from leaf {start} on are withheld")
        return end, given

    def _login(self, request: bytes) -> bytes:
        """R-72.1."""
        now = time.time_ns() // 1_000_000
        payload = encode([now, PATH, sha256(request).digest()])
        return write_envelope(payload, self._key, LOGIN, self._log_id)


def _parse(answer: bytes) -> tuple[int, dict[int, bytes]]:
    """The leaf after those that are answered for, and statements by their leaves."""
    value = decode(answer, MAX_ANSWER)
    if not fits(value, ANSWER):
        raise Malformed("R-10.4", "not an answer with statements")
    end, given = cast("tuple[int, tuple[tuple[int, bytes], ...]]", flatten(value, ANSWER))
    return end, dict(given)
