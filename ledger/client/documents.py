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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from nacl.bindings import crypto_box_seal, crypto_box_seal_open
from nacl.exceptions import CryptoError

from ledger.client.group.archive import Archive
from ledger.client.group.keys import GroupKeys
from ledger.client.group.rotation import renew
from ledger.client.kept import KeptSessions
from ledger.client.lookups.groups import LightGroups
from ledger.client.lookups.pins import Pin
from ledger.client.lookups.session import LightLog
from ledger.client.user.user import User
from ledger.durable import replacing
from ledger.errors import (
    BadSignature,
    DeviceGone,
    MalformedInput,
    NotAccepted,
    NotForYou,
    Refused,
    StoreError,
    TransportError,
    UsageError,
)
from ledger.format import wire
from ledger.format.keys import EncryptionKey
from ledger.format.sealed import MAGIC, PREAMBLE_BYTES, Preamble
from ledger.format.sessions import (
    MAX_SHARED,
    OPEN_PATH,
    SHARE_PATH,
    OpenRequest,
    SessionAnswer,
    SessionBox,
    ShareRequest,
)
from ledger.localfile import MEMORY
from ledger.rules.state import UserState, is_retired
from ledger.seal.stream import Ending, Sealer, Session, Unsealer

HEAD_BYTES = len(MAGIC) + PREAMBLE_BYTES
"""The first bytes of a sealed stream, which `parse_preamble` takes."""

CHUNK = 1_048_576
"""Bytes that are read from a file at once."""

FRESH = 60_000
"""A minute: the server sees to it as well that a key is current when its box arrives (R-92.1)."""

_AWAY = 10_000
"""For how long (ms) a server that did not answer is not asked what is known well enough."""

_ATTEMPTS = 4
"""How often somebody's key may change between its lookup and the server's answer."""

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409

Progress = Callable[[int], None]
"""Told how many bytes have been read so far."""


class Sessions(Protocol):
    """What is asked of a server, as bytes."""

    async def share(self, request: bytes) -> None:
        """Nothing, once the boxes of an authenticated `session-share` are kept."""

    async def open_session(self, request: bytes) -> bytes:
        """A `session-answer` to an authenticated `session-open`."""


class Room(Protocol):
    """Where a session's secret is left for people who are not in the log yet (98-pending)."""

    def check(self, identifiers: Iterable[str]) -> None:
        """Raise `UsageError` for whom nothing can be left."""

    async def leave(self, session: Session, absent: Mapping[str, bytes]) -> None:
        """Leave it for people (identifier to label); `Refused` (409) if one is there by now."""


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
        self._server = server
        self._groups = LightGroups(light)
        self._fresh = fresh
        self._room = room
        self._looked_up: dict[str | bytes, tuple[int, bytes]] = {}
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
        of, labels = list(users), list(groups)
        for attempt in range(_ATTEMPTS):
            absent = await self._look_up(of)
            there = [one for one in of if one not in absent]
            boxes = [*self._to_users(session, there), *await self._to_groups(session, labels)]
            try:
                if boxes or not absent:
                    await self._hand_in(session, boxes)
                if absent and self._room:
                    await self._room.leave(session, absent)
            except Refused as error:
                if error.status != _CONFLICT or attempt == _ATTEMPTS - 1:
                    raise
                self._looked_up.clear()
            else:
                return

    async def session(self, preamble: Preamble) -> Session:
        """The session of something sealed, by a box for this user or a group of theirs."""
        held = self._kept.find(preamble)
        if held:
            return held
        boxes = await self._boxes(preamble.session)
        opened = await self._opened_first(boxes, preamble)
        if boxes and opened is None:  # to keys that are newer than what was seen here, perhaps
            await self._user.log.sync()
            opened = await self._opened_first(boxes, preamble)
        if opened is None:
            raise NotForYou("this is not for you: no box of its session opens it")
        self._kept.keep(opened)
        return opened

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
        elif not self._is_fresh(self._user.label):
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
        name = self._names().get(ending.author)
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
        self._looked_up[label] = now, label
        return found.pin

    def _is_away(self) -> bool:
        """Whether the server did not answer a moment ago."""
        return self.light.clock() < self._away

    # --- boxes

    def _to_users(self, session: Session, of: Sequence[str | bytes]) -> list[SessionBox]:
        pins = [self._pin(one) for one in of]
        loud = [(pin, self._name(one)) for pin, one in zip(pins, of, strict=True) if not pin.quiet]
        if loud:
            raise NotAccepted(tuple(pin for pin, _ in loud), tuple(name for _, name in loud))
        keys = [self._user_key(pin, one) for pin, one in zip(pins, of, strict=True)]
        return [_box(session, pin.label, key) for pin, key in zip(pins, keys, strict=True)]

    async def _look_up(self, of: Sequence[str | bytes]) -> dict[str, bytes]:
        """Have looked all up, `fresh` ago at most. The label of each for whom nobody is there."""
        due = [one for one in of if not self._is_fresh(one)]
        absent = dict[str, bytes]()
        for found, one in zip(await self.light.lookup(*due), due, strict=True):
            if found.pin:
                self._looked_up[one] = self.light.clock(), found.label
            elif isinstance(one, str) and self._room:
                absent[one] = found.label
            else:
                raise UsageError(self._nobody(one))
        if self._room:
            self._room.check(absent)
        return absent

    def _is_fresh(self, of: str | bytes) -> bool:
        looked_up, _ = self._looked_up.get(of, (0, b""))
        return looked_up >= self.light.clock() - self._fresh

    def _nobody(self, of: str | bytes) -> str:
        hint = "" if isinstance(of, bytes) else "; with a recovery service it can be left for them"
        return f"{self._name(of)} is not in the log (yet), as the log proves{hint}"

    def _pin(self, of: str | bytes) -> Pin:
        """How somebody stands who was looked up."""
        pin = self.light.trust.pin(self._looked_up[of][1])
        assert pin
        return pin

    def _user_key(self, pin: Pin, of: str | bytes) -> bytes:
        state = pin.chain.state
        if not isinstance(state, UserState):
            raise UsageError(f"{self._name(of)} is a group: name it as one")
        if state.user_key is None:
            raise UsageError(f"{self._name(of)} has closed their account: nobody could read this")
        return state.user_key

    def _name(self, of: str | bytes) -> str:
        """By identifier, if it is known."""
        if of == self._user.label:
            return self._user.identifier
        return of if isinstance(of, str) else self._names().get(of, of.hex())

    def _names(self) -> dict[bytes, str]:
        return {label: name for name, label in self.light.trust.names().items()}

    async def _to_groups(self, session: Session, labels: Iterable[bytes]) -> list[SessionBox]:
        boxes = []
        for label in labels:
            view = await self._groups.view(label)
            key = view.state.encryption
            if key is None:
                raise UsageError(f"the group {label.hex()} is closed")
            if view.reasons:
                key = await self._renewed(label)
            boxes.append(_box(session, label, key))
        return boxes

    async def _renewed(self, label: bytes) -> bytes:
        """The key of a group that was stale (R-56.11), once it is not any more."""
        await self._user.log.sync()
        await renew(self._user, label)
        view = await self._groups.view(label)
        if view.reasons or view.state.encryption is None:
            raise UsageError(
                f"the group {label.hex()} is stale (R-56.11): have an admin rotate its keys"
            )
        return view.state.encryption

    async def _hand_in(self, session: Session, boxes: Iterable[SessionBox]) -> None:
        distinct = list({box.place: box for box in boxes}.values())
        if not distinct:
            raise UsageError("nobody may read this: name users or groups")
        for at in range(0, len(distinct), MAX_SHARED):
            part = tuple(distinct[at : at + MAX_SHARED])
            request = ShareRequest(self._user.label, session.id, session.commitment, part)
            async with self._user.answered():
                await self._server.share(self._authenticated(request.encode(), SHARE_PATH))

    def _authenticated(self, request: bytes, path: str) -> bytes:
        log = self._user.log
        signer = self._user.author().signing
        return wire.authenticate(request, path, signer, log.log_id, log.clock())

    async def _boxes(self, session: bytes) -> list[SessionBox]:
        """Those for this user, then those for groups of theirs."""
        request = OpenRequest(self._user.label, session).encode()
        try:
            async with self._user.answered():
                data = await self._server.open_session(self._authenticated(request, OPEN_PATH))
        except Refused as error:
            if error.status in (_FORBIDDEN, _NOT_FOUND):
                return []
            raise
        boxes = SessionAnswer.decode(data).boxes
        return sorted(boxes, key=lambda box: box.holder != self._user.label)

    async def _opened_first(
        self, boxes: Iterable[SessionBox], preamble: Preamble
    ) -> Session | None:
        """By whichever box opens."""
        for box in boxes:
            opened = await self._opened(box, preamble)
            if opened:
                return opened
        return None

    async def _opened(self, box: SessionBox, preamble: Preamble) -> Session | None:
        """R-92.3: what is in a box, if it is the secret; a box may hold anything."""
        try:
            key = await self._secret(box)
            secret = crypto_box_seal_open(box.box, key.public, key.secret)
        except (UsageError, CryptoError):
            return None
        opened = Session(preamble.session, secret)
        if opened.commitment != preamble.commitment:
            return None
        if self.light.trust.pin(box.holder) is None:
            await self.light.lookup(box.holder)  # whose keys are rotated if a device here is lost
        return opened

    async def _secret(self, box: SessionBox) -> EncryptionKey:
        """What opens a box: a user key, or a key of a group."""
        if box.holder == self._user.label:
            return await self._user.user_key_of(box.recipient)
        return await GroupKeys(Archive(self._user), box.holder).key_of(box.recipient)


def parse_preamble(head: bytes) -> Preamble:
    """The preamble of sealed bytes, of which `head` are the first. Raises `MalformedInput`."""
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        raise MalformedInput("R-90.1", "this is no sealed stream")
    return Preamble.decode(head[len(MAGIC) : HEAD_BYTES])


def _box(session: Session, holder: bytes, key: bytes) -> SessionBox:
    return SessionBox(holder, key, crypto_box_seal(session.secret, key))


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
