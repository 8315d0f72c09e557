"""Three witnesses, ours among them, are told the same: what each answers, and where one is alone.

What C2SP's text says is `right` (R-62.10, R-62.11). Where a peer answers otherwise it stands in
`OTHERWISE`, which specs/adr/0018 explains: a peer that comes round to the text fails this test.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.note import ED25519, Signer, Verifier
from tests.interop.test_witnesses import ACTOR, LOG, Tree, add
from tests.interop.witnesses import Peer, aics_witness, litewitness
from tests.support.actors import signing_key
from tests.support.witnesses import witnesses

SIZE = 9
FIRST, NEXT, FORK = Tree("ours", SIZE), Tree("ours", 12), Tree("theirs", SIZE)
RIGHT = NEXT.request(SIZE)
AGAIN = FIRST.request(SIZE)
NEW_KEY = signing_key("a log that nobody has cosigned yet")
NEW = Verifier("new.example/log", ED25519, NEW_KEY.public)
HASH = b64encode(bytes(32)) + b"\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everyone(
    ssh: None, go: Path, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Peer]]:
    """All three, each with the log's tree of nine leaves cosigned."""
    place = tmp_path_factory.mktemp("witnesses")
    async with (
        litewitness(go, place, LOG, NEW) as lite,
        aics_witness(python, place, LOG, NEW) as aics,
        witnesses(place, f"{LOG.vkey}\nlog {NEW.vkey}", 1) as (ours,),
    ):
        assert ours.door.behind
        own = Peer("ours", ours.verifier, ours.door.behind)
        found = {"ours": own, "lite": lite, "aics": aics}
        for peer in found.values():
            assert (await add(peer, FIRST.request(0)))[0] == 200
        yield found


def signed(text: bytes) -> bytes:
    """The log's signature under any text."""
    return text + b"\n" + Signer(LOG.name, ACTOR.log_key).sign(text).line.encode()


def foreign() -> bytes:
    name = "another.example/log"
    return b"old 0\n\n" + sign_checkpoint(Checkpoint(name, 1, bytes(32)), signing_key(name))


def impostor() -> bytes:
    note = sign_checkpoint(Checkpoint(LOG.name, 12, NEXT.root), signing_key("impostor"))
    return RIGHT.replace(NEXT.note, note)


def text(size: bytes, root: bytes = bytes(32), more: bytes = b"") -> bytes:
    return LOG.name.encode() + b"\n" + size + b"\n" + b64encode(root) + b"\n" + more


def new(old: int, size: int, lines: bytes = b"", root: bytes = bytes(32)) -> bytes:
    """Of a log of which nothing was cosigned."""
    note = f"{NEW.name}\n{size}\n{b64encode(root).decode()}\n".encode()
    signature = Signer(NEW.name, NEW_KEY).sign(note).line.encode()
    return b"old %d\n%b\n%b\n%b" % (old, lines, note, signature)


REQUESTS: dict[str, tuple[int, bytes]] = {
    "again": (200, AGAIN),
    "unknown origin": (404, foreign()),
    "another key": (403, impostor()),
    "a signature that fails": (403, RIGHT.replace(b"\n12\n", b"\n13\n")),
    "old beyond the size": (400, AGAIN.replace(b"old 9", b"old 10")),
    "old is not the latest": (409, NEXT.request(5)),
    "old 0 and a larger tree": (409, NEXT.request(0)),
    "a proof at the same size": (422, AGAIN.replace(b"\n\n", b"\n" + HASH + b"\n", 1)),
    "another root at the same size": (422, FORK.request(SIZE)),
    "no proof": (422, b"old 9\n\n" + NEXT.note),
    "a wrong proof": (422, RIGHT.replace(RIGHT.split(b"\n")[1] + b"\n", HASH, 1)),
    "never cosigned": (409, new(2, 3)),
    "an empty tree's wrong root": (422, new(0, 0)),
    "a proof for the first one": (422, new(0, 3, HASH)),
    "size 0, which is not the latest": (409, b"old 0\n\n" + signed(text(b"0"))),
    "old with a zero before": (400, AGAIN.replace(b"old 9", b"old 09")),
    "old with a sign": (400, AGAIN.replace(b"old 9", b"old +9")),
    "old with a space": (400, AGAIN.replace(b"old 9", b"old 9 ")),
    "old with an underscore": (400, AGAIN.replace(b"old 9", b"old 0_9")),
    "old beyond 2^63": (400, AGAIN.replace(b"old 9", b"old %d" % 2**63)),
    "no old": (400, AGAIN.replace(b"old 9", b"new 9")),
    "no empty line": (400, b"old 9\n" + HASH),
    "returns": (400, AGAIN.replace(b"\n", b"\r\n", 2)),
    "a hash of 31 bytes": (400, RIGHT.replace(b"\n\n", b"\n" + b64encode(bytes(31)) + b"\n\n", 1)),
    "a hash with stray bits": (400, RIGHT.replace(b"\n\n", b"\n" + b"A" * 42 + b"B=\n\n", 1)),
    "64 hashes": (400, RIGHT.replace(b"\n\n", b"\n" + HASH * 64 + b"\n", 1)),
    "no note": (400, b"old 9\n\nhello\n"),
    "a size with a zero before": (400, b"old 9\n\n" + signed(text(b"012"))),
    "a root of 31 bytes": (400, b"old 9\n\n" + signed(text(b"12", bytes(31)))),
    "an empty body": (400, b""),
}

OTHERWISE = {
    ("lite", "an empty tree's wrong root"): 200,
    ("lite", "a proof for the first one"): 200,
    ("lite", "old with a zero before"): 200,
    ("lite", "old with a sign"): 200,
    ("lite", "a hash with stray bits"): 422,
    ("lite", "no note"): 404,
    ("lite", "a size with a zero before"): 500,
    ("lite", "a root of 31 bytes"): 500,
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_request(name: str, everyone: dict[str, Peer]) -> None:
    right, body = REQUESTS[name]
    for who, peer in everyone.items():
        status, answer = await add(peer, body)
        assert status == OTHERWISE.get((who, name), right), (who, status, answer)
        if status == 409:
            assert answer == (b"0\n" if name == "never cosigned" else b"9\n")
