"""What an application needs of a log, behind one door.

>>> async with Keyroll.open("ada", url, log_id) as me:           # doctest: +SKIP
...     if me.status is Status.NEEDS_REGISTRATION:
...         await me.register(IdentityToken.parse(text))        # from the application's server
...     sealed = await me.encrypt(b"hello", users=["bob@example.org"])
...     found = await me.decrypt(sealed)

What is kept lies in one directory: the account (under a `lock`, if one is given), what was seen of
the log, evidence if the log was caught lying. Nothing is replayed but the chains that count. Tasks
may share a `Keyroll`, processes its directory; one of them writes at a time.

Errors: `ledger.errors`, by who is at fault. `NotAccepted` is the one to handle: something loud
happened to somebody; ask a person, and `accept`. `DeviceGone`, from whatever was called, says that
this device is out: `status` is GONE then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from enum import Enum
from functools import cached_property
from pathlib import Path

from ledger.client import ties
from ledger.client.documents import HEAD_BYTES, Document, Documents, parse_preamble
from ledger.client.doubts import Doubt
from ledger.client.group.group import Group
from ledger.client.group.rotation import renew
from ledger.client.home import Home
from ledger.client.kept import KeptSessions
from ledger.client.lookups.log import LookupLog
from ledger.client.lookups.pins import Alarm, Found, Pin
from ledger.client.policy import Policy
from ledger.client.readers import FRESH
from ledger.client.service import RecoveryService
from ledger.client.transport import HttpTransport
from ledger.client.user.handover import Offer, Request, ask
from ledger.client.user.mail_recovery import MailRecovery
from ledger.client.user.recovery import RecoveryCode, add_code, recover
from ledger.client.user.releases import Releases
from ledger.client.user.tickets import Ask
from ledger.client.user.user import User
from ledger.errors import (
    DeviceGone,
    LogMisbehaved,
    NotAccepted,
    Refused,
    TransportError,
    UsageError,
)
from ledger.format import cose
from ledger.format.identity import IdentityToken
from ledger.format.statement import Role
from ledger.rules.groups import label_of
from ledger.rules.membership import Kind
from ledger.rules.state import GroupState
from ledger.seal.lock import Lock
from ledger.seal.stream import Session


class Status(Enum):
    """What is to be done before this device can take part."""

    NEEDS_REGISTRATION = "needs registration"
    """Nobody registered here: `register`."""
    NEEDS_VERIFICATION = "needs verification"
    """The person is in the log, this device is not: `join`, `recover`, `reset` as the last resort.

    Told only to who opens the place with a token.
    """
    GONE = "gone"
    """The device was revoked, or the account closed: it can't take part any more."""
    READY = "ready"


class Keyroll:
    """One person's place at one log. Open it with `open`."""

    def __init__(
        self,
        home: Home,
        log: LookupLog,
        server: HttpTransport,
        kept: KeptSessions,
        fresh: int,
        token: IdentityToken | None,
        service: RecoveryService | None,
    ) -> None:
        self._home = home
        self._kept = kept
        self._token = token
        self._log = log
        self._server = server
        self._fresh = fresh
        self._service = service
        self._documents: Documents | None = None
        self._code: RecoveryCode | None = None
        self._status = Status.NEEDS_REGISTRATION
        self.releases = Releases()
        """What `refresh` heard from the recovery service, to be looked at and `acknowledge`d."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | Path,
        url: str,
        log_id: bytes,
        *,
        service: str | None = None,
        token: IdentityToken | None = None,
        lock: Lock | None = None,
        policy: Policy | None = None,
        fresh: int = FRESH,
    ) -> AsyncIterator[Keyroll]:
        """The place in the directory `path`, made if it is not there; the log is looked at.

        Where no server answers, it is as it was seen last: what takes no server can be done.
        `service`: the address of a recovery service; ways back in by e-mail need one, and so does
        what is sealed to people who are not registered yet.
        A `token` that the application's server made tells `status` of people who are elsewhere.
        `fresh`: for how long, in ms, a lookup that was verified will do to seal something.
        """
        home = Home(Path(path), lock)
        home.make()
        vault, chosen = home.vault, policy or home.policy()
        async with (
            LookupLog.connect(url, log_id, home.path / "trust.db", vault, policy=chosen) as log,
            HttpTransport(url) as server,
            RecoveryService.at(home, service) if service else nullcontext() as asked,
        ):
            with home.sessions() as kept:
                place = cls(home, log, server, kept, fresh, token, asked)
                try:
                    await place._arrive()
                    yield place
                except LogMisbehaved as error:
                    path = home.keep_evidence(error, log.clock())
                    error.add_note(f"what was shown is kept in {path}")
                    raise

    @property
    def status(self) -> Status:
        """What is to be done, as far as the last answer tells."""
        return Status.GONE if self._log.is_gone else self._status

    async def _arrive(self) -> None:
        """Look at the log; remember it, where it can't be looked at."""
        ties.compare(self._home.vault, self._log.trust)
        with suppress(DeviceGone):
            try:
                await self.refresh()
            except TransportError as error:
                if isinstance(error, Refused) or not self._log.recall():
                    raise
                self._status = Status.READY

    async def refresh(self) -> None:
        """Look at the log again. Raises `DeviceGone`: from then on nothing can be done here.

        The recovery service is asked too, if there is one; that it does not answer stops nothing,
        and is told in `releases`.
        """
        await self._log.sync()
        account = self._home.vault.load()
        if account and account.identity and self._log.replica.user(account.identity.label):
            self._status = Status.READY
        elif self._token and await self._log.is_registered(self._token):
            self._status = Status.NEEDS_VERIFICATION
        else:
            self._status = Status.NEEDS_REGISTRATION
        if self._service and self._status is Status.READY:
            self.releases = await self._service.releases(self.user)
        if self._status is Status.READY:
            ties.tie(self._home.vault, self._log.trust)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What does not fit in this very place: was it put back from a copy, or are keys stolen?"""
        return tuple(self._log.trust.doubts())

    def dismiss(self, doubt: Doubt) -> None:
        """Go on, after a person looked at it."""
        self._log.trust.dismiss(doubt)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Devices in one's own chain that nobody here added: revoke them, or `accept` them."""
        pin = self.documents.light.trust.pin(self.user.label)
        return pin.alarms if pin else ()

    # --- beginning

    async def register(self, token: IdentityToken) -> None:
        """Become the person whom the application's token names. After an error, do it again."""
        await User.register(self._log, token, self._home.vault)
        await self.refresh()

    async def recovery_code(self) -> RecoveryCode:
        """A way back in, to be written down: it is kept nowhere. After an error, do it again."""
        code, self._code = self._code or RecoveryCode.generate(), None
        try:
            return await add_code(self.user, code)
        except BaseException:
            self._code = code  # its device may be in the log by now
            raise

    async def recover(self, token: IdentityToken, code: RecoveryCode) -> None:
        """Go on as the person of the token, whose devices are all lost."""
        await recover(self._log, token, code, self._home.vault)
        await self.refresh()

    @property
    def service(self) -> RecoveryService:
        """The recovery service. Raises `UsageError` if none was named."""
        if self._service is None:
            raise UsageError("which recovery service? Open the place with its address: service=…")
        return self._service

    @property
    def mail_recovery(self) -> MailRecovery:
        """This person's records at the recovery service: what happened to them, stop."""
        return self.service.records(self.user)

    async def enrol_mail(
        self, token: IdentityToken, ask: Ask, *, passphrase: str | None = None, delay: int = 0
    ) -> None:
        """A way back in by e-mail; `ask` a person for the code. A release waits `delay` seconds."""
        await self.service.enrol(self.user, token, ask, passphrase=passphrase, delay=delay)

    async def remove_mail(self) -> None:
        """Have the recovery service forget this person. Revoke the device of the record then."""
        await self.service.remove(self.user)

    async def recover_by_mail(
        self, token: IdentityToken, ask: Ask, *, passphrase: str | None = None
    ) -> None:
        """`recover`, by a code that comes by mail. After `ReleaseWaits`, do it again in time."""
        await self.service.recover(self._log, token, ask, passphrase=passphrase)
        await self.refresh()

    async def acknowledge(self) -> None:
        """A person has looked at `releases`."""
        await self.service.acknowledge(self.user)
        self.releases = Releases()

    # --- further devices

    def request(self) -> Request:
        """What this new device asks an old one with: public; compare its `fingerprint` on both."""
        return ask(self._log.log_id, self._home.vault)

    async def offer(self, request: Request) -> Offer:
        """An old device's answer to a new one, to be carried to it over a private channel.

        It holds until any other change to one's devices, at most 24 hours.
        """
        pin = (await self.documents.light.refresh()).pin
        if pin and not pin.quiet:  # who joins believes us about our devices
            raise NotAccepted((pin,), (self.user.identifier,))
        return await self.user.offer(request)

    async def join(self, offer: Offer) -> None:
        """Become a device of who made the offer. After an error, do it again."""
        await User.join(self._log, offer, self._home.vault)
        await self._begin_anew()

    async def reset(self, token: IdentityToken, authority: cose.Signer) -> None:
        """Begin again, in the next epoch, with this device alone: the last resort.

        The token is one for a reset; the log's recovery `authority` signs too. Contacts are told,
        groups have to let one in again, and what was sealed to the old devices stays closed.
        """
        await User.reset(self._log, token, authority, self._home.vault)
        await self._begin_anew()

    async def _begin_anew(self) -> None:
        """Accept oneself, as this very device's block left it."""
        self.__dict__.pop("user", None)
        await self.refresh()
        pin = self.documents.light.trust.pin(self.user.label)
        if pin and pin.chain.state.index == self.user.state.devices[-1].index:
            self.documents.light.accept(pin)

    @cached_property
    def user(self) -> User:
        """The person: devices, user keys. Raises `UsageError` before there is one."""
        return User(self._log, self._home.vault)

    async def revoke_device(self, *signing: bytes) -> list[bytes]:
        """Take out the devices with these signing keys: they read nothing that is sealed later.

        The user key is rotated, and at once the groups of `rotate_groups`, whose labels are
        returned. After an error, do it again.
        """
        await self._log.sync()  # they may be news
        await self.user.revoke_devices(*signing)
        return await self.rotate_groups()

    async def rotate_groups(self) -> list[bytes]:
        """Give new keys to the stale groups that were seen here and have this person as an admin.

        Other admins do so when they next seal something to them; until then nobody can.
        """
        await self._log.sync()
        pins = [self._log.trust.pin(label) for label in self._log.trust.labels()]
        seen = [pin.label for pin in pins if pin and isinstance(pin.chain.state, GroupState)]
        return [one for label in seen for one in await renew(self.user, label)]

    # --- documents and messages

    @property
    def documents(self) -> Documents:
        """All that can be done with sealed streams; the calls below are the common ones."""
        light = self._log.light
        if light is None:
            raise UsageError("nobody has registered here yet")
        if self._documents is None or self._documents.light is not light:  # the devices changed
            room = self._service.room(self.user, self._server) if self._service else None
            self._documents = Documents(
                self.user, light, self._server, fresh=self._fresh, kept=self._kept, room=room
            )
        return self._documents

    async def begin(self, users: Iterable[str] = (), groups: Iterable[bytes] = ()) -> Session:
        """A session: one key for many messages or documents. See `encrypt` for the readers."""
        return await self.documents.begin(users, groups)

    async def encrypt(
        self,
        data: bytes,
        users: Iterable[str] = (),
        groups: Iterable[bytes] = (),
        *,
        session: Session | None = None,
        padded: bool = False,
    ) -> bytes:
        """`data`, sealed to people (identifiers) and groups (labels), or into a session.

        With a recovery service, people need not be registered: it is left for them 30 days long.
        """
        return await self.documents.encrypt(data, users, groups, session=session, padded=padded)

    async def decrypt(self, sealed: bytes, *, author: str | None = None) -> Document:
        """What was sealed, and who wrote it."""
        if author and author not in self._log.trust.names():
            await self.lookup(author)
        return await self.documents.decrypt(sealed, author=author)

    async def session(self, sealed: bytes) -> Session:
        """The session that something was sealed in, to `encrypt` an answer in."""
        return await self.documents.session(parse_preamble(sealed[:HEAD_BYTES]))

    async def share(
        self, sealed: bytes, users: Iterable[str] = (), groups: Iterable[bytes] = ()
    ) -> None:
        """Let these read it too, and all that its session holds."""
        await self.documents.share(await self.session(sealed), users, groups)

    async def claim(self, ask: Ask) -> list[Session]:
        """What was sealed to this person before they registered can be read from now on.

        `ask` a person for the code that comes by mail; if nothing waits, nobody is asked. The
        sessions are returned that can be read now. After an error, do it again.
        """
        return await self.service.claim(self.documents, self.user, self._server, ask)

    # --- people and groups

    async def lookup(self, *identifiers: str) -> list[Found]:
        """How these stand, proven; who is seen for the first time need not be the right person."""
        return await self.documents.light.lookup(*identifiers)

    def accept(self, error: NotAccepted) -> None:
        """Go on, after a person looked at what the error carries."""
        for pin in error.people:
            assert isinstance(pin, Pin)
            self.documents.light.accept(pin)

    async def create_group(
        self, members: Mapping[str | bytes, Role], *, compound: bool = False
    ) -> Group:
        """A group of these people (by identifier) and groups (by label), oneself an admin."""
        names = [one for one in members if isinstance(one, str)]
        found = dict(zip(names, await self.lookup(*names), strict=True))
        absent = [name for name, one in found.items() if one.state is None]
        if absent:
            raise UsageError(f"{', '.join(absent)} is not in the log (yet), as the log proves")
        roles = {
            found[one].label if isinstance(one, str) else one: role for one, role in members.items()
        }
        kind = Kind.COMPOUND if compound else Kind.FLAT
        return await Group.create(self.user, roles, kind=kind)

    async def founded(self) -> list[Group]:
        """The groups that were created here; look after a `create_group` that was interrupted."""
        await self.user.resume()
        signers = self.user.account.group_signers
        await self._log.want([label_of(key.public) for key in signers])
        return Group.founded(self.user)

    def group(self, label: bytes) -> Group:
        """A group that this person is in."""
        return Group(self.user, label)
