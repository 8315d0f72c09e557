"""A chain as a server shows it to anybody: for whom no lookup is answered yet.

Who is about to join a person's devices, or begins again after all were lost, needs that person's
chain before there is a device to ask with (R-72.7).

>>> visited = await visit(transport, label, view, policy, now)           # doctest: +SKIP
>>> visited.chain.state.devices                                          # doctest: +SKIP

Each block is checked by every rule, and lies in a tree that goes on from the one accepted. What no
directory proves here is that nothing newer is hidden: a block built on it would be refused. Look
the chain up as soon as somebody answers.

Errors: `LogMisbehaved` for what the log does not prove, and those of the transport.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from ledger.client import verify as replays
from ledger.client.lookups import light, light_chain
from ledger.client.lookups.light_chain import Place
from ledger.client.lookups.pins import LogView
from ledger.client.policy import Policy
from ledger.client.verify import MAX_AHEAD, Claim
from ledger.errors import LogMisbehaved, MalformedInput, Refused, RuleViolation
from ledger.format import wire
from ledger.format.block import LOG_LABEL
from ledger.format.lookup import MAX_WHOLE_BYTES, Link
from ledger.format.wire import ChainAnswer
from ledger.rules.state import Chain, LogState
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion

_NOT_FOUND = 404


class Server(Protocol):
    """What is asked."""

    async def chain(self, label: bytes, start: int) -> bytes:
        """A `chain-answer` from seq `start` on."""

    async def consistency(self, old: int, new: int) -> bytes:
        """A `proof` that the tree of `new` continues that of `old`."""


@dataclass(frozen=True, slots=True)
class Visited:
    """A chain, its blocks, and the log's own states, as they were shown."""

    chain: Chain
    links: tuple[Link, ...]
    states: tuple[LogState, ...]


async def visit(
    server: Server, label: bytes, view: LogView, policy: Policy, now: int
) -> Visited | None:
    """The chain of `label`, if it has one; `view` is of a log that was greeted, `now` in ms."""
    visitor = _Visitor(server, view, policy, now)
    links = await visitor.links(label)
    if not links:
        return None
    own = await visitor.links(LOG_LABEL)
    place = Place(view.log_id, view.size, view.root, now + MAX_AHEAD, b"")
    with _blaming(visitor.evidence):
        log = [step.chain.state for step in light_chain.follow(place, LOG_LABEL, own)]
        states = tuple(state for state in log if isinstance(state, LogState))
        steps = light_chain.follow(replace(place, states=states), label, links)
    return Visited(steps[-1].chain, tuple(links), states)


class _Visitor:
    """Fetches chains whose blocks are proven to lie in a tree that goes on from `view`."""

    def __init__(self, server: Server, view: LogView, policy: Policy, now: int) -> None:
        self._server = server
        self._view = view
        self._policy = policy
        self._now = now
        self._log = light.founding(None, view)
        self.evidence: dict[str, bytes] = {"accepted": view.note}

    async def links(self, label: bytes) -> list[Link]:
        """All blocks of a chain; none if there is no such chain."""
        found: list[Link] = []
        length, total = 1, 0
        while len(found) < length:
            try:
                data = await self._server.chain(label, len(found))
            except Refused as error:
                if error.status == _NOT_FOUND and not found:
                    return []
                raise
            answer = ChainAnswer.decode(data)
            await self._check(answer, data)
            found += [Link(one.index, one.entry) for one in answer.blocks]
            total += sum(len(one.entry) for one in answer.blocks)
            if not answer.blocks or total > MAX_WHOLE_BYTES:
                raise MalformedInput("R-65.1", "a chain that goes on without an end")
            length = answer.length
        return found

    async def _check(self, answer: ChainAnswer, data: bytes) -> None:
        """R-20.3, R-61.1, R-61.2: the blocks lie under a checkpoint that fits the accepted one."""
        claim = replays.signed_claim(answer.checkpoint, self._log, self._policy, self._now)
        self.evidence |= {"checkpoint": claim.note, "chain": data}
        older, newer = sorted(
            (Claim(self._view.note, self._view.size, self._view.root), claim),
            key=lambda one: one.size,
        )
        proof: tuple[bytes, ...] = ()
        if older.size < newer.size:
            proof = wire.decode_proof(await self._server.consistency(older.size, newer.size))
        with _blaming(self.evidence):
            verify_consistency(older.size, newer.size, proof, older.root, newer.root)
            for one in answer.blocks:
                leaf = leaf_hash(one.entry)
                verify_inclusion(leaf, one.index, claim.size, one.proof, claim.root)


@contextmanager
def _blaming(evidence: dict[str, bytes]) -> Iterator[None]:
    try:
        yield
    except (MalformedInput, RuleViolation) as error:
        raise LogMisbehaved(error.rule, error.detail, evidence) from error
