"""What comes with blocks and is not for everybody, in an LMDB environment of its own.

Boxes, statements and memberships stand by their block's leaf index, behind its hash; openings by
label. They are made durable before the block is, so the store may hold more than the log refers to,
and never less; and what has a block's hash is never ahead of its chain. (By index, because a batch
is then appended to a few pages. By hash, each row would dirty a page of its own.) Leaves and grants
stand by their group, what is shared by its session: a row a box, by holder and recipient; what
waits for somebody to come by label (`ledger.store.pending`). Only its owner may read the directory.

>>> store = PrivateStore(path, create=True)                       # doctest: +SKIP
>>> store.put([PrivateItem(17, block.hash, block.label, boxes, None)])    # doctest: +SKIP
>>> store.boxes(17, block.hash) == boxes                          # doctest: +SKIP
True
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import cbor2

from ledger.format.cbor import array, blob, bstr, decode, items, text
from ledger.format.sessions import MAX_SESSION_BOXES, SessionBox
from ledger.store import pending
from ledger.store.environment import MAP_SIZE, Environment, Transaction
from ledger.store.layout import u64
from ledger.store.port import Left, PrivateItem, SessionRecord

KIND = "keyroll private store 2"
BOXES, OPENINGS = "boxes", "openings"
STATEMENTS, MEMBERSHIPS = "statements", "memberships"
LEAVES, GRANTS = "leaves", "grants"
SESSIONS, SHARES = "sessions", "shares"
TABLES = (
    *(BOXES, OPENINGS, STATEMENTS, MEMBERSHIPS, LEAVES, GRANTS, SESSIONS, SHARES),
    *(pending.WAITING, pending.SENT, pending.EXPIRING),
)

_NONCE_BYTES = 32
_HASH_BYTES = 32
_MAX_BYTES = 2**24  # of our own records: no more than a sanity check


class PrivateStore:
    """Fills the port's `PrivateStore`, in the directory `path`. `create` makes what is missing."""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        check: bool = True,
        map_size: int = MAP_SIZE,
    ) -> None:
        self._environment = Environment(
            path,
            KIND,
            TABLES,
            create=create,
            check=check,
            map_size=map_size,
        )
        path.chmod(0o700)

    def put(self, items: Sequence[PrivateItem]) -> None:
        if not items:
            return
        # Types as the port says; the strict encoder would check them once more, for 5 µs a block.
        openings = {item.label: cbor2.dumps([*item.opening]) for item in items if item.opening}
        rows: dict[str, list[tuple[bytes, bytes]]] = {BOXES: [], STATEMENTS: [], MEMBERSHIPS: []}
        for item in items:
            key, block = u64(item.index), item.block_hash
            rows[BOXES].append((key, block + cbor2.dumps([*item.boxes])))
            if item.statement:
                statement, membership = item.statement
                rows[STATEMENTS].append((key, block + statement))
                rows[MEMBERSHIPS].append((key, block + membership))
        with self._environment.write() as transaction:
            for table, pairs in rows.items():
                transaction.cut(table, u64(items[0].index))
                transaction.put(table, pairs, append=True)
            transaction.put(OPENINGS, sorted(openings.items()))

    def boxes(self, index: int, block_hash: bytes) -> tuple[bytes, ...] | None:
        stored = self._of_block(BOXES, index, block_hash)
        if stored is None:
            return None
        found = items(decode(stored, _MAX_BYTES), 0, _MAX_BYTES, "boxes")
        return tuple(blob(box, _MAX_BYTES, "box") for box in found)

    def opening(self, label: bytes) -> tuple[bytes, str] | None:
        stored = self._read(OPENINGS, label)
        if stored is None:
            return None
        nonce, identifier = array(decode(stored, _MAX_BYTES), 2, "opening")
        return bstr(nonce, _NONCE_BYTES, "nonce"), text(identifier, _MAX_BYTES, "identifier")

    def statement(self, index: int, block_hash: bytes) -> bytes | None:
        return self._of_block(STATEMENTS, index, block_hash)

    def membership(self, index: int, block_hash: bytes) -> bytes | None:
        return self._of_block(MEMBERSHIPS, index, block_hash)

    def put_leave(self, group: bytes, user: bytes, leave: bytes) -> None:
        self._put_one(LEAVES, group + user, leave)

    def leaves(self, group: bytes) -> list[bytes]:
        return self._below(LEAVES, group)

    def put_grant(self, group: bytes, sender: bytes, user: bytes, grant: bytes) -> None:
        self._put_one(GRANTS, group + sender + user, grant)

    def grants(self, group: bytes, sender: bytes = b"") -> list[bytes]:
        return self._below(GRANTS, group + sender)

    def session(self, session: bytes) -> SessionRecord | None:
        stored = self._read(SESSIONS, session)
        return _record(stored) if stored else None

    def session_boxes(self, session: bytes) -> list[SessionBox]:
        with self._environment.read() as transaction:
            return list(_shares(transaction, session))

    def share(
        self, session: bytes, record: SessionRecord, boxes: Sequence[SessionBox], by: bytes
    ) -> bool:
        with self._environment.write() as transaction:
            places = {box.place for box in _shares(transaction, session)}
            if len(places.union(box.place for box in boxes)) > MAX_SESSION_BOXES:
                return False
            if not _begun(transaction, session, record):
                return False
            taken = sorted(
                (session + box.holder + box.recipient, box.box)
                for box in boxes
                if by in (record.creator, box.holder) or box.place not in places
            )
            transaction.put(SHARES, taken)
            if any(box.holder == by for box in boxes):
                pending.take_out(transaction, by, session)
        return True

    def leave(
        self,
        session: bytes,
        record: SessionRecord,
        halves: Sequence[tuple[bytes, bytes]],
        by: bytes,
        now: int,
    ) -> bool | None:
        with self._environment.write() as transaction:
            stored = transaction.get(SESSIONS, session)
            if stored and _record(stored) != record:
                return None
            if not pending.leave(transaction, session, by, halves, now):
                return False
            return _begun(transaction, session, record)

    def waiting(self, label: bytes, now: int, session: bytes = b"") -> list[Left]:
        with self._environment.read() as transaction:
            return list(pending.waiting(transaction, label + session, now))

    def close(self) -> None:
        self._environment.close()

    def _of_block(self, table: str, index: int, block_hash: bytes) -> bytes | None:
        stored = self._read(table, u64(index))
        if stored is None or stored[:_HASH_BYTES] != block_hash:
            return None
        return stored[_HASH_BYTES:]

    def _read(self, table: str, key: bytes) -> bytes | None:
        with self._environment.read() as transaction:
            return transaction.get(table, key)

    def _put_one(self, table: str, key: bytes, value: bytes) -> None:
        with self._environment.write() as transaction:
            transaction.put(table, [(key, value)])

    def _below(self, table: str, prefix: bytes) -> list[bytes]:
        """The values of all keys that begin so."""
        with self._environment.read() as transaction:
            rows = takewhile(lambda row: row[0].startswith(prefix), transaction.scan(table, prefix))
            return [value for _, value in rows]


def _begun(transaction: Transaction, session: bytes, record: SessionRecord) -> bool:
    """Whether the session has this record, now if not before."""
    stored = transaction.get(SESSIONS, session)
    if stored:
        return _record(stored) == record
    transaction.put(SESSIONS, [(session, record.creator + record.commitment)])
    return True


def _record(stored: bytes) -> SessionRecord:
    return SessionRecord(stored[:_HASH_BYTES], stored[_HASH_BYTES:])


def _shares(transaction: Transaction, session: bytes) -> Iterator[SessionBox]:
    for key, box in transaction.scan(SHARES, session):
        if not key.startswith(session):
            return
        holder, recipient = key[_HASH_BYTES : 2 * _HASH_BYTES], key[2 * _HASH_BYTES :]
        yield SessionBox(holder, recipient, box)
