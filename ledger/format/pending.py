"""What waits for people who are not registered yet, as bytes (98-pending).

With the log's server, authenticated:

    pending-leave  = [user, session, commitment, [1*64 [label, half]]]
    pending-open   = [user]           pending-answer = [* [session, commitment, sender, half]]

With the recovery service:

    halves-request = [log id, enrolment key, session, [1*8 [identifier, half]]]
    ask-request    = [attempt id, log id, opening, [1*256 session], [1*8 block]], authenticated
    take-request   = [attempt]        take-answer    = [* [session, half]]

>>> asked = WaitingRequest(b"u" * 32)
>>> WaitingRequest.decode(asked.encode()) == asked
True
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.errors import MalformedInput
from ledger.format.block import MAX_BLOCK_BYTES
from ledger.format.bodies import HASH_BYTES
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items, text
from ledger.format.identity import MAX_IDENTIFIER_BYTES, Opening
from ledger.format.recovery import check_address
from ledger.format.wire import MAX_REQUEST_BYTES

LEAVE_PATH = "/v1/pending"
WAITING_PATH = "/v1/pending/open"

HALVES_PATH = "/v1/recovery/halves"
ASK_PATH = "/v1/recovery/halves/ask"
TAKE_PATH = "/v1/recovery/halves/take"

MAX_LEFT = 64
"""Labels in one request."""
MAX_WAITING = 256
"""Halves for one label, or one address (R-98.2, R-98.4)."""
MAX_OF_ONE = 64
"""Of these, of one sender, or one peer."""
MAX_SENT = 1_024
"""Halves that one sender left, for whomever (R-98.2)."""
MAX_HALVES = 8
"""Halves in one request to the service, and for one address in one session (R-98.4)."""
MAX_OF_PEER = 4_096
"""Halves that one peer left, for whomever (R-98.4)."""
LIFE = 30 * 86_400_000
"""How many ms a half waits (R-98.3)."""

MAX_LINEAGE = 8
"""Blocks from a user's first device to the one that asks (R-98.9)."""

MAX_SERVICE_BYTES = 32_768
"""Of a request to the service."""
MAX_ANSWER_BYTES = 1_048_576


def _hash(value: Value, what: str) -> bytes:
    return bstr(value, HASH_BYTES, what)


# --- with the log's server


@dataclass(frozen=True, slots=True)
class LeaveRequest:
    """POST LEAVE_PATH: `user` leaves halves of a session's secret, one for each label."""

    user: bytes
    session: bytes
    commitment: bytes
    halves: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> LeaveRequest:
        """Raises `MalformedInput` (R-10; R-98.2 for a label that stands twice)."""
        f = array(decode(data, MAX_REQUEST_BYTES), 4, "pending-leave")
        user, session, commitment = (_hash(one, "label") for one in f[:3])
        pairs = (array(one, 2, "half") for one in items(f[3], 1, MAX_LEFT, "halves"))
        halves = tuple((_hash(label, "label"), _hash(half, "half")) for label, half in pairs)
        if len(dict(halves)) != len(halves):
            raise MalformedInput("R-98.2", "two halves for one label")
        return cls(user, session, commitment, halves)

    def encode(self) -> bytes:
        halves: list[Value] = [list(pair) for pair in self.halves]
        return encode([self.user, self.session, self.commitment, halves])


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """POST WAITING_PATH: what waits for `user`."""

    user: bytes

    @classmethod
    def decode(cls, data: bytes) -> WaitingRequest:
        return cls(_hash(array(decode(data, MAX_REQUEST_BYTES), 1, "pending-open")[0], "user"))

    def encode(self) -> bytes:
        return encode([self.user])


@dataclass(frozen=True, slots=True)
class Waiting:
    """A half that `sender` left, of the secret of `session` to which the commitment is."""

    session: bytes
    commitment: bytes
    sender: bytes
    half: bytes = field(repr=False)

    @classmethod
    def parse(cls, value: Value) -> Waiting:
        f = array(value, 4, "waiting")
        return cls(*(_hash(one, "field") for one in f))

    def to_value(self) -> Value:
        return [self.session, self.commitment, self.sender, self.half]


@dataclass(frozen=True, slots=True)
class WaitingAnswer:
    """All that waits for somebody; of one session there may be several halves."""

    waiting: tuple[Waiting, ...]

    @classmethod
    def decode(cls, data: bytes) -> WaitingAnswer:
        found = items(decode(data, MAX_ANSWER_BYTES), 0, MAX_WAITING, "pending-answer")
        return cls(tuple(map(Waiting.parse, found)))

    def encode(self) -> bytes:
        return encode([one.to_value() for one in self.waiting])


# --- with the recovery service


@dataclass(frozen=True, slots=True)
class HalvesRequest:
    """POST HALVES_PATH: halves of a session's secret, one for each address.

    `enrolment` is the key of the log's application: who asks shows that it let them in.
    """

    log_id: bytes
    enrolment: bytes
    session: bytes
    halves: tuple[tuple[str, bytes], ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> HalvesRequest:
        """Raises `MalformedInput` (R-10; R-96.6 for what no mail can be sent to)."""
        f = array(decode(data, MAX_SERVICE_BYTES), 4, "halves-request")
        pairs = (array(one, 2, "half") for one in items(f[3], 1, MAX_HALVES, "halves"))
        halves = tuple((_address(name), _hash(half, "half")) for name, half in pairs)
        log_id, enrolment, session = (_hash(one, "log id") for one in f[:3])
        return cls(log_id, enrolment, session, halves)

    def encode(self) -> bytes:
        halves: list[Value] = [list(pair) for pair in self.halves]
        return encode([self.log_id, self.enrolment, self.session, halves])


@dataclass(frozen=True, slots=True)
class AskRequest:
    """POST ASK_PATH: send a code to the address; once it is back, what waits may be taken.

    `lineage` are the blocks that brought in the device which asks: a user's first, then one for
    each device between.
    """

    attempt: bytes
    log_id: bytes
    opening: Opening = field(repr=False)
    sessions: tuple[bytes, ...]
    lineage: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> AskRequest:
        f = array(decode(data, MAX_SERVICE_BYTES), 5, "ask-request")
        attempt, log_id, opening = _hash(f[0], "attempt id"), _hash(f[1], "log id"), f[2]
        named = items(f[3], 1, MAX_WAITING, "sessions")
        lineage = items(f[4], 1, MAX_LINEAGE, "lineage")
        found = Opening.parse(opening)
        check_address(found.identifier)
        sessions = tuple(_hash(one, "session") for one in named)
        blocks = tuple(blob(one, MAX_BLOCK_BYTES, "block") for one in lineage)
        return cls(attempt, log_id, found, sessions, blocks)

    def encode(self) -> bytes:
        opening, sessions = self.opening.to_value(), list[Value](self.sessions)
        return encode([self.attempt, self.log_id, opening, sessions, list[Value](self.lineage)])


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """The halves that wait, each with its session; of one session there may be several."""

    halves: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> TakeAnswer:
        found = items(decode(data, MAX_ANSWER_BYTES), 0, MAX_WAITING, "take-answer")
        pairs = (array(one, 2, "half") for one in found)
        return cls(tuple((_hash(of, "session"), _hash(half, "half")) for of, half in pairs))

    def encode(self) -> bytes:
        return encode([list(pair) for pair in self.halves])


def _address(value: Value) -> str:
    return check_address(text(value, MAX_IDENTIFIER_BYTES, "identifier"))
