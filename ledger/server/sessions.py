"""Sessions: boxes in from those who may read, out to those whom they are for (R-92.1, R-92.2).

The server knows who may read and not what: it sees that each box is for the key which the log names
now, and can't look inside.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.errors import Busy, RuleViolation
from ledger.format.sessions import (
    MAX_SESSION_BOXES,
    OPEN_PATH,
    SHARE_PATH,
    OpenRequest,
    SessionAnswer,
    SessionBox,
    ShareRequest,
)
from ledger.rules.state import GroupState, UserState
from ledger.server.groups import Groups
from ledger.server.private import authenticated, caller
from ledger.server.problems import Problem
from ledger.server.service import Service
from ledger.store.port import Reader, SessionRecord

_ATTEMPTS = 3
"""How often others may be faster with the same session."""


def share(service: Service, body: bytes) -> None:
    """Keep the boxes of a session, new or known, for those who are to read (R-92.1)."""
    asked, signer = authenticated(service, body, SHARE_PATH)
    request = ShareRequest.decode(asked)
    with service.store.reader() as reader:
        user, _ = caller(reader, request.user, signer, "R-92.1")
        for box in request.boxes:
            if _key(reader, box.holder) != box.recipient:
                raise Problem("stale-recipient", "look its holder up again", rule="R-92.1")
        for _ in range(_ATTEMPTS):
            record = _admitted(service, Groups(reader, service.private), request, user)
            if service.private.share(request.session, record, request.boxes, request.user):
                return
    raise Busy(1.0)


def _admitted(
    service: Service, groups: Groups, asked: ShareRequest, user: UserState
) -> SessionRecord:
    """Whose session it is, if this user may add these boxes."""
    held = groups.private.session_boxes(asked.session)
    if len({box.place for box in (*held, *asked.boxes)}) > MAX_SESSION_BOXES:
        raise Problem("too-large", "a session has at most 4,096 boxes", rule="R-92.1")
    record = record_of(groups, asked.session, asked.user, asked.commitment)
    if not _claims(service, asked):
        check_reader(groups, asked.session, record, asked.user, user)
    return record


def record_of(groups: Groups, session: bytes, label: bytes, commitment: bytes) -> SessionRecord:
    """Whose session it is: the user's who asks, if it has not begun (R-92.1)."""
    record = groups.private.session(session)
    if record is None:
        return SessionRecord(label, commitment)
    if record.commitment != commitment:
        raise RuleViolation("R-92.1", "the session has another secret")
    return record


def check_reader(
    groups: Groups, session: bytes, record: SessionRecord, label: bytes, user: UserState
) -> None:
    """Raise `RuleViolation` unless this user may let others read (R-92.1)."""
    held = groups.private.session_boxes(session)
    if record.creator != label and not _readable(groups, label, user, held):
        raise RuleViolation("R-92.1", "only who may read can let others read")


def _claims(service: Service, asked: ShareRequest) -> bool:
    """Whether the user adds boxes for themself, of a session that waits for them (R-98.8)."""
    for_themself = all(box.holder == asked.user for box in asked.boxes)
    return for_themself and bool(service.private.waiting(asked.user, service.now(), asked.session))


def _key(reader: Reader, holder: bytes) -> bytes | None:
    """The key that stands for a user or a group now; None if there is none."""
    chain = reader.chain(holder)
    state = chain.state if chain else None
    if isinstance(state, UserState):
        return state.user_key
    return state.encryption if isinstance(state, GroupState) else None


def opened(service: Service, body: bytes) -> SessionAnswer:
    """What the caller may open of a session (R-92.2)."""
    asked, signer = authenticated(service, body, OPEN_PATH)
    request = OpenRequest.decode(asked)
    with service.store.reader() as reader:
        user, _ = caller(reader, request.user, signer, "R-92.2")
        record = service.private.session(request.session)
        if record is None:
            raise Problem("not-found", "there is no such session", rule="R-92.2")
        held = service.private.session_boxes(request.session)
        boxes = _readable(Groups(reader, service.private), request.user, user, held)
    if not boxes:
        raise RuleViolation("R-92.2", "no box of this session is for the user")
    return SessionAnswer(record.commitment, tuple(boxes))


def _readable(
    groups: Groups, label: bytes, user: UserState, held: Iterable[SessionBox]
) -> list[SessionBox]:
    """Those of the boxes that are for the user, or for a group that they are in."""
    known = {label: True}
    found = []
    for box in held:
        if box.holder not in known:
            known[box.holder] = groups.holds(box.holder, label, user.epoch)
        if known[box.holder]:
            found.append(box)
    return found
