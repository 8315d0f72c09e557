"""POST /v1/blocks: blocks in, a verdict for each out (R-71)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.errors import (
    BadSignature,
    MalformedInput,
    RuleViolation,
    StaleAnchor,
    StaleHead,
)
from ledger.format import wire
from ledger.log import waiting
from ledger.server.service import Service
from ledger.store.port import Reader
from ledger.tree.merkle import inclusion_proof
from ledger.tree.tiles import node_reader

# The narrower class first.
_KINDS: tuple[tuple[type[MalformedInput | RuleViolation], str], ...] = (
    (MalformedInput, "malformed"),
    (BadSignature, "signature"),
    (StaleAnchor, "stale-anchor"),
    (RuleViolation, "rule"),
)


async def submit(service: Service, asked: Sequence[wire.Submission]) -> wire.SubmitAnswer:
    """Hand all in, wait until it is durable and published, and answer for each."""
    answer = _answer(service, await service.sequencer.submit(asked))
    for verdict in answer.verdicts:
        service.metrics.verdict(verdict.kind if isinstance(verdict, wire.Refused) else "admitted")
    return answer


def _answer(service: Service, verdicts: Sequence[waiting.Verdict]) -> wire.SubmitAnswer:
    """All proofs are for one checkpoint: that of the batch, if all were admitted by one."""
    batches = {
        id(verdict.receipts): verdict.receipts
        for verdict in verdicts
        if isinstance(verdict, waiting.Admitted)
    }
    if len(batches) == 1 and (receipts := batches.popitem()[1]):
        return wire.SubmitAnswer(
            receipts.note, tuple(_verdict(verdict, receipts.proof) for verdict in verdicts)
        )
    with service.store.reader() as reader:
        prove = prover(reader)
        return wire.SubmitAnswer(reader.note, tuple(_verdict(v, prove) for v in verdicts))


def prover(reader: Reader) -> Callable[[int], list[bytes]]:
    """Inclusion proofs for leaves of the tree that `reader` shows; reads each tile once."""
    size = reader.head.size
    read = node_reader(size, reader.tile)
    return lambda index: inclusion_proof(index, size, read)


def _verdict(verdict: waiting.Verdict, prove: Callable[[int], list[bytes]]) -> wire.Verdict:
    if isinstance(verdict, waiting.Admitted):
        return wire.Admitted(verdict.index, verdict.time, tuple(prove(verdict.index)))
    if isinstance(verdict, StaleHead):
        head = wire.ChainHead(verdict.length, verdict.head, verdict.index)
        return wire.Refused("stale-head", verdict.rule, verdict.detail, head)
    for error, kind in _KINDS:
        if isinstance(verdict, error):
            return wire.Refused(kind, verdict.rule, verdict.detail)
    return wire.Refused("unavailable", "", str(verdict))
