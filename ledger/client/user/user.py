"""A person who takes part in a log: from here their devices write.

>>> ada = await User.register(log, token, FileVault(path))       # doctest: +SKIP
>>> phone = await ada.add_device()                               # doctest: +SKIP
>>> await ada.revoke_devices(phone.signing.public)               # doctest: +SKIP
>>> secret = await ada.user_key()                                # doctest: +SKIP

A write survives other devices that are faster, lost answers and crashes: see
`ledger.client.user.writer`. After an error do the same again; what was done is not done twice.

Errors: `UsageError` if this account can't do what was asked; `RuleViolation` if the log's rules
refuse it; and what the log raises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from ledger.client.asking import Asking
from ledger.client.history import Step
from ledger.client.known import Known
from ledger.client.user import compose, handover, keyring
from ledger.client.user.account import (
    Account,
    DeviceSecret,
    Identity,
    MemoryVault,
    Vault,
    new_encryption_key,
)
from ledger.client.user.compose import Place
from ledger.client.user.handover import Offer, Request
from ledger.client.user.writer import Writer
from ledger.errors import DeviceGone, Refused, RuleViolation, UsageError
from ledger.format import cose
from ledger.format.bodies import DeviceKind, Purpose
from ledger.format.group_boxes import GroupBoxesAnswer, GroupBoxesRequest
from ledger.format.identity import IdentityToken
from ledger.format.keys import EncryptionKey
from ledger.format.wire import BoxAnswer, BoxRequest, Submission
from ledger.rules.state import UserState, is_retired

_FORBIDDEN = 403


class User:
    """One account at one log. Its writes wait for one another."""

    def __init__(self, log: Asking[Known], vault: Vault) -> None:
        """The person whose account is in `vault`, who registered or joined before."""
        account = vault.load()
        if account is None or account.identity is None:
            raise UsageError("nobody has registered or joined here yet")
        _check_log(account.log_id, log, "account")
        self.log = log
        self.identity = account.identity
        self.writer = Writer(log, vault)
        """Gets blocks in, and keeps keys."""

    # --- becoming a user

    @classmethod
    async def register(
        cls, log: Asking[Known], token: IdentityToken, vault: Vault | None = None
    ) -> User:
        """Begin a chain for the identifier that `token` enrols; its first device is here.

        After a crash, do the same again: it takes up what was begun.
        """
        user = await cls._enter(log, token, vault or MemoryVault(), Purpose.CREATE)

        async def build() -> Submission:
            if log.replica.chain(user.label):
                raise RuleViolation("R-43.2", f"{user.identifier} is registered already")
            return compose.create(user._place(), token, *user._newest())

        await user.writer.write(build, unless=user._is_in)
        return user

    @classmethod
    async def reset(
        cls,
        log: Asking[Known],
        token: IdentityToken,
        authority: cose.Signer,
        vault: Vault | None = None,
    ) -> User:
        """Begin again after all devices were lost: a new first device, in the next epoch.

        `authority` is the log's recovery authority, without whom the application can't do this.
        After a crash, do the same again.
        """
        user = await cls._enter(log, token, vault or MemoryVault(), Purpose.RESET)
        done = token.delegation.epoch + 1

        async def build() -> Submission:
            return compose.reset(user._place(), token, authority, *user._newest())

        def is_reset() -> bool:
            return user._is_in() and user.state.epoch == done

        await user.writer.write(build, unless=is_reset)
        return user

    @classmethod
    async def join(cls, log: Asking[Known], offer: Offer, vault: Vault) -> User:
        """Become a device of the user who made `offer` for the keys in `vault`.

        After a crash, do the same again. An offer that comes too late is refused: ask for another.
        """
        account = vault.load()
        if account is None or not account.devices:
            raise UsageError("no request was made here: make one, and have it answered")
        _check_log(account.log_id, log, "account")
        await log.visit(offer.identity.label)
        if account.identity is None or not (account.pending or cls(log, vault)._is_in()):
            accepted = handover.accept(offer, account.devices[-1], log.replica, log.clock())

            def joining(held: Account | None) -> Account:
                known = (held or account).with_keys(user_keys=(accepted.user_key,))
                return replace(known, identity=offer.identity, pending=accepted.submission)

            vault.change(joining)
        user = cls(log, vault)
        await user.writer.settle()
        if not user._is_in():
            raise RuleViolation("R-43.1", "the offer came too late: ask for another")
        return user

    @classmethod
    async def _enter(
        cls, log: Asking[Known], token: IdentityToken, vault: Vault, purpose: Purpose
    ) -> User:
        """An account with a first device that has not been in a chain, kept in the vault."""
        _check_log(token.log_id, log, "token")
        if token.delegation.purpose != purpose:
            raise UsageError(f"the token is not for a {purpose.name.lower()}")
        await log.sync(beyond=0)
        identity = await enter(log, token, vault.load())
        await log.visit(identity.label)

        def entering(held: Account | None) -> Account:
            account = held if held and held.identity else Account(log.log_id, identity)
            if not _needs_device(account, log.replica.user(identity.label), token):
                return account
            return account.with_keys((DeviceSecret.generate(),), (new_encryption_key(),))

        vault.change(entering)
        return cls(log, vault)

    # --- looking

    @property
    def account(self) -> Account:
        """What the vault keeps: secret keys and all."""
        return self.writer.account

    @property
    def identifier(self) -> str:
        """How the application calls this person."""
        return self.identity.opening.identifier

    @property
    def label(self) -> bytes:
        """How the log calls them."""
        return self.identity.label

    @property
    def state(self) -> UserState:
        """How this user stands in the replica."""
        state = self.log.replica.user(self.label)
        if state is None:
            raise UsageError(f"{self.identifier} is not in the log")
        return state

    @property
    def devices(self) -> list[DeviceSecret]:
        """Those of the user's live devices whose keys are here, the longest here first."""
        live = {device.signing for device in self.state.devices}
        return [device for device in self.account.devices if device.signing.public in live]

    def author(self, besides: Collection[bytes] = ()) -> DeviceSecret:
        """A live device that is here, to sign. Raises `DeviceGone` if there is none."""
        live = self.devices
        if not live:
            raise DeviceGone
        for device in live:
            if device.signing.public not in besides:
                return device
        raise UsageError("no device that is here is live and stays: use another one")

    async def confirm(self) -> None:
        """Raise `DeviceGone` if no device here is live, which a refusal leaves open (R-72)."""
        await self.log.sync()
        self.author()

    @asynccontextmanager
    async def answered(self) -> AsyncIterator[None]:
        """Where the server may refuse what this user asks: because they are gone?"""
        try:
            yield
        except Refused as error:
            if error.status == _FORBIDDEN:
                await self.confirm()
            raise

    async def box(self, request: BoxRequest) -> BoxAnswer:
        """A box that came with a block; unchecked (R-55.4)."""
        async with self.answered():
            return await self.log.box(request, self.author().signing)

    async def group_boxes(self, group: bytes) -> GroupBoxesAnswer:
        """What a group's newest blocks hold for this user; unchecked (R-72.8)."""
        async with self.answered():
            asked = GroupBoxesRequest(self.label, group)
            return await self.log.group_boxes(asked, self.author().signing)

    async def user_key(self, generation: int | None = None) -> EncryptionKey:
        """The secret of a user key, by default the current one: fetched, checked and kept.

        Raises `MalformedInput` if its box is not what its author committed to, or holds another
        key: only a rotation by another device helps then.
        """
        state = self.state
        number = state.generation if generation is None else generation
        if not 0 <= number <= state.generation:
            raise UsageError(f"there is no user key of generation {number}")
        current = self.account.user_key(state.user_key) if state.user_key else None
        if current and number == state.generation:
            return current
        return await self._open_down_to(number)

    async def user_key_of(self, public: bytes) -> EncryptionKey:
        """The secret of the user key with this public half, now or before (see `user_key`)."""
        held = self.account.user_key(public)
        if held:
            return held
        for generation in keyring.generations(self.log.replica.history(self.label)):
            if generation.public == public:
                return await self.user_key(generation.number)
        raise UsageError(f"{public.hex()} never was a user key of {self.identifier}")

    async def _open_down_to(self, number: int) -> EncryptionKey:
        """Open boxes, from the nearest user key that is held, down to that of `number`."""
        steps = self.log.replica.history(self.label)
        keys = keyring.generations(steps)
        held = [key for key in keys[number:] if self.account.user_key(key.public)]
        start = held[0] if held else keys[-1]
        secret = self.account.user_key(start.public)
        if secret is None:
            device = self.author().encryption
            step = keyring.handover(steps, device.public)
            secret = await self._open(step, device, start.public)
        for newer in reversed(keys[number + 1 : start.number + 1]):
            if not newer.hands_on:
                raise UsageError("user keys from before a reset can't be opened")
            secret = await self._open(newer.step, secret, keys[newer.number - 1].public)
        return secret

    async def _open(self, step: Step, key: EncryptionKey, expected: bytes) -> EncryptionKey:
        """Fetch the box for `key` that came with `step`, and keep what is in it."""
        position = step.outcome.recipients.index(key.public)
        request = BoxRequest(self.label, self.label, self.label, step.index, position)
        answer = await self.box(request)
        opened = keyring.open_handed(step, answer, key, expected)
        self.writer.keep(user_keys=(opened,))
        return opened

    # --- writing

    async def add_device(
        self, device: DeviceSecret | None = None, *, kind: DeviceKind = DeviceKind.ORDINARY
    ) -> DeviceSecret:
        """Add a device whose keys are here: a new one, unless one is given."""
        new = device or DeviceSecret.generate(kind)

        async def build() -> Submission:
            author, user_key = self.author(), await self.user_key()
            return compose.add(self._place(), author, new, user_key)

        def is_in() -> bool:
            return self.state.device(new.signing.public) is not None

        await self.writer.write(build, devices=(new,), unless=is_in)
        return new

    async def offer(self, request: Request) -> Offer:
        """What lets the device that made `request`, on another machine, `join`."""
        _check_log(request.log_id, self.log, "request")
        await self.log.sync()
        author, user_key = self.author(), await self.user_key()
        half, box = compose.half_add(self._place(), author, request.device, user_key)
        self.log.wrote(half)
        return Offer(self.log.log_id, self.identity, half, box)

    async def revoke_devices(self, *signing: bytes) -> None:
        """Take out the devices with these signing keys, and rotate the user key."""
        new = new_encryption_key()

        async def build() -> Submission:
            author, old = self.author(besides=signing), await self.user_key()
            devices = self.state.devices
            leaving = [device for device in devices if device.signing in signing]
            remaining = [device for device in devices if device.signing not in signing]
            if len(leaving) != len(set(signing)):
                raise UsageError("not all of these are live devices of this user")
            return compose.revoke(self._place(), author, leaving, remaining, new, old)

        def are_gone() -> bool:
            return all(is_retired(self.state.retired, key) for key in signing)

        await self.writer.write(build, user_keys=(new,), unless=are_gone)

    async def close(self) -> None:
        """End the chain: no device is left. Only a reset begins it again."""

        async def build() -> Submission:
            return compose.close(self._place(), self.author())

        await self.writer.write(build, unless=lambda: self.state.closed)

    async def resume(self) -> bool:
        """Find out what became of a block whose answer was lost, and hand it in again if need be.

        Whether there was one, and it is in the log. Every write does this first.
        """
        return await self.writer.settle()

    def _newest(self) -> tuple[DeviceSecret, EncryptionKey]:
        return self.account.devices[-1], self.account.user_keys[-1]

    def _is_in(self) -> bool:
        """Whether a device that is here is live."""
        return self.log.replica.user(self.label) is not None and bool(self.devices)

    def _place(self) -> Place:
        return Place.after(self.log.replica, self.label)


async def enter(log: Asking[Known], token: IdentityToken, account: Account | None) -> Identity:
    """Who `token` makes of an account, which is nobody else's yet."""
    known = account.identity if account else None
    if known and known.opening != token.opening:
        raise UsageError("somebody else's account is here already")
    return known or await log.identify(token)


def _check_log(log_id: bytes, log: Asking[Known], what: str) -> None:
    if log_id != log.log_id:
        raise UsageError(f"the {what} is for another log: {log_id.hex()}")


def _needs_device(account: Account, state: UserState | None, token: IdentityToken) -> bool:
    """Whether a new first device must be made: there is none, or the newest is used up."""
    if not account.devices:
        return True
    if state is None or token.delegation.purpose == Purpose.CREATE:
        return False
    newest = account.devices[-1].signing.public
    was_in = state.device(newest) is not None or is_retired(state.retired, newest)
    return was_in and state.epoch <= token.delegation.epoch
