"""Labels and boxes: what is answered to somebody in particular (R-72).

The checks are pure: they read the published state and raise `RuleViolation`, R-72.1 where it is
unknown who asks, R-72.2 and R-72.3 where that one may not.
"""

from __future__ import annotations

from ledger.errors import BadSignature, RuleViolation
from ledger.format import block as blocks
from ledger.format import cose, entry, wire
from ledger.format.bodies import Body, Delegation, DeviceRevoke, UserCreate
from ledger.rules.state import LogState, UserState
from ledger.seal.boxes import box_proof
from ledger.server.problems import Problem
from ledger.server.service import Service, log_state
from ledger.store.port import Reader

_KEY_BYTES = 32


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
    """The label of the identifier that the asker's delegation commits to, and its VRF proof."""
    asked = wire.Authenticated.decode(body)
    signer = asked.login.check(asked.request, wire.LABELS_PATH, service.log_id, service.now())
    request = wire.LabelRequest.decode(asked.request)
    with service.store.reader() as reader:
        log = log_state(reader)
    check_label_request(request, signer, log, service.log_id, service.now())
    return wire.LabelAnswer(*await service.pool.prove(request.opening.identifier))


def box(service: Service, body: bytes) -> wire.BoxAnswer:
    """The box that came with a block for a device of its user (R-72.3)."""
    asked = wire.Authenticated.decode(body)
    signer = asked.login.check(asked.request, wire.BOXES_PATH, service.log_id, service.now())
    request = wire.BoxRequest.decode(asked.request)
    with service.store.reader() as reader:
        block_hash = find_block(reader, request, signer)
    kept = service.private.boxes(block_hash) or ()
    recipients = [item[:_KEY_BYTES] for item in kept]
    if request.recipient not in recipients:
        raise Problem("no-box", "that block brought no box for this key", rule="R-72.3")
    position = recipients.index(request.recipient)
    sealed = [item[_KEY_BYTES:] for item in kept]
    proof = box_proof(recipients, sealed, position)
    return wire.BoxAnswer(position, len(kept), sealed[position], tuple(proof))


def find_block(reader: Reader, asked: wire.BoxRequest, signer: bytes) -> bytes:
    """The hash of the block that is asked for, if `signer` may have that box of it (R-72.3)."""
    chain = reader.chain(asked.label)
    state = chain.state if chain else None
    device = state.device(signer) if isinstance(state, UserState) else None
    if device is None:
        raise RuleViolation("R-72.3", "the login is not by a device of this user")
    block = _block_of(reader, asked)
    if asked.recipient not in (device.encryption, block and _brought(block.body)):
        raise RuleViolation("R-72.3", "the recipient is neither this device nor the block's key")
    if block is None:
        raise Problem("no-box", "no block of this user stands there", rule="R-72.3")
    return block.hash


def _block_of(reader: Reader, asked: wire.BoxRequest) -> blocks.Block | None:
    """The block of the label's chain at that leaf, if there is one."""
    if asked.index >= reader.head.size:
        return None
    (data,) = reader.entries(asked.index, asked.index + 1)
    found = entry.parse(data)
    block = blocks.parse(found.body) if found.kind == entry.BLOCK else None
    return block if block and block.label == asked.label else None


def _brought(body: Body) -> bytes | None:
    """The user key that a block brings."""
    return body.user_key if isinstance(body, UserCreate | DeviceRevoke) else None
