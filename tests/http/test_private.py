"""Labels and boxes: what is told to somebody in particular, and to nobody else (R-72)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from ledger.format import block, cose, entry, wire
from ledger.format.bodies import Delegation, DeviceKind, DeviceRevoke, Purpose, delegate
from ledger.format.cbor import encode
from ledger.format.identity import Opening
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.login import Authenticated, Login, authenticate
from ledger.log.clock import wall_ms
from ledger.seal.boxes import open_box, verify_box
from ledger.tree import vrf
from tests.http.world import Answer, Http
from tests.support.actors import LogActor, User, seed, signing_key

LABELS, BOXES = wire.LABELS_PATH, wire.BOXES_PATH
DAY = 86_400_000


@dataclass(frozen=True)
class Applicant:
    """Somebody with an identity token, who asks for a label."""

    log: LogActor
    identifier: str = "ada@example.org"
    expiry: int = 2**53 - 1
    purpose: Purpose = Purpose.CREATE

    @property
    def opening(self) -> Opening:
        return Opening(seed(self.identifier, "nonce"), self.identifier)

    @property
    def key(self) -> SigningKey:
        return signing_key(self.identifier, "ephemeral")

    def delegation(self, signer: SigningKey | None = None, log_id: bytes | None = None) -> bytes:
        return delegate(
            signer or self.log.enrolment,
            log_id or self.log.log_id,
            self.purpose,
            self.opening.commitment,
            self.key.public,
            epoch=0,
            expiry=self.expiry,
        )

    def request(self, delegation: bytes | None = None) -> wire.LabelRequest:
        return wire.LabelRequest(delegation or self.delegation(), self.opening)


def signed(
    log: Http,
    request: bytes,
    path: str,
    key: SigningKey,
    *,
    age: int = 0,
    log_id: bytes | None = None,
) -> bytes:
    return authenticate(request, path, key, log_id or log.actor.log_id, wall_ms() - age)


async def ask(log: Http, applicant: Applicant, request: wire.LabelRequest) -> Answer:
    return await log.post(LABELS, signed(log, request.encode(), LABELS, applicant.key))


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_a_label_and_its_proof(log: Http, purpose: Purpose) -> None:
    applicant = Applicant(log.actor, purpose=purpose)
    answer = await ask(log, applicant, applicant.request())
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/cbor")
    assert answer.headers["Cache-Control"] == "no-store"
    found = wire.LabelAnswer.decode(answer.body)
    alpha = applicant.identifier.encode()
    assert vrf.label(vrf.verify(log.actor.vrf_public, alpha, found.proof)) == found.label
    assert found.label == log.actor.label(applicant.identifier)
    assert found.length == 0


async def test_whom_no_label_is_told(log: Http) -> None:
    """R-72.2: each differs from the right request in one thing."""
    actor = log.actor
    right = Applicant(actor)
    other = replace(right, identifier="eve@example.org")
    opened = wire.LabelRequest(right.delegation(), other.opening)
    renonced = wire.LabelRequest(right.delegation(), Opening(bytes(32), right.identifier))
    expired = replace(right, expiry=wall_ms() - 1)
    raw = right.delegation()
    bent = raw[:-1] + bytes([raw[-1] ^ 1])
    refused = {
        "opens another": opened,
        "another nonce": renonced,
        "another enrolment key": right.request(right.delegation(signing_key("stranger"))),
        "another log": right.request(right.delegation(log_id=bytes(32))),
        "expired": expired.request(),
        "its signature is bent": right.request(bent),
    }
    for what, request in refused.items():
        answer = await ask(log, right, request)
        assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.2"), what
    foreign = signed(log, right.request().encode(), LABELS, other.key)
    answer = await log.post(LABELS, foreign)
    assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.2")
    soon = replace(right, expiry=wall_ms() + 60_000)
    assert (await ask(log, soon, soon.request())).status == 200


async def test_a_delegation_by_a_replaced_enrolment_key(log: Http) -> None:
    """R-52.1 for labels: the key of the log state now."""
    applicant = Applicant(log.actor)
    assert (await ask(log, applicant, applicant.request())).status == 200
    policy = log.actor.policy(await log.anchor(), enrolment=signing_key("new enrolment"))
    await log.admit(policy)
    answer = await ask(log, applicant, applicant.request())
    assert (answer.status, answer.rule) == (403, "R-72.2")
    anew = replace(applicant, log=policy.after)
    assert (await ask(log, anew, anew.request())).status == 200


async def test_malformed_label_requests(log: Http) -> None:
    applicant = Applicant(log.actor)
    control = Opening(applicant.opening.nonce, "ada\n")
    requests = [
        wire.LabelRequest(applicant.delegation(), control).encode(),
        wire.LabelRequest(b"no delegation", applicant.opening).encode(),
        applicant.request().encode() + b"\0",
        encode([applicant.delegation(), applicant.opening.nonce]),
    ]
    for request in requests:
        answer = await log.post(LABELS, signed(log, request, LABELS, applicant.key))
        assert (answer.status, answer.kind) == (400, "malformed")


@dataclass(frozen=True)
class Family:
    """Ada with three devices, and the blocks that brought boxes: (leaf index, recipients)."""

    ada: User
    bob: User
    create: int
    add: int
    revoke: int
    revoked: SigningKey
    first_key: EncryptionKey


async def family(log: Http) -> Family:
    """Ada's laptop, phone and tablet, of which the phone is revoked; Bob."""
    laptop = await log.user("ada")
    (created,) = await log.admit(laptop)
    phone = laptop.after.add(await log.anchor())
    await log.admit(phone)
    tablet = phone.after.add(await log.anchor(), phone.after.device(kind=DeviceKind.RECOVERY))
    (added,) = await log.admit(tablet)
    without = tablet.after.revoke(await log.anchor(), 1)
    (revoked,) = await log.admit(without)
    bob = await log.user("bob")
    await log.admit(bob)
    gone = tablet.after.devices[1].signing
    indices = (created.index, added.index, revoked.index)
    return Family(without.after, bob.after, *indices, gone, laptop.after.user_key)


async def box(
    log: Http, label: bytes, index: int, position: int, key: SigningKey, user: bytes = b""
) -> Answer:
    """A box of a user's chain, for whom `user` asks: that user, if it is nobody else."""
    request = wire.BoxRequest(user or label, user or label, label, index, position).encode()
    return await log.post(BOXES, signed(log, request, BOXES, key))


async def test_each_recipient_has_its_box_at_its_place(log: Http) -> None:
    """R-72.3, and R-55.4 on the client's side."""
    home = await family(log)
    laptop, tablet = home.ada.devices
    user_key = home.ada.user_key
    recipients = [laptop.encryption.public, tablet.encryption.public, user_key.public]
    revoke = await log.entry(home.revoke, (await log.checkpoint()).size)
    root = revoke_root(revoke)
    for position, (recipient, opener, secret) in enumerate(
        [
            (recipients[0], laptop.encryption, user_key),
            (recipients[1], tablet.encryption, user_key),
            (recipients[2], user_key, home.first_key),
        ]
    ):
        asker = tablet if position else laptop
        answer = await box(log, home.ada.label, home.revoke, position, asker.signing)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        found = wire.BoxAnswer.decode(answer.body)
        assert found.count == 3
        verify_box(recipient, found.box, position, 3, found.proof, root)
        assert open_box(found.box, opener, secret.public) == secret
    added = await box(log, home.ada.label, home.add, 0, tablet.signing)
    assert wire.BoxAnswer.decode(added.body).count == 1
    created = await box(log, home.ada.label, home.create, 0, laptop.signing)
    assert created.status == 200


def revoke_root(data: bytes) -> bytes:
    body = block.parse(entry.parse(data).body).body
    assert isinstance(body, DeviceRevoke)
    return body.box_root


async def test_whom_no_box_is_given(log: Http) -> None:
    """R-72.3: 403 to whom it does not concern, 404 to whom it may."""
    home = await family(log)
    laptop, tablet = home.ada.devices
    bobs = home.bob.devices[0]
    label = home.ada.label
    asked: dict[str, tuple[bytes, int, int, SigningKey, bytes]] = {
        "another user's device": (label, home.revoke, 0, bobs.signing, label),
        "another user for themself": (label, home.revoke, 0, bobs.signing, home.bob.label),
        "another user for her": (label, home.revoke, 0, laptop.signing, home.bob.label),
        "a revoked device": (label, home.revoke, 0, home.revoked, label),
        "a stranger": (label, home.revoke, 0, signing_key("stranger"), label),
        "the user's other device's box": (label, home.revoke, 0, tablet.signing, label),
        "a position that is not there": (label, home.revoke, 3, laptop.signing, label),
        "a label without a chain": (b"x" * 32, home.revoke, 0, laptop.signing, b"x" * 32),
        "the log's own label": (bytes(32), 0, 0, laptop.signing, bytes(32)),
    }
    for what, whose in asked.items():
        answer = await box(log, *whose)
        assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.3"), what
    size = (await log.checkpoint()).size
    for index in (size - 1, size, size + 1, 0, 2**63 - 1):
        answer = await box(log, label, index, 0, laptop.signing)
        assert (answer.status, answer.kind, answer.rule) == (404, "no-box", "R-72.3"), index
    assert (await box(log, label, home.revoke, 0, laptop.signing)).status == 200


async def test_a_closed_chain_has_no_devices_to_give_boxes_to(log: Http) -> None:
    ada = await log.user("ada")
    (created,) = await log.admit(ada)
    device = ada.after.devices[0]
    whose = (ada.after.label, created.index, 0, device.signing)
    assert (await box(log, *whose)).status == 200
    await log.admit(ada.after.close(await log.anchor()))
    assert (await box(log, *whose)).status == 403


Body = Callable[[Http, bytes, SigningKey], bytes]


def login_of(body: bytes) -> Login:
    return Authenticated.decode(body).login


def swapped(log: Http, request: bytes, key: SigningKey) -> bytes:
    """A login for one request, beside another."""
    other = wire.BoxRequest(bytes(32), bytes(32), bytes(32), 0, 0).encode()
    return rewrap(request, login_of(signed(log, other, BOXES, key)).envelope)


def as_block(log: Http, request: bytes, key: SigningKey) -> bytes:
    payload = login_of(signed(log, request, BOXES, key)).envelope.payload
    return encode([request, cose.sign(payload, [key], cose.BLOCK, log.actor.log_id)])


def doubly(log: Http, request: bytes, key: SigningKey) -> bytes:
    payload = login_of(signed(log, request, BOXES, key)).envelope.payload
    signers = [key, signing_key("another")]
    return encode([request, cose.sign(payload, signers, cose.LOGIN, log.actor.log_id)])


def bent(log: Http, request: bytes, key: SigningKey) -> bytes:
    envelope = login_of(signed(log, request, BOXES, key)).envelope
    (signature,) = envelope.signatures
    forged = signature[:-1] + bytes([signature[-1] ^ 1])
    return rewrap(request, replace(envelope, signatures=(forged,)))


def rewrap(request: bytes, envelope: cose.Envelope) -> bytes:
    pairs = list(zip(envelope.signers, envelope.signatures, strict=True))
    return encode([request, cose.build(envelope.payload, pairs)])


def aged(age: int) -> Body:
    """A login made `age` ms ago."""
    return lambda log, request, key: signed(log, request, BOXES, key, age=age)


def to(path: str) -> Body:
    """A login for a path."""
    return lambda log, request, key: signed(log, request, path, key)


def elsewhere(log: Http, request: bytes, key: SigningKey) -> bytes:
    """A login for another log."""
    return signed(log, request, BOXES, key, log_id=bytes(32))


LOGINS: dict[str, tuple[Body, int]] = {
    "now": (aged(0), 200),
    "4 minutes old": (aged(240_000), 200),
    "4 minutes early": (aged(-240_000), 200),
    "replayed after 5 minutes": (aged(300_001), 401),
    "far ahead": (aged(-310_000), 401),
    "a day old": (aged(DAY), 401),
    "another path": (to(LABELS), 401),
    "a longer path": (to(BOXES + "/"), 401),
    "another log": (elsewhere, 401),
    "another request": (swapped, 401),
    "another context": (as_block, 401),
    "two signatures": (doubly, 401),
    "a bent signature": (bent, 401),
}


@pytest.mark.parametrize(("body", "status"), LOGINS.values(), ids=LOGINS)
async def test_logins(log: Http, body: Body, status: int) -> None:
    """R-72.1: who asks is known, or 401."""
    ada = await log.user("ada")
    (created,) = await log.admit(ada)
    device = ada.after.devices[0]
    label = ada.after.label
    request = wire.BoxRequest(label, label, label, created.index, 0).encode()
    answer = await log.post(BOXES, body(log, request, device.signing))
    assert answer.status == status
    if status == 401:
        assert (answer.kind, answer.rule) == ("unauthenticated", "R-72.1")


async def test_identifiers_are_in_no_path_and_no_log_line(
    log: Http, capsys: pytest.CaptureFixture[str]
) -> None:
    """36-labels: not even when the request is refused, and so logged."""
    applicant = Applicant(log.actor, identifier="secret.person@example.org")
    expired = replace(applicant, expiry=1)
    assert (await ask(log, expired, expired.request())).status == 403
    assert (await ask(log, applicant, applicant.request())).status == 200
    captured = capsys.readouterr()
    assert "status=403" in captured.out
    assert "secret" not in captured.out + captured.err
    assert Delegation.parse(applicant.delegation()).commitment.hex() not in captured.out
