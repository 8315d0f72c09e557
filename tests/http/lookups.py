"""Asking for lookups, and what a careful asker makes of the bundle, by the pure functions alone.

>>> asker = Asker(log, ada)                                        # doctest: +SKIP
>>> (bob,) = await asker.ask("bob@example.org")                    # doctest: +SKIP
>>> bob.chain.state.devices                                        # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from ledger.client.history import history, log_history
from ledger.format import block, checkpoint, entry
from ledger.format.bodies import ZERO_HASH
from ledger.format.checkpoint import Checkpoint
from ledger.format.identity import Opening
from ledger.format.keys import SigningKey
from ledger.format.login import authenticate
from ledger.format.lookup import (
    LOOKUP_PATH,
    Answer,
    Bundle,
    ChainPart,
    LookupRequest,
    Mode,
    Query,
)
from ledger.format.note import ED25519, Verifier
from ledger.log.clock import wall_ms
from ledger.rules.state import Chain, LogState, UserState, accumulate, parse_state
from ledger.tree import vrf
from ledger.tree.directory_proof import verify_absent, verify_present
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion
from tests.http.covering import cover
from tests.http.world import Answer as HttpAnswer
from tests.http.world import Http
from tests.support.actors import LogActor, User


@dataclass(frozen=True, slots=True)
class Found:
    """What was proven for one query: a label, and its chain if there is one."""

    label: bytes
    chain: Chain | None
    opening: Opening | None


@dataclass
class Asker:
    """Somebody who asks, and what they hold: a checkpoint, the log's own chain, other chains.

    `covers`: has auditors cover what is published before an audited question.
    """

    http: Http
    user: User
    mode: Mode = Mode.REPLAY
    checkpoint: Checkpoint | None = None
    log: list[LogState] = field(default_factory=list)
    chains: dict[bytes, Chain] = field(default_factory=dict)
    covers: bool = True

    @property
    def key(self) -> SigningKey:
        return self.user.devices[0].signing

    def request(self, *of: str | bytes) -> LookupRequest:
        """A request for what stands for these identifiers and labels, beyond what is held."""
        return LookupRequest(
            self.user.label,
            self.mode,
            self.checkpoint.size if self.checkpoint else 0,
            len(self.log),
            tuple(Query(one, self._held(one)) for one in of),
        )

    async def post(self, request: LookupRequest, key: SigningKey | None = None) -> HttpAnswer:
        if request.mode == Mode.AUDITED and self.covers:
            await cover(self.http)
        log_id = self.http.actor.log_id
        body = authenticate(request.encode(), LOOKUP_PATH, key or self.key, log_id, wall_ms())
        return await self.http.post(LOOKUP_PATH, body)

    async def ask(self, *of: str | bytes) -> list[Found]:
        """Ask, verify and hold what came: of as many of the first as the bundle has."""
        request = self.request(*of)
        answer = await self.post(request)
        assert answer.status == 200, answer
        return self.take(request, Bundle.decode(answer.body))

    def take(self, request: LookupRequest, bundle: Bundle) -> list[Found]:
        """What the bundle proves; it is held from now on."""
        root = self._take_head(request, bundle)
        replays = request.mode == Mode.REPLAY
        assert (bundle.mode, bundle.log is not None) == (request.mode, replays)
        if bundle.log:
            self._take_log(bundle.log, root)
        assert 1 <= len(bundle.answers) <= len(request.queries)
        pairs = zip(request.queries, bundle.answers, strict=False)
        return [self._take_answer(query, answer, root) for query, answer in pairs]

    def _held(self, one: str | bytes) -> int:
        label = self.http.actor.label(one) if isinstance(one, str) else one
        chain = self.chains.get(label)
        return chain.length if chain else 0

    def _take_head(self, request: LookupRequest, bundle: Bundle) -> bytes:
        """The directory's root, after R-65.2 and R-65.3."""
        actor, old = self.http.actor, self.checkpoint
        found = open_note(actor, bundle.checkpoint)
        if old:
            verify_consistency(old.size, found.size, bundle.consistency, old.root, found.root)
        else:
            assert bundle.consistency == ()
        assert (bundle.first is None) == bool(request.log_held)
        if bundle.first:
            assert sha256(entry.parse(bundle.first).body).digest() == actor.log_id
        last = entry.parse(bundle.last)
        leaf = leaf_hash(bundle.last)
        verify_inclusion(leaf, found.size - 1, found.size, bundle.inclusion, found.root)
        assert last.kind == entry.DIRECTORY_ROOT
        self.checkpoint = found
        return last.body

    def _take_log(self, part: ChainPart, root: bytes) -> None:
        log_id = self.http.actor.log_id
        entries = [(link.index, link.entry) for link in part.links]
        if not self.log:
            self.log = log_history(log_id, entries)
        else:
            assert entries == []  # this log's policy does not change where it was held
        accumulator = run(ZERO_HASH, part) if entries else part.accumulator
        assert accumulator == part.accumulator
        chain = Chain.of(len(self.log), accumulator, self.log[-1])
        assert chain.digest == part.digest
        verify_present(bytes(32), chain.value, part.proof, root)

    def _take_answer(self, query: Query, answer: Answer, root: bytes) -> Found:
        actor, part = self.http.actor, answer.chain
        if isinstance(query.of, str):
            assert answer.vrf_proof
            beta = vrf.verify(actor.vrf_public, query.of.encode(), answer.vrf_proof)
            assert vrf.label(beta) == answer.label
        else:
            assert (query.of, answer.vrf_proof) == (answer.label, None)
        if not part.length:
            verify_absent(answer.label, part.proof, root)
            nothing = (answer.opening, answer.state, answer.anchored, part.links)
            assert nothing == (None, None, None, ())
            assert part.accumulator == part.digest == ZERO_HASH
            return Found(answer.label, None, None)
        chain = self._replay(query, answer) if self.mode == Mode.REPLAY else stated(answer)
        assert chain.digest == part.digest
        verify_present(answer.label, chain.value, part.proof, root)
        self.chains[answer.label] = chain
        self._check_opening(query, answer, chain)
        return Found(answer.label, chain, answer.opening)

    def _replay(self, query: Query, answer: Answer) -> Chain:
        """R-65.7, R-65.8: the chain that the links make of the one held."""
        part = answer.chain
        before = self.chains.get(answer.label) if query.held else None
        assert answer.state is None
        assert len(part.links) == part.length - query.held
        assert (answer.anchored is None) == (not part.links)
        log_id = self.http.actor.log_id
        entries = [(link.index, link.entry) for link in part.links]
        for _, data in entries:
            block.verify(block.parse(entry.parse(data).body), log_id)
        steps = list(history(self.log, log_id, entries, before))
        chain = steps[-1].chain if steps else before
        assert chain
        assert (chain.length, chain.accumulator) == (part.length, part.accumulator)
        if answer.anchored is not None and self.checkpoint:
            old, new = steps[-1].block.anchor, self.checkpoint
            verify_consistency(old.size, new.size, answer.anchored, old.root, new.root)
        return chain

    def _check_opening(self, query: Query, answer: Answer, chain: Chain) -> None:
        """R-65.6."""
        if isinstance(query.of, bytes):
            assert answer.opening is None
            return
        assert answer.opening
        assert answer.opening.identifier == query.of
        assert isinstance(chain.state, UserState)
        assert answer.opening.commitment == chain.state.commitment


def stated(answer: Answer) -> Chain:
    """The chain of an audited answer."""
    part = answer.chain
    assert answer.state
    assert (part.links, answer.anchored) == ((), None)
    return Chain(part.length, part.accumulator, parse_state(answer.state), answer.state)


def run(accumulator: bytes, part: ChainPart) -> bytes:
    """R-30.5 over the links."""
    for link in part.links:
        accumulator = accumulate(accumulator, link.index, leaf_hash(link.entry))
    return accumulator


def open_note(actor: LogActor, note: bytes) -> Checkpoint:
    verifier = Verifier(actor.origin, ED25519, actor.log_key.public)
    return checkpoint.open_checkpoint(note, verifier)
