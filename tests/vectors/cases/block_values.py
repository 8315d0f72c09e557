"""Values inside bodies: keys, limits, delegations (R-15, R-10.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.format.bodies import Delegation
from tests.support.actors import LogActor, User, seed
from tests.vectors.case import Case
from tests.vectors.cases.block_envelope import block_bad, block_ok
from tests.vectors.cases.keys import LOW_ORDER_U, NOT_POINTS
from tests.vectors.crooked import ORDER_8, CrookedKey, NoKey, P
from tests.vectors.draft import Draft, Keyring, envelope
from tests.vectors.world import BOB, World, label_of


def cases() -> Iterator[Case]:
    yield from first_blocks()
    yield from entering()
    yield from delegations()


def first_blocks() -> Iterator[Case]:
    founding = LogActor.make()
    draft = Draft.of(founding.raw, Keyring(founding.after))
    yield block_ok("log-create", "The first block of a log.", None, draft.raw)
    shows = "A first block is signed for 32 zero bytes, whatever log follows."
    raw = draft.under(log_id=founding.after.log_id).raw
    yield block_bad("log-create-own-id", "R-40.4", "log-create", shows, None, raw)
    for name, low, high, *path in (
        ("max-block-bytes", 1_024, 16_384, 7, 0),
        ("max-devices", 1, 64, 7, 1),
        ("max-members", 1, 4_096, 7, 2),
        ("max-blocks-per-day", 1, 65_535, 7, 3),
        ("max-retired", 16, 65_535, 7, 4),
        ("heartbeat", 1_000, 86_400_000, 8),
        ("witnesses", 0, 32, 9, 0),
        ("auditors", 0, 32, 9, 1),
        ("max-age", 1_000, 604_800_000, 9, 2),
    ):
        yield from bounds(draft, name, low, high, path)
    wrong: list[tuple[str, tuple[int, ...], Any, str]] = [
        ("six-limits", (7,), [4_096, 16, 1_000, 100, 64, 1], "Six limits."),
        ("four-limits", (7,), [4_096, 16, 1_000, 100], "Four limits."),
        ("two-demands", (9,), [0, 0], "Two demands."),
        ("nonce-31", (1,), bytes(31), "A nonce of 31 bytes."),
        ("origin-bytes", (0,), b"example.com/log", "The origin as a byte string."),
        ("enrolment-31", (3,), bytes(31), "A key of 31 bytes."),
    ]
    for name, place, value, shows in wrong:
        raw = draft.at(6, *place, to=value).raw
        name = f"log-create-{name}"
        yield block_bad(name, "R-10.4", "log-create", shows, None, raw, ("R-41.2",))
    yield from founding_keys(draft)


def bounds(draft: Draft, name: str, low: int, high: int, path: list[int]) -> Iterator[Case]:
    """Both ends of a range, in a log of its own."""
    draft = draft.at(6, 1, to=seed(name))
    for end, value, outside in (("least", low, low - 1), ("most", high, high + 1)):
        title = f"log-create-{name}-{end}"
        shows = f"The {end} {name}: {value:,}."
        yield block_ok(title, shows, None, draft.at(6, *path, to=value).raw)
        if outside >= 0:
            shows = f"{name} of {outside:,}."
            raw = draft.at(6, *path, to=outside).raw
            yield block_bad(f"{title}-beyond", "R-10.4", title, shows, None, raw, ("R-41.2",))


def founding_keys(draft: Draft) -> Iterator[Case]:
    mixed = CrookedKey.mixed().public
    keys = {"mixed-order": mixed, **NOT_POINTS}
    for place, role in ((3, "enrolment"), (5, "vrf"), (6, "authority")):
        for name, key in keys.items() if role == "enrolment" else [("mixed-order", mixed)]:
            shows = f"The {role} key is no acceptable one: {name.replace('-', ' ')}."
            raw = draft.at(6, place, to=key).raw
            name = f"log-create-{role}-{name}"
            yield block_bad(name, "R-15.1", "log-create", shows, None, raw)


def entering() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    log = world.actor
    add = world.draft(ada.add(world.anchor))
    revoke = world.draft(ada.revoke(world.anchor, 1))
    reset = world.draft(ada.reset(log, world.anchor))
    high = bytearray(add.value[6][1][1])
    high[31] |= 0x80
    bad = {**LOW_ORDER_U, "top-bit": bytes(high), "p-plus-9": (P + 9).to_bytes(32, "little")}
    for name, key in bad.items():
        shows = f"The device's encryption key is no acceptable one: {name.replace('-', ' ')}."
        raw = add.at(6, 1, 1, to=key).raw
        yield block_bad(f"add-encryption-{name}", "R-15.2", "add", shows, log, raw)
    nine = add.at(6, 1, 1, to=(9).to_bytes(32, "little"))
    yield block_ok("add-encryption-9", "The base point's u, 9, is one.", log, nine.raw)
    zero = bytes(32)
    shows = "The new user key is zero."
    yield block_bad(
        "revoke-user-key-0", "R-15.2", "revoke", shows, log, revoke.at(6, 2, to=zero).raw
    )
    yield block_bad("reset-user-key-0", "R-15.2", "reset", shows, log, reset.at(6, 2, to=zero).raw)
    ephemeral, authority, _ = reset.signers
    crooked = CrookedKey.mixed()
    raw = reset.at(6, 1, 0, to=crooked.public).by(ephemeral, authority, crooked).raw
    shows = "The first device's signing key is of mixed order, and its signature verifies."
    yield block_ok("reset-mixed-order", shows, log, raw)
    nobody = NoKey(ORDER_8)
    raw = reset.at(6, 1, 0, to=nobody.public).by(ephemeral, authority, nobody).raw
    shows = "The first device's signing key is of small order: anybody can sign."
    yield block_bad("reset-small-order", "R-40.4", "reset", shows, log, raw)
    policy = Draft.of(log.policy(world.anchor, enrolment=log.authority).raw, Keyring(log))
    raw = policy.at(6, 1, to=crooked.public).by(log.app_root, log.log_key, crooked).raw
    shows = "The new enrolment key is of mixed order, and its signature verifies."
    yield block_bad("policy-mixed-order", "R-15.1", "policy", shows, log, raw)


def delegations() -> Iterator[Case]:
    world = World()
    log = world.actor
    created = User.create(log, BOB, world.anchor, label=label_of(BOB))
    draft = world.draft(created)
    parsed = Delegation.parse(draft.value[6][0])
    right = Draft.of_delegation(parsed, world.keys)

    def around(delegation: bytes | Draft) -> bytes:
        raw = delegation if isinstance(delegation, bytes) else delegation.raw
        return draft.at(6, 0, to=raw).raw

    def bad(name: str, rule: str, shows: str, delegation: bytes | Draft) -> Case:
        raw = around(delegation)
        return block_bad(f"delegation-{name}", rule, "create", shows, log, raw)

    shows = "The delegation's signature is broken."
    pairs = [(right.pairs[0][0], bytes(64))]
    yield bad("unsigned", "R-52.5", shows, envelope(right.payload, pairs))
    yield bad("trailing", "R-40.1", "A byte follows the delegation.", right.raw + b"\x00")
    yield bad("empty", "R-40.1", "An empty delegation.", b"")
    yield bad("no-signature", "R-40.2", "A delegation without signature.", right.by())
    fields: list[tuple[str, int, Any, str]] = [
        ("log-id-31", 0, bytes(31), "A log id of 31 bytes."),
        ("purpose-2", 1, 2, "Purposes are 0 and 1."),
        ("commitment-null", 2, None, "No commitment."),
        ("ephemeral-31", 3, bytes(31), "An ephemeral key of 31 bytes."),
        ("epoch-2-32", 4, 2**32, "An epoch of 2^32."),
        ("expiry-2-53", 5, 2**53, "An expiry of 2^53."),
        ("expiry-text", 5, "tomorrow", "An expiry as text."),
    ]
    for name, place, value, shows in fields:
        yield bad(name, "R-10.4", shows, right.at(place, to=value))
    seven = right.encoded(right.payload.replace(b"\x86", b"\x87", 1) + b"\xf6")
    yield bad("seven-fields", "R-10.4", "A delegation has six fields.", seven)
    wide = right.encoded(right.payload[:-9] + b"\x1b" + right.payload[-8:] + b"\x00")
    yield bad("payload-trailing", "R-10.2", "A byte follows the delegation's array.", wide)
    shows = "A delegation as an array, not as a byte string."
    inline = draft.at(6, 0, to=[right.value]).raw
    name, covers = "delegation-inline", ("R-41.2",)
    yield block_bad(name, "R-10.4", "create", shows, log, inline, covers)
