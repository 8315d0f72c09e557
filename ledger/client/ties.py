"""What the account and what was seen of the log remember of each other (`ledger.client.doubts`).

>>> compare(vault, trust)                        # before the log is looked at    # doctest: +SKIP
>>> tie(vault, trust)                            # and after                      # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import replace

from ledger.client.doubts import compared, missing, newer
from ledger.client.lookups.trust import Trust
from ledger.client.user.account import Account, Vault
from ledger.format.bodies import DeviceKind


def compare(vault: Vault, trust: Trust) -> None:
    """Put into doubt what is less than what the other remembers."""
    # What is remembered is read first: others may go on meanwhile, and never go back.
    remembered = trust.devices()
    account = vault.load()
    lost = missing(remembered, _ordinary(account))
    trust.doubt([*lost, *compared(account.mark if account else None, trust.seen())])


def tie(vault: Vault, trust: Trust) -> None:
    """Let each remember the other, as it is on disk by now."""
    account = vault.load()
    if account is None or account.identity is None:
        return
    trust.remember(_ordinary(account))
    seen, before = trust.seen(), account

    def marked(held: Account | None) -> Account:
        now = held or before
        return replace(now, mark=newer(now.mark, seen))

    vault.change(marked)


def _ordinary(account: Account | None) -> list[bytes]:
    """The signing keys of an account's devices, but for those that are to lie elsewhere."""
    devices = account.devices if account else ()
    return [one.signing.public for one in devices if one.kind == DeviceKind.ORDINARY]
