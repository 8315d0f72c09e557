"""Changing a log's terms: the application root and the log key agree on a log.policy (R-51.2).

>>> raw = rotate_enrolment(chain, anchor, log_id, new, app_root, log_key)    # doctest: +SKIP

Tokens under the enrolment key that goes are worth nothing from then on: make new ones.
"""

from __future__ import annotations

from ledger.errors import UsageError
from ledger.format import block, cose
from ledger.format.block import LOG_LABEL, Anchor
from ledger.format.bodies import BlockType, LogPolicy
from ledger.rules.state import Chain, LogState


def rotate_enrolment(
    chain: Chain,
    anchor: Anchor,
    log_id: bytes,
    new: cose.Signer,
    app_root: cose.Signer,
    log_key: cose.Signer,
) -> bytes:
    """The log.policy that replaces the enrolment key by `new`; `chain` is the log's own."""
    state = chain.state
    if not isinstance(state, LogState):
        raise UsageError("a log.policy goes into the log's own chain")
    body = LogPolicy(state.app_root, new.public, state.limits)
    return block.write(
        BlockType.LOG_POLICY,
        LOG_LABEL,
        chain.length,
        state.head,
        anchor,
        body,
        signers=[app_root, log_key, new],
        log_id=log_id,
    )
