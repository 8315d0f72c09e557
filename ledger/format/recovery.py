"""Recovery by e-mail as bytes: what goes to the recovery service and back (96-recovery).

    slot            = [log id, identifier, label, method]
    record-request  = [attempt id, slot, delay in s, keeper, record]
    release-request = [attempt id, slot]
    code-request    = [attempt, code]                    code-answer  = [due in ms]
    claim-request   = [attempt]                          claim-answer = [1*4 record]
    events-request  = [1*64 keeper]                      events-answer = [* watched / null]
    keeper-request  = [keeper]

An attempt and a keeper are 32 secret bytes; the service keeps their ids, which are hashes, so that
whoever reads its database can act for nobody.

>>> Slot(bytes(32), "Ada <ada@example.org>", bytes(32), Method.MAIL).check()
Traceback (most recent call last):
    ...
ledger.errors.MalformedInput: R-96.6: this identifier is no e-mail address
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256

from ledger.errors import MalformedInput
from ledger.format.bodies import HASH_BYTES
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items, text, uint
from ledger.format.identity import MAX_IDENTIFIER_BYTES

RECORDS_PATH = "/v1/recovery/records"
RELEASES_PATH = "/v1/recovery/releases"
CODES_PATH = "/v1/recovery/codes"
CLAIMS_PATH = "/v1/recovery/claims"
EVENTS_PATH = "/v1/recovery/events"
CANCEL_PATH = "/v1/recovery/cancel"
REMOVE_PATH = "/v1/recovery/remove"

MAX_REQUEST_BYTES = 4_096
MAX_ANSWER_BYTES = 1_048_576
MAX_RECORD_BYTES = 1_024
MAX_RECORDS = 4
"""Of one slot."""
MAX_KEEPERS = 64
MAX_EVENTS = 256
"""Of one record; the oldest go first."""
MAX_DELAY = 30 * 86_400
"""Seconds."""

_CODE = re.compile(r"[0-9]{8}")
_ADDRESS = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,189}", re.ASCII)


class Method(IntEnum):
    """What a record's lock takes, beside the token secret."""

    MAIL = 0
    PASSPHRASE = 1


class What(IntEnum):
    """What happened to a record (R-96.9)."""

    ASKED = 0
    """Somebody asked for a code."""
    FAILED = 1
    """Five wrong codes came back."""
    BEGUN = 2
    """The code came back: the release waits until it is due."""
    GIVEN = 3
    """The record was given out."""
    CANCELLED = 4
    """A device of the user stopped all releases that waited."""


def attempt_id(attempt: bytes) -> bytes:
    """R-96.5."""
    return sha256(b"\x12" + attempt).digest()


def keeper_id(keeper: bytes) -> bytes:
    """R-96.4."""
    return sha256(b"\x11" + keeper).digest()


def check_address(identifier: str) -> str:
    """`identifier` if mail can be sent to it, else `MalformedInput` (R-96.6)."""
    if not _ADDRESS.fullmatch(identifier):
        raise MalformedInput("R-96.6", "this identifier is no e-mail address")
    return identifier


@dataclass(frozen=True, slots=True)
class Slot:
    """Whose records, in which log, of which method."""

    log_id: bytes
    identifier: str
    label: bytes
    method: Method

    def check(self) -> Slot:
        """Refuse an identifier that no mail can be sent to (R-96.6)."""
        check_address(self.identifier)
        return self

    @classmethod
    def parse(cls, value: Value) -> Slot:
        f = array(value, 4, "slot")
        return cls(
            bstr(f[0], HASH_BYTES, "log id"),
            text(f[1], MAX_IDENTIFIER_BYTES, "identifier"),
            bstr(f[2], HASH_BYTES, "label"),
            Method(uint(f[3], "method", max(Method))),
        ).check()

    def to_value(self) -> Value:
        return [self.log_id, self.identifier, self.label, int(self.method)]


@dataclass(frozen=True, slots=True)
class Held:
    """A record, who may look after it, and how many seconds its owner wants a release to wait."""

    keeper: bytes = field(repr=False)
    delay: int
    record: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """POST RECORDS_PATH: send a code to the address; once it is back, keep what is held."""

    attempt: bytes
    slot: Slot
    held: Held

    @classmethod
    def decode(cls, data: bytes) -> RecordRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 5, "record-request")
        held = Held(
            bstr(f[3], HASH_BYTES, "keeper"),
            uint(f[2], "delay", MAX_DELAY),
            blob(f[4], MAX_RECORD_BYTES, "record"),
        )
        return cls(bstr(f[0], HASH_BYTES, "attempt id"), Slot.parse(f[1]), held)

    def encode(self) -> bytes:
        held = self.held
        return encode(
            [self.attempt, self.slot.to_value(), held.delay, held.keeper, held.record],
        )


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """POST RELEASES_PATH: send a code to the address; once it is back, the slot is released."""

    attempt: bytes
    slot: Slot

    @classmethod
    def decode(cls, data: bytes) -> ReleaseRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 2, "release-request")
        return cls(bstr(f[0], HASH_BYTES, "attempt id"), Slot.parse(f[1]))

    def encode(self) -> bytes:
        return encode([self.attempt, self.slot.to_value()])


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """POST CODES_PATH: the code that came by mail."""

    attempt: bytes = field(repr=False)
    code: str = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> CodeRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 2, "code-request")
        return cls(bstr(f[0], HASH_BYTES, "attempt"), check_code(text(f[1], 64, "code")))

    def encode(self) -> bytes:
        return encode([self.attempt, check_code(self.code)])


def check_code(code: str) -> str:
    """`code` if it is 8 digits, else `MalformedInput` (R-96.5)."""
    if not _CODE.fullmatch(code):
        raise MalformedInput("R-96.5", "a code is 8 digits")
    return code


@dataclass(frozen=True, slots=True)
class CodeAnswer:
    """When what was asked for is due (ms): now, for a record that is kept."""

    due: int

    @classmethod
    def decode(cls, data: bytes) -> CodeAnswer:
        return cls(uint(array(decode(data, MAX_ANSWER_BYTES), 1, "code-answer")[0], "due"))

    def encode(self) -> bytes:
        return encode([self.due])


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """POST CLAIMS_PATH with an attempt; CANCEL_PATH and REMOVE_PATH with a keeper."""

    secret: bytes = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> SecretRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 1, "request")
        return cls(bstr(f[0], HASH_BYTES, "secret"))

    def encode(self) -> bytes:
        return encode([self.secret])


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """The records that were released."""

    records: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> ClaimAnswer:
        found = items(decode(data, MAX_ANSWER_BYTES), 1, MAX_RECORDS, "claim-answer")
        return cls(tuple(blob(one, MAX_RECORD_BYTES, "record") for one in found))

    def encode(self) -> bytes:
        return encode(list(self.records))


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """POST EVENTS_PATH: what happened to the records of these keepers."""

    keepers: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> EventsRequest:
        found = items(decode(data, MAX_REQUEST_BYTES), 1, MAX_KEEPERS, "events-request")
        return cls(tuple(bstr(one, HASH_BYTES, "keeper") for one in found))

    def encode(self) -> bytes:
        return encode(list(self.keepers))


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, when (ms), by which attempt (its id; zeros where there is none)."""

    what: What
    time: int
    attempt: bytes

    @classmethod
    def parse(cls, value: Value) -> Event:
        f = array(value, 3, "event")
        what = What(uint(f[0], "what", max(What)))
        return cls(what, uint(f[1], "time"), bstr(f[2], HASH_BYTES, "attempt id"))

    def to_value(self) -> Value:
        return [int(self.what), self.time, self.attempt]


@dataclass(frozen=True, slots=True)
class Watched:
    """A record that is there: its method, its delay (s), its events, oldest first."""

    method: Method
    delay: int
    events: tuple[Event, ...]

    @classmethod
    def parse(cls, value: Value) -> Watched:
        f = array(value, 3, "watched")
        method = Method(uint(f[0], "method", max(Method)))
        events = items(f[2], 0, MAX_EVENTS, "events")
        return cls(method, uint(f[1], "delay", MAX_DELAY), tuple(map(Event.parse, events)))

    def to_value(self) -> Value:
        return [int(self.method), self.delay, [event.to_value() for event in self.events]]


@dataclass(frozen=True, slots=True)
class EventsAnswer:
    """One for each keeper of the request, in its order."""

    watched: tuple[Watched | None, ...]

    @classmethod
    def decode(cls, data: bytes) -> EventsAnswer:
        found = items(decode(data, MAX_ANSWER_BYTES), 1, MAX_KEEPERS, "events-answer")
        return cls(tuple(None if one is None else Watched.parse(one) for one in found))

    def encode(self) -> bytes:
        return encode([one.to_value() if one else None for one in self.watched])
