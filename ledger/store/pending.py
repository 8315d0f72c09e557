"""Halves of sessions' secrets that wait for people to come (98-pending), as rows of LMDB.

    waiting   label ‖ session ‖ sender            time ‖ half
    sent      sender ‖ label ‖ session            time            to count a sender's
    expiring  time ‖ label ‖ session ‖ sender     ""              to forget them in time

Each function works within a transaction of `ledger.store.private`, and keeps the three in step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

from ledger.format.pending import LIFE, MAX_OF_ONE, MAX_SENT, MAX_WAITING
from ledger.store.environment import Transaction
from ledger.store.port import Left

WAITING, SENT, EXPIRING = "waiting", "sent", "expiring"

_HASH, _TIME = 32, 8
_FORGOTTEN = 256
"""Rows that one call forgets at most, of those that waited too long."""


def leave(
    transaction: Transaction,
    session: bytes,
    sender: bytes,
    halves: Sequence[tuple[bytes, bytes]],
    now: int,
) -> bool:
    """Keep halves, each for its label. False, and none is kept, if too many wait (R-98.2)."""
    _forget(transaction, now)
    known = [label for label, _ in halves if _stamp(transaction, label, session, sender)]
    new = [label for label, _ in halves if label not in known]
    sent = sum(1 for _ in _below(transaction, SENT, sender))
    if sent + len(new) > MAX_SENT or not all(_room(transaction, one, sender) for one in new):
        return False
    for label, half in halves:
        remove(transaction, label, session, sender)
        stamp = now.to_bytes(_TIME)
        transaction.put(WAITING, [(label + session + sender, stamp + half)])
        transaction.put(SENT, [(sender + label + session, stamp)])
        transaction.put(EXPIRING, [(stamp + label + session + sender, b"")])
    return True


def waiting(transaction: Transaction, prefix: bytes, now: int) -> Iterator[Left]:
    """What waits for a label, or for a label ‖ session."""
    for key, value in _below(transaction, WAITING, prefix):
        if int.from_bytes(value[:_TIME]) > now - LIFE:
            yield Left(key[_HASH : 2 * _HASH], key[2 * _HASH :], value[_TIME:])


def take_out(transaction: Transaction, label: bytes, session: bytes) -> None:
    """Forget all that waits for a label of a session."""
    senders = [key[2 * _HASH :] for key, _ in _below(transaction, WAITING, label + session)]
    for sender in senders:
        remove(transaction, label, session, sender)


def remove(transaction: Transaction, label: bytes, session: bytes, sender: bytes) -> None:
    """Forget one half, if it is there."""
    stamp = _stamp(transaction, label, session, sender)
    if stamp:
        transaction.take(WAITING, label + session + sender)
        transaction.take(SENT, sender + label + session)
        transaction.take(EXPIRING, stamp + label + session + sender)


def _forget(transaction: Transaction, now: int) -> None:
    """R-98.3. Some at a time, so that nobody waits for it."""
    old = [key for key, _ in islice(transaction.scan(EXPIRING), _FORGOTTEN)]
    for key in takewhile(lambda key: int.from_bytes(key[:_TIME]) <= now - LIFE, old):
        label, session, sender = (key[at : at + _HASH] for at in range(_TIME, len(key), _HASH))
        remove(transaction, label, session, sender)


def _room(transaction: Transaction, label: bytes, sender: bytes) -> bool:
    senders = [key[2 * _HASH :] for key, _ in _below(transaction, WAITING, label)]
    return len(senders) < MAX_WAITING and senders.count(sender) < MAX_OF_ONE


def _stamp(transaction: Transaction, label: bytes, session: bytes, sender: bytes) -> bytes:
    """When it was left; nothing if it is not there."""
    return transaction.get(SENT, sender + label + session) or b""


def _below(transaction: Transaction, table: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The rows whose keys begin so."""
    return takewhile(lambda row: row[0].startswith(prefix), transaction.scan(table, prefix))
