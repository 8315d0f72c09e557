"""One recovery service, for whoever lives in a home: ways back in, and what waits (96, 98).

>>> async with RecoveryService.at(home, url) as service:          # doctest: +SKIP
...     await service.enrol(user, token, ask)
...     await service.claim(documents, user, server, ask)

Which service has records of a person is remembered in their home, so that they hear of releases,
and of records that are gone (`releases`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ledger.client.asking import Asking
from ledger.client.documents import Documents
from ledger.client.home import Home
from ledger.client.known import Known
from ledger.client.pending import WaitingRoom, claim
from ledger.client.transport import HttpTransport
from ledger.client.user.mail_recovery import MailRecovery, recover_by_mail
from ledger.client.user.releases import Releases, look
from ledger.client.user.tickets import Ask
from ledger.client.user.user import User
from ledger.format.identity import IdentityToken
from ledger.format.recovery import Watched
from ledger.seal.stream import Session


class RecoveryService:
    """The service at `url`, by an open transport."""

    def __init__(self, home: Home, url: str, transport: HttpTransport) -> None:
        self.url = url
        self._home = home
        self._transport = transport

    @classmethod
    @asynccontextmanager
    async def at(cls, home: Home, url: str) -> AsyncIterator[RecoveryService]:
        """The service at `url`, while the context lasts."""
        async with HttpTransport(url) as transport:
            yield cls(home, url, transport)

    # --- ways back in

    def records(self, user: User) -> MailRecovery:
        """The user's records: what happened to them, stop."""
        return MailRecovery(user, self._transport)

    async def enrol(
        self,
        user: User,
        token: IdentityToken,
        ask: Ask,
        *,
        passphrase: str | None = None,
        delay: int = 0,
    ) -> bytes:
        """Have a record kept; the signing key of its device. A release waits `delay` seconds."""
        way = self.records(user)
        begun = await way.begin(token, passphrase=passphrase, delay=delay)
        device = await way.finish(begun, await ask())
        known = self._home.service.load()
        if known is None or known.url != self.url:
            self._home.service.seen(self.url, ())
        return device

    async def recover(
        self, log: Asking[Known], token: IdentityToken, ask: Ask, *, passphrase: str | None = None
    ) -> User:
        """Begin on a new machine. After `ReleaseWaits`, do it again in time."""
        vault, place = self._home.vault, self._home.recovery
        user = await recover_by_mail(
            log, self._transport, token, vault, place, ask, passphrase=passphrase
        )
        await self.acknowledge(user)
        return user

    async def remove(self, user: User) -> int:
        """Have the user's records forgotten; how many. Their devices stay: revoke them."""
        count = await self.records(user).remove()
        self._home.service.forget()
        return count

    async def releases(self, user: User) -> Releases:
        """What nobody here has seen yet of what happened to the records."""
        return await look(self._home.service, self.url, self.records(user))

    async def acknowledge(self, user: User) -> list[Watched]:
        """The user's records, and what happened to them: a person sees it, and is told no more."""
        found = await self.records(user).watch()
        self._home.service.seen(self.url, found)
        return found

    # --- people who are not registered yet

    def room(self, user: User, server: HttpTransport) -> WaitingRoom:
        """Where things are left for them, at this service and the log's server."""
        return WaitingRoom(user, server, self._transport)

    async def claim(
        self, documents: Documents, user: User, server: HttpTransport, ask: Ask
    ) -> list[Session]:
        """The sessions that the user can read from now on, by what was left for them."""
        return await claim(documents, self.room(user, server), ask, self._home.claim)
