"""What proves to others that a log lied to somebody who replays all of it (80-evidence).

    of_rollback(replica, claim)                 a checkpoint against those that were accepted
    Trial(…).of_batch(charge)                   entries, under a claim that may be a fork
    Trial(…).of_time(index, data)               an entry that is ahead of the witnesses
    of_statement(replica, group, statements)    what was stated of a group

Each gives an evidence file, or None where there is nothing that convinces others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.client.evidence.charge import Charge
from ledger.client.evidence.inquiry import Proofs, Tree
from ledger.client.evidence.of_lookups import authors, is_ahead, proof_of_fork, written
from ledger.client.policy import Policy
from ledger.client.replay.replica import Replica
from ledger.client.replay.tree import ReplicaTree
from ledger.client.verify import Claim
from ledger.errors import MalformedInput
from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.format.evidence import Body, Evidence, WrongStatement, WrongTime


async def of_rollback(replica: Replica, claim: Claim) -> bytes | None:
    """A fork, if the replica's tree does not have the claimed one as a beginning."""
    own = ReplicaTree(replica)
    seen = own.accepted()
    if seen is None or seen.size > own.size or own.root(seen.size) != seen.root:
        return None
    return await proof_of_fork(claim, seen, replica.entry(0), own)


@dataclass(frozen=True, slots=True)
class Trial:
    """Entries that a server shows under `claim`, after those of the replica, which lead to it not.

    `first` is entry 0.
    """

    first: bytes
    replica: Replica
    server: Proofs
    claim: Claim
    policy: Policy

    async def proof(self, charge: Charge | None, index: int, last: bytes) -> bytes | None:
        """What is wrong with a batch, or with the time of the `last` entry, at leaf `index`."""
        return await self.of_batch(charge) or await self.of_time(index, last)

    async def of_batch(self, charge: Charge | None) -> bytes | None:
        """A fork, if the claimed tree does not continue what was accepted; else the charge."""
        seen = ReplicaTree(self.replica).accepted()
        forked = await proof_of_fork(seen, self.claim, self.first, self.server) if seen else None
        if forked or charge is None:
            return forked
        return await written(self.first, lambda: charge.body(self._tree))

    async def of_time(self, index: int, data: bytes) -> bytes | None:
        """The entry `data`, if it is further ahead of a quorum's cosignatures than it may be."""

        async def ahead() -> Body | None:
            if not is_ahead(entry.parse(data).time, self.claim, self.policy):
                return None
            return WrongTime(self.claim.note, await self._tree.leaf(index, data))

        return await written(self.first, ahead)

    @property
    def _tree(self) -> Tree:
        return Tree(self.server, self.claim, self.first)


def of_statement(replica: Replica, group: bytes, statements: Sequence[bytes]) -> bytes | None:
    """The last of a group's `statements`, which are those from its first block on."""
    own = ReplicaTree(replica)
    seen = own.accepted()
    if seen is None or seen.size != own.size:
        return None
    labels = [LOG_LABEL, group, *authors(statements, group)]
    chains = tuple(own.shown(label) for label in labels)
    leaf = own.leaf(own.size - 1)
    return _encoded(replica, WrongStatement(seen.note, leaf, chains, tuple(statements)))


def _encoded(replica: Replica, body: Body) -> bytes | None:
    try:
        return Evidence(replica.entry(0), body).encode()
    except MalformedInput:  # longer than a file may be
        return None
