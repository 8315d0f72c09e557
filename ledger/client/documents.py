"""Documents and messages: sealed to people and groups that the log proves, opened, shared further.

>>> documents = Documents(ada, light, transport)                 # doctest: +SKIP
>>> sealed = await documents.encrypt(b"hello", users=["bob@example.org"])    # doctest: +SKIP
>>> found = await documents.decrypt(sealed)                      # doctest: +SKIP
>>> found.data, found.author.identifier                          # doctest: +SKIP
(b'hello', 'ada@example.org')

Every key that something is sealed to comes from a lookup that was verified, a minute ago at most.
Nothing is sealed to anybody whom the log tells something loud of, until the caller accepted it
(`NotAccepted` carries who and what, `light.accept` accepts), nor to a group that is stale, nor to
who is not there. A stale group whose admin this user is gets new keys first. Who wrote what is
opened was signed by a device of theirs.

A session is one secret for many resources: `begin` one for a chat, or let `encrypt` do so for a
document of its own. The sealed bytes may lie anywhere; who may open them lies with the server.

Where no server answers, what was sealed in a session that was begun or opened here can be opened
still, if its author was looked up before: `author.as_of` tells as of when they are known. And more
can be sealed in it, for who may read it already: to let others read takes the server.

Errors: `NotAccepted`; `UsageError` (nobody there, closed, stale, not for you); `MalformedInput` and
`BadSignature` (R-90) for bytes that were altered; what lookups raise.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ledger.client.kept import KeptSessions
from ledger.client.lookups.pins import Pin
from ledger.client.lookups.session import LightLog
from ledger.client.readers import FRESH, Readers, Room, Sessions
from ledger.client.user.user import User
from ledger.durable import replacing
from ledger.errors import (
    BadSignature,
    DeviceGone,
    MalformedInput,
    NotForYou,
    Refused,
    StoreError,
    TransportError,
    UsageError,
)
from ledger.format.sealed import MAGIC, PREAMBLE_BYTES, Preamble
from ledger.localfile import MEMORY
from ledger.rules.state import UserState, is_retired
from ledger.seal.stream import Ending, Sealer, Session, Unsealer

HEAD_BYTES = len(MAGIC) + PREAMBLE_BYTES
"""The first bytes of a sealed stream, which `parse_preamble` takes."""

CHUNK = 1_048_576
"""Bytes that are read from a file at once."""

_AWAY = 10_000
"""For how long (ms) a server that did not answer is not asked what is known well enough."""

Progress = Callable[[int], None]
"""Told how many bytes have been read so far."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote something: their label, and the identifier if it was looked up before.

    `live` says whether the device that signed is in their chain still: of one that was revoked,
    nobody can tell whether it signed before. `as_of` is the time (ms) of the newest entry of the
    log that this takes account of.
    """

    label: bytes
    identifier: str | None
    device: bytes
    live: bool
    as_of: int


@dataclass(frozen=True, slots=True)
class Document:
    """What was opened. `data` is empty where it went to a file."""

    author: Author
    session: bytes
    resource: bytes
    length: int
    data: bytes = field(default=b"", repr=False)


class Documents:
    """What one user seals and opens. Safe for several tasks, and processes with one home."""

    def __init__(
        self,
        user: User,
        light: LightLog,
        server: Sessions,
        *,
        fresh: int = FRESH,
        kept: KeptSessions | None = None,
        room: Room | None = None,
    ) -> None:
        """`fresh`: for how long, in ms, a lookup that was verified will do (0: ask each time).

        `room`: where things are left for people who are not there; without, that is an error.
        """
        if user.label != light.label:
            raise UsageError("the user and the lookups are of two people")
        self._user = user
        self.light = light
        self._readers = Readers(user, light, server, fresh=fresh, room=room)
        self._kept = kept or KeptSessions.open(MEMORY)
        self._away = 0

    # --- who may read

    async def begin(
        self, users: Iterable[str | bytes] = (), groups: Iterable[bytes] = (), *, own: bool = True
    ) -> Session:
        """A new session, to be read by these users (identifiers or labels) and groups (labels).

        And by oneself, unless `own` is false.
        """
        session = Session(os.urandom(32), os.urandom(32))
        await self.share(session, [*([self._user.label] if own else []), *users], groups)
        if own:
            self._kept.keep(session)
        return session

    async def share(
        self, session: Session, users: Iterable[str | bytes] = (), groups: Iterable[bytes] = ()
    ) -> None:
        """Let these read too, all that the session holds and will hold."""
        await self._readers.add(session, users, groups)

    async def session(self, preamble: Preamble) -> Session:
        """The session of something sealed, by a box for this user or a group of theirs."""
        found = self._kept.find(preamble)
        if found is None:
            found = await self._readers.session(preamble)
            if found is None:
                raise NotForYou("this is not for you: no box of its session opens it")
            self._kept.keep(found)
        return found

    # --- data, and files

    async def encrypt(
        self,
        data: bytes,
        users: Iterable[str | bytes] = (),
        groups: Iterable[bytes] = (),
        *,
        session: Session | None = None,
        padded: bool = False,
    ) -> bytes:
        """`data`, sealed; in a session that began before, or one of its own for these readers."""
        target = BytesIO()
        await self.encrypt_file(
            BytesIO(data), target, users, groups, session=session, padded=padded
        )
        return target.getvalue()

    async def encrypt_file(
        self,
        source: BinaryIO,
        target: BinaryIO,
        users: Iterable[str | bytes] = (),
        groups: Iterable[bytes] = (),
        *,
        session: Session | None = None,
        padded: bool = False,
        progress: Progress = lambda done: None,
    ) -> None:
        """All of `source`, sealed into `target`, in constant memory."""
        if session is None:
            session = await self.begin(users, groups)
        elif not self._readers.is_fresh(self._user.label):
            await self._seen(self._user.label)  # a device that is gone learns it here
        author, resource = self._user.label, os.urandom(32)
        preamble = session.preamble(
            self._user.log.log_id, resource=resource, author=author, padded=padded
        )
        sealer = Sealer(session, preamble, self._user.author().signing)
        await asyncio.to_thread(_seal, sealer, source, target, progress)

    async def decrypt(self, sealed: bytes, *, author: str | None = None) -> Document:
        """What was sealed, and who wrote it; refused if that is somebody else than `author`."""
        target = BytesIO()
        found = await self._decrypted(BytesIO(sealed), target, author, lambda done: None)
        return Document(
            found.author, found.session, found.resource, found.length, target.getvalue()
        )

    async def decrypt_file(
        self,
        source: BinaryIO,
        target: Path,
        *,
        author: str | None = None,
        progress: Progress = lambda done: None,
    ) -> Document:
        """The same into the file `target`, which is there only if all of it was in order."""
        try:
            with replacing(target, mode=0o600) as file:
                return await self._decrypted(source, file, author, progress)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}") from error

    async def _decrypted(
        self, source: BinaryIO, target: BinaryIO, author: str | None, progress: Progress
    ) -> Document:
        head = source.read(HEAD_BYTES)
        preamble = parse_preamble(head)
        session = await self.session(preamble)
        unsealer = Unsealer(session, self._user.log.log_id)
        ending = await asyncio.to_thread(_unseal, unsealer, head, source, target, progress)
        found = await self._author(ending)
        if author is not None and found.identifier != author:
            raise BadSignature("R-90.6", f"this was not written by {author}")
        return Document(found, preamble.session, preamble.resource, ending.trailer.length)

    async def _author(self, ending: Ending) -> Author:
        """R-90.6: the key that signed is, or was, one of the author's devices."""
        pin = await self._seen(ending.author)
        state = pin.chain.state if pin else None
        if pin is None or not isinstance(state, UserState):
            raise BadSignature("R-90.6", "the author is nobody in this log")
        live = state.device(ending.signer) is not None
        if not live and not is_retired(state.retired, ending.signer):
            if self._is_away():
                raise TransportError("a device of the author's that was not seen yet, if it is one")
            raise BadSignature("R-90.6", "what signed this never was a device of the author's")
        name = self.light.names().get(ending.author)
        return Author(ending.author, name, ending.signer, live, pin.time)

    async def _seen(self, label: bytes) -> Pin | None:
        """How somebody stands: as they were seen last, where no server answers."""
        pin, now = self.light.trust.pin(label), self.light.clock()
        if pin and self._is_away() and not self.light.is_gone:
            return pin
        try:
            (found,) = await self.light.lookup(label)
        except TransportError as error:
            if isinstance(error, Refused) or pin is None:
                raise
            if self.light.is_gone:
                raise DeviceGone from error
            self._away = now + _AWAY
            return pin
        self._away = 0
        self._readers.saw(label, label)
        return found.pin

    def _is_away(self) -> bool:
        """Whether the server did not answer a moment ago."""
        return self.light.clock() < self._away


def parse_preamble(head: bytes) -> Preamble:
    """The preamble of sealed bytes, of which `head` are the first. Raises `MalformedInput`."""
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        raise MalformedInput("R-90.1", "this is no sealed stream")
    return Preamble.decode(head[len(MAGIC) : HEAD_BYTES])


def _seal(sealer: Sealer, source: BinaryIO, target: BinaryIO, progress: Progress) -> None:
    target.write(sealer.start())
    for data in _read(source, progress):
        target.writelines(sealer.update(data))
    target.writelines(sealer.finish())


def _unseal(
    unsealer: Unsealer, head: bytes, source: BinaryIO, target: BinaryIO, progress: Progress
) -> Ending:
    target.writelines(unsealer.update(head))
    for data in _read(source, progress):
        target.writelines(unsealer.update(data))
    ending = unsealer.finish()
    target.writelines(ending.rest)
    return ending


def _read(source: BinaryIO, progress: Progress) -> Iterator[bytes]:
    done = 0
    while data := source.read(CHUNK):
        yield data
        done += len(data)
        progress(done)
