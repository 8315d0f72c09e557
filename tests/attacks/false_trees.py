"""Directory roots that don't follow, and proofs of shapes that no tree has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from ledger.format.lookup import Bundle
from ledger.tree.directory_proof import Other
from ledger.tree.merkle import consistency_proof, inclusion_proof
from tests.attacks.front import answering, served
from tests.attacks.stage import ADA, BOB, Stage
from tests.attacks.suite import Catch, attack
from tests.client.lies import answers, last_link, proofs
from tests.support.actors import seed


@attack("a directory root that does not follow from the entries")
async def a_root_that_forgets(stage: Stage) -> list[Catch]:
    """It knows nothing of Bob. Who looks him up saw him before."""
    liar, path = stage.liar(), stage.place() / "trust.db"
    await stage.looks_up(stage.http.url, BOB, path=path)
    liar.forget(stage.bob.label)
    liar.admit()
    async with served(liar) as url:
        met = [stage.syncs(url), stage.asks(url, BOB, path=path), stage.audits(url)]
        return list(await asyncio.gather(*met))


@attack("a directory root that is no directory's")
async def a_root_of_nothing(stage: Stage) -> list[Catch]:
    liar = stage.liar()
    liar.admit(root=seed("no directory"))
    return await stage.all_meet(liar)


# --- shapes

Change: TypeAlias = Callable[[Bundle], Bundle]
Hashes: TypeAlias = tuple[bytes, ...]


async def meets(stage: Stage, *changes: Change) -> list[Catch]:
    """Bob, who saw an older tree, looks Ada up, once for each of the changes on the way."""
    liar, path = stage.liar(), stage.place() / "trust.db"
    await stage.looks_up(stage.http.url, BOB, path=path)
    liar.admit()
    found: list[Catch] = []
    for change in changes:
        async with served(liar, answering(change)) as url:
            found.append(await stage.asks(url, ADA, path=path))
    return found


def each_proof(change: Callable[[Hashes], Hashes]) -> list[Change]:
    """The change, made to each proof in a bundle."""
    return [
        lambda b: replace(b, inclusion=change(b.inclusion)),
        lambda b: replace(b, consistency=change(b.consistency)),
        lambda b: proofs(b, siblings=change(b.answers[0].chain.proof.siblings)),
        lambda b: answers(b, anchored=change(b.answers[0].anchored or ())),
    ]


@attack("bogus shapes of proofs: too long")
async def too_long(stage: Stage) -> list[Catch]:
    return await meets(stage, *each_proof(lambda hashes: (*hashes, seed("one more"))))


@attack("bogus shapes of proofs: too short")
async def too_short(stage: Stage) -> list[Catch]:
    return await meets(stage, *each_proof(lambda hashes: hashes[:-1]))


@attack("bogus shapes of proofs: wrong index or size")
async def wrong_place(stage: Stage) -> list[Catch]:
    """A proof for the leaf before, one from another size, a block at another leaf."""
    tree, size = stage.liar(), len(stage.world.log.entries)
    tree.admit()
    read = tree.tree().read
    beside = tuple(inclusion_proof(size - 1, size + 1, read))
    older = tuple(consistency_proof(size - 1, size + 1, read))
    return await meets(
        stage,
        lambda b: replace(b, inclusion=beside),
        lambda b: replace(b, consistency=older),
        lambda b: last_link(b, index=size - 1),
    )


@attack("bogus shapes of proofs: labels that are prefixes of one another")
async def prefixes(stage: Stage) -> list[Catch]:
    """Ada's leaf, and a node above it, as if a shorter label stood there; and another's leaf."""
    told = stage.liar().told[stage.bob.label]

    def at_a_node_above(bundle: Bundle) -> Bundle:
        proof = bundle.answers[0].chain.proof
        return proofs(bundle, depth=proof.depth - 1, siblings=proof.siblings[:-1])

    def at_another_leaf(bundle: Bundle) -> Bundle:
        return proofs(bundle, end=Other(stage.bob.label, told.value))

    return await meets(stage, at_a_node_above, at_another_leaf)
