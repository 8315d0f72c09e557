"""POST /v1/lookup: what stands for identifiers and labels, with all that proves it (65-lookups).

Only a user is told (R-72.7), and only so many identifiers in each window: whoever asks learns which
of them are registered. All of a bundle is of one snapshot, under its checkpoint.

>>> lookups = Lookups(service)                              # doctest: +SKIP
>>> bundle = await lookups.answer(body)                     # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ledger.errors import MalformedInput
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.format.cbor import encode
from ledger.format.identity import Opening, check_identifier
from ledger.format.lookup import (
    LOOKUP_PATH,
    MAX_ANSWER_BYTES,
    Answer,
    Bundle,
    ChainPart,
    Link,
    LookupRequest,
    Mode,
    Query,
)
from ledger.log.commit import Head
from ledger.server.private import authenticated, caller
from ledger.server.problems import Problem
from ledger.server.rates import Rate
from ledger.server.service import Service
from ledger.store.port import Lookup, PrivateStore, Reader, Standing
from ledger.tree.directory import EMPTY
from ledger.tree.merkle import Node, ReadNode, consistency_proof, inclusion_proof
from ledger.tree.tiles import node_reader

MAX_LINKS_BYTES = 1_572_864
"""Of one chain in one bundle: so that the log's own and an answer's fit into a bundle together."""

_REMEMBERED_NODES = 16_384


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, its label, and the VRF proof of that if it came by identifier."""

    query: Query
    label: bytes
    vrf_proof: bytes | None = None


class Lookups:
    """Answers the lookups of one log."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._rate = Rate(service.config.rates.lookups, "user")
        self._nodes = _Nodes()
        self._ends: dict[int, _End] = {}

    async def answer(self, body: bytes) -> bytes:
        """The bundle that answers a request, encoded."""
        service = self._service
        raw, signer = authenticated(service, body, LOOKUP_PATH)
        request = LookupRequest.decode(raw)
        with service.store.reader() as reader:
            caller(reader, request.user, signer, "R-72.7")
        identifiers = [query.of for query in request.queries if isinstance(query.of, str)]
        self._rate.take(request.user.hex(), max(1, len(identifiers)))
        proved = await self._prove(identifiers)
        asked = [
            Asked(query, query.of)
            if isinstance(query.of, bytes)
            else Asked(query, *proved[query.of])
            for query in request.queries
        ]
        if len(asked) == 1 and request.mode == Mode.REPLAY:
            # Less than a ms: to wake a thread and be woken by it may take longer than all the rest.
            return self._bundle(request, asked)
        return await asyncio.to_thread(self._bundle, request, asked)

    async def _prove(self, identifiers: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Label and VRF proof of each."""
        distinct = [check_identifier(one) for one in dict.fromkeys(identifiers)]
        proofs = await asyncio.gather(*map(self._service.pool.prove, distinct))
        return dict(zip(distinct, proofs, strict=True))

    def _bundle(self, request: LookupRequest, asked: Sequence[Asked]) -> bytes:
        labels = {one.label for one in asked}
        end = self._ends.get(request.mode)
        if end:
            with self._snapshot(request, labels) as reader:
                if end.head == reader.head:
                    return self._made(reader, end, request, asked)
        with self._snapshot(request, {LOG_LABEL, *labels}) as reader:
            end = self._ends[request.mode] = _End.of(reader, self._nodes.of(reader))
            return self._made(reader, end, request, asked)

    def _made(
        self, reader: Lookup, end: _End, request: LookupRequest, asked: Sequence[Asked]
    ) -> bytes:
        read = self._nodes.of(reader)
        return _Making(reader, self._service.private, read, end, request).bundle(asked).encode()

    def _snapshot(
        self, request: LookupRequest, labels: Collection[bytes]
    ) -> AbstractContextManager[Lookup]:
        """What is published now; audited, what auditors have covered (R-63.4)."""
        coverage = self._service.coverage
        if request.mode == Mode.REPLAY:
            return self._service.store.lookup(labels)
        if coverage is None:
            raise Problem("not-covered", "this log has no auditors", rule="R-63.4")
        return coverage.lookup(labels, request.old)


@dataclass(frozen=True, slots=True)
class _End:
    """What all bundles under one head share: its last entry, and what it says of the log itself."""

    head: Head
    last: bytes
    inclusion: tuple[bytes, ...]
    log: Standing

    @classmethod
    def of(cls, reader: Lookup, read: ReadNode) -> _End:
        size = reader.head.size
        (last,) = reader.entries(size - 1, size)
        inclusion = tuple(inclusion_proof(size - 1, size, read))
        return cls(reader.head, last, inclusion, reader.standing(LOG_LABEL))


@dataclass(frozen=True, slots=True)
class _Making:
    """One bundle in the making."""

    reader: Lookup
    private: PrivateStore
    read: ReadNode
    end: _End
    request: LookupRequest

    def bundle(self, asked: Sequence[Asked]) -> Bundle:
        """The answers to as many of `asked` as fit, at least one (R-65.1)."""
        reader, request, end = self.reader, self.request, self.end
        if request.old > end.head.size:
            raise MalformedInput("R-20.4", f"the published tree has {end.head.size} leaves")
        return Bundle(
            request.mode,
            reader.note,
            None if request.log_held else reader.entries(0, 1)[0],
            end.last,
            end.inclusion,
            self._consistency(request.old),
            self._log() if request.mode == Mode.REPLAY else None,
            tuple(self._within_cap(asked)),
        )

    def _log(self) -> ChainPart:
        """The log's own chain. It is short, and never comes in parts."""
        held = self.request.log_held
        part = self._part(LOG_LABEL, self.end.log, held)
        if held + len(part.links) < part.length:
            detail = "the log's own chain is too long for a bundle: replay the log"
            raise Problem("too-large", detail, rule="R-65.7")
        return part

    def _within_cap(self, asked: Sequence[Asked]) -> Iterator[Answer]:
        if len(asked) == 1:  # the first one always fits
            yield self._answer(asked[0])
            return
        total = 0
        for one in asked:
            try:
                answer = self._answer(one)
            except Problem:
                if total:
                    return  # asked for again, it will be the first
                raise
            size = len(encode(answer.to_value()))
            if total and total + size > MAX_ANSWER_BYTES:
                return
            total += size
            yield answer

    def _answer(self, asked: Asked) -> Answer:
        standing = self.reader.standing(asked.label)
        chain, part = standing.chain, self._part(asked.label, standing, asked.query.held)
        return Answer(
            asked.label,
            asked.vrf_proof,
            self._opening(asked.label) if chain and asked.vrf_proof else None,
            part,
            chain.encoded if chain and self.request.mode == Mode.AUDITED else None,
            self._anchored(part.links[-1]) if part.links else None,
        )

    def _part(self, label: bytes, standing: Standing, held: int) -> ChainPart:
        chain = standing.chain
        if chain is None:
            return ChainPart(0, EMPTY, EMPTY, standing.proof)
        replayed = self.request.mode == Mode.REPLAY and held < chain.length
        links = self._links(label, held) if replayed else ()
        return ChainPart(chain.length, chain.accumulator, chain.digest, standing.proof, links)

    def _links(self, label: bytes, held: int) -> tuple[Link, ...]:
        """The blocks of a chain after those that are held; of too many, those that fit (R-65.7)."""
        links: list[Link] = []
        total = 0
        for index in self.reader.blocks_of(label, held, self.reader.head.size):
            (data,) = self.reader.entries(index, index + 1)
            total += len(data)
            if links and total > MAX_LINKS_BYTES:
                break
            links.append(Link(index, data))
        return tuple(links)

    def _anchored(self, newest: Link) -> tuple[bytes, ...]:
        """The proof for the anchor of a chain's newest block, which is its newest (R-44.4)."""
        return self._consistency(blocks.parse(entry.parse(newest.entry).body).anchor.size)

    def _consistency(self, old: int) -> tuple[bytes, ...]:
        return tuple(consistency_proof(old, self.reader.head.size, self.read))

    def _opening(self, label: bytes) -> Opening:
        found = self.private.opening(label)
        if found is None:
            raise Problem("unavailable", "the opening of an identifier is lost", rule="R-65.6")
        return Opening(*found)


class _Nodes:
    """Hashes of the published tree, which never change; some thousands of them are remembered."""

    def __init__(self) -> None:
        self._known: dict[Node, bytes] = {}

    def of(self, reader: Reader) -> ReadNode:
        """Reads nodes of the tree that `reader` shows."""
        known, read_tiles = self._known, node_reader(reader.head.size, reader.tile)

        def read(node: Node) -> bytes:
            found = known.get(node)
            if found is None:
                if len(known) >= _REMEMBERED_NODES:
                    known.clear()
                found = known[node] = read_tiles(node)
            return found

        return read
