"""What a careless implementation makes of a block: the effects of 50-rules without its checks.

A vector must break one rule. So the batch that holds a bad block ends with the directory root that
whoever forgot this rule computes: they accept it, instead of refusing it for another reason.
"""

from __future__ import annotations

from dataclasses import replace

from ledger.errors import MalformedInput
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import Block
from ledger.format.bodies import (
    DAY_MS,
    DeviceAdd,
    DeviceRevoke,
    GroupClose,
    GroupCreate,
    LogCreate,
    LogPolicy,
    UserClose,
    UserCreate,
    UserReset,
)
from ledger.rules.state import Chain, Device, GroupState, LogState, State, UserState, accumulate
from ledger.tree.merkle import leaf_hash
from tests.support.naive import directory_root


def batch(chains: dict[bytes, Chain], size: int, raws: list[bytes], time: int) -> list[bytes]:
    """The entries of a batch of `raws` on a log of `size` that resolves to `chains`."""
    chains = dict(chains)
    entries = [entry.block(time, raw) for raw in raws]
    for index, (raw, data) in enumerate(zip(raws, entries, strict=True), size):
        try:
            advance(chains, blocks.parse(raw), index, time, data)
        except MalformedInput:
            continue
    root = directory_root({label: chain.value for label, chain in chains.items()})
    return [*entries, entry.directory_root(time, root)]


def advance(chains: dict[bytes, Chain], block: Block, index: int, time: int, data: bytes) -> None:
    """What the entry `data`, which holds `block`, does to the chains."""
    """Have the block of the entry `data`, at leaf `index`, change its chain, rules or no rules."""
    chain = chains.get(block.label)
    state = _after(block, chain.state if chain else None, index, time)
    if state is None:
        return
    length, before = (chain.length, chain.accumulator) if chain else (0, bytes(32))
    accumulator = accumulate(before, index, leaf_hash(data))
    chains[block.label] = Chain.of(length + 1, accumulator, state)


def _after(block: Block, state: State | None, index: int, time: int) -> State | None:
    """The state after a block, None where there is nothing that it could change."""
    body = block.body
    if isinstance(body, LogCreate):
        return _founded(block, body, time)
    if isinstance(body, LogPolicy):
        assert isinstance(state, LogState)
        return _policy(block, body, state, index)
    if isinstance(body, UserCreate) and not isinstance(body, UserReset):
        return _created(block, body, index, time)
    if isinstance(body, GroupCreate | GroupClose):
        return _group(block, body, state, index, time)
    return _user(block, state, index, time) if isinstance(state, UserState) else None


def _founded(block: Block, body: LogCreate, time: int) -> LogState:
    keys = (body.app_root, body.enrolment, body.log_key, body.vrf_key, body.authority)
    terms = (body.limits, body.heartbeat, body.demands)
    return LogState(block.hash, 0, time, body.origin, *keys, *terms, b"")


def _policy(block: Block, body: LogPolicy, state: LogState, index: int) -> LogState:
    pairs = ((state.app_root, body.app_root), (state.enrolment, body.enrolment))
    return replace(
        state,
        head=block.hash,
        index=index,
        app_root=body.app_root,
        enrolment=body.enrolment,
        limits=body.limits,
        retired=state.retired + b"".join(old for old, new in pairs if old != new),
    )


def _created(block: Block, body: UserCreate, index: int, time: int) -> UserState:
    device = Device.enter(body.device, body.device.signing, index)
    identity = (body.delegation.commitment, 0, 0, body.user_key, index)
    return UserState(block.hash, index, time, *identity, (device,), b"", time // DAY_MS, 1)


def _user(block: Block, state: UserState, index: int, time: int) -> UserState:
    day = time // DAY_MS
    count = state.count + 1 if day == state.day else 1
    moved = replace(state, head=block.hash, index=index, day=day, count=count)
    body = block.body
    if isinstance(body, DeviceAdd):
        device = Device.enter(body.device, body.author, index)
        return replace(moved, devices=(*state.devices, device))
    if isinstance(body, UserClose):
        return replace(moved, devices=(), user_key=None, retired=_retired(state, state.devices))
    assert isinstance(body, DeviceRevoke | UserReset)
    keys = {"generation": state.generation + 1, "user_key": body.user_key, "user_key_index": index}
    if isinstance(body, DeviceRevoke):
        leaving = tuple(d for d in state.devices if d.signing in body.revoked)
        remaining = tuple(d for d in state.devices if d not in leaving)
        retired = _retired(state, leaving)
        return replace(moved, devices=remaining, retired=retired, **keys)  # type: ignore[arg-type]
    first = Device.enter(body.device, body.device.signing, index)
    retired = _retired(state, state.devices)
    fresh = replace(moved, devices=(first,), epoch=state.epoch + 1, retired=retired)
    return replace(fresh, **keys)  # type: ignore[arg-type]


def _group(
    block: Block, body: GroupCreate | GroupClose, state: State | None, index: int, time: int
) -> GroupState | None:
    place, day = {"head": block.hash, "index": index}, time // DAY_MS
    if isinstance(body, GroupCreate) and block.seq == 0:
        brought = (body.signing, body.encryption, index, block.anchor.size)
        return GroupState(block.hash, index, time, 0, *brought, b"", day, 1)
    if not isinstance(state, GroupState):
        return None
    count = state.count + 1 if day == state.day else 1
    moved = replace(state, **place, day=day, count=count)  # type: ignore[arg-type]
    if isinstance(body, GroupCreate) and not (
        body.signing != state.signing and body.encryption != state.encryption
    ):
        return moved
    retired = state.retired + (state.signing or b"") + (state.encryption or b"")
    if isinstance(body, GroupClose):
        return replace(moved, signing=None, encryption=None, retired=retired)
    keys = {"signing": body.signing, "encryption": body.encryption, "key_index": index}
    changes = {**keys, "generation": state.generation + 1, "rotated": block.anchor.size}
    return replace(moved, **changes, retired=retired)  # type: ignore[arg-type]


def _retired(state: UserState, leaving: tuple[Device, ...]) -> bytes:
    pairs = b"".join(device.signing + device.encryption for device in leaving)
    return state.retired + pairs + (state.user_key or b"")
