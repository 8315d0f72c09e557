"""Boxes: what a server asks of them, and what a recipient does (R-55)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.format.keys import EncryptionKey
from ledger.seal.boxes import box_proof, box_root
from tests.support.actors import encryption_key, sealed
from tests.vectors.case import Case, Json, bad, ok

DEVICES = [encryption_key("device", number) for number in range(3)]
USER, OLD = encryption_key("user", 1), encryption_key("user", 0)
RECIPIENTS = [*(device.public for device in DEVICES), USER.public]
BOXES = [
    *(sealed(USER.secret, device.public) for device in DEVICES),
    sealed(OLD.secret, USER.public),
]
ROOT = box_root(RECIPIENTS, BOXES)


def cases() -> Iterator[Case]:
    yield from admission()
    yield from receipt()


def handed(
    boxes: Sequence[bytes], recipients: Sequence[bytes] = RECIPIENTS, root: bytes = ROOT
) -> dict[str, Json]:
    return {
        "recipients": [key.hex() for key in recipients],
        "boxes": [box.hex() for box in boxes],
        "box_root": root.hex(),
    }


def admission() -> Iterator[Case]:
    shows = "A device.revoke's boxes: three devices, then the user key."
    yield ok("boxes", "revoke", shows, handed(BOXES))
    one = box_root(RECIPIENTS[:1], BOXES[:1])
    shows = "A device.add's one box: the root is its leaf."
    yield ok("boxes", "add", shows, handed(BOXES[:1], RECIPIENTS[:1], one))
    again = sealed(USER.secret, encryption_key("foreign").public)
    short = [*BOXES[:3], BOXES[3][:-1]]
    changes: list[tuple[str, str, str, dict[str, Json]]] = [
        ("missing", "R-55.3", "The last box is missing.", handed(BOXES[:3])),
        ("extra", "R-55.3", "One box too many.", handed([*BOXES, BOXES[0]])),
        ("none", "R-55.3", "No boxes.", handed([])),
        ("twice", "R-55.3", "The first box twice.", handed([BOXES[0], *BOXES[:1], *BOXES[2:]])),
        ("swapped", "R-55.3", "Two boxes swapped.", handed([BOXES[1], BOXES[0], *BOXES[2:]])),
        ("foreign", "R-55.3", "A box for somebody else.", handed([again, *BOXES[1:]])),
        ("other-root", "R-55.3", "Another box root.", handed(BOXES, root=bytes([1] * 32))),
        (
            "other-order",
            "R-55.3",
            "Boxes and root in another order than the recipients.",
            handed(BOXES[::-1], root=box_root(RECIPIENTS[::-1], BOXES[::-1])),
        ),
        ("short", "R-55.2", "A box of 79 bytes.", handed(short, root=box_root(RECIPIENTS, short))),
    ]
    for name, rule, shows, given in changes:
        covers = ("R-55.1",) if name in ("other-order", "swapped") else ()
        yield bad("boxes", name, rule, "revoke", shows, given, covers=covers)


def received(position: int, key: EncryptionKey, expected: bytes) -> dict[str, Json]:
    proof = box_proof(RECIPIENTS, BOXES, position)
    return {
        "box": BOXES[position].hex(),
        "box_root": ROOT.hex(),
        "position": position,
        "count": len(BOXES),
        "proof": [one.hex() for one in proof],
        "secret": key.secret.hex(),
        "expected": expected.hex(),
    }


def receipt() -> Iterator[Case]:
    device = received(1, DEVICES[1], USER.public)
    yield ok("box", "device", "The second device takes the new user key.", device)
    shows = "Whoever holds the new user key opens the one before."
    yield ok("box", "old-user-key", shows, received(3, USER, OLD.public))
    shows = "The box opens, and holds another key than the chain names."
    wrong = received(1, DEVICES[1], OLD.public)
    yield bad("box", "other-key", "R-55.4", "device", shows, wrong, verdict="malformed")
    proofs: list[tuple[str, str, dict[str, Json]]] = [
        ("other-position", "Another device's position.", {"position": 0}),
        ("other-count", "Another count.", {"count": 2}),
        ("other-root", "Another box root.", {"box_root": bytes([1] * 32).hex()}),
        ("other-box", "Another device's box.", {"box": BOXES[0].hex()}),
        ("no-proof", "An empty proof.", {"proof": []}),
    ]
    for name, shows, change in proofs:
        given = {**device, **change}
        yield bad("box", name, "R-20.3", "device", shows, given, covers=("R-55.4",))
    broken = bytearray(BOXES[1])
    broken[-1] ^= 1
    boxes = [BOXES[0], bytes(broken), *BOXES[2:]]
    proof: Json = [one.hex() for one in box_proof(RECIPIENTS, boxes, 1)]
    root = box_root(RECIPIENTS, boxes).hex()
    given = {**device, "box": bytes(broken).hex(), "box_root": root, "proof": proof}
    shows = "The box that the block commits to does not open: its author meant harm."
    yield bad("box", "does-not-open", "R-55.4", "device", shows, given, verdict="malformed")
