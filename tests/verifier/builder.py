"""Builds logs by hand, honest ones and others, straight from the specs.

Nothing of the verifier takes part: bytes are spelt with cbor2 and PyNaCl, states are plain lists,
the directory is the recursion of R-30.3.

    log = BuiltLog()                      # log.create and its directory root
    alice = User(log)
    log.batch(alice.create())
    log.batch(alice.add(), bob.create())
    log.write(directory)                  # in the layout of C2SP tlog-tiles

Every draft takes overrides, to break one thing: fields of the body by name, `signers`, and the
payload's own fields (`seq`, `prev`, `anchor`, `label`, `kind`, `version`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
from nacl.signing import SigningKey

ZERO = bytes(32)
DAY = 86_400_000
START = 1_760_000_000_000
LIMITS = [16_384, 8, 1_000, 1_000, 64]
HEARTBEAT = 60_000
DEMANDS = [0, 0, 604_800_000]

State = list[Any]


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


def prefix_tree(items: Sequence[tuple[bytes, bytes]], depth: int = 0) -> bytes:
    """R-30.3, as it is written there, over (label, leaf) pairs."""
    if not items:
        return ZERO
    if len(items) == 1:
        return items[0][1]
    halves: tuple[list[tuple[bytes, bytes]], ...] = ([], [])
    for item in items:
        halves[item[0][depth // 8] >> (7 - depth % 8) & 1].append(item)
    left, right = (prefix_tree(half, depth + 1) for half in halves)
    return sha256(b"\x03" + left + right).digest()


def directory_root(leaves: dict[bytes, bytes]) -> bytes:
    return prefix_tree(sorted(leaves.items()))


def protected(kid: bytes) -> bytes:
    return bytes.fromhex("a2012704 5820") + kid


def sign(key: SigningKey, payload: bytes, aad: bytes) -> bytes:
    """One signature of a COSE_Sign (RFC 9052 §4.4), as the array it is."""
    kid = bytes(key.verify_key)
    message = cbor2.dumps(["Signature", b"", protected(kid), aad, payload])
    return cbor2.dumps([protected(kid), {}, key.sign(message).signature])


def envelope(payload: bytes, signers: Sequence[SigningKey], context: bytes, log_id: bytes) -> bytes:
    head = bytes.fromhex("d8628440a0") + cbor2.dumps(payload) + bytes([0x80 + len(signers)])
    return head + b"".join(sign(key, payload, context + log_id) for key in signers)


@dataclass(frozen=True, slots=True)
class Draft:
    """A block to admit, and what its chain's state is afterwards."""

    data: bytes
    label: bytes
    after: Callable[[int, int], State]


@dataclass(slots=True)
class Chain:
    length: int
    accumulator: bytes
    state: State


@dataclass(slots=True)
class Keys:
    """Keys in an endless row, the same for the same seed."""

    seed: str
    count: int = 0

    def raw(self) -> bytes:
        self.count += 1
        return sha256(f"{self.seed} {self.count}".encode()).digest()

    def ed25519(self) -> SigningKey:
        return SigningKey(self.raw())

    def x25519(self) -> bytes:
        return bytes([*self.raw()[:31], 0x55])


def public(key: SigningKey | bytes) -> bytes:
    return key if isinstance(key, bytes) else bytes(key.verify_key)


@dataclass(slots=True)
class Device:
    signing: SigningKey
    encryption: bytes


class BuiltLog:
    """A log under construction. `entries` are its leaves' data, `bounds` (time, root) by size."""

    def __init__(
        self,
        seed: str = "log",
        *,
        limits: Sequence[int] = LIMITS,
        demands: Sequence[int] = DEMANDS,
        **body: Any,
    ) -> None:
        self.keys = Keys(seed)
        self.app_root, self.enrolment, self.log_key, self.vrf_key, self.authority = (
            self.keys.ed25519() for _ in range(5)
        )
        self.origin = "log.example/built"
        self.limits = list(limits)
        self.demands = list(demands)
        self.entries: list[bytes] = []
        self.leaves: list[bytes] = []
        self.bounds: dict[int, tuple[int, bytes]] = {}
        self.chains: dict[bytes, Chain] = {}
        self.time = START
        self.held: dict[bytes, bytes] = {}  # the directory's leaves, by label
        self.statements: dict[int, bytes] = {}  # by leaf index
        self.log_id = ZERO
        first = self.create(**body)
        self.log_id = sha256(first.data).digest()
        self.batch(first)

    def create(self, signers: Sequence[SigningKey] | None = None, **body: Any) -> Draft:
        fields: dict[str, Any] = {
            "origin": self.origin,
            "nonce": self.keys.raw(),
            "app_root": public(self.app_root),
            "enrolment": public(self.enrolment),
            "log_key": public(self.log_key),
            "vrf_key": public(self.vrf_key),
            "authority": public(self.authority),
            "limits": self.limits,
            "heartbeat": HEARTBEAT,
            "demands": self.demands,
        }
        frame = {name: body.pop(name) for name in list(body) if name not in fields}
        fields |= body
        self.origin = fields["origin"]
        signers = signers or [self.app_root, self.log_key]
        data = self.next(ZERO, 0, list(fields.values()), signers, frame)
        head = sha256(data).digest()
        origin, _nonce, *rest = fields.values()
        return Draft(data, ZERO, lambda index, time: [0, head, index, time, origin, *rest, b""])

    def policy(
        self,
        app_root: SigningKey | None = None,
        enrolment: SigningKey | None = None,
        limits: Sequence[int] | None = None,
        signers: Sequence[SigningKey] | None = None,
        **frame: Any,
    ) -> Draft:
        state = self.chains[ZERO].state
        new = [key for key in (app_root, enrolment) if key is not None]
        retired = b"".join(
            public(old)
            for old, key in ((self.app_root, app_root), (self.enrolment, enrolment))
            if key is not None
        )
        body = [
            public(app_root or self.app_root),
            public(enrolment or self.enrolment),
            list(limits or self.limits),
        ]
        signed = signers or [self.app_root, self.log_key, *new]
        data = self.next(ZERO, 1, body, signed, frame)
        head = sha256(data).digest()
        self.app_root, self.enrolment = app_root or self.app_root, enrolment or self.enrolment
        self.limits = list(limits or self.limits)

        def after(index: int, time: int) -> State:
            return [
                *(0, head, index, *state[3:5], body[0], body[1], *state[7:10], body[2]),
                *(*state[11:13], state[13] + retired),
            ]

        return Draft(data, ZERO, after)

    def next(
        self,
        label: bytes,
        kind: int,
        body: list[Any],
        signers: Sequence[SigningKey],
        frame: dict[str, Any],
    ) -> bytes:
        """The next block of a chain, anchored at the newest tree."""
        chain = self.chains.get(label)
        fields: dict[str, Any] = {
            "kind": kind,
            "label": label,
            "seq": chain.length if chain else 0,
            "prev": chain.state[1] if chain else ZERO,
            "anchor": self.anchor(),
            "body": body,
            "signers": signers,
        }
        return self.block(**(fields | frame))

    def block(
        self,
        *,
        kind: int,
        label: bytes,
        seq: int,
        prev: bytes,
        anchor: list[Any],
        body: list[Any],
        signers: Sequence[SigningKey],
        version: int = 1,
        context: bytes = b"keyroll/v1/block",
        log_id: bytes | None = None,
    ) -> bytes:
        payload = cbor2.dumps([version, kind, label, seq, prev, anchor, body])
        return envelope(payload, signers, context, self.log_id if log_id is None else log_id)

    def anchor(self, back: int = 0) -> list[Any]:
        """That of the newest tree but `back`."""
        if not self.bounds:
            return [0, sha256(b"").digest()]
        size = list(self.bounds)[-1 - back]
        return [size, self.bounds[size][1]]

    def delegation(
        self,
        ephemeral: SigningKey,
        commitment: bytes,
        *,
        purpose: int = 0,
        epoch: int = 0,
        expiry: int | None = None,
        log_id: bytes | None = None,
        signers: Sequence[SigningKey] | None = None,
        context: bytes = b"keyroll/v1/delegation",
    ) -> bytes:
        fields = [
            self.log_id if log_id is None else log_id,
            purpose,
            commitment,
            public(ephemeral),
            epoch,
            self.time + DAY if expiry is None else expiry,
        ]
        signers = [self.enrolment] if signers is None else signers
        return envelope(cbor2.dumps(fields), signers, context, self.log_id)

    def batch(self, *drafts: Draft, after: int = 1_000, root: bytes | None = None) -> int:
        """Admits the drafts and closes the batch, `after` ms later; the new size."""
        self.time += after if self.entries else 0
        for draft in drafts:
            self.admit(draft)
        return self.close(root)

    def admit(self, draft: Draft, time: int | None = None) -> None:
        time = self.time if time is None else time
        index = len(self.entries)
        self.append(cbor2.dumps([0, time, draft.data]))
        state = draft.after(index, time)
        old = self.chains.get(draft.label) or Chain(0, ZERO, [])
        accumulator = sha256(b"\x05" + old.accumulator + u64(index) + self.leaves[-1]).digest()
        self.chains[draft.label] = Chain(old.length + 1, accumulator, state)
        digest = sha256(cbor2.dumps(state)).digest()
        value = sha256(b"\x04" + u64(old.length + 1) + accumulator + digest).digest()
        self.held[draft.label] = sha256(b"\x02" + draft.label + value).digest()

    def close(self, root: bytes | None = None, time: int | None = None) -> int:
        time = self.time if time is None else time
        self.append(cbor2.dumps([1, time, self.directory() if root is None else root]))
        self.bounds[len(self.entries)] = (time, mth(self.leaves))
        return len(self.entries)

    def directory(self) -> bytes:
        return directory_root(self.held)

    def append(self, entry: bytes) -> None:
        self.entries.append(entry)
        self.leaves.append(leaf_hash(entry))

    def checkpoint(self, size: int | None = None, root: bytes | None = None) -> bytes:
        """A signed checkpoint of this size, of all entries by default."""
        size = len(self.entries) if size is None else size
        root = mth(self.leaves[:size]) if root is None else root
        text = f"{self.origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        return signed_note(text, self.origin, self.log_key)

    def write(self, directory: Path, size: int | None = None) -> Path:
        """The files of the log at this size; the directory they are in."""
        size = len(self.entries) if size is None else size
        for path, data in tiles(self.entries[:size], self.leaves[:size]):
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (directory / "checkpoint").write_bytes(self.checkpoint(size))
        return directory


def signed_note(text: str, name: str, key: SigningKey) -> bytes:
    key_id = sha256(name.encode() + b"\n\x01" + public(key)).digest()[:4]
    signature = base64.b64encode(key_id + key.sign(text.encode()).signature).decode()
    return f"{text}\n— {name} {signature}\n".encode()


def tiles(entries: Sequence[bytes], leaves: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Every tile of a tree of this size, by path: entries, then the hashes level by level."""
    found = []
    for number in range(-(-len(entries) // 256)):
        part = entries[256 * number : 256 * number + 256]
        data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)
        found.append((path_of("entries", number, len(part)), data))
    level, nodes = 0, list(leaves)
    while nodes:
        for number in range(-(-len(nodes) // 256)):
            row = nodes[256 * number : 256 * number + 256]
            found.append((path_of(level, number, len(row)), b"".join(row)))
        full = range(0, len(nodes) - 255, 256)
        nodes = [mth(nodes[at : at + 256]) for at in full]
        level += 1
    return found


def path_of(level: int | str, number: int, width: int) -> str:
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")


@dataclass(slots=True)
class User:
    """An honest user; each method drafts a block on the newest state and anchor."""

    log: BuiltLog
    label: bytes = b""
    commitment: bytes = b""
    devices: list[Device] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.label = self.label or self.log.keys.raw()
        self.commitment = self.commitment or self.log.keys.raw()

    @property
    def state(self) -> State:
        return self.log.chains[self.label].state

    def device(self) -> Device:
        return Device(self.log.keys.ed25519(), self.log.keys.x25519())

    def create(self, **changes: Any) -> Draft:
        return self._enrol(2, **changes)

    def reset(self, **changes: Any) -> Draft:
        return self._enrol(5, **changes)

    def _enrol(
        self,
        type_: int,
        *,
        device: Device | None = None,
        device_kind: int = 0,
        user_key: bytes | None = None,
        ephemeral: SigningKey | None = None,
        delegation: bytes | None = None,
        said: dict[str, Any] | None = None,
        signers: Sequence[SigningKey] | None = None,
        **frame: Any,
    ) -> Draft:
        keys = self.log.keys
        device = device or self.device()
        ephemeral = ephemeral or keys.ed25519()
        user_key = user_key or keys.x25519()
        chain = self.log.chains.get(self.label) if type_ == 5 else None
        epoch = chain.state[5] if chain else 0
        statement: dict[str, Any] = {"purpose": int(type_ == 5), "epoch": epoch}
        delegation = delegation or self.log.delegation(
            ephemeral, **({"commitment": self.commitment} | statement | (said or {}))
        )
        described = [public(device.signing), device.encryption, device_kind]
        body = [delegation, described, user_key, keys.raw()]
        honest = [ephemeral, device.signing]
        if type_ == 5:
            honest.insert(1, self.log.authority)
        data = self.log.next(self.label, type_, body, signers or honest, frame)
        self.devices = [device]
        head = sha256(data).digest()
        old = chain.state if chain else None

        def after(index: int, time: int) -> State:
            first = [*described, described[0], index]
            if old is None:
                mark = [self.commitment, 0, 0, user_key, index, [first], b""]
                return [1, head, index, time, *mark, *day(None, time)]
            mark = [old[4], old[5] + 1, old[6] + 1, user_key, index, [first], retire(old)]
            return [1, head, index, old[3], *mark, *day(old, time)]

        return Draft(data, self.label, after)

    def add(
        self,
        *,
        author: Device | None = None,
        device: Device | None = None,
        device_kind: int = 0,
        signers: Sequence[SigningKey] | None = None,
        **frame: Any,
    ) -> Draft:
        author = author or self.devices[0]
        device = device or self.device()
        described = [public(device.signing), device.encryption, device_kind]
        body = [public(author.signing), described, self.log.keys.raw()]
        old = self.state
        data = self.log.next(
            self.label, 3, body, signers or [author.signing, device.signing], frame
        )
        self.devices = [*self.devices, device]
        head = sha256(data).digest()

        def after(index: int, time: int) -> State:
            new = [*described, public(author.signing), index]
            return [1, head, index, *old[3:9], [*old[9], new], old[10], *day(old, time)]

        return Draft(data, self.label, after)

    def revoke(
        self,
        *out: Device,
        author: Device | None = None,
        revoked: Sequence[bytes] | None = None,
        user_key: bytes | None = None,
        signers: Sequence[SigningKey] | None = None,
        **frame: Any,
    ) -> Draft:
        author = author or self.devices[0]
        gone = [public(device.signing) for device in out] if revoked is None else list(revoked)
        user_key = user_key or self.log.keys.x25519()
        body = [public(author.signing), gone, user_key, self.log.keys.raw()]
        old = self.state
        data = self.log.next(self.label, 4, body, signers or [author.signing], frame)
        self.devices = [one for one in self.devices if public(one.signing) not in gone]
        head = sha256(data).digest()

        def after(index: int, time: int) -> State:
            left = [one for one in old[9] if one[0] not in gone]
            keys = b"".join(one[0] + one[1] for one in old[9] if one[0] in gone)
            mark = [old[6] + 1, user_key, index, left, old[10] + keys + old[7]]
            return [1, head, index, *old[3:6], *mark, *day(old, time)]

        return Draft(data, self.label, after)

    def close(
        self,
        *,
        author: Device | None = None,
        signers: Sequence[SigningKey] | None = None,
        **frame: Any,
    ) -> Draft:
        author = author or self.devices[0]
        old = self.state
        body = [public(author.signing)]
        data = self.log.next(self.label, 6, body, signers or [author.signing], frame)
        self.devices = []
        head = sha256(data).digest()

        def after(index: int, time: int) -> State:
            mark = [*old[3:7], None, old[8], [], retire(old)]
            return [1, head, index, *mark, *day(old, time)]

        return Draft(data, self.label, after)


def retire(state: State) -> bytes:
    """What a reset or a close leaves in `retired`."""
    keys = b"".join(device[0] + device[1] for device in state[9])
    return bytes(state[10] + keys + (state[7] or b""))


def day(old: State | None, time: int) -> list[int]:
    today = time // DAY
    return [today, old[12] + 1 if old is not None and old[11] == today else 1]
