"""Every error Keyroll raises, sorted by who is at fault.

| class | at fault | what to do |
| --- | --- | --- |
| `MalformedInput` | whoever wrote the bytes | drop them; an honest party never writes such |
| `RuleViolation` | whoever signed the block | drop it; if it was stale, rebuild it |
| `LogMisbehaved` | the log | stop, keep the evidence, tell others |
| `NotCosigned` | nobody yet | wait, try again; then ask those who did not sign |
| `TransportError` | the network, or a busy server | try again; `Busy` says when |
| `StoreError` | this machine's disk | free space, or restore; nothing acknowledged is lost |
| `UsageError` | the caller | read the sentence |

The core always raises; the shells above it decide what is tolerable. Errors carry data, and their
sentence says what was wrong, where, and where it helps, what to do next.

>>> raise RuleViolation("R-50.12", "the device is not live in this chain")
Traceback (most recent call last):
    ...
ledger.errors.RuleViolation: R-50.12: the device is not live in this chain
"""

from __future__ import annotations


class KeyrollError(Exception):
    """The root of the hierarchy. Never raised itself."""


class _Cited(KeyrollError):
    """An error that cites the rule of `specs/` it rests on."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class MalformedInput(_Cited):
    """Bytes that no honest party writes: not canonical, too long, of the wrong shape."""


class RuleViolation(_Cited):
    """A well-formed block that the rules refuse at this place in the log."""


class BadSignature(RuleViolation):
    """A signature that does not verify under the key, context and log it claims."""


class StaleHead(RuleViolation):
    """A block written after a head that has since moved on.

    `length`, `head` (SHA-256 of the newest block, 32 bytes) and `index` (its leaf index) say what
    to build on instead.
    """

    def __init__(self, rule: str, detail: str, *, length: int, head: bytes, index: int) -> None:
        super().__init__(rule, detail)
        self.length = length
        self.head = head
        self.index = index


class StaleAnchor(RuleViolation):
    """A block whose anchor is too old, or lacks the block before it: sync and rebuild."""


class LogMisbehaved(_Cited):
    """The log contradicted itself, its rules or its own signature.

    `evidence` holds the contradicting bytes by name, as they were received. `proof` is an evidence
    file (80-evidence) that convinces others, if there is one: what a log only said and never
    signed can't be proven to them.
    """

    def __init__(self, rule: str, detail: str, evidence: dict[str, bytes] | None = None) -> None:
        super().__init__(rule, detail)
        self.evidence: dict[str, bytes] = dict(evidence or {})
        self.proof: bytes | None = None


class NotFresh(LogMisbehaved):
    """The log shows nothing new for too long, or times ahead of this machine's (R-61.3).

    A frozen log, or a wrong clock here: set the clock, then try again.
    """


class NotCosigned(_Cited):
    """A checkpoint that too few have cosigned: no quorum of witnesses (R-62.8), or of auditors.

    `missing` names those of the policy who did not sign, or whose cosignature does not count. It
    proves nothing: they may be late.
    """

    def __init__(self, rule: str, detail: str, missing: tuple[str, ...] = ()) -> None:
        names = f"; without a cosignature that counts: {', '.join(missing)}" if missing else ""
        super().__init__(rule, detail + names)
        self.missing = missing


class TransportError(KeyrollError):
    """The network or the peer failed; nothing is known about the request's effect."""


class Refused(TransportError):
    """The server answered with a problem document (RFC 9457), whose fields these are."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail


class ReleaseWaits(TransportError):
    """A recovery that its owner's devices may still stop, until `due` (ms since 1970)."""

    def __init__(self, due: int, now: int) -> None:
        seconds = max(0, due - now) // 1_000
        super().__init__(f"the recovery has begun, and waits: do the same again in {seconds} s")
        self.due = due


class Busy(TransportError):
    """The queue is full. Try again after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the log is busy; try again in {retry_after:g} s")
        self.retry_after = retry_after


class StoreError(KeyrollError):
    """The disk refused, is full, or holds what this program did not write."""


class StoreFull(StoreError):
    """The disk or the database's map is full. The last transaction was rolled back whole."""


class StoreInUse(StoreError):
    """Another process has the store open; a log has one writer."""


class ClockError(KeyrollError):
    """This machine's clock is far from the log's last entry: refuse to sign until it is set."""


class UsageError(KeyrollError):
    """The caller asked for something that makes no sense as asked."""


class NotAMember(UsageError):
    """Who is in a group is for its members to see, and for those whom a member authorised."""


class UnusablePolicy(_Cited, UsageError):
    """A policy of the caller's own that is of no use for this log, or beside their other one."""


class WrongSecret(UsageError):
    """A passphrase, or another secret, that does not open what it was tried on."""

    def __init__(self) -> None:
        super().__init__("this does not open it: another passphrase, or the file is damaged")


class NotAccepted(UsageError):
    """Something loud happened to people whom nothing may be sealed to before it is accepted.

    `people` are their pins, each to be looked at and accepted; `names` how they were asked for.
    """

    def __init__(self, people: tuple[object, ...], names: tuple[str, ...]) -> None:
        who = ", ".join(names)
        super().__init__(f"something happened to {who}: look at it, and accept it or stop")
        self.people = people
        self.names = names


class NotForYou(UsageError):
    """Nothing that this person holds opens what was sealed."""


class DeviceGone(UsageError):
    """No device that is here is live any more, so the log's server answers none of them.

    It was revoked, or the account was closed; or the server says so. Use another device, or a way
    back in.
    """

    def __init__(self) -> None:
        super().__init__(
            "no device that is here is live any more, by what the server says: it was revoked, or "
            "the account closed; use another device, or a way back in"
        )
