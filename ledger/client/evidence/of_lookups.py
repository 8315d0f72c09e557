"""What proves to others that an answer to a lookup was a lie (80-evidence).

>>> try:                                                         # doctest: +SKIP
...     outcome = verify(bundle, asked, held, policy, now)
... except LogMisbehaved as error:
...     error.proof = await proof(bundle, held, links, policy, server, now)

Evidence is made of the answer, of what was held, and of proofs that the server gives of its own
tree (`ledger.client.evidence.inquiry`). Of identifiers and openings nothing goes in. What the log
only said and never signed leaves no evidence: then there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ledger.client.evidence import exhibits
from ledger.client.evidence.inquiry import Proofs, Tree
from ledger.client.lookups import light
from ledger.client.lookups.light_chain import Place
from ledger.client.lookups.pins import Held, LogView
from ledger.client.lookups.roots import Root
from ledger.client.policy import Policy
from ledger.client.verify import MAX_AHEAD, Claim
from ledger.errors import KeyrollError, MalformedInput
from ledger.format import block as blocks
from ledger.format import checkpoint as checkpoints
from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.format.evidence import (
    Body,
    Evidence,
    Leaf,
    Proof,
    ShownChain,
    WrongAnchor,
    WrongDirectory,
    WrongEntry,
    WrongStatement,
    WrongTime,
)
from ledger.format.lookup import MAX_WHOLE_BYTES, Bundle, ChainPart, Link
from ledger.format.note import parse_note
from ledger.format.policy import NONE
from ledger.format.statement import Statement

Links = Callable[[bytes], Sequence[Link]]
"""The blocks of a chain that are held, from the first on."""

Roots = Callable[[bytes], Root | None]
"""The newest directory root that showed what there is of a label."""


async def proof(
    data: bytes, held: Held, links: Links, policy: Policy, server: Proofs, now: int
) -> bytes | None:
    """The evidence file against the answer `data`, which was refused; None if there is none."""
    try:
        answer = _Answer.read(data, held, links, policy, server, now)
    except KeyrollError:
        return None  # the log signed nothing
    for accuse in (
        *(answer.forks, answer.ends_wrongly, answer.runs_backwards, answer.runs_ahead),
        *(answer.breaks_rules, answer.misplaces_anchor, answer.hides, answer.misstates),
    ):
        found = await written(answer.first, accuse)
        if found:
            return found
    return None


async def proof_of_hiding(
    data: bytes, first: bytes, roots: Roots, links: Links, server: Proofs
) -> bytes | None:
    """Kind 4 against a root that was shown before: it hid or misstated what `data` shows now."""
    bundle = Bundle.decode(data, MAX_WHOLE_BYTES)
    parts = [(one.label, one.chain) for one in bundle.answers]
    for label, part in [(LOG_LABEL, bundle.log), *parts] if bundle.log else parts:
        root = roots(label)
        if root:
            known = [*links(label), *part.links]
            found = await written(first, partial(_hidden_by, root, known, first, server))
            if found:
                return found
    return None


async def _hidden_by(
    root: Root, known: Sequence[Link], first: bytes, server: Proofs
) -> WrongDirectory | None:
    """A block that the root's tree has, and its list of the chain has not."""
    part, tree = exhibits.shown(root.chain.part, known), Tree(server, root.claim, first)
    link = exhibits.hidden(part, known, root.claim.size) if part else None
    if part is None or link is None:
        return None
    other = await tree.leaf(link.index, link.entry)
    return WrongDirectory(root.note, root.leaf, root.chain, exhibits.blocks_of(part), other)


async def proof_of_fork(one: Claim, other: Claim, first: bytes, server: Proofs) -> bytes | None:
    """The evidence file, if these two checkpoints of a log can't both be true."""
    older, newer = sorted((one, other), key=lambda claim: (claim.size, claim.root))
    return await written(first, lambda: Tree(server, newer, first).fork_from(older))


async def proof_of_anchor(view: LogView, link: Link, server: Proofs) -> bytes | None:
    """The evidence file, if the anchor of this block is not in the tree that was shown."""
    tree = Tree(server, claim_of(view), view.first)
    return await written(view.first, lambda: _misplaced(tree, link))


async def _misplaced(tree: Tree, link: Link, proof: Proof | None = None) -> Body | None:
    """Kind 5, unless the anchor is in the tree; `proof` may be the consistency proof from it."""
    anchor = blocks.parse(entry.parse(link.entry).body).anchor
    root, found = await tree.beginning(anchor.size, proof)
    if root == anchor.root:
        return None
    leaf = await tree.leaf(link.index, link.entry)
    return WrongAnchor(tree.claim.note, leaf, root, found)


def of_statement(data: bytes, labels: list[bytes], statements: Sequence[bytes]) -> bytes | None:
    """Kind 7: the last of a group's statements, by an answer for all that it is judged by.

    The answer was verified, for who holds nothing: of the group and its authors, `labels`.
    """
    bundle = Bundle.decode(data, MAX_WHOLE_BYTES)
    if len(bundle.answers) != len(labels) or not bundle.first or not bundle.log:
        return None
    size = checkpoints.parse(parse_note(bundle.checkpoint).text).size
    leaf = Leaf(size - 1, bundle.last, bundle.inclusion)
    parts = [(LOG_LABEL, bundle.log), *((one.label, one.chain) for one in bundle.answers)]
    chains = tuple(ShownChain(*one) for one in parts)
    body = WrongStatement(bundle.checkpoint, leaf, chains, tuple(statements))
    try:
        return Evidence(bundle.first, body).encode()
    except MalformedInput:  # longer than a file may be
        return None


def authors(statements: Sequence[bytes], group: bytes) -> list[bytes]:
    """Who signed them, by label. One that is no statement names nobody."""
    found: set[bytes] = set()
    for raw in statements:
        with suppress(MalformedInput):
            found.add(Statement.parse(raw).terms.author)
    return sorted(found - {LOG_LABEL, group})


async def written(first: bytes, accuse: Callable[[], Awaitable[Body | None]]) -> bytes | None:
    """The file of what `accuse` finds. A server that proves nothing of its tree leaves none."""
    try:
        body = await accuse()
        return Evidence(first, body).encode() if body else None
    except KeyrollError:
        return None


def is_ahead(time: int, claim: Claim, policy: Policy) -> bool:
    """Whether a quorum cosigned a claim more than 5 minutes before the time of its last entry."""
    early = {key for key, at in claim.cosigned.items() if at * 1000 < time - MAX_AHEAD}
    return policy.witnesses.quorum != NONE and policy.witnesses.quorum_met(early)


def claim_of(view: LogView) -> Claim:
    """The newest checkpoint that was accepted."""
    return Claim(view.note, view.size, view.root)


@dataclass(frozen=True)
class _Answer:
    """An answer under a checkpoint that the log signed, what it is held to, and who gave it."""

    bundle: Bundle
    held: Held
    links: Links
    policy: Policy
    first: bytes
    tree: Tree

    @classmethod
    def read(
        cls, data: bytes, held: Held, links: Links, policy: Policy, server: Proofs, now: int
    ) -> _Answer:
        bundle = Bundle.decode(data, MAX_WHOLE_BYTES)
        log = light.founding(bundle.first, held.view)
        claim = light.signed(bundle.checkpoint, log, policy, now)
        first = bundle.first or held.view.first
        return cls(bundle, held, links, policy, first, Tree(server, claim, first))

    @property
    def claim(self) -> Claim:
        return self.tree.claim

    @property
    def last(self) -> Leaf:
        """The end of the tree, as it was shown."""
        return Leaf(self.claim.size - 1, self.bundle.last, self.bundle.inclusion)

    @property
    def place(self) -> Place:
        """What chains are judged in. Raises `MalformedInput` if it is not shown."""
        light.check_included(self.bundle, self.claim)
        item = entry.parse(self.bundle.last)
        if item.kind != entry.DIRECTORY_ROOT:
            raise MalformedInput("R-61.4", "the tree does not end with a directory root")
        size, root = self.claim.size, self.claim.root
        return Place(self.held.view.log_id, size, root, item.time, item.body)

    def parts(self) -> Iterator[tuple[bytes, ChainPart]]:
        """What is shown of each label, the log's first, with all links. Others are left out."""
        shown = [(one.label, one.chain) for one in self.bundle.answers]
        if self.bundle.log:
            shown = [(LOG_LABEL, self.bundle.log), *shown]
        for label, part in shown:
            whole = exhibits.shown(part, self.links(label))
            if whole and exhibits.is_shown(self.place, label, whole):
                yield label, whole

    # --- accusations

    async def forks(self) -> Body | None:
        """Kind 0: the checkpoint does not continue the one that was accepted."""
        seen = claim_of(self.held.view)
        if not seen.size:
            return None
        if seen.size <= self.claim.size:
            return await self.tree.fork_from(seen, self.bundle.consistency)
        return await self.tree.of(seen).fork_from(self.claim)

    async def ends_wrongly(self) -> Body | None:
        """Kind 1: the tree ends with what is no entry, or a block."""
        light.check_included(self.bundle, self.claim)
        try:
            if entry.parse(self.bundle.last).kind == entry.DIRECTORY_ROOT:
                return None
        except MalformedInput:
            pass
        return WrongEntry(self.claim.note, self.last)

    async def runs_backwards(self) -> Body | None:
        """Kind 6: the last entry has an earlier time than that of a tree that was seen."""
        view, time = self.held.view, self.place.time
        if time >= view.time:
            return None
        before = await self.tree.leaf(view.size - 1)
        if entry.parse(before.entry).time <= time:
            return None
        return WrongTime(self.claim.note, before, self.last)

    async def runs_ahead(self) -> Body | None:
        """Kind 6: the last entry is ahead of a quorum's cosignatures."""
        if not is_ahead(self.place.time, self.claim, self.policy):
            return None
        return WrongTime(self.claim.note, self.last)

    async def breaks_rules(self) -> Body | None:
        """Kind 3: a chain that the last entry shows breaks a rule, or leads to another state."""
        parts = list(self.parts())
        if not parts or parts[0][0] != LOG_LABEL:
            return None
        log = parts[0][1]
        for label, part in parts:
            found = exhibits.wrong_chain(self.claim.note, self.last, self.place, log, label, part)
            if found:
                return found
        return None

    async def misplaces_anchor(self) -> Body | None:
        """Kind 5: the newest block's anchor is not in the tree."""
        for answer in self.bundle.answers:
            for link in answer.chain.links[-1:]:
                found = await _misplaced(self.tree, link, answer.anchored)
                if found:
                    return found
        return None

    async def hides(self) -> Body | None:
        """Kind 4: a block that was seen, or admitted here, is not in its chain."""
        for label, part in self.parts():
            known = [*self.links(label), *self.held.admitted.get(label, ())]
            link = exhibits.hidden(part, known, self.claim.size)
            if link:
                return self._directory(label, part, await self.tree.leaf(link.index, link.entry))
        return None

    async def misstates(self) -> Body | None:
        """Kind 4: the newest block of a chain is not the one that the tree has there."""
        for label, part in self.parts():
            for link in part.links[-1:]:
                other = await self.tree.leaf(link.index)
                if other.entry != link.entry:
                    return self._directory(label, part, other)
        return None

    def _directory(self, label: bytes, part: ChainPart, other: Leaf) -> WrongDirectory:
        chain = ShownChain(label, replace(part, links=()))
        return WrongDirectory(self.claim.note, self.last, chain, exhibits.blocks_of(part), other)
