"""Labels and boxes: what is answered to somebody in particular (R-72).

Each access is decided by the published state and by memberships that were verified at admission;
nothing is taken on the caller's word. `RuleViolation` is R-72.1 where it is unknown who asks, and
another of R-72 where that one may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ledger.errors import BadSignature, RuleViolation
from ledger.format import block as blocks
from ledger.format import cose, entry, wire
from ledger.format.bodies import KEY_BYTES, Delegation
from ledger.format.group_boxes import (
    GROUP_BOXES_PATH,
    MAX_BLOCKS,
    MAX_BOXES,
    GroupBoxesAnswer,
    GroupBoxesRequest,
)
from ledger.format.login import Authenticated
from ledger.rules.state import Device, LogState, UserState, is_retired
from ledger.seal.boxes import box_proof
from ledger.server.groups import Groups
from ledger.server.problems import Problem
from ledger.server.service import Service, log_state
from ledger.store.port import Reader


def check_label_request(
    asked: wire.LabelRequest, signer: bytes, log: LogState, log_id: bytes, now: int
) -> None:
    """R-72.2: an unexpired delegation of this log, opened by who asks."""
    delegation = Delegation.parse(asked.delegation)
    if delegation.envelope.signers != (log.enrolment,) or delegation.log_id != log_id:
        raise RuleViolation("R-72.2", "the delegation is not by this log's enrolment key")
    if delegation.expiry < now:
        raise RuleViolation("R-72.2", "the delegation has expired: ask for a new identity token")
    if asked.opening.commitment != delegation.commitment:
        raise RuleViolation("R-72.2", "the opening does not fit the delegation's commitment")
    if signer != delegation.ephemeral:
        raise RuleViolation("R-72.2", "the login is not by the delegation's ephemeral key")
    try:
        cose.verify(delegation.envelope, cose.aad(cose.DELEGATION, log_id))
    except BadSignature as error:
        raise RuleViolation("R-72.2", error.detail) from error


async def label(service: Service, body: bytes) -> wire.LabelAnswer:
    """The label of the identifier that the asker's delegation commits to, and who is there."""
    asked, signer = authenticated(service, body, wire.LABELS_PATH)
    request = wire.LabelRequest.decode(asked)
    with service.store.reader() as reader:
        log = log_state(reader)
    check_label_request(request, signer, log, service.log_id, service.now())
    found, proof = await service.pool.prove(request.opening.identifier)
    with service.store.reader() as reader:
        chain = reader.chain(found)
    return wire.LabelAnswer(found, proof, chain.length if chain else 0)


def box(service: Service, body: bytes) -> wire.BoxAnswer:
    """A box that came with a block, for who holds the key that it is sealed to (R-72.3)."""
    asked, signer = authenticated(service, body, wire.BOXES_PATH)
    request = wire.BoxRequest.decode(asked)
    with service.store.reader() as reader:
        user, device = caller(reader, request.user, signer, "R-72.3")
        holds = _holding(Groups(reader, service.private), request, user, device)
        block = _block_of(reader, request)
    if block is None:
        raise Problem("no-box", "no block of this label stands there", rule="R-72.3")
    kept = service.private.boxes(request.index, block.hash) or ()
    recipients = [item[:KEY_BYTES] for item in kept]
    if request.position >= len(kept) or not holds(recipients[request.position]):
        raise RuleViolation("R-72.3", "the box there is not sealed to a key of the holder")
    sealed = [item[KEY_BYTES:] for item in kept]
    proof = box_proof(recipients, sealed, request.position)
    return wire.BoxAnswer(len(kept), sealed[request.position], tuple(proof))


def group_boxes(service: Service, body: bytes) -> GroupBoxesAnswer:
    """What the newest blocks of a group hold for a member (R-72.8)."""
    asked, signer = authenticated(service, body, GROUP_BOXES_PATH)
    request = GroupBoxesRequest.decode(asked)
    with service.store.reader() as reader:
        user, device = caller(reader, request.user, signer, "R-72.8")
        groups, chain = Groups(reader, service.private), reader.chain(request.group)
        if chain is None or not groups.holds(request.group, request.user, user.epoch):
            raise RuleViolation("R-72.8", "the user is no member of that group")
        indices = reader.blocks_of(request.group, max(0, chain.length - MAX_BLOCKS), MAX_BLOCKS)
        entries = zip(indices, _entries(reader, indices), strict=True)
        found = [(index, blocks.parse(entry.parse(data).body)) for index, data in entries]
    kept = service.private.boxes
    held = (box for index, block in reversed(found) for box in kept(index, block.hash) or ())
    split = ((box[:KEY_BYTES], box[KEY_BYTES:]) for box in held)
    mine = (pair for pair in split if _is_own(pair[0], user, device))
    return GroupBoxesAnswer(tuple(islice(mine, MAX_BOXES)))


def authenticated(service: Service, body: bytes, path: str) -> tuple[bytes, bytes]:
    """The request that is asked, and the key that asks (R-72.1)."""
    asked = Authenticated.decode(body)
    signer = asked.login.check(asked.request, path, service.log_id, service.now())
    return asked.request, signer


def caller(reader: Reader, label: bytes, signer: bytes, rule: str) -> tuple[UserState, Device]:
    """The user who asks, and the device; `RuleViolation` if the key is none of that user's."""
    chain = reader.chain(label)
    state = chain.state if chain else None
    device = state.device(signer) if isinstance(state, UserState) else None
    if device is None or not isinstance(state, UserState):
        raise RuleViolation(rule, "the login is not by a device of this user")
    return state, device


def _holding(
    groups: Groups, asked: wire.BoxRequest, user: UserState, device: Device
) -> Callable[[bytes], bool]:
    """Tells whether a key is one of the holder's, who is the user or a group of theirs."""
    if asked.holder == asked.user:
        return lambda key: _is_own(key, user, device)
    state = groups.state(asked.holder)
    if state is None or not groups.holds(asked.holder, asked.user, user.epoch):
        raise RuleViolation("R-72.3", "the user is no member of the holder")
    return lambda key: key == state.encryption or is_retired(state.retired, key)


def _is_own(key: bytes, user: UserState, device: Device) -> bool:
    return key in (device.encryption, user.user_key) or is_retired(user.retired, key)


def _entries(reader: Reader, indices: Iterable[int]) -> Iterator[bytes]:
    return (data for index in indices for data in reader.entries(index, index + 1))


def _block_of(reader: Reader, asked: wire.BoxRequest) -> blocks.Block | None:
    """The block of the label's chain at that leaf, if there is one."""
    if asked.index >= reader.head.size:
        return None
    (data,) = reader.entries(asked.index, asked.index + 1)
    found = entry.parse(data)
    block = blocks.parse(found.body) if found.kind == entry.BLOCK else None
    return block if block and block.label == asked.label else None
