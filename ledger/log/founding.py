"""The first batch of a log: its log.create, and the directory root that closes it.

>>> found(store, log_create, log_key, now).size          # doctest: +SKIP
2
"""

from __future__ import annotations

from ledger.errors import RuleViolation, UsageError
from ledger.format import block as blocks
from ledger.format.bodies import LogCreate
from ledger.format.keys import SigningKey
from ledger.log.commit import Head, sign_head
from ledger.log.planner import plan
from ledger.store.port import Store


def found(store: Store, raw: bytes, log_key: SigningKey, now: int) -> Head:
    """Begin a log with its first block: the first batch, published.

    Raises what is wrong with it.
    """
    block = blocks.parse(raw)
    blocks.verify(block, block.hash)
    with store.view() as view:
        if view.head.size:
            raise UsageError("this log has begun already")
        planned = plan(view, [block], now)
    if isinstance(planned.results[0], RuleViolation):
        raise planned.results[0]
    body = block.body
    assert isinstance(body, LogCreate)
    after = planned.commit.after
    store.perform(planned.commit, sign_head(body.origin, after, log_key))
    return after
