"""Sessions as bytes: who may read what was sealed, by boxes that the server keeps (92-sessions).

    session-share  = [user, session, commitment, [1*256 [holder, recipient, box]]]
    session-open   = [user, session]
    session-answer = [commitment, [* [holder, recipient, box]]]

>>> asked = OpenRequest(b"u" * 32, b"s" * 32)
>>> OpenRequest.decode(asked.encode()) == asked
True
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.errors import MalformedInput
from ledger.format.bodies import HASH_BYTES
from ledger.format.cbor import Value, array, bstr, decode, encode, items
from ledger.format.wire import MAX_REQUEST_BYTES

SHARE_PATH = "/v1/sessions"
OPEN_PATH = "/v1/sessions/open"

MAX_SHARED = 256
MAX_SESSION_BOXES = 4_096
SECRET_BOX_BYTES = 80
_MAX_ANSWER_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class SessionBox:
    """A session's secret, sealed to `recipient`, the key of the user or group `holder`."""

    holder: bytes
    recipient: bytes
    box: bytes = field(repr=False)

    @classmethod
    def parse(cls, value: Value) -> SessionBox:
        f = array(value, 3, "session's box")
        holder = bstr(f[0], HASH_BYTES, "holder")
        recipient = bstr(f[1], HASH_BYTES, "recipient")
        return cls(holder, recipient, bstr(f[2], SECRET_BOX_BYTES, "box"))

    def to_value(self) -> Value:
        return [self.holder, self.recipient, self.box]

    @property
    def place(self) -> tuple[bytes, bytes]:
        """A session has one box for each."""
        return self.holder, self.recipient


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """POST /v1/sessions: `user` lets the holders of `boxes` read."""

    user: bytes
    session: bytes
    commitment: bytes
    boxes: tuple[SessionBox, ...]

    @classmethod
    def decode(cls, data: bytes) -> ShareRequest:
        """Raises `MalformedInput` (R-10; R-92.1 for a place that stands twice)."""
        f = array(decode(data, MAX_REQUEST_BYTES), 4, "session-share")
        user, session, commitment = (bstr(one, HASH_BYTES, "label") for one in f[:3])
        boxes = tuple(map(SessionBox.parse, items(f[3], 1, MAX_SHARED, "boxes")))
        if len({box.place for box in boxes}) != len(boxes):
            raise MalformedInput("R-92.1", "two boxes for one key of one holder")
        return cls(user, session, commitment, boxes)

    def encode(self) -> bytes:
        boxes: list[Value] = [box.to_value() for box in self.boxes]
        return encode([self.user, self.session, self.commitment, boxes])


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """POST /v1/sessions/open: `user` wants to read."""

    user: bytes
    session: bytes

    @classmethod
    def decode(cls, data: bytes) -> OpenRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 2, "session-open")
        return cls(bstr(f[0], HASH_BYTES, "user"), bstr(f[1], HASH_BYTES, "session"))

    def encode(self) -> bytes:
        return encode([self.user, self.session])


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """The session's commitment, and those of its boxes that the asker may open."""

    commitment: bytes
    boxes: tuple[SessionBox, ...]

    @classmethod
    def decode(cls, data: bytes) -> SessionAnswer:
        f = array(decode(data, _MAX_ANSWER_BYTES), 2, "session-answer")
        found = items(f[1], 1, MAX_SESSION_BOXES, "boxes")
        return cls(bstr(f[0], HASH_BYTES, "commitment"), tuple(map(SessionBox.parse, found)))

    def encode(self) -> bytes:
        boxes: list[Value] = [box.to_value() for box in self.boxes]
        return encode([self.commitment, boxes])
