"""The boxes of a group's newest blocks that are sealed to one member, as bytes (R-72.8).

    group-boxes-request = [user, group]      group-boxes-answer = [* [recipient, box]]

>>> GroupBoxesRequest.decode(GroupBoxesRequest(b"u" * 32, b"g" * 32).encode()).group == b"g" * 32
True
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.format.bodies import HASH_BYTES, KEY_BYTES
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items
from ledger.format.wire import MAX_ANSWER_BYTES, MAX_BOX_BYTES, MAX_REQUEST_BYTES

GROUP_BOXES_PATH = "/v1/boxes/group"

MAX_BLOCKS = 32
"""Of a group's newest, in which its server looks."""
MAX_BOXES = 8
"""In one answer."""


@dataclass(frozen=True, slots=True)
class GroupBoxesRequest:
    """POST GROUP_BOXES_PATH: `user` asks for what the newest blocks of `group` hold for them."""

    user: bytes
    group: bytes

    @classmethod
    def decode(cls, data: bytes) -> GroupBoxesRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 2, "group-boxes-request")
        return cls(bstr(f[0], HASH_BYTES, "user"), bstr(f[1], HASH_BYTES, "group"))

    def encode(self) -> bytes:
        return encode([self.user, self.group])


@dataclass(frozen=True, slots=True)
class GroupBoxesAnswer:
    """Boxes, each with the key that it is sealed to, the newest block's first."""

    boxes: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @classmethod
    def decode(cls, data: bytes) -> GroupBoxesAnswer:
        found = items(decode(data, MAX_ANSWER_BYTES), 0, MAX_BOXES, "group-boxes-answer")
        return cls(tuple(map(_pair, found)))

    def encode(self) -> bytes:
        return encode([list(pair) for pair in self.boxes])


def _pair(value: Value) -> tuple[bytes, bytes]:
    recipient, box = array(value, 2, "recipient and box")
    return bstr(recipient, KEY_BYTES, "recipient"), blob(box, MAX_BOX_BYTES, "box")
