"""Statements, leaves and grants: out to whom they concern, in from members (R-72.4 to R-72.6)."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.errors import RuleViolation
from ledger.format import block as blocks
from ledger.format import cose, entry, wire
from ledger.format.block import Block
from ledger.format.statement import Grant, Leave, Role
from ledger.log.admission import GROUPS
from ledger.server.groups import Groups
from ledger.server.private import authenticated, caller
from ledger.server.problems import Problem
from ledger.server.service import Service
from ledger.store.port import Reader
from ledger.tree.tiles import WIDTH

MAX_GRANTS = 64
"""Of one user in one group (R-72.6)."""


def statements(service: Service, body: bytes) -> wire.StatementAnswer:
    """A group's statements from some seq on, as many as one answer takes (R-72.4)."""
    asked, signer = authenticated(service, body, wire.STATEMENTS_PATH)
    request = wire.StatementRequest.decode(asked)
    with service.store.reader() as reader:
        groups = Groups(reader, service.private)
        check_statement_request(groups, request, signer, service.now())
        chain = reader.chain(request.group)
        assert chain
        indices = reader.blocks_of(request.group, request.start, wire.MAX_STATEMENTS)
        found = (_block_at(reader, index) for index in indices)
        taken = [raw for _, raw in _within_cap(service, found)]
        return wire.StatementAnswer(chain.length, tuple(taken), tuple(groups.leaves(request.group)))


def check_statement_request(
    groups: Groups, asked: wire.StatementRequest, signer: bytes, now: int
) -> None:
    """R-72.4: a member of `through`, or who was granted it, and a group that it holds."""
    user, _ = caller(groups.reader, asked.user, signer, "R-72.4")
    if not groups.lets_read(asked.through, asked.user, user, now):
        raise RuleViolation("R-72.4", "the user is no member of that group, and has no grant")
    known = groups.membership(asked.through)
    entry = known.entry(asked.group) if known else None
    nested = entry is not None and entry.role == Role.GROUP
    if asked.group != asked.through and not (nested and groups.state(asked.group)):
        raise RuleViolation("R-72.4", "that group is none of the other's members")


def audit(service: Service, body: bytes) -> wire.AuditAnswer:
    """All groups' statements from some leaf on, as many as one answer takes (R-72.5)."""
    asked, signer = authenticated(service, body, wire.AUDIT_PATH)
    if signer.hex() not in service.config.statements.auditors:
        raise RuleViolation("R-72.5", "the login is not by an auditor that the server knows")
    start = wire.AuditRequest.decode(asked).start
    with service.store.reader() as reader:
        end = min(reader.head.size, start - start % WIDTH + WIDTH)
        if start >= end:
            return wire.AuditAnswer(start, ())
        found = list(_group_blocks(reader, start, end))
        taken = list(_within_cap(service, iter(found)))
    if len(taken) < len(found):
        end = found[len(taken)][0]
    return wire.AuditAnswer(end, tuple(taken))


def leave(service: Service, body: bytes) -> None:
    """Keep a member's wish to leave (R-72.6)."""
    asked = Leave.parse(body)
    with service.store.reader() as reader:
        Groups(reader, service.private).check(asked.stay, asked.envelope, cose.LEAVE)
    service.private.put_leave(asked.stay.group, asked.stay.user, asked.raw)


def grant(service: Service, body: bytes) -> None:
    """Keep what a member grants to a sender (R-72.6)."""
    asked = Grant.parse(body)
    stay = asked.stay
    with service.store.reader() as reader:
        Groups(reader, service.private).check(stay, asked.envelope, cose.GRANT)
    if asked.expiry < service.now():
        raise RuleViolation("R-72.6", "the grant has expired")
    others = (Grant.parse(raw) for raw in service.private.grants(stay.group))
    senders = {one.sender for one in others if one.stay.user == stay.user} | {asked.sender}
    if len(senders) > MAX_GRANTS:
        raise Problem("too-many", f"at most {MAX_GRANTS} grants of one user", rule="R-72.6")
    service.private.put_grant(stay.group, asked.sender, stay.user, asked.raw)


def _group_blocks(reader: Reader, start: int, end: int) -> Iterator[tuple[int, Block]]:
    for index, data in enumerate(reader.entries(start, end), start):
        found = entry.parse(data)
        if found.kind == entry.BLOCK:
            block = blocks.parse(found.body)
            if block.type in GROUPS:
                yield index, block


def _block_at(reader: Reader, index: int) -> tuple[int, Block]:
    (data,) = reader.entries(index, index + 1)
    return index, blocks.parse(entry.parse(data).body)


def _within_cap(
    service: Service, found: Iterator[tuple[int, Block]]
) -> Iterator[tuple[int, bytes]]:
    """The statements of group blocks, with their leaf indices: one at least."""
    total = 0
    for index, block in found:
        raw = service.private.statement(index, block.hash)
        if raw is None:
            raise Problem("unavailable", f"the statement of leaf {index} is lost", rule="R-72.4")
        total += len(raw)
        if total > wire.MAX_STATEMENTS_BYTES and total != len(raw):
            return
        yield index, raw
