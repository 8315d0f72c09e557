"""The COSE envelope and its signatures (R-40), by bytes alone."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.format import cose
from tests.support.actors import LogActor, User, signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.crooked import ORDER_2, ORDER_4, ORDER_8, CrookedKey, L
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
    raw = add.raw
    length = len(add.payload)
    assert raw[5:7] == bytes([0x58, length])
    kid = pairs_of(raw)[0][0]
    swaps: list[tuple[str, bytes, bytes, str]] = [
        ("tag-sign1", raw[:2], bytes.fromhex("d2"), "The tag of COSE_Sign1."),
        ("tag-wide", raw[:2], bytes.fromhex("d90062"), "The tag in three bytes."),
        ("no-tag", raw[:2], b"", "No tag."),
        ("array-indefinite", raw[:3], bytes.fromhex("d8629f"), "An array of indefinite length."),
        ("body-protected", raw[:4], bytes.fromhex("d8628441a0"), "An encoded empty map."),
        (
            "body-unprotected",
            raw[:5],
            bytes.fromhex("d8628440a10127"),
            "Something in the body's unprotected header.",
        ),
        (
            "payload-wide",
            raw[:7],
            raw[:5] + bytes([0x59, 0, length]),
            "The payload's length in two bytes, where one is enough.",
        ),
        ("payload-detached", raw[: 7 + length], raw[:5] + b"\xf6", "No payload: null."),
        ("payload-array", raw[:7], raw[:5], "The payload stands there as an array, not as bytes."),
        ("empty", raw, b"", "Nothing at all."),
    ]
    for name, old, new, shows in swaps:
        changed = new + raw.removeprefix(old)
        yield block_bad(f"envelope-{name}", "R-40.1", "add", shows, log, changed)
    item = raw[-108:]
    right = bytes.fromhex("835826a20127045820") + kid
    headers: list[tuple[str, str, str]] = [
        ("order", "835826a2045820" + kid.hex() + "0127", "The kid before the algorithm."),
        ("algorithm", "835826a20126045820" + kid.hex(), "The algorithm of ES256."),
        ("no-algorithm", "835824a1045820" + kid.hex(), "A kid alone."),
        ("protected-wide", "83590026a20127045820" + kid.hex(), "A head longer than needed."),
        ("kid-short", "835825a2012704581f" + kid.hex()[2:], "A kid of 31 bytes."),
        ("array-of-4", "845826a20127045820" + kid.hex(), "An array of four."),
    ]
    first = raw[:-216]
    for name, spelled, shows in headers:
        changed = first + bytes.fromhex(spelled) + raw[-216:-108].removeprefix(right) + item
        yield block_bad(f"signature-{name}", "R-40.1", "add", shows, log, changed)
    unprotected = first + raw[-216:-108].replace(b"\xa0\x58\x40", b"\xa1\x01\x27\x58\x40") + item
    shows = "Something in a signature's unprotected header."
    yield block_bad("signature-unprotected", "R-40.1", "add", shows, log, unprotected)
    shows = "A signature of 65 bytes."
    long = first + raw[-216:-108].replace(b"\xa0\x58\x40", b"\xa0\x58\x41") + b"\x00" + item
    yield block_bad("signature-long", "R-40.1", "add", shows, log, long)
    shows = "A byte follows the last signature."
    yield block_bad("envelope-trailing", "R-40.1", "add", shows, log, raw + b"\x00")
    shows = "The last byte is missing."
    yield block_bad("envelope-cut", "R-40.1", "add", shows, log, raw[:-1])


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
    for context in (cose.DELEGATION, cose.LOGIN, cose.STATEMENT, cose.HEADER):
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
    """R-15.3 and R-15.1, where implementations differ."""
    author = add.signers[0]
    honest = CrookedKey.mixed(twist=(1).to_bytes(32, "little"))
    draft = add.at(6, 1, 0, to=honest.public).by(author, honest)
    shows = "The new device's key is an honest one, its signature made with a nonce of our choice."
    yield block_ok("key-plain", shows, log, draft.raw)
    for name, twist in (("2", ORDER_2), ("4", ORDER_4), ("8", ORDER_8)):
        key = CrookedKey.mixed(twist)
        mixed = add.at(6, 1, 0, to=key.public).by(author, key)
        shows = (
            f"A device key with a part of order {name}. Its signature verifies without cofactor."
        )
        yield block_bad(f"key-mixed-order-{name}", "R-15.1", "key-plain", shows, log, mixed.raw)
        message = cose.to_be_signed(draft.payload, honest.public, cose.aad(cose.BLOCK, log.log_id))
        pair = honest.public, honest.sign_with(message, 1, twist)
        raw = envelope(draft.payload, [draft.pairs[0], pair])
        shows = f"R with a part of order {name}: it verifies only with the cofactor."
        name = f"signed-r-order-{name}"
        yield block_bad(name, "R-40.4", "key-plain", shows, log, raw)
