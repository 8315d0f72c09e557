"""Adding a device on another machine, in three messages that people carry (a file, a QR code).

    new device   ask       its public keys, in a `Request`
    old device   offer     the device.add that it signed, the user key in a box, whose account it is
    new device   accept    checks all of it against what it knows, signs too, hands it in

The request is public; whoever could change it on its way would add a device of their own, so both
machines show its `fingerprint` and a person compares. The offer names the person, so it goes over a
private channel; it is worth nothing to anyone but the new device.

>>> request = Request.parse(text)                                # doctest: +SKIP
>>> request.fingerprint                                          # doctest: +SKIP
'3f2c 90ab 11d4 7a0e 5c61'

`Request.parse` and `Offer.parse` take exactly what `export` wrote, or raise `MalformedInput`.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ledger.client.known import Known
from ledger.client.user.account import Account, DeviceSecret, Identity, Vault
from ledger.errors import MalformedInput, RuleViolation, StaleAnchor, UsageError
from ledger.format import block as blocks
from ledger.format import cose
from ledger.format.block import MAX_BLOCK_BYTES, Block
from ledger.format.bodies import DeviceAdd, DeviceKeys, DeviceKind
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, uint
from ledger.format.keys import EncryptionKey, check_signing_key
from ledger.format.wire import Submission
from ledger.rules import table
from ledger.rules.context import Context
from ledger.rules.state import UserState
from ledger.seal.boxes import BOX_BYTES, open_box, verify_box

REQUEST_PREFIX = "keyroll-request-1."
OFFER_PREFIX = "keyroll-offer-1."
MAX_TEXT = 32_768
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Request:
    """A new device's public keys, for the log that it wants to join."""

    log_id: bytes
    device: DeviceKeys

    def export(self) -> str:
        """As text of one line."""
        return _armour(REQUEST_PREFIX, self._encode())

    @classmethod
    def parse(cls, text: str) -> Request:
        f = array(decode(_unarmour(REQUEST_PREFIX, text), MAX_TEXT), 3, "request")
        _check_version(f[0])
        found = cls(bstr(f[1], 32, "log id"), DeviceKeys.parse(f[2]))
        check_signing_key(found.device.signing)
        return found

    @property
    def fingerprint(self) -> str:
        """80 bits of a hash, for people to compare."""
        digest = sha256(self._encode()).hexdigest()[:20]
        return " ".join(digest[at : at + 4] for at in range(0, 20, 4))

    def _encode(self) -> bytes:
        return encode([_VERSION, self.log_id, self.device.to_value()])


@dataclass(frozen=True, slots=True)
class Offer:
    """The device.add that an old device signed, the box that goes with it, whose account it is."""

    log_id: bytes
    identity: Identity
    block: bytes
    box: bytes = field(repr=False)

    def export(self) -> str:
        """As text of one line. Private: it names the person."""
        fields: list[Value] = [_VERSION, self.log_id, self.identity.to_value()]
        return _armour(OFFER_PREFIX, encode([*fields, self.block, self.box]))

    @classmethod
    def parse(cls, text: str) -> Offer:
        f = array(decode(_unarmour(OFFER_PREFIX, text), MAX_TEXT), 5, "offer")
        _check_version(f[0])
        return cls(
            bstr(f[1], 32, "log id"),
            Identity.parse(f[2]),
            blob(f[3], MAX_BLOCK_BYTES, "block"),
            bstr(f[4], BOX_BYTES, "box"),
        )


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the new device made of an offer: what to hand in, and what it has learnt."""

    submission: Submission
    user_key: EncryptionKey = field(repr=False)


def ask(log_id: bytes, vault: Vault, kind: DeviceKind = DeviceKind.ORDINARY) -> Request:
    """A request for the device in `vault`, which is made if it is not there.

    Raises `UsageError` if somebody's account is there.
    """

    def asking(held: Account | None) -> Account:
        account = held or Account(log_id)
        if account.identity or account.log_id != log_id:
            raise UsageError("somebody's account is here already: choose another place")
        made = [device for device in account.devices if device.kind == kind]
        return replace(account, devices=(made[-1] if made else DeviceSecret.generate(kind),))

    (device,) = vault.change(asking).devices
    return Request(log_id, device.keys)


def accept(offer: Offer, device: DeviceSecret, known: Known, now: int) -> Acceptance:
    """Check `offer` for `device` against what is `known` of the chain at `now` (ms), and sign it.

    Raises `MalformedInput` or `RuleViolation`; of these `StaleHead` and `StaleAnchor` where a new
    offer helps. How old the anchor is, and whether it is in the tree, the log judges (R-44).
    """
    half = blocks.parse(offer.block)
    body = half.body
    if offer.log_id != known.log_id:
        raise RuleViolation("R-40.4", "the offer is for another log")
    if not isinstance(body, DeviceAdd) or body.device != device.keys:
        raise RuleViolation("R-50.2", "the offer is not for this device")
    block = _signed_too(half, device, known.log_id)
    state = _admissible(block, known, now)
    _check_identity(offer.identity, block, state, known)
    verify_box(device.encryption.public, offer.box, 0, 1, (), body.box_root)
    assert state.user_key is not None  # a closed user has no device that could have signed
    user_key = open_box(offer.box, device.encryption, state.user_key)
    return Acceptance(Submission(block.raw, (offer.box,)), user_key)


def _signed_too(half: Block, device: DeviceSecret, log_id: bytes) -> Block:
    """The block with both signatures, checked (R-40.4)."""
    payload = half.envelope.payload
    aad = cose.aad(cose.BLOCK, log_id)
    own = device.signing.sign(cose.to_be_signed(payload, device.signing.public, aad))
    theirs = zip(half.envelope.signers, half.envelope.signatures, strict=True)
    whole = blocks.parse(cose.build(payload, [*theirs, (device.signing.public, own)]))
    blocks.verify(whole, log_id)
    return whole


def _admissible(block: Block, known: Known, now: int) -> UserState:
    """The user's state after `block`, if the rules would admit it now."""
    head, chain = known.head, known.chain(block.label)
    at = Context(block, head.size, max(head.time, now), known.log, known.log_id)
    state = table.apply(at, chain).state
    if not 1 <= block.anchor.size <= head.size:
        raise StaleAnchor("R-44.1", "the anchor is of a tree that is not known here: sync")
    if chain and block.anchor.size <= chain.state.index:
        raise StaleAnchor("R-44.4", "the anchor does not hold the block before: sync and rebuild")
    assert isinstance(state, UserState)  # what a device.add leads to
    return state


def _check_identity(identity: Identity, block: Block, state: UserState, known: Known) -> None:
    """R-36: the chain is that of the identifier in the offer, so no look-alike."""
    if block.label != identity.label or state.commitment != identity.opening.commitment:
        raise RuleViolation("R-36.6", "the offer's identifier is not that of this chain")
    identity.check(known.log.vrf_key)


def _check_version(value: Value) -> None:
    if uint(value, "version") != _VERSION:
        raise MalformedInput("R-41.2", "this version is unknown")


def _armour(prefix: str, data: bytes) -> str:
    return prefix + urlsafe_b64encode(data).decode()


def _unarmour(prefix: str, text: str) -> bytes:
    """The bytes behind `prefix`, whose spelling is the only one; white space around is ignored."""
    line = text.strip()
    try:
        data = urlsafe_b64decode(line.removeprefix(prefix)[:MAX_TEXT])
    except ValueError as error:
        raise MalformedInput("R-10.2", f"not text that begins with {prefix}") from error
    if _armour(prefix, data) != line:
        raise MalformedInput("R-10.2", f"not text that begins with {prefix}")
    return data
