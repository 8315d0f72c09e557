"""What waits for people who are not registered yet: in from senders, out to who came (R-98).

The server keeps one half of a session's secret, which tells nothing of it, and sees for which label
it waits, and who left it.
"""

from __future__ import annotations

from ledger.errors import Busy
from ledger.format.pending import (
    LEAVE_PATH,
    WAITING_PATH,
    LeaveRequest,
    Waiting,
    WaitingAnswer,
    WaitingRequest,
)
from ledger.server.groups import Groups
from ledger.server.private import authenticated, caller
from ledger.server.problems import Problem
from ledger.server.service import Service
from ledger.server.sessions import check_reader, record_of
from ledger.store.port import Left

_ATTEMPTS = 3
"""How often others may be faster to begin the same session."""


def leave(service: Service, body: bytes) -> None:
    """Keep halves for labels that have no chain (R-98.2)."""
    asked, signer = authenticated(service, body, LEAVE_PATH)
    request = LeaveRequest.decode(asked)
    with service.store.reader() as reader:
        user, _ = caller(reader, request.user, signer, "R-98.2")
        if any(reader.chain(label) for label, _ in request.halves):
            raise Problem("stale-recipient", "somebody registered: look them up", rule="R-98.2")
        groups = Groups(reader, service.private)
        for _ in range(_ATTEMPTS):
            record = record_of(groups, request.session, request.user, request.commitment)
            check_reader(groups, request.session, record, request.user, user)
            kept = service.private.leave(
                request.session, record, request.halves, request.user, service.now()
            )
            if kept is False:
                raise Problem("too-many", "no more can be left for them, or by you", rule="R-98.2")
            if kept:
                return
    raise Busy(1.0)


def waiting(service: Service, body: bytes) -> WaitingAnswer:
    """What waits for the caller (R-98.5)."""
    asked, signer = authenticated(service, body, WAITING_PATH)
    user = WaitingRequest.decode(asked).user
    with service.store.reader() as reader:
        caller(reader, user, signer, "R-98.5")
    found = service.private.waiting(user, service.now())
    return WaitingAnswer(tuple(_told(service, one) for one in found))


def _told(service: Service, left: Left) -> Waiting:
    record = service.private.session(left.session)
    assert record  # kept in one transaction with what waits
    return Waiting(left.session, record.commitment, left.sender, left.half)
