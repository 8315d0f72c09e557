"""Directory roots by someone who read one rule of 30-directory otherwise.

Such a root is refused as R-42.5; `covers` says which rule was misread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from ledger.format import block, entry
from ledger.format.block import LOG_LABEL
from ledger.rules.state import Chain
from ledger.tree.merkle import leaf_hash
from tests.support.actors import NOW, User
from tests.support.naive import bits
from tests.vectors.case import Case, bad
from tests.vectors.world import World

TWIN = bytes([0x5A]) * 31
LABELS = (TWIN + b"\x10", TWIN + b"\x11", bytes([0xA7]) * 32)
"""Two that share 255 bits, and one that shares none."""

Words = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read 30-directory. The defaults are right."""

    leaf: Callable[[bytes, bytes], Words] = lambda label, value: (b"\x02", label, value)
    node: Callable[[bytes, bytes], Words] = lambda left, right: (b"\x03", left, right)
    spell: Callable[[bytes], str] = bits
    deep: bool = False
    skip: bool = False
    value: Callable[[bytes, bytes, bytes], Words] = lambda length, accumulator, state: (
        *(b"\x04", length, accumulator),
        sha256(state).digest(),
    )
    step: Callable[[bytes, bytes, bytes], Words] = lambda before, index, data: (
        *(b"\x05", before, index),
        leaf_hash(data),
    )
    labels: Callable[[bytes], bool] = lambda label: True

    def root(self, world: World) -> bytes:
        """The root over all entries of the log."""
        chains = {k: c for k, c in world.log.chains.items() if self.labels(k)}
        leaves = {
            self.spell(label): _hash(self.leaf(label, self._value(world, label, chain)))
            for label, chain in chains.items()
        }
        return self._fold(leaves, "")

    def _value(self, world: World, label: bytes, chain: Chain) -> bytes:
        accumulator = bytes(32)
        for index, data in enumerate(world.log.entries):
            found = entry.parse(data)
            if found.kind == entry.BLOCK and block.parse(found.body).label == label:
                accumulator = _hash(self.step(accumulator, index.to_bytes(8), data))
        return _hash(self.value(chain.length.to_bytes(8), accumulator, chain.encoded))

    def _fold(self, leaves: dict[str, bytes], prefix: str) -> bytes:
        if len(leaves) < 2 and not (self.deep and leaves and len(prefix) < 256):
            return next(iter(leaves.values()), bytes(32))
        sides = ({k: v for k, v in leaves.items() if k.startswith(prefix + bit)} for bit in "01")
        zeros, ones = sides
        left, right = self._fold(zeros, prefix + "0"), self._fold(ones, prefix + "1")
        if self.skip and not (zeros and ones):
            return left if zeros else right
        return _hash(self.node(left, right))


def _hash(words: Words) -> bytes:
    return sha256(b"".join(words)).digest()


def _block_hash(data: bytes) -> bytes:
    found = entry.parse(data)
    return sha256(found.body).digest()


def _lsb_first(label: bytes) -> str:
    return "".join(f"{byte:08b}"[::-1] for byte in label)


MISREADINGS: list[tuple[str, str, str, Reading]] = [
    (
        "leaf-untagged",
        "R-30.1",
        "The leaf is hashed without its tag.",
        Reading(leaf=lambda label, value: (label, value)),
    ),
    (
        "leaf-no-label",
        "R-30.1",
        "The leaf leaves out the label.",
        Reading(leaf=lambda label, value: (b"\x02", value)),
    ),
    (
        "node-swapped",
        "R-30.2",
        "Left and right are swapped.",
        Reading(node=lambda left, right: (b"\x03", right, left)),
    ),
    (
        "node-other-tag",
        "R-30.2",
        "Nodes have the tag of the RFC 6962 tree.",
        Reading(node=lambda left, right: (b"\x01", left, right)),
    ),
    (
        "deep-leaves",
        "R-30.3",
        "Nodes go on above a single label, down to the last bit.",
        Reading(deep=True),
    ),
    ("no-empties", "R-30.3", "Nodes with an empty child are left out.", Reading(skip=True)),
    (
        "low-bit-first",
        "R-30.3",
        "Bits are read from the least significant one of each byte.",
        Reading(spell=_lsb_first),
    ),
    (
        "value-no-length",
        "R-30.4",
        "The value leaves out the chain's length.",
        Reading(value=lambda n, a, s: (b"\x04", a, sha256(s).digest())),
    ),
    (
        "accumulator-blocks",
        "R-30.5",
        "The accumulator takes the blocks' hashes: the time of admission is not bound.",
        Reading(step=lambda a, i, data: (b"\x05", a, i, _block_hash(data))),
    ),
    (
        "accumulator-no-index",
        "R-30.5",
        "The accumulator leaves out the leaf index.",
        Reading(step=lambda a, i, data: (b"\x05", a, leaf_hash(data))),
    ),
    (
        "state-not-hashed",
        "R-30.6",
        "The state's bytes stand where their digest belongs.",
        Reading(value=lambda n, a, s: (b"\x04", n, a, s)),
    ),
    (
        "no-log-chain",
        "R-30.7",
        "The log's own chain is left out.",
        Reading(labels=lambda label: label != LOG_LABEL),
    ),
]


def cases() -> Iterator[Case]:
    world = _world()
    right = Reading().root(world)
    assert right == world.log.head.directory
    yield world.ok(
        "root", "Four chains, two of whose labels share 255 bits, in a heartbeat's root."
    )
    roots = [reading.root(world) for _, _, _, reading in MISREADINGS]
    assert all(one != other for one, other in pairwise(sorted([right, *roots])))
    for (name, rule, shows, _), root in zip(MISREADINGS, roots, strict=True):
        given = world.given([entry.directory_root(NOW, root)])
        yield bad("log", f"root-{name}", "R-42.5", "root", shows, given, covers=(rule,))


def _world() -> World:
    world = World()
    users = [
        world.admit(User.create(world.actor, name, world.anchor, label=label))
        for name, label in zip("abc", LABELS, strict=True)
    ]
    world.admit(users[0].add(world.anchor))
    return world
