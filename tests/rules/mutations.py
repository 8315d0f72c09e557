"""Random logs, and random things that may be wrong with their next batch.

`logs` draws a log that is right so far. `batches` draws one more batch for it: an honest block with
one change, signed again by whoever the changed block names, so that often nothing but one rule is
in its way. The batch ends as a careless reader would end it (`tests.vectors.lenient`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cbor2
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import cose, entry
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DAY_MS, BlockType, DeviceKind, Limits
from ledger.rules.state import GroupState
from ledger.tree.merkle import leaf_hash, root_of
from tests.support.actors import NOW, LogActor, User, Written, seed, signing_key
from tests.vectors import lenient
from tests.vectors.crooked import CrookedKey
from tests.vectors.draft import Draft
from tests.vectors.world import World

NAMES = ("ada", "bob")
LABELS = {"ada": b"\xa0" * 31 + b"\x01", "bob": b"\xa0" * 31 + b"\x02"}
STEPS = (0, 0, 1, 3_600_000, DAY_MS, DAY_MS + 1)
OPERATIONS = ("add", "kit", "revoke", "reset", "close", "policy", "heartbeat")
NUMBERS = (0, 1, 2, 3, 7, 23, 24, 255, 256, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, NOW)
OTHER_TYPES: tuple[Any, ...] = (None, True, False, "", "a" * 32, b"", [], [0], -1, 0.0, {})
CROOKED = CrookedKey.mixed()


class Town(World):
    """A world whose users are found by name. `former` are the log's keys that were replaced."""

    former: dict[bytes, cose.Signer]

    def newest(self, name: str) -> User | None:
        label = LABELS[name]
        return next((user for user in reversed(self.users) if user.label == label), None)


def write(town: Town, name: str, operation: str, choice: int) -> Written[User]:
    """An honest block by `name`: of this operation if it makes sense now, else another."""
    user = town.newest(name)
    if user is None:
        return User.create(town.actor, name, town.anchor, label=LABELS[name])
    if not user.devices or operation == "reset":
        return user.reset(town.actor, town.anchor)
    author = choice % len(user.devices)
    if operation == "kit":
        kit = user.device(kind=DeviceKind.RECOVERY)
        return user.add(town.anchor, kit, author=author)
    if operation == "close":
        return user.close(town.anchor, author=author)
    others = [place for place in range(len(user.devices)) if place != author]
    if operation == "revoke" and others:
        return user.revoke(town.anchor, *others[: 1 + choice // 4], author=author)
    return user.add(town.anchor, author=author)


def policy(town: Town, choice: int) -> Written[LogActor]:
    """A log.policy that changes something."""
    if choice % 3 == 0:
        limits = Limits(max_devices=2 + choice, max_blocks_per_day=40 - town.actor.seq)
        return town.actor.policy(town.anchor, limits=limits)
    key = signing_key("policy", town.actor.seq)
    if choice % 3 == 1:
        return town.actor.policy(town.anchor, enrolment=key)
    return town.actor.policy(town.anchor, app_root=key)


operations = st.tuples(
    st.sampled_from(NAMES), st.sampled_from(OPERATIONS), st.integers(0, 9), st.sampled_from(STEPS)
)


@st.composite
def logs(draw: st.DrawFn) -> Town:
    """A log of a few right batches."""
    limits = Limits(max_devices=draw(st.integers(1, 4)), max_blocks_per_day=draw(st.integers(3, 9)))
    town = Town(LogActor.make(limits=limits))
    town.former = {}
    for name, operation, choice, step in draw(st.lists(operations, max_size=7)):
        town.now += step
        if town.now > town.log.head.time + DAY_MS:
            town.heartbeat()
        if operation == "heartbeat":
            town.heartbeat()
        elif operation == "policy":
            keys = (town.actor.app_root, town.actor.enrolment)
            town.former.update({key.public: key for key in keys})
            town.admit_policy(policy(town, choice))
        else:
            offer(town, write(town, name, operation, choice))
    return town


def offer(town: Town, written: Written[User]) -> None:
    """Admits a block if the rules do; limits may be in its way."""
    planned = town.log.plan([written.raw], town.now)
    if len(planned.commit.entries) > 1:
        town.admit(written)


def pool(town: Town) -> list[bytes]:
    """Every 32 bytes that mean something in this log, and some that mean nothing."""
    keys = town.keys
    keys.hold(CROOKED)
    devices = [d.encryption.public for user in town.users for d in user.devices]
    user_keys = [user.user_key.public for user in town.users]
    groups = [key for one in town.groups for key in (one.label, one.head, one.encryption.public)]
    heads = [user.head for user in town.users] + [town.actor.head, town.actor.log_id]
    roots = [root for root, _ in town.log.ends.values()]
    nothing = [bytes(32), b"\xff" * 32, (1).to_bytes(32, "little"), seed("nothing")]
    found = [*keys, *devices, *user_keys, *groups, *heads, *roots, *LABELS.values(), *nothing]
    return list(dict.fromkeys(found))


def resigned(draft: Draft, town: Town) -> bytes:
    """Signed by whoever the block names (R-50.2), or who signed before if that makes no sense."""
    known = {**town.keys, **town.former, **{key.public: key for key in draft.signers}}
    known[CROOKED.public] = CROOKED
    try:
        named = [known[key] for key in _named(draft.value, town)]
    except (MalformedInput, AttributeError, KeyError, IndexError, TypeError, ValueError):
        return draft.raw
    return draft.by(*named).raw


def _named(value: Sequence[Any], town: Town) -> list[bytes]:
    kind, body = value[1], value[6]
    if kind in (BlockType.USER_CREATE, BlockType.USER_RESET):
        delegation = cbor2.loads(cose.parse(body[0], 1_024).payload)
        authority = [town.actor.authority.public] if kind == BlockType.USER_RESET else []
        return [delegation[3], *authority, body[1][0]]
    if kind == BlockType.LOG_POLICY:
        actor = town.actor
        pairs = ((actor.app_root.public, body[0]), (actor.enrolment.public, body[1]))
        new = [key for old, key in pairs if key != old]
        return [actor.app_root.public, actor.log_key.public, *new]
    if kind in (BlockType.GROUP_CREATE, BlockType.GROUP_UPDATE, BlockType.GROUP_CLOSE):
        state = town.log.chains[value[2]].state if value[3] else None
        now = [state.signing or b""] if isinstance(state, GroupState) else []
        return list(dict.fromkeys([*now, *body[1:2]]))
    return [body[0], body[1][0]] if kind == BlockType.DEVICE_ADD else [body[0]]


def leaves(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """The places of a payload's fields, those of arrays included."""
    if not isinstance(value, list):
        return [path]
    inner = [place for number, one in enumerate(value) for place in leaves(one, (*path, number))]
    return [*inner, path] if path else inner


def at(value: Any, path: Sequence[int]) -> Any:
    for place in path:
        value = value[place]
    return value


@st.composite
def another(draw: st.DrawFn, old: Any, town: Town) -> Any:
    """A value for a field that held `old`: mostly of the same type."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(OTHER_TYPES))
    if type(old) is int:
        near = st.sampled_from((old + 1, max(0, old - 1)))
        return draw(near | st.sampled_from(NUMBERS))
    if isinstance(old, bytes) and len(old) == 32:
        return draw(st.sampled_from(pool(town)))
    if isinstance(old, list):
        return draw(st.permutations(old) | st.just(old[:-1]) | st.just([*old, *old[-1:]]))
    return draw(st.sampled_from(OTHER_TYPES))


@st.composite
def changed_field(draw: st.DrawFn, draft: Draft, town: Town) -> bytes:
    """One field is another, and whoever is named now signs."""
    path = draw(st.sampled_from(leaves(draft.value)))
    return resigned(draft.at(*path, to=draw(another(at(draft.value, path), town))), town)


def chain_keys(town: Town, label: bytes) -> list[bytes]:
    """Every key that is or was in a chain, those that only sign once included."""
    if label == LOG_LABEL:
        return [*town.keys, *town.former]
    users = [user for user in town.users if user.label == label]
    groups = [group for group in town.groups if group.label == label]
    if groups:
        return [key.public for group in groups for key in (group.signing, group.encryption)]
    devices = [device for user in users for device in user.devices]
    encryption = [device.encryption.public for device in devices]
    signing = [device.signing.public for device in devices]
    return [*signing, *encryption, *(user.user_key.public for user in users)] or [bytes(32)]


@st.composite
def changed_key(draw: st.DrawFn, draft: Draft, town: Town) -> bytes:
    """A key of the body is one that the chain knows already, and whoever is named now signs."""
    body = [place for place in leaves(draft.value) if place[0] == 6 and len(place) > 1]
    paths = [place for place in body if type(at(draft.value, place)) is bytes]
    to = draw(st.sampled_from(chain_keys(town, draft.value[2])))
    path = draw(st.sampled_from(paths))
    if len(at(draft.value, path)) == 32:
        return resigned(draft.at(*path, to=to), town)
    delegation = cbor2.loads(cose.parse(at(draft.value, path), 1_024).payload)
    delegation[3] = to
    raw = Draft(delegation, (town.actor.enrolment,), town.actor.log_id, cose.DELEGATION).raw
    return resigned(draft.at(*path, to=raw), town)


@st.composite
def changed_delegation(draw: st.DrawFn, draft: Draft, town: Town) -> bytes:
    """One field of a delegation is another, signed by its signer or by somebody else."""
    if draft.value[1] not in (BlockType.USER_CREATE, BlockType.USER_RESET):
        return draw(changed_field(draft, town))
    inner = cbor2.loads(cose.parse(draft.value[6][0], 1_024).payload)
    place = draw(st.integers(0, len(inner) - 1))
    inner[place] = draw(another(inner[place], town))
    enrolment = town.actor.enrolment
    by = draw(st.sampled_from((enrolment, enrolment, enrolment, *town.keys.values())))
    raw = Draft(inner, (by,), town.actor.log_id, cose.DELEGATION).raw
    return resigned(draft.at(6, 0, to=raw), town)


@st.composite
def changed_signers(draw: st.DrawFn, draft: Draft, town: Town) -> bytes:
    """Others sign, or in another order, or for another purpose."""
    everybody = [*draft.signers, *town.keys.values()]
    some = st.lists(st.sampled_from(everybody), max_size=5)
    by = draw(st.permutations(draft.signers) | some)
    context = draw(st.sampled_from((cose.BLOCK, cose.BLOCK, cose.DELEGATION, cose.STATEMENT)))
    log_id = draw(st.sampled_from((draft.log_id, draft.log_id, bytes(32))))
    return draft.by(*by).under(context, log_id).raw


@st.composite
def changed_anchor(draw: st.DrawFn, draft: Draft, town: Town) -> bytes:
    """Anchored in the true tree of another size, or in the root of another."""
    size = draw(st.integers(0, town.log.head.size))
    root = root_of([leaf_hash(data) for data in town.log.entries[:size]])
    said = draw(st.sampled_from((size, size, size, size + 1, max(0, size - 1))))
    return draft.field("anchor", [said, root]).raw


@st.composite
def changed_bytes(draw: st.DrawFn, draft: Draft, town: Town) -> bytes:
    """A few bytes are others, and nobody signs again."""
    raw = draft.raw
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 3)))
    return raw[:start] + draw(st.binary(max_size=3)) + raw[end:]


CHANGES: tuple[Callable[[Draft, Town], st.SearchStrategy[bytes]], ...] = (
    lambda draft, town: st.just(draft.raw),
    changed_field,
    changed_field,
    changed_key,
    changed_key,
    changed_delegation,
    changed_signers,
    changed_anchor,
)


def drafts(town: Town, name: str, operation: str, choice: int) -> Draft:
    """An honest block of this operation, taken apart."""
    if operation == "policy":
        return town.draft(policy(town, choice))
    return town.draft(write(town, name, operation, choice))


def closed(town: Town, raws: Sequence[bytes], time: int) -> list[bytes]:
    """The log's entries with one more batch."""
    size = town.log.head.size
    return [*town.log.entries, *lenient.batch(town.log.chains, size, list(raws), time)]


@st.composite
def logs_with_a_changed_block(draw: st.DrawFn) -> tuple[Town, list[bytes]]:
    """A log, and its entries with one more batch of one block that has one change."""
    town = draw(logs())
    name, operation, choice, step = draw(operations)
    draft = drafts(town, name, operation, choice)
    raw = draw(draw(st.sampled_from(CHANGES))(draft, town))
    return town, closed(town, [raw], town.now + step)


@st.composite
def logs_with_changed_bytes(draw: st.DrawFn) -> tuple[Town, list[bytes]]:
    """The same, where bytes of the block are changed after it was signed."""
    town = draw(logs())
    name, operation, choice, _ = draw(operations)
    raw = draw(changed_bytes(drafts(town, name, operation, choice), town))
    return town, closed(town, [raw], town.now)


@st.composite
def logs_with_changed_entries(draw: st.DrawFn) -> tuple[Town, list[bytes]]:
    """A right log whose entries were cut, repeated, swapped, timed or spelled otherwise."""
    town = draw(logs())
    entries = list(town.log.entries)
    place = draw(st.integers(0, len(entries) - 1))
    other = draw(st.integers(0, len(entries) - 1))
    found = entry.parse(entries[place])
    time = draw(st.sampled_from((0, found.time - 1, found.time + 1, 2**53 - 1, 2**53)))
    start = draw(st.integers(0, len(entries[place])))
    spliced = entries[place][:start] + draw(st.binary(max_size=2)) + entries[place][start + 1 :]
    change = draw(st.integers(0, 5))
    if change == 0:
        del entries[place]
    elif change == 1:
        entries.insert(other, entries[place])
    elif change == 2:
        entries[place], entries[other] = entries[other], entries[place]
    elif change == 3:
        entries[place] = cbor2.dumps([found.kind, time, found.body])
    elif change == 4:
        entries = entries[: place + 1]
    else:
        entries[place] = spliced
    return town, entries
