"""A way back in by e-mail: a recovery device whose secrets a service keeps, locked (96-recovery).

>>> way = MailRecovery(user, service)                                    # doctest: +SKIP
>>> attempt = await way.begin(token)                                     # a code is on its way
>>> await way.finish(attempt, "01234567")                                # and has come back

On a new machine, with nothing but an identity token and the mailbox:

>>> user = await recover_by_mail(log, service, token, vault, place, ask)  # doctest: +SKIP

The lock is the token secret, which the application gives its user only; with a passphrase, that as
well. After an error or a crash do the same again, if need be with a new code: what was done is not
done twice. Errors: `WrongSecret`; `Refused` (kinds `wrong-code`, `too-many`, `not-found`);
`ReleaseWaits`; and those of `ledger.client.user.user`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from ledger.client.asking import Asking
from ledger.client.known import Known
from ledger.client.transport import HttpTransport
from ledger.client.user.account import DeviceSecret, Vault
from ledger.client.user.recovery import forget, recover_as
from ledger.client.user.tickets import Ask, Ticket, answered, forget_ticket
from ledger.client.user.user import User
from ledger.errors import (
    MalformedInput,
    Refused,
    ReleaseWaits,
    UsageError,
    WrongSecret,
)
from ledger.format import recovery as wire
from ledger.format.bodies import DeviceKind
from ledger.format.cbor import array, bstr, decode, encode, uint
from ledger.format.identity import IdentityToken
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.recovery import Held, Method, Slot, Watched, attempt_id
from ledger.rules.state import is_retired
from ledger.seal.lock import Lock

_VERSION = 1


def keeper_of(log_id: bytes, label: bytes, method: Method, user_key: EncryptionKey) -> bytes:
    """What the devices of a user look after a record with (R-96.4)."""
    said = b"\x10" + log_id + label + bytes([method]) + user_key.secret
    return sha256(said).digest()


def seal_record(device: DeviceSecret, token_secret: bytes, passphrase: str | None) -> bytes:
    """The secrets of a recovery device, locked (R-96.4)."""
    data = encode([_VERSION, device.signing.seed, device.encryption.secret])
    if passphrase is not None:
        data = Lock.by_passphrase(passphrase).seal(data)
    return Lock.by_secret(token_secret).seal(data)


def open_record(record: bytes, token_secret: bytes, passphrase: str | None) -> DeviceSecret:
    """The device in a record. Raises `WrongSecret` and `MalformedInput`."""
    data = Lock.by_secret(token_secret).open(record)
    if passphrase is not None:
        data = Lock.by_passphrase(passphrase).open(data)
    f = array(decode(data, wire.MAX_RECORD_BYTES), 3, "recovery record")
    if uint(f[0], "version") != _VERSION:
        raise MalformedInput("R-96.4", "this version of recovery records is unknown")
    signing = SigningKey(bstr(f[1], 32, "seed"))
    return DeviceSecret(
        signing, EncryptionKey(bstr(f[2], 32, "secret")), int(DeviceKind.MAIL_RECOVERY)
    )


def _method(passphrase: str | None) -> Method:
    return Method.MAIL if passphrase is None else Method.PASSPHRASE


# --- for who has a device


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What was begun: to be finished with the code that comes by mail."""

    attempt: bytes = field(repr=False)
    device: DeviceSecret = field(repr=False)


class MailRecovery:
    """A user's records at one recovery service."""

    def __init__(self, user: User, service: HttpTransport) -> None:
        self._user = user
        self._service = service

    async def begin(
        self, token: IdentityToken, *, passphrase: str | None = None, delay: int = 0
    ) -> Enrolment:
        """Have a code sent to the user's address.

        Every release is to wait `delay` seconds, in which any device of the user can stop it.
        """
        user = self._user
        if (token.log_id, token.opening) != (user.log.log_id, user.identity.opening):
            raise UsageError("this token is for another person, or for another log")
        if not 0 <= delay <= wire.MAX_DELAY:
            raise UsageError(f"a delay is at most {wire.MAX_DELAY} seconds")
        device, attempt = self._spare_device(), os.urandom(32)
        user.writer.keep(devices=(device,))
        slot = Slot(user.log.log_id, user.identifier, user.label, _method(passphrase)).check()
        keeper = keeper_of(slot.log_id, slot.label, slot.method, await user.user_key())
        held = Held(keeper, delay, seal_record(device, token.secret, passphrase))
        request = wire.RecordRequest(attempt_id(attempt), slot, held).encode()
        await self._service.post(wire.RECORDS_PATH, request, 0)
        return Enrolment(attempt, device)

    async def finish(self, begun: Enrolment, code: str) -> bytes:
        """Take the code back, and add the device; its signing key, to be revoked by one day."""
        request = wire.CodeRequest(begun.attempt, code).encode()
        answer = await self._service.post(wire.CODES_PATH, request, wire.MAX_ANSWER_BYTES)
        wire.CodeAnswer.decode(answer)
        await self._user.add_device(begun.device)
        forget(self._user, begun.device)
        return begun.device.signing.public

    async def watch(self) -> list[Watched]:
        """The user's records that the service has, and what happened to each."""
        found = await self._watched()
        return [one for _, one in found]

    async def stop(self) -> int:
        """Stop all releases that were begun; of how many records."""
        found = await self._watched()
        for keeper, _ in found:
            await self._service.post(wire.CANCEL_PATH, wire.SecretRequest(keeper).encode(), 0)
        return len(found)

    async def remove(self) -> int:
        """Have the service forget the user's records; how many. Their devices stay: revoke them."""
        found = await self._watched()
        for keeper, _ in found:
            await self._service.post(wire.REMOVE_PATH, wire.SecretRequest(keeper).encode(), 0)
        return len(found)

    async def _watched(self) -> list[tuple[bytes, Watched]]:
        keepers, found = await self._keepers(), []
        for start in range(0, len(keepers), wire.MAX_KEEPERS):
            asked = keepers[start : start + wire.MAX_KEEPERS]
            request = wire.EventsRequest(tuple(asked)).encode()
            body = await self._service.post(wire.EVENTS_PATH, request, wire.MAX_ANSWER_BYTES)
            answer = wire.EventsAnswer.decode(body).watched
            if len(answer) != len(asked):
                raise MalformedInput("R-96.9", "not one answer for each keeper")
            found += [(one, told) for one, told in zip(asked, answer, strict=True) if told]
        return found

    async def _keepers(self) -> list[bytes]:
        """By every user key since the last reset: the record may be as old as that."""
        user, keys = self._user, []
        for generation in range(user.state.generation, -1, -1):
            try:
                keys.append(await user.user_key(generation))
            except UsageError:  # from before a reset
                break
        log_id, label = user.log.log_id, user.label
        return [keeper_of(log_id, label, method, key) for key in keys for method in Method]

    def _spare_device(self) -> DeviceSecret:
        """The recovery device of an attempt that was given up half-way, or a new one."""
        retired = self._user.state.retired
        for device in self._user.account.devices:
            used_up = is_retired(retired, device.signing.public)
            if device.kind == DeviceKind.MAIL_RECOVERY and not used_up:
                return device
        return DeviceSecret.generate(DeviceKind.MAIL_RECOVERY)


# --- for who has lost them all


async def recover_by_mail(
    log: Asking[Known],
    service: HttpTransport,
    token: IdentityToken,
    vault: Vault,
    place: Path,
    ask: Ask,
    *,
    passphrase: str | None = None,
) -> User:
    """Begin on a new machine; what was begun is kept in the file `place` until it is done.

    Raises `ReleaseWaits` while the user's devices may still stop it: later, do the same again.
    """
    ticket = await _begun(log, service, token, place, _method(passphrase))
    try:
        if ticket.due is None:
            ticket = replace(ticket, due=await answered(service, ticket, ask))
            ticket.save(place)
        records = await _claim(service, ticket, log.clock())
    except Refused as error:
        if error.kind in ("wrong-code", "not-found"):
            forget_ticket(place)  # nothing comes of this one any more
        raise
    rescuers = _opened(records, token.secret, passphrase)
    user = await recover_as(log, token, rescuers, vault)
    forget_ticket(place)
    return user


async def _begun(
    log: Asking[Known], service: HttpTransport, token: IdentityToken, place: Path, method: Method
) -> Ticket:
    identifier = token.opening.identifier
    ticket = Ticket.load(place)
    if ticket and ticket.serves(identifier, method, log.clock()):
        return ticket
    await log.sync()
    identity = await log.identify(token)
    slot = Slot(log.log_id, identifier, identity.label, method).check()
    ticket = Ticket(os.urandom(32), identifier, method, log.clock())
    request = wire.ReleaseRequest(attempt_id(ticket.attempt), slot).encode()
    await service.post(wire.RELEASES_PATH, request, 0)
    ticket.save(place)
    return ticket


async def _claim(service: HttpTransport, ticket: Ticket, now: int) -> Sequence[bytes]:
    request = wire.SecretRequest(ticket.attempt).encode()
    try:
        answer = await service.post(wire.CLAIMS_PATH, request, wire.MAX_ANSWER_BYTES)
    except Refused as error:
        if error.kind == "not-yet" and ticket.due is not None:
            raise ReleaseWaits(ticket.due, now) from error
        raise
    return wire.ClaimAnswer.decode(answer).records


def _opened(
    records: Iterable[bytes], token_secret: bytes, passphrase: str | None
) -> list[DeviceSecret]:
    """The devices in those records that open: others may be whoever's. Raises `WrongSecret`."""
    found: list[DeviceSecret] = []
    for record in records:
        try:
            found.append(open_record(record, token_secret, passphrase))
        except (WrongSecret, MalformedInput):
            continue
    if not found:
        raise WrongSecret
    return found
