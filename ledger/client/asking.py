"""What a user asks of a server, however they follow its log: blocks in, private things out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from ledger.client.known import Known
from ledger.client.text import printable
from ledger.client.transport import Transport
from ledger.client.user.account import Identity
from ledger.errors import (
    BadSignature,
    KeyrollError,
    LogMisbehaved,
    MalformedInput,
    RuleViolation,
    StaleAnchor,
    StaleHead,
    TransportError,
)
from ledger.format import cose, wire
from ledger.format.group_boxes import GROUP_BOXES_PATH, GroupBoxesAnswer, GroupBoxesRequest
from ledger.format.identity import IdentityToken
from ledger.format.login import authenticate
from ledger.format.wire import Admitted, BoxAnswer, StatementAnswer, Submission
from ledger.log.commit import Head

K_co = TypeVar("K_co", bound=Known, covariant=True)

Progress = Callable[[int, int], None]
"""Told how many entries are replayed, and how many there are."""

_ATTEMPTS = 4
_PAUSE = 0.5


class Asking(ABC, Generic[K_co]):
    """A log as `User` and `Group` need it. `replica` is what is known of it here."""

    def __init__(self, replica: K_co, transport: Transport, clock: Callable[[], int]) -> None:
        self.replica = replica
        self.clock = clock
        self._transport = transport

    @property
    def log_id(self) -> bytes:
        return self.replica.log_id

    @abstractmethod
    async def sync(self, *, beyond: int = -1, progress: Progress | None = None) -> Head:
        """See what is new; with `beyond`, a leaf index, any tree that holds that leaf will do."""

    @abstractmethod
    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        """See to it that the chains of `labels` are known, as of `after`'s chain or later."""

    @abstractmethod
    async def visit(self, label: bytes) -> None:
        """See to it that the chain of `label` is known, though nobody here may be in the log."""

    @abstractmethod
    def wrote(self, raw: bytes) -> None:
        """Remember that a device here signed the block `raw`, which has yet to leave."""

    @abstractmethod
    async def submit(self, submission: Submission) -> Admitted:
        """Hand in a block; on return it is known here. Raises what it was refused for.

        After a `TransportError` it may still have been admitted: hand in the same again, or sync
        and look.
        """

    @abstractmethod
    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        """The evidence file against the last of these, a group's from its first block on."""

    async def hand_in(self, submission: Submission) -> tuple[bytes, Admitted]:
        """The verdict, and the checkpoint it is given under. Asks again while it is open."""
        request = wire.SubmitRequest((submission,)).encode()
        detail = ""
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(_PAUSE * attempt)
            answer = wire.SubmitAnswer.decode(await self._transport.submit(request))
            (verdict, *others) = answer.verdicts
            if others:
                raise MalformedInput("R-71.1", "more verdicts than submissions")
            if isinstance(verdict, Admitted):
                return answer.checkpoint, verdict
            if verdict.kind != "unavailable":
                raise _refusal(verdict)
            detail = printable(verdict.detail)
        raise TransportError(f"the log could not decide: {detail}")

    async def identify(self, token: IdentityToken) -> Identity:
        """Who it is that `token` enrols: the label of their identifier, proven by the VRF."""
        answer = await self._label(token)
        identity = Identity(answer.label, token.opening, answer.proof)
        try:
            identity.check(self.replica.log.vrf_key)
        except MalformedInput as error:
            evidence = {"label": answer.label, "proof": answer.proof}
            raise LogMisbehaved(error.rule, error.detail, evidence) from error
        return identity

    async def is_registered(self, token: IdentityToken) -> bool:
        """Whether whom `token` enrols is in the log already; unproven, as a server's word is."""
        return (await self._label(token)).length > 0

    async def _label(self, token: IdentityToken) -> wire.LabelAnswer:
        request = wire.LabelRequest(token.delegation.raw, token.opening).encode()
        body = self._authenticate(request, wire.LABELS_PATH, token.ephemeral)
        return wire.LabelAnswer.decode(await self._transport.label(body))

    async def box(self, request: wire.BoxRequest, signer: cose.Signer) -> BoxAnswer:
        """A box that came with a block; unchecked (R-55.4). `signer` is a device of the user."""
        body = self._authenticate(request.encode(), wire.BOXES_PATH, signer)
        return BoxAnswer.decode(await self._transport.box(body))

    async def group_boxes(
        self, request: GroupBoxesRequest, signer: cose.Signer
    ) -> GroupBoxesAnswer:
        """What a group's newest blocks hold for a member; unchecked (R-72.8)."""
        body = self._authenticate(request.encode(), GROUP_BOXES_PATH, signer)
        return GroupBoxesAnswer.decode(await self._transport.group_boxes(body))

    async def statements(
        self, request: wire.StatementRequest, signer: cose.Signer
    ) -> StatementAnswer:
        """A run of a group's statements, and wishes to leave it; unchecked (R-56)."""
        body = self._authenticate(request.encode(), wire.STATEMENTS_PATH, signer)
        return StatementAnswer.decode(await self._transport.statements(body))

    async def hand_in_leave(self, leave: bytes) -> None:
        """Have a wish to leave a group kept (R-56.12)."""
        await self._transport.leave(leave)

    async def hand_in_grant(self, grant: bytes) -> None:
        """Have a grant to read a group's statements kept (R-56.12)."""
        await self._transport.grant(grant)

    def _authenticate(self, request: bytes, path: str, signer: cose.Signer) -> bytes:
        return authenticate(request, path, signer, self.log_id, self.clock())


def _refusal(refused: wire.Refused) -> KeyrollError:
    """The error that a verdict stands for."""
    rule, detail = printable(refused.rule), printable(refused.detail)
    if refused.kind == "malformed":
        return MalformedInput(rule, detail)
    if refused.kind == "signature":
        return BadSignature(rule, detail)
    if refused.kind == "stale-anchor":
        return StaleAnchor(rule, detail)
    if refused.kind == "stale-head" and (head := refused.head):
        return StaleHead(rule, detail, length=head.length, head=head.hash, index=head.index)
    return RuleViolation(rule, detail)
