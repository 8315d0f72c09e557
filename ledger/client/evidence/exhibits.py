"""What proves a lie about a chain: made of what a directory root shows of it (80-evidence). Pure.

    shown(part, held)                   the part with all its links, as far as they are known
    wrong_chain(note, leaf, place, …)   kind 3, if a chain breaks a rule or leads elsewhere
    hidden(part, known, size)           kind 4: a block of the chain that its directory root hides

Nothing is built that would frame an honest log: links that don't lead to the accumulator are not
what the log signed, whoever altered them.

>>> whole = shown(part, trust.links(label))                      # doctest: +SKIP
>>> wrong_chain(note, leaf, place, log, label, whole)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ledger.client.lookups import light_chain
from ledger.client.lookups.light_chain import Place
from ledger.errors import MalformedInput
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import ZERO_HASH
from ledger.format.evidence import Leaf, ShownChain, WrongChain
from ledger.format.lookup import ChainPart, Link
from ledger.rules.state import LogState, accumulate
from ledger.tree.directory_proof import verify_absent
from ledger.tree.merkle import leaf_hash


def shown(part: ChainPart, held: Sequence[Link]) -> ChainPart | None:
    """`part` with all links from the first on, if they are known: given, held, or both.

    They lead to its accumulator; None if none of them do.
    """
    given = part.links
    begun = held[: max(0, part.length - len(given))]
    for links in (given, (*held, *given), (*begun, *given), _beginning(part.accumulator, held)):
        if leads(links, part.accumulator):
            return replace(part, links=tuple(links))
    return None


def _beginning(accumulator: bytes, held: Sequence[Link]) -> Sequence[Link]:
    """As many of `held` as lead to the accumulator; all if none do."""
    computed = ZERO_HASH
    for count, link in enumerate(held):
        if computed == accumulator:
            return held[:count]
        computed = accumulate(computed, link.index, leaf_hash(link.entry))
    return held


def leads(links: Iterable[Link], accumulator: bytes) -> bool:
    """Whether these are the blocks that the accumulator holds (R-30.5)."""
    computed = ZERO_HASH
    for link in links:
        computed = accumulate(computed, link.index, leaf_hash(link.entry))
    return computed == accumulator


def wrong_chain(
    note: bytes, leaf: Leaf, place: Place, log: ChainPart, label: bytes, part: ChainPart
) -> WrongChain | None:
    """Kind 3: the log's own chain is wrong, or else the one of `label`. Both with all links."""
    states = _states(place, log)
    if states is None:
        return WrongChain(note, leaf, (ShownChain(LOG_LABEL, log),))
    if label == LOG_LABEL or not is_shown(place, label, part):
        return None
    place = replace(place, states=states)
    try:
        steps = light_chain.replay(place, label, part, None)
        if steps:
            light_chain.check_state(steps[-1].chain, part)
    except MalformedInput:
        return WrongChain(note, leaf, (ShownChain(LOG_LABEL, log), ShownChain(label, part)))
    return None


def _states(place: Place, log: ChainPart) -> tuple[LogState, ...] | None:
    """The log's own states; None if its own chain is wrong. It has to be shown (R-65.5)."""
    light_chain.check_present(place, LOG_LABEL, log)
    try:
        chains = [step.chain for step in light_chain.replay_log(place, log, ())]
    except MalformedInput:
        return None
    return tuple(one.state for one in chains if isinstance(one.state, LogState))


def is_shown(place: Place, label: bytes, part: ChainPart) -> bool:
    """R-65.5: the directory root shows this of the label, be it that there is nothing."""
    try:
        if part.length:
            light_chain.check_present(place, label, part)
        else:
            verify_absent(label, part.proof, place.directory)
    except MalformedInput:
        return False
    return True


def blocks_of(part: ChainPart) -> tuple[tuple[int, bytes], ...]:
    """Leaf index and leaf hash of each block of a chain, all of whose links are there."""
    return tuple((link.index, leaf_hash(link.entry)) for link in part.links)


def hidden(part: ChainPart, known: Iterable[Link], size: int) -> Link | None:
    """A block of the chain, before the last leaf of the tree, that is not among all its links."""
    listed = set(blocks_of(part))
    for link in known:
        if link.index < size - 1 and (link.index, leaf_hash(link.entry)) not in listed:
            return link
    return None
