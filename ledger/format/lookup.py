"""Lookups as bytes: what is asked, and the bundle that answers it (specs/65-lookups).

    lookup-request = [user, mode, old, log held, [1*256 query]]
    query          = [identifier / label, held]
    bundle         = [1, mode, checkpoint, first, last, inclusion, consistency, log, [* answer]]
    answer         = [label, VRF proof, opening, chain, state, anchored]
    chain          = [length, accumulator, digest, directory-proof, [* [leaf index, entry]]]
    saved-lookup   = [1, log id, identifier, bundle]

Decoding takes exactly these shapes and looks neither into entries nor into states: what a bundle
proves, `ledger.client.lookups.light` says.

>>> asked = LookupRequest(bytes(32), Mode.REPLAY, 0, 0, (Query("ada@example.org"),))
>>> LookupRequest.decode(asked.encode()) == asked
True
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ledger.errors import MalformedInput
from ledger.format import proof as proofs
from ledger.format.bodies import HASH_BYTES, MAX_SEQ
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items, text, uint
from ledger.format.entry import MAX_ENTRY_BYTES
from ledger.format.identity import Opening, check_identifier
from ledger.format.note import MAX_NOTE_BYTES
from ledger.format.wire import MAX_REQUEST_BYTES, proof_hashes
from ledger.tree.directory_proof import Proof

LOOKUP_PATH = "/v1/lookup"

MAX_BUNDLE_BYTES = 4 * 1_048_576
MAX_WHOLE_BYTES = 64 * 1_048_576
"""Of an answer that came in parts, put together (R-65.7)."""
MAX_SAVED_BYTES = MAX_BUNDLE_BYTES + 1_024
MAX_QUERIES = 256
MAX_ANSWER_BYTES = 1_048_576
"""Of answers in one bundle: as many as fit, and at least one (R-65.1)."""

VERSION = 1

_MAX_INDEX = 2**63 - 1
_MAX_IDENTIFIER_BYTES = 254
_MAX_STATE_BYTES = 4 * 1_048_576
_MAX_LINKS = 65_536
_VRF_PROOF_BYTES = 80


class Mode(IntEnum):
    """Whether the asker replays the chain, or believes a state that auditors stand for."""

    REPLAY = 0
    AUDITED = 1


@dataclass(frozen=True, slots=True)
class Query:
    """Somebody new, by identifier, or a chain of which `held` blocks are held, by label."""

    of: str | bytes
    held: int = 0

    @classmethod
    def parse(cls, value: Value) -> Query:
        f = array(value, 2, "query")
        of = (
            text(f[0], _MAX_IDENTIFIER_BYTES, "identifier")
            if type(f[0]) is str
            else bstr(f[0], HASH_BYTES, "label")
        )
        return cls(of, uint(f[1], "blocks held", MAX_SEQ + 1))

    def to_value(self) -> Value:
        return [self.of, self.held]


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """POST /v1/lookup: what `user` asks, holding a checkpoint of size `old`."""

    user: bytes
    mode: int
    old: int
    log_held: int
    queries: tuple[Query, ...]

    @classmethod
    def decode(cls, data: bytes) -> LookupRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 5, "lookup-request")
        queries = items(f[4], 1, MAX_QUERIES, "queries")
        return cls(
            bstr(f[0], HASH_BYTES, "user"),
            uint(f[1], "mode", max(Mode)),
            uint(f[2], "size", _MAX_INDEX),
            uint(f[3], "blocks held", MAX_SEQ + 1),
            tuple(map(Query.parse, queries)),
        )

    def encode(self) -> bytes:
        queries = [query.to_value() for query in self.queries]
        return encode([self.user, int(self.mode), self.old, self.log_held, queries])


@dataclass(frozen=True, slots=True)
class Link:
    """One block of a chain: its leaf index and its entry."""

    index: int
    entry: bytes

    @classmethod
    def parse(cls, value: Value) -> Link:
        f = array(value, 2, "link")
        return cls(uint(f[0], "index", _MAX_INDEX), blob(f[1], MAX_ENTRY_BYTES, "entry"))

    def to_value(self) -> Value:
        return [self.index, self.entry]


@dataclass(frozen=True, slots=True)
class ChainPart:
    """What the directory says of a chain, with the proof, and the blocks that were not held.

    `digest` is that of the chain's state.
    """

    length: int
    accumulator: bytes
    digest: bytes
    proof: Proof
    links: tuple[Link, ...] = ()

    @classmethod
    def parse(cls, value: Value) -> ChainPart:
        f = array(value, 5, "chain")
        length = uint(f[0], "chain length", MAX_SEQ + 1)
        links = items(f[4], 0, _MAX_LINKS, "links")
        return cls(
            length,
            bstr(f[1], HASH_BYTES, "accumulator"),
            bstr(f[2], HASH_BYTES, "state digest"),
            proofs.parse(f[3]),
            tuple(map(Link.parse, links)),
        )

    def to_value(self) -> Value:
        links = [link.to_value() for link in self.links]
        held: list[Value] = [self.length, self.accumulator, self.digest]
        return [*held, proofs.to_value(self.proof), links]


@dataclass(frozen=True, slots=True)
class Answer:
    """What stands for one query. `state` is encoded; see 65-lookups for what is null when."""

    label: bytes
    vrf_proof: bytes | None
    opening: Opening | None
    chain: ChainPart
    state: bytes | None = None
    anchored: tuple[bytes, ...] | None = None

    @classmethod
    def parse(cls, value: Value) -> Answer:
        f = array(value, 6, "answer")
        return cls(
            bstr(f[0], HASH_BYTES, "label"),
            None if f[1] is None else bstr(f[1], _VRF_PROOF_BYTES, "VRF proof"),
            None if f[2] is None else Opening.parse(f[2]),
            ChainPart.parse(f[3]),
            None if f[4] is None else blob(f[4], _MAX_STATE_BYTES, "state"),
            None if f[5] is None else proof_hashes(f[5]),
        )

    def to_value(self) -> Value:
        opening = self.opening.to_value() if self.opening else None
        anchored: Value = None if self.anchored is None else [*self.anchored]
        return [self.label, self.vrf_proof, opening, self.chain.to_value(), self.state, anchored]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The answer to a lookup, under one checkpoint."""

    mode: int
    checkpoint: bytes
    first: bytes | None
    last: bytes
    inclusion: tuple[bytes, ...]
    consistency: tuple[bytes, ...]
    log: ChainPart | None
    answers: tuple[Answer, ...]

    @classmethod
    def decode(cls, data: bytes, cap: int = MAX_BUNDLE_BYTES) -> Bundle:
        """The bundle that these bytes spell, or `MalformedInput` (R-10, R-65.1)."""
        f = array(decode(data, cap), 9, "bundle")
        if uint(f[0], "version") != VERSION:
            raise MalformedInput("R-65.1", "this version of bundles is unknown")
        return cls(
            uint(f[1], "mode", max(Mode)),
            blob(f[2], MAX_NOTE_BYTES, "checkpoint"),
            None if f[3] is None else blob(f[3], MAX_ENTRY_BYTES, "first entry"),
            blob(f[4], MAX_ENTRY_BYTES, "last entry"),
            proof_hashes(f[5]),
            proof_hashes(f[6]),
            None if f[7] is None else ChainPart.parse(f[7]),
            tuple(map(Answer.parse, items(f[8], 1, MAX_QUERIES, "answers"))),
        )

    def encode(self) -> bytes:
        log = self.log.to_value() if self.log else None
        answers = [answer.to_value() for answer in self.answers]
        head: list[Value] = [VERSION, int(self.mode), self.checkpoint, self.first, self.last]
        return encode([*head, [*self.inclusion], [*self.consistency], log, answers])


@dataclass(frozen=True, slots=True)
class Saved:
    """A bundle for later: the answer to who held nothing and asked for one identifier (R-65.10)."""

    log_id: bytes
    identifier: str
    bundle: bytes

    @classmethod
    def decode(cls, data: bytes) -> Saved:
        f = array(decode(data, MAX_SAVED_BYTES), 4, "saved-lookup")
        if uint(f[0], "version") != VERSION:
            raise MalformedInput("R-65.10", "this version of saved lookups is unknown")
        log_id = bstr(f[1], HASH_BYTES, "log id")
        identifier = check_identifier(text(f[2], _MAX_IDENTIFIER_BYTES, "identifier"))
        return cls(log_id, identifier, blob(f[3], MAX_BUNDLE_BYTES, "bundle"))

    def encode(self) -> bytes:
        return encode([VERSION, self.log_id, self.identifier, self.bundle])
