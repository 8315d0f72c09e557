"""Who can open which keys: found out with the boxes that were really handed out.

A *person* is a user in an epoch, who holds every user key of that epoch (each is boxed to the one
after it). A box opens with a key that somebody holds, and gives another.

>>> Keyholders().who_can_open(bytes(32))
set()
"""

from __future__ import annotations

from collections import defaultdict

from nacl.bindings import crypto_box_seal_open

from ledger.format.keys import EncryptionKey, SigningKey
from ledger.store.port import PrivateItem
from tests.support.groups import Group
from tests.vectors.world import World

Person = tuple[bytes, int]


class Keyholders:
    """`people` are all persons so far, by what they were given themselves."""

    def __init__(self) -> None:
        self.people: dict[Person, set[bytes]] = defaultdict(set)
        self._secrets: dict[bytes, EncryptionKey] = {}
        self._opens: dict[bytes, set[bytes]] = defaultdict(set)

    def meet(self, world: World) -> None:
        """Takes note of the user keys of everybody in a log."""
        for user in world.users:
            self.people[user.label, user.epoch].add(user.user_key.public)
            self._secrets[user.user_key.public] = user.user_key

    def receive(self, world: World, group: Group, kept: PrivateItem) -> None:
        """Opens the boxes of a group's newest block."""
        self.meet(world)
        former = [one for one in world.groups if one.label == group.label]
        self._secrets.update((one.encryption.public, one.encryption) for one in former)
        known = {one.encryption.public for one in former} | {group.signing.public}
        for box in kept.boxes:
            key = self._secrets[box[:32]]
            secret = crypto_box_seal_open(box[32:], key.public, key.secret)
            public = {EncryptionKey(secret).public, SigningKey(secret).public} & known
            assert len(public) == 1
            self._opens[key.public] |= public

    def who_can_open(self, key: bytes) -> set[Person]:
        """Who holds the secret of a public key, or can get at it."""
        return {person for person, held in self.people.items() if key in self._reach(held)}

    def _reach(self, held: set[bytes]) -> set[bytes]:
        reached, new = set(held), set(held)
        while new:
            new = {key for known in new for key in self._opens.get(known, ())} - reached
            reached |= new
        return reached
