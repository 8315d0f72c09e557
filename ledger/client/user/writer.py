"""Getting one account's blocks into the log, whatever happens on the way.

The vault learns of new keys and of the block that names them in one step, before the block leaves,
and of the block's end only when that is known. So after a crash or a lost answer `settle` can find
out what became of it: it is in the log, or it is handed in again as it was, or its place was taken.

>>> writer = Writer(log, vault)                                  # doctest: +SKIP
>>> await writer.write(build, user_keys=(new,))                  # doctest: +SKIP

A write is built on the replica's newest tree; where another device was faster, it is built again
after a sync. Keys are never dropped: a block that one server says it refused may still turn up. One
process at a time has a block of the account on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from ledger.client.asking import Asking
from ledger.client.known import Known
from ledger.client.user.account import Account, DeviceSecret, Vault
from ledger.errors import MalformedInput, RuleViolation, StaleAnchor, StaleHead, StoreError
from ledger.format import block as blocks
from ledger.format.bodies import ZERO_HASH
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.wire import Submission

Build = Callable[[], Awaitable["Submission | None"]]
"""Builds a block on the replica as it is now, or nothing if there is nothing left to do."""

_ATTEMPTS = 8


class Writer:
    """Writes for one account, one block after the other."""

    def __init__(self, log: Asking[Known], vault: Vault) -> None:
        self._log = log
        self._vault = vault
        self._writing = asyncio.Lock()

    @property
    def account(self) -> Account:
        """What the vault holds now: other processes may write to it."""
        return _there(self._vault.load())

    def keep(
        self,
        devices: Iterable[DeviceSecret] = (),
        user_keys: Iterable[EncryptionKey] = (),
        group_keys: Iterable[EncryptionKey] = (),
        group_signers: Iterable[SigningKey] = (),
    ) -> None:
        """Keep these secrets too."""
        more = tuple(devices), tuple(user_keys), tuple(group_keys), tuple(group_signers)
        self._vault.change(lambda held: _there(held).with_keys(*more))

    def forget(self, *devices: DeviceSecret) -> None:
        """Let go of devices whose secrets are to lie elsewhere."""

        def without(held: Account | None) -> Account:
            account = _there(held)
            return replace(account, devices=tuple(d for d in account.devices if d not in devices))

        self._vault.change(without)

    async def write(
        self,
        build: Build,
        *,
        devices: tuple[DeviceSecret, ...] = (),
        user_keys: tuple[EncryptionKey, ...] = (),
        unless: Callable[[], bool] = lambda: False,
        again: Collection[str] = (),
    ) -> None:
        """Have a block admitted, unless that turns out to have happened; keep its new keys.

        `again` are rules whose breach may be due to what this replica has not seen yet.
        """
        async with self._writing, self._vault.turn():
            with suppress(MalformedInput, RuleViolation):
                await self._settle()
            for attempt in range(_ATTEMPTS):
                if unless():
                    return
                submission = await build()
                if submission is None:
                    return
                self.keep(devices, user_keys)
                size = self._log.replica.head.size
                try:
                    await self._submit(submission)
                except RuleViolation as error:
                    stale = isinstance(error, StaleHead | StaleAnchor)
                    if attempt == _ATTEMPTS - 1 or not (stale or error.rule in again):
                        raise
                    await self._log.sync()
                    if not stale and self._log.replica.head.size == size:
                        raise
                else:
                    return

    async def settle(self) -> bool:
        """Find out what became of a block on its way. Whether there was one, and it is in the log.

        Raises what it is refused for, if it is handed in again.
        """
        async with self._writing, self._vault.turn():
            return await self._settle()

    async def _settle(self) -> bool:
        pending = self.account.pending
        if pending is None:
            return False
        await self._log.sync()
        admitted = self._log.replica.holds(pending.block)
        if not admitted and self._fits(pending):
            await self._submit(pending)
            return True
        self._set_pending(None)
        return admitted

    async def _submit(self, submission: Submission) -> None:
        self._log.wrote(submission.block)
        self._set_pending(submission)
        try:
            await self._log.submit(submission)
        except (MalformedInput, RuleViolation):
            self._set_pending(None)
            raise
        self._set_pending(None)

    def _set_pending(self, submission: Submission | None) -> None:
        self._vault.change(lambda held: replace(_there(held), pending=submission))

    def _fits(self, submission: Submission) -> bool:
        """Whether the block still goes at the end of its chain."""
        block = blocks.parse(submission.block)
        chain = self._log.replica.chain(block.label)
        end = (chain.length, chain.state.head) if chain else (0, ZERO_HASH)
        return (block.seq, block.prev) == end


def _there(account: Account | None) -> Account:
    if account is None:
        raise StoreError("the account that was here is gone: put it back, or join anew")
    return account
