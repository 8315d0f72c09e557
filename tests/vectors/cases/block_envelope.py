"""The COSE envelope and its signatures (R-40), by bytes alone."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.format import cose
from ledger.format.keys import verifies
from tests.support.actors import LogActor, User, signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.crooked import ORDER_2, ORDER_4, ORDER_8, SMALL, CrookedKey, L, NoKey
from tests.vectors.draft import Draft, envelope, pairs_of, payload_of
from tests.vectors.world import World


def block_ok(name: str, shows: str, log: LogActor | None, raw: bytes) -> Case:
    """A case of kind `block`. Without a log it is its first block."""
    return ok("block", name, shows, log_id=log.log_id.hex() if log else None, bytes=raw.hex())


def block_bad(
    name: str,
    rule: str,
    nearest: str,
    shows: str,
    log: LogActor | None,
    raw: bytes,
    covers: tuple[str, ...] = (),
) -> Case:
    """A case of kind `block` that is refused."""
    log_id = log.log_id.hex() if log else None
    given = {"log_id": log_id, "bytes": raw.hex()}
    return bad("block", name, rule, nearest, shows, given, covers=covers)


def cases() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    add = world.draft(ada.add(world.anchor))
    yield block_ok("add", "A device.add with both its signatures.", world.actor, add.raw)
    yield from spellings(world.actor, add)
    yield from counts(world.actor, add)
    yield from signatures(world, ada, add)
    yield from sides(world.actor, add)
    yield from crooked(world.actor, add)


def spellings(log: LogActor, add: Draft) -> Iterator[Case]:
    raw, length = add.raw, len(add.payload)
    head = raw[:5]
    assert raw[5:7] == bytes([0x58, length])
    payload, behind = raw[7:], raw[7 + length :]
    for name, shows, changed in (
        ("empty", "Nothing at all.", b""),
        ("no-tag", "No tag.", raw[2:]),
        ("tag-sign1", "The tag of COSE_Sign1.", b"\xd2" + raw[2:]),
        ("tag-wide", "The tag in three bytes.", b"\xd9\x00\x62" + raw[2:]),
        ("array-indefinite", "An array of indefinite length.", b"\xd8\x62\x9f" + raw[3:]),
        ("body-protected", "An encoded empty map.", b"\xd8\x62\x84\x41\xa0" + raw[4:]),
        ("body-unprotected", "An unprotected header.", head[:4] + b"\xa1\x01\x27" + raw[5:]),
        ("payload-wide", "Its length in two bytes.", head + bytes([0x59, 0, length]) + payload),
        ("payload-beyond", "Longer than the input.", head + b"\x59\xff\xff" + payload),
        ("payload-detached", "No payload: null.", head + b"\xf6" + behind),
        ("payload-array", "The payload as an array, not as bytes.", head + payload),
        ("trailing", "A byte follows the last signature.", raw + b"\x00"),
        ("cut", "The last byte is missing.", raw[:-1]),
    ):
        yield block_bad(f"envelope-{name}", "R-40.1", "add", shows, log, changed)
    yield from signature_items(log, raw)


def signature_items(log: LogActor, raw: bytes) -> Iterator[Case]:
    """Other spellings of the first of two signatures."""
    before, item, last = raw[:-216], raw[-216:-108], raw[-108:]
    kid, signature = item[9:41], item[-64:]
    for name, shows, spelled in (
        ("order", "The kid before the algorithm.", "835826 a2 045820{kid} 0127 a0 5840{sig}"),
        ("algorithm", "The algorithm of ES256.", "835826 a2 0126 045820{kid} a0 5840{sig}"),
        ("no-algorithm", "A kid alone.", "835824 a1 045820{kid} a0 5840{sig}"),
        ("protected-wide", "A head too long.", "83590026 a2 0127 045820{kid} a0 5840{sig}"),
        ("kid-short", "A kid of 31 bytes.", "835825 a2 0127 04581f{short} a0 5840{sig}"),
        ("unprotected", "An unprotected header.", "835826 a2 0127 045820{kid} a10127 5840{sig}"),
        ("long", "A signature of 65 bytes.", "835826 a2 0127 045820{kid} a0 5841{sig}00"),
        ("array-of-4", "An array of four.", "845826 a2 0127 045820{kid} a0 5840{sig}"),
    ):
        parts = {"kid": kid.hex(), "short": kid[1:].hex(), "sig": signature.hex()}
        changed = before + bytes.fromhex(spelled.format(**parts)) + last
        yield block_bad(f"signature-{name}", "R-40.1", "add", shows, log, changed)


def counts(log: LogActor, add: Draft) -> Iterator[Case]:
    more = [signing_key("more", number) for number in range(3)]
    four = add.by(*add.signers, *more[:2])
    shows = "Four signatures: well-formed, whatever the rules say to it."
    yield block_ok("four-signatures", shows, log, four.raw)
    five = add.by(*add.signers, *more)
    shows = "Five signatures."
    yield block_bad("five-signatures", "R-40.2", "four-signatures", shows, log, five.raw)
    yield block_bad("no-signature", "R-40.2", "add", "No signature.", log, add.by().raw)
    said = envelope(add.payload, add.pairs)
    at = len(said) - 217
    less = said[:at] + b"\x81" + said[at + 1 :]
    shows = "An array of one signature, followed by a second one."
    yield block_bad("count-less", "R-40.1", "add", shows, log, less)
    more_said = said[:at] + b"\x83" + said[at + 1 :]
    shows = "An array of three signatures that holds two."
    yield block_bad("count-more", "R-40.1", "add", shows, log, more_said)
    twice = add.by(add.signers[0], add.signers[0])
    shows = "Two signatures of one key."
    yield block_bad("kid-twice", "R-40.3", "add", shows, log, twice.raw)


def signatures(world: World, ada: User, add: Draft) -> Iterator[Case]:
    log, (one, two) = world.actor, add.pairs

    def wrong(name: str, shows: str, raw: bytes) -> Case:
        return block_bad(f"signed-{name}", "R-40.4", "add", shows, log, raw)

    flipped = bytes([one[1][0] ^ 1]) + one[1][1:]
    changed = envelope(add.payload, [(one[0], flipped), two])
    yield wrong("flipped-r", "One bit of R is flipped.", changed)
    changed = envelope(add.payload, [one, (two[0], two[1][:32] + bytes(32))])
    yield wrong("zero-s", "S is zero.", changed)
    s = (int.from_bytes(two[1][32:], "little") + L).to_bytes(32, "little")
    changed = envelope(add.payload, [one, (two[0], two[1][:32] + s)])
    yield wrong("s-plus-l", "S + L: the equation holds, and S is not below the order.", changed)
    other = add.at(6, 2, to=bytes([1] * 32))
    changed = envelope(other.payload, add.pairs)
    yield wrong("changed", "The box root was changed after signing.", changed)
    changed = envelope(add.payload, [(one[0], two[1]), (two[0], one[1])])
    yield wrong("swapped", "Each kid with the other's signature.", changed)
    changed = envelope(add.payload, [one, (signing_key("thief").public, two[1])])
    yield wrong("kid-replaced", "The second kid is replaced, its signature stays.", changed)
    elsewhere = ada.add(world.anchor, author=1)
    last = pairs_of(elsewhere.raw)[1]
    assert last[0] == two[0]
    changed = envelope(add.payload, [one, last])
    yield wrong("recombined", "The second signature is from another block of the device.", changed)
    assert payload_of(elsewhere.raw) != add.payload


def sides(log: LogActor, add: Draft) -> Iterator[Case]:
    other = LogActor.make("example.com/other").after

    def wrong(name: str, shows: str, raw: bytes) -> Case:
        return block_bad(f"signed-{name}", "R-40.4", "add", shows, log, raw)

    yield wrong("other-log", "Signed for another log.", add.under(log_id=other.log_id).raw)
    yield wrong("no-log", "Signed for no log: 32 zero bytes.", add.under(log_id=bytes(32)).raw)
    others = (cose.DELEGATION, cose.LOGIN, cose.STATEMENT, cose.LEAVE, cose.GRANT, cose.HEADER)
    for context in others:
        shows = f"Signed in the context {context}."
        yield wrong(f"as-{context.rpartition('/')[2]}", shows, add.under(context).raw)
    yield wrong("as-v2", "Signed in another version's context.", add.under("keyroll/v2/block").raw)
    aad = cose.aad(cose.BLOCK, log.log_id)

    def signed(by: cose.Signer, old: bytes, new: bytes) -> tuple[bytes, bytes]:
        message = cose.to_be_signed(add.payload, by.public, aad)
        assert message.count(old) == 1
        return by.public, by.sign(message.replace(old, new))

    first, second = add.signers
    one = signed(first, b"\x85\x69Signature\x40", b"\x84\x6aSignature1")
    changed = envelope(add.payload, [one, add.pairs[1]])
    yield wrong("as-sign1", "The Sig_structure of COSE_Sign1.", changed)
    two = signed(second, b"\x58\x30" + aad, b"\x40")
    changed = envelope(add.payload, [add.pairs[0], two])
    yield wrong("no-aad", "Signed without external_aad.", changed)
    bare = second.sign(add.payload)
    changed = envelope(add.payload, [add.pairs[0], (second.public, bare)])
    yield wrong("bare", "A signature over the bare payload.", changed)


def crooked(log: LogActor, add: Draft) -> Iterator[Case]:
    """R-15.3, where implementations differ."""
    author = add.signers[0]
    honest = CrookedKey.mixed(twist=(1).to_bytes(32, "little"))
    draft = add.at(6, 1, 0, to=honest.public).by(author, honest)
    shows = "The new device's key is an honest one, its signature made with a nonce of our choice."
    yield block_ok("key-plain", shows, log, draft.raw)
    for name, twist in (("2", ORDER_2), ("4", ORDER_4), ("8", ORDER_8)):
        key = CrookedKey.mixed(twist)
        mixed = add.at(6, 1, 0, to=key.public).by(author, key)
        shows = (
            f"A device key with a part of order {name}: its signature verifies without cofactor."
        )
        yield block_ok(f"key-mixed-order-{name}", shows, log, mixed.raw)
        shows = "The same key, with a signature that verifies only with the cofactor."
        raw = envelope(mixed.payload, [mixed.pairs[0], cofactored(key, mixed, log)])
        name_of = f"key-mixed-order-{name}"
        yield block_bad(f"{name_of}-cofactor", "R-40.4", name_of, shows, log, raw)
        message = cose.to_be_signed(draft.payload, honest.public, cose.aad(cose.BLOCK, log.log_id))
        pair = honest.public, honest.sign_with(message, 1, twist)
        raw = envelope(draft.payload, [draft.pairs[0], pair])
        shows = f"R with a part of order {name}: it verifies only with the cofactor."
        name = f"signed-r-order-{name}"
        yield block_bad(name, "R-40.4", "key-plain", shows, log, raw)
    for name, point in SMALL.items():
        raw = add.at(6, 1, 0, to=point).by(author, NoKey(point)).raw
        shows = f"The device's key is of small order, {name.replace('-', ' ')}: anybody can sign."
        yield block_bad(f"key-{name}", "R-40.4", "key-plain", shows, log, raw)


def cofactored(key: CrookedKey, draft: Draft, log: LogActor) -> tuple[bytes, bytes]:
    """Kid and signature by a key of mixed order, right but for what is of small order."""
    aad = cose.aad(cose.BLOCK, log.log_id)
    message = cose.to_be_signed(draft.payload, key.public, aad)
    signatures = (key.sign_with(message, number) for number in range(1, 255))
    return key.public, next(s for s in signatures if not verifies(key.public, message, s))
