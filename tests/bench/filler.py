"""Labels by the hundred thousand, to measure among: synthetic users, kept as the store keeps real
ones.

Each has its entry, leaf, chain and place in the directory, and goes through the store's own commit,
4,096 a batch. What is spared is what costs most and leaves no trace in the layout: their blocks are
one real user.create under other labels, so their signatures are wrong; no rule has judged them; the
private store knows none of them. Nobody could replay such a log, but what is looked up in it is
proven as in any other.

>>> fill(bench, 100_000)                                # doctest: +SKIP
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ledger.format import entry
from ledger.format.bodies import ZERO_HASH
from ledger.log.clock import wall_ms
from ledger.log.commit import NO_LINK, Commit, Head, sign_head
from ledger.log.planner import MAX_BATCH, View, plan
from ledger.rules.state import Chain, UserState, accumulate
from ledger.store.port import Store
from ledger.tree.merkle import leaf_hash
from tests.bench.logs import BenchLog, anchor_of
from tests.support.actors import User


@dataclass(frozen=True, slots=True)
class Template:
    """A real user.create, cut where its label stands, and the state that it leads to."""

    before: bytes
    after: bytes
    state: UserState

    @classmethod
    def of(cls, store: Store, bench: BenchLog) -> Template:
        """A user whom nobody knows."""
        label = b"L" * 32
        written = User.create(bench.log, "filler", anchor_of(store), label=label)
        with store.view() as view:
            state = plan(view, [written.block], wall_ms()).commit.chains[label].state
        assert isinstance(state, UserState)
        before, after = written.raw.split(label)
        return cls(before, after, state)

    def user(self, label: bytes, key: bytes, index: int, time: int) -> tuple[bytes, bytes, Chain]:
        """A user's first entry, its leaf's hash, and the chain that it makes."""
        raw = self.before + label + self.after
        data = entry.block(time, raw)
        leaf = leaf_hash(data)
        state = replace(
            self.state,
            head=sha256(raw).digest(),
            index=index,
            born=time,
            commitment=key,
            user_key_index=index,
            devices=(replace(self.state.devices[0], index=index),),
        )
        return data, leaf, Chain.of(1, accumulate(ZERO_HASH, index, leaf), state)


def fill(bench: BenchLog, count: int) -> list[Head]:
    """Add `count` synthetic users; the heads after each batch."""
    source, heads = random.Random(bench.log.origin + str(count)), []
    with bench.home.stores() as (store, _):
        template = Template.of(store, bench)
        for start in range(0, count, MAX_BATCH):
            with store.view() as view:
                users = made(view, template, source, min(MAX_BATCH, count - start))
                commit = close(view, users.values, users, wall_ms())
            store.perform(commit, sign_head(bench.log.origin, commit.after, bench.log.log_key))
            heads.append(commit.after)
    return heads


@dataclass(frozen=True, slots=True)
class Users:
    """A batch's worth of synthetic users."""

    entries: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    chains: dict[bytes, Chain] = field(default_factory=dict)

    @property
    def values(self) -> dict[bytes, bytes]:
        """What the directory is to hold for them."""
        return {label: chain.value for label, chain in self.chains.items()}


def made(view: View, template: Template, source: random.Random, count: int) -> Users:
    """Users who would be the next `count` leaves."""
    users, time = Users(), wall_ms()
    for index in range(view.head.size, view.head.size + count):
        label, key = source.randbytes(32), source.randbytes(32)
        data, leaf, users.chains[label] = template.user(label, key, index, time)
        users.entries.append(data)
        users.leaves.append(leaf)
    return users


def close(view: View, values: Mapping[bytes, bytes], users: Users, time: int) -> Commit:
    """The batch of these users, and of these values of labels, as the planner closes one."""
    update = view.directory.plan(values.items(), view.leaf)
    last = entry.directory_root(time, update.root)
    extension = view.frontier.extend([*users.leaves, leaf_hash(last)])
    after = Head(extension.after.size, extension.after.root(), time, update.root)
    entries = (*users.entries, last)
    links = (NO_LINK,) * len(entries)
    return Commit(view.head, after, entries, links, extension, users.chains, update)
