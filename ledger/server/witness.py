"""One witness, as the log that submits to it sees it (C2SP tlog-witness; R-62.14).

    POST <url>/add-checkpoint                     a checkpoint, and proof from what it cosigned last
    GET  <url>/<hex SHA-256(origin)>/checkpoint   what it cosigned last

Whatever it answers is read strictly and not beyond a limit; what is not a cosignature that counts
is a failure of one of the kinds below.

| kind | it |
| --- | --- |
| `unreachable`, `timeout` | did not answer, or not in time |
| `bad-request`, `forbidden`, `unknown-log` | said 400, 403, 404 |
| `conflict`, `refused`, `busy` | said 409 (again), 422, 429 or 503 |
| `status` | answered with a status that the protocol has not |
| `answer` | gave what is no signature line, or no checkpoint |
| `signature` | gave no cosignature of its key, or one that does not verify |
| `clock` | cosigned at a time more than 5 minutes off this machine's |
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

from aiohttp import ClientError, ClientResponse, ClientSession, ServerDisconnectedError

from ledger.errors import BadSignature, MalformedInput, TransportError
from ledger.format.checkpoint import Checkpoint, open_checkpoint
from ledger.format.note import (
    MAX_NOTE_BYTES,
    Note,
    NoteSignature,
    Verifier,
    encode_base64,
    open_note,
    parse_note,
    parse_signatures,
)
from ledger.format.policy import MAX_AHEAD_MS
from ledger.log.cosigning import SignedTree

SIZE_TYPE = "text/x.tlog.size"

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_KINDS = {
    400: "bad-request",
    403: "forbidden",
    404: "unknown-log",
    409: "conflict",
    422: "refused",
    429: "busy",
    503: "busy",
}


class WitnessFailed(TransportError):
    """Nothing that counts came from a witness. `kind` is one of the table above."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class Contradicted(Exception):
    """A witness cosigned a checkpoint that the log's own key signed and that is not in its tree."""

    def __init__(self, note: bytes, checkpoint: Checkpoint) -> None:
        super().__init__(f"a checkpoint of size {checkpoint.size} is not in the log's tree")
        self.note = note
        self.checkpoint = checkpoint


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A cosignature that counts, and its time in seconds."""

    signature: NoteSignature
    time: int


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    media_type: str
    body: bytes


def submission(tree: SignedTree, old: int) -> bytes:
    """The body of an add-checkpoint (R-62.10)."""
    proof = "".join(f"{encode_base64(one)}\n" for one in tree.proof(old))
    return f"old {old}\n{proof}\n".encode() + tree.note


@dataclass(slots=True)
class Witness:
    """A witness, and what is known of it: the size that it cosigned last, when, and its failures.

    `failure` is the last one's kind, until it cosigns again. Not for two tasks at once: see `turn`.
    """

    name: str
    verifier: Verifier
    url: str
    log: Verifier
    session: ClientSession
    now: Callable[[], int]
    size: int = 0
    time: int | None = None
    failure: str | None = None
    failures: Counter[str] = field(default_factory=Counter)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def cosign(self, tree: SignedTree) -> Cosigned:
        """Its cosignature of `tree`. Raises `WitnessFailed`, or `Contradicted` (R-62.16)."""
        old = min(self.size, tree.size)
        answer = await self._submit(tree, old)
        told = _told_size(answer)
        if told is not None and told != old and told <= tree.size:
            self.size = old = told
            answer = await self._submit(tree, old)
            told = _told_size(answer)
        if _is_alarm(answer.status, told, old, tree.size):
            with suppress(WitnessFailed):  # what it shows is in our tree, or nothing: its fault
                await self.look(tree)
        if answer.status != 200:
            raise WitnessFailed(_KINDS.get(answer.status, "status"), f"status {answer.status}")
        cosigned = self._read(tree, answer.body)
        self.size, self.time, self.failure = tree.size, cosigned.time, None
        return cosigned

    async def look(self, tree: SignedTree) -> None:
        """Learn what it cosigned last. Raises `WitnessFailed`, or `Contradicted` (R-62.16)."""
        answer = await self._ask("GET", f"/{sha256(self.log.name.encode()).hexdigest()}/checkpoint")
        if answer.status == 404:
            self.size = 0
            return
        if answer.status != 200:
            raise WitnessFailed(_KINDS.get(answer.status, "status"), f"status {answer.status}")
        try:
            found = open_checkpoint(answer.body, self.log)
        except (MalformedInput, BadSignature) as error:
            raise WitnessFailed("answer", f"it shows no checkpoint of ours: {error}") from error
        if found.size > tree.size or found.root != tree.root(found.size):
            raise Contradicted(answer.body, found)
        self.size = found.size

    def failed(self, kind: str) -> None:
        """Keep in mind that it failed."""
        self.failure = kind
        self.failures[kind] += 1

    async def _submit(self, tree: SignedTree, old: int) -> _Answer:
        return await self._ask("POST", "/add-checkpoint", submission(tree, old))

    def _read(self, tree: SignedTree, body: bytes) -> Cosigned:
        """The cosignature in an answer; those of keys that are not this witness's are ignored."""
        try:
            note = Note(parse_note(tree.note).text, parse_signatures(body))
            _, (verified,) = open_note(note.encode(), [self.verifier])
        except MalformedInput as error:
            raise WitnessFailed("answer", str(error)) from error
        except BadSignature as error:
            raise WitnessFailed("signature", str(error)) from error
        assert verified.time is not None  # as the policy's keys cosign
        if abs(verified.time * 1000 - self.now()) > MAX_AHEAD_MS:
            raise WitnessFailed("clock", f"it cosigned at {verified.time} s")
        ours = (self.verifier.name, self.verifier.key_id)
        signature = next(one for one in note.signatures if (one.name, one.key_id) == ours)
        return Cosigned(signature, verified.time)

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> _Answer:
        with suppress(ServerDisconnectedError):
            return await self._ask_once(method, path, body)
        # A connection that was kept alive may have been given up meanwhile.
        try:
            return await self._ask_once(method, path, body)
        except ServerDisconnectedError as error:
            raise WitnessFailed("unreachable", "it hangs up") from error

    async def _ask_once(self, method: str, path: str, body: bytes | None) -> _Answer:
        try:
            async with self.session.request(
                method, self.url + path, data=body, allow_redirects=False
            ) as response:
                return _Answer(response.status, response.content_type, await _read(response))
        except ServerDisconnectedError:
            raise
        except TimeoutError as error:
            raise WitnessFailed("timeout", "it took too long") from error
        except (ClientError, OSError) as error:
            raise WitnessFailed("unreachable", str(error) or type(error).__name__) from error


def _is_alarm(status: int, told: int | None, old: int, size: int) -> bool:
    """Whether an answer may mean that the log contradicted itself (R-62.16).

    Older witnesses say 409 of another root at the same size.
    """
    return status == 422 or (status == 409 and (old == size or (told or 0) > size))


def _told_size(answer: _Answer) -> int | None:
    """The size that a 409 tells, if it does."""
    found = _SIZE.fullmatch(answer.body)
    if answer.status != 409 or answer.media_type != SIZE_TYPE or not found:
        return None
    return int(found[1])


async def _read(response: ClientResponse) -> bytes:
    """The body, whole. It is not read beyond what a note may have."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_NOTE_BYTES:
            response.close()
            raise WitnessFailed("answer", f"more than {MAX_NOTE_BYTES} bytes")
    return bytes(data)
