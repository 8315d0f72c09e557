"""Who may read a session: its secret in boxes, which the log's server keeps (92-sessions).

>>> readers = Readers(ada, light, server)                        # doctest: +SKIP
>>> await readers.add(session, ["bob@example.org"], [team])      # doctest: +SKIP
>>> await readers.session(preamble)                              # doctest: +SKIP
Session(...)

A box is sealed to a key that a lookup proved a moment ago, of somebody who is quiet and of a group
that is not stale. What is taken out of one counts only if it fits the commitment (R-92.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from nacl.bindings import crypto_box_seal, crypto_box_seal_open
from nacl.exceptions import CryptoError

from ledger.client.group.archive import Archive
from ledger.client.group.keys import GroupKeys
from ledger.client.group.rotation import renew
from ledger.client.lookups.groups import LightGroups
from ledger.client.lookups.pins import Pin
from ledger.client.lookups.session import LightLog
from ledger.client.user.user import User
from ledger.errors import NotAccepted, Refused, UsageError
from ledger.format.keys import EncryptionKey
from ledger.format.login import authenticate
from ledger.format.sealed import Preamble
from ledger.format.sessions import (
    MAX_SHARED,
    OPEN_PATH,
    SHARE_PATH,
    OpenRequest,
    SessionAnswer,
    SessionBox,
    ShareRequest,
)
from ledger.rules.state import UserState
from ledger.seal.stream import Session

FRESH = 60_000
"""A minute: the server sees to it as well that a key is current when its box arrives (R-92.1)."""

_ATTEMPTS = 4
"""How often somebody's key may change between its lookup and the server's answer."""

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409


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


class Readers:
    """Who may read what one user seals, and by what this user reads what others sealed."""

    def __init__(
        self,
        user: User,
        light: LightLog,
        server: Sessions,
        *,
        fresh: int = FRESH,
        room: Room | None = None,
    ) -> None:
        """See `Documents`."""
        self._user = user
        self._light = light
        self._server = server
        self._groups = LightGroups(light)
        self._fresh = fresh
        self._room = room
        self._looked_up: dict[str | bytes, tuple[int, bytes]] = {}

    async def add(
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
                self._age()
            else:
                return

    async def session(self, preamble: Preamble) -> Session | None:
        """The session of something sealed, by a box for this user or a group of theirs."""
        boxes = await self._boxes(preamble.session)
        opened = await self._opened_first(boxes, preamble)
        if boxes and opened is None:  # to keys that are newer than what was seen here, perhaps
            await self._user.log.sync()
            opened = await self._opened_first(boxes, preamble)
        return opened

    def is_fresh(self, of: str | bytes) -> bool:
        """Whether this was looked up a moment ago."""
        looked_up, _ = self._looked_up.get(of, (0, b""))
        return looked_up >= self._light.clock() - self._fresh

    def saw(self, of: str | bytes, label: bytes) -> None:
        """It was looked up just now."""
        self._looked_up[of] = self._light.clock(), label

    def _age(self) -> None:
        """Look all up anew; other tasks may be at work with what was found."""
        self._looked_up = {one: (0, label) for one, (_, label) in self._looked_up.items()}

    def _to_users(self, session: Session, of: Sequence[str | bytes]) -> list[SessionBox]:
        pins = [self._pin(one) for one in of]
        loud = [(pin, self._name(one)) for pin, one in zip(pins, of, strict=True) if not pin.quiet]
        if loud:
            raise NotAccepted(tuple(pin for pin, _ in loud), tuple(name for _, name in loud))
        keys = [self._user_key(pin, one) for pin, one in zip(pins, of, strict=True)]
        return [_box(session, pin.label, key) for pin, key in zip(pins, keys, strict=True)]

    async def _look_up(self, of: Sequence[str | bytes]) -> dict[str, bytes]:
        """Have looked all up, `fresh` ago at most. The label of each for whom nobody is there."""
        due = [one for one in of if not self.is_fresh(one)]
        absent = dict[str, bytes]()
        for found, one in zip(await self._light.lookup(*due), due, strict=True):
            if found.pin:
                self.saw(one, found.label)
            elif isinstance(one, str) and self._room:
                absent[one] = found.label
            else:
                raise UsageError(self._nobody(one))
        if self._room:
            self._room.check(absent)
        return absent

    def _nobody(self, of: str | bytes) -> str:
        hint = "" if isinstance(of, bytes) else "; with a recovery service it can be left for them"
        return f"{self._name(of)} is not in the log (yet), as the log proves{hint}"

    def _pin(self, of: str | bytes) -> Pin:
        """How somebody stands who was looked up."""
        pin = self._light.trust.pin(self._looked_up[of][1])
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
        return of if isinstance(of, str) else self._light.names().get(of, of.hex())

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
        return authenticate(request, path, signer, log.log_id, log.clock())

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
        if self._light.trust.pin(box.holder) is None:
            await self._light.lookup(box.holder)  # whose keys are rotated if a device here is lost
        return opened

    async def _secret(self, box: SessionBox) -> EncryptionKey:
        """What opens a box: a user key, or a key of a group."""
        if box.holder == self._user.label:
            return await self._user.user_key_of(box.recipient)
        return await GroupKeys(Archive(self._user), box.holder).key_of(box.recipient)


def _box(session: Session, holder: bytes, key: bytes) -> SessionBox:
    return SessionBox(holder, key, crypto_box_seal(session.secret, key))
