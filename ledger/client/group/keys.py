"""A group's keys, out of its boxes (R-55.4, 56-groups).

Each rotation begins a generation. Whoever is live then, or is added later, is handed the encryption
key, and admins the signing key; a compound group's boxes for a flat group are opened with that
group's key. The key before is in a box sealed to the new one, so whoever holds the newest can open
one after the other, back to the first.

>>> keys = GroupKeys(archive, group)                             # doctest: +SKIP
>>> (await keys.key()).public == archive.state(group).encryption # doctest: +SKIP
True

At which place our box is follows from the membership and everybody's keys just before the block.
Who only wants to open something needs none of that: the server sends the newest boxes (R-72.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ledger.client.group import groups
from ledger.client.group.archive import Archive, View
from ledger.client.group.groups import Deed, Generation
from ledger.client.user import keyring
from ledger.errors import MalformedInput, Refused, UsageError
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.wire import BoxRequest
from ledger.rules.membership import Shares, live_key
from ledger.rules.state import ReadChain
from ledger.seal.boxes import open_box, open_seed


class GroupKeys:
    """The keys of the group `label`, for the user of `archive`; kept with the user's own."""

    def __init__(self, archive: Archive, label: bytes) -> None:
        self._archive = archive
        self._user = archive.user
        self._label = label

    async def key(self, generation: int | None = None) -> EncryptionKey:
        """The secret of the group's encryption key, by default the newest: fetched, checked, kept.

        Raises `MalformedInput` if a box is not what its author committed to, or holds another key:
        have an admin rotate.
        """
        await self._user.log.want([self._label])
        state = self._archive.state(self._label)
        number = state.generation if generation is None else generation
        held = self._user.account.group_key(state.encryption)
        if held and number == state.generation:
            return held
        view, keys = await self._archive.view(self._label), self._generations()
        if not 0 <= number < len(keys):
            raise UsageError(f"the group has no keys of generation {number}")
        return await self._open_down_to(keys, number, view)

    async def key_of(self, public: bytes) -> EncryptionKey:
        """The secret of the encryption key with this public half, now or before."""
        found = self._user.account.group_key(public) or await self._sent(public)
        if found:
            return found
        await self._archive.read(self._label)
        for generation in self._generations():
            if generation.encryption == public:
                return await self.key(generation.number)
        raise UsageError(f"{public.hex()} never was a key of the group {self._label.hex()}")

    async def _sent(self, public: bytes) -> EncryptionKey | None:
        """That key by a newest box, if there is one, without a look at who is in the group.

        Whoever put it there: a secret that makes this very key is the secret of it.
        """
        try:
            answer = await self._user.group_boxes(self._label)
        except Refused:
            return None
        for recipient, box in answer.boxes:
            with suppress(UsageError, MalformedInput):
                key = await self._user.user_key_of(recipient)
                return self._opened(box, key, public)
        return None

    async def signer(self) -> SigningKey:
        """The group's signing key, which its admins share: fetched, checked and kept."""
        await self._user.log.want([self._label])
        held = self._user.account.group_signer(self._archive.state(self._label).signing)
        if held:
            return held
        await self._archive.read(self._label)
        newest, own = self._generations()[-1], self._user.label
        for deed, shares in self._handing_out(newest):
            key = self._key_for(own, deed)
            if key in shares.signs:
                position = len(shares.opens) + shares.signs.index(key)
                box = await self._box(deed, shares, position, own)
                opened = open_seed(box, await self._user.user_key_of(key), newest.signing)
                self._user.writer.keep(group_signers=(opened,))
                return opened
        raise UsageError("the group's signing key was not handed to you: its admins have it")

    async def _open_down_to(self, keys: list[Generation], number: int, view: View) -> EncryptionKey:
        """Open boxes, from the nearest generation that is held, down to `number`."""
        account = self._user.account
        held = [one for one in keys[number:] if account.group_key(one.encryption)]
        start = held[0] if held else keys[-1]
        secret = account.group_key(start.encryption) or await self._handed(start, view)
        for newer in reversed(keys[number + 1 : start.number + 1]):
            shares = newer.deed.shares(self._chains(newer.deed))
            position = len(shares.recipients) - 1
            box = await self._box(newer.deed, shares, position, self._label)
            secret = self._opened(box, secret, keys[newer.number - 1].encryption)
        return secret

    async def _handed(self, newest: Generation, view: View) -> EncryptionKey:
        """The encryption key, from a box for this user or for a flat group they are in."""
        own = self._user.label
        inner = [label for label, known in view.nested.items() if known.entry(own)]
        for deed, shares in self._handing_out(newest):
            for holder in (own, *inner):
                key = self._key_for(holder, deed)
                if key in shares.opens:
                    position = shares.opens.index(key)
                    box = await self._box(deed, shares, position, holder)
                    return self._opened(box, await self._secret(holder, key), newest.encryption)
        raise UsageError("the group's keys were not handed to you: you are no member of it")

    async def _secret(self, holder: bytes, public: bytes) -> EncryptionKey:
        """The secret behind a key of the user, or of a group that they are in."""
        if holder == self._user.label:
            return await self._user.user_key_of(public)
        return await GroupKeys(self._archive, holder).key_of(public)

    async def _box(self, deed: Deed, shares: Shares, position: int, holder: bytes) -> bytes:
        """The box at that place, as the block's author committed to it (R-55.4)."""
        asked = BoxRequest(self._user.label, holder, self._label, deed.step.index, position)
        answer = await self._user.box(asked)
        keyring.check_place(deed.step, answer, shares.recipients, position)
        return answer.box

    def _opened(self, box: bytes, key: EncryptionKey, expected: bytes) -> EncryptionKey:
        """What is in a box, kept."""
        opened = open_box(box, key, expected)
        self._user.writer.keep(group_keys=(opened,))
        return opened

    def _generations(self) -> list[Generation]:
        return groups.generations(self._archive.deeds(self._label))

    def _handing_out(self, newest: Generation) -> Iterator[tuple[Deed, Shares]]:
        """The deeds that handed out the newest keys, the latest first, and to whom."""
        deeds = self._archive.deeds(self._label)[newest.deed.step.block.seq :]
        return ((deed, deed.shares(self._chains(deed))) for deed in reversed(deeds))

    def _key_for(self, label: bytes, deed: Deed) -> bytes:
        """The public key that stood for an entry just before a deed; empty if none did."""
        entry = deed.after.entry(label)
        return (live_key(entry, self._chains(deed)) or b"") if entry else b""

    def _chains(self, deed: Deed) -> ReadChain:
        """All chains as they were just before a deed."""
        before = self._archive.before()
        return lambda label: before(label, deed.step.index)
