"""The witness as a process, over HTTP: honest logs, rivals, stalls, kills and bad manners."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from nacl.signing import SigningKey

from tests.verifier.builder import leaf_hash
from tests.verifier.witnessing import (
    MAIN,
    ROOT,
    Answer,
    Served,
    Submitting,
    begin,
    leaves,
    witnessing,
)
from verifier.keyfile import Cosigner
from verifier.note import open_note, parse_vkey
from verifier.witness import MAX_REQUEST

LOG = Submitting()
OTHER = Submitting("log.example/two", key=SigningKey(b"o" * 32))
FORK = Submitting(leaves=leaves("forked"))

# What runs before the command, to stall it, to kill it, or to make it impatient.
STALLED = """
import time
from verifier.witness_store import Store

def put(self, record, plain=Store._put):
    plain(self, record)
    time.sleep(1)

Store._put = put
"""
KILLED_BEFORE_COMMIT = """
import os, signal
from verifier.witness_store import Store

def put(self, record, plain=Store._put):
    plain(self, record)
    record.size == 8 and os.kill(os.getpid(), signal.SIGKILL)

Store._put = put
"""
KILLED_BEFORE_SIGNING = """
import os, signal
from verifier.witness import Record

def cosigned(self, cosigner, plain=Record.cosigned):
    self.size == 8 and os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, cosigner)

Record.cosigned = cosigned
"""
IMPATIENT = """
from verifier import witness_server
witness_server.PATIENCE = 0.5
"""


def verified(served: Served, log: Submitting, size: int, lines: str) -> int:
    """The time of the cosignature that the lines hold, over this checkpoint of the log."""
    key = parse_vkey(served.vkey)
    _, (signer,) = open_note(f"{log.text(size)}\n{lines}".encode(), [key])
    assert signer.time
    return signer.time


def test_it_cosigns_what_grows(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG, OTHER]) as served:
        assert served.shown(LOG.origin)[0] == 404
        before, lines = int(time.time()), ""
        for old, size in ((0, 5), (5, 8), (8, 8), (8, 100)):
            status, lines, kind = served.submit(LOG.request(old, size))
            assert (status, kind) == (200, "text/plain; charset=utf-8")
            assert before <= verified(served, LOG, size, lines) <= time.time()
        status, note, kind = served.shown(LOG.origin)
        assert (status, kind) == (200, "text/plain; charset=utf-8")
        assert note == LOG.note(100) + lines
        assert served.shown(OTHER.origin)[0] == 404
        assert served.submit(OTHER.request(0, 3))[0] == 200
        code, told = served.stop()
    assert code == 0
    assert [one["status"] for one in told] == [404, 200, 200, 200, 200, 200, 404, 200]
    assert told[1]["origin"] == LOG.origin
    assert told[1]["root"] == LOG.root(5).hex()


def test_it_says_where_it_stands(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG]) as served:
        assert served.submit(LOG.request(5, 8)) == (409, "0\n", "text/x.tlog.size")
        assert served.submit(LOG.request(0, 5))[0] == 200
        assert served.submit(LOG.request(0, 8)) == (409, "5\n", "text/x.tlog.size")
        for body, status in (
            (b"", 400),
            (OTHER.request(0, 8), 404),
            (Submitting(key=SigningKey(b"u" * 32)).request(0, 8), 403),
            (FORK.request(5, 5), 422),
        ):
            found, why, kind = served.submit(body)
            assert (found, kind) == (status, "text/plain; charset=utf-8")
            assert why.endswith("\n")
        assert served.submit(LOG.request(5, 8))[0] == 200
        _, told = served.stop()
    assert [one.get("fork") for one in told if "fork" in one] == [FORK.note(5)]
    assert "PRIVATE" not in json.dumps(told)


def test_it_remembers(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG]) as served:
        assert served.submit(LOG.request(0, 8))[0] == 200
        shown = served.shown(LOG.origin)
        assert served.stop()[0] == 0
    with witnessing(tmp_path, [LOG]) as served:
        assert served.shown(LOG.origin) == shown
        assert served.submit(FORK.request(8, 8))[0] == 422
        assert served.submit(LOG.request(0, 5))[0] == 409


def rivals(log: Submitting, size: int) -> list[Submitting]:
    """Two logs that agree up to `size`, and not on the next leaf."""
    return [
        replace(log, leaves=[*log.leaves[:size], leaf_hash(seed), *log.leaves[size + 1 :]])
        for seed in (b"a", b"b")
    ]


def at_once(*asked: Callable[[], Answer]) -> list[Answer]:
    gate = threading.Barrier(len(asked))

    def ask(one: Callable[[], Answer]) -> Answer:
        gate.wait()
        return one()

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(ask, asked))


def test_rivals_at_once_before_two_processes(tmp_path: Path) -> None:
    """R-62.12: of two roots of one size one is cosigned, whichever process is asked."""
    with witnessing(tmp_path, [LOG]) as one, witnessing(tmp_path, [LOG]) as two:
        log, wins = LOG, [0, 0]
        for size in range(30):
            bodies = [rival.request(size, size + 1) for rival in rivals(log, size)]
            order = [one, two] if size % 2 else [two, one]
            answers = at_once(
                *(partial(to.submit, body) for to, body in zip(order, bodies, strict=True))
            )
            statuses = [status for status, _, _ in answers]
            assert sorted(statuses) == [200, 409], answers
            winner = statuses.index(200)
            wins[winner] += 1
            log = rivals(log, size)[winner]
            assert answers[1 - winner][1] == f"{size + 1}\n"
            verified(one, log, size + 1, answers[winner][1])
        assert one.shown(LOG.origin) == two.shown(LOG.origin)


def test_the_same_at_once_before_one_process(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG]) as served:
        bodies = [rival.request(0, 1) for rival in rivals(LOG, 0)] * 4
        answers = at_once(*(partial(served.submit, body) for body in bodies))
        assert sorted(status for status, _, _ in answers) == [200, *[409] * 7]


def test_a_stall_between_look_and_put(tmp_path: Path) -> None:
    """R-62.12: who comes in between waits, and then sees what was put."""
    first, second = rivals(LOG, 0)
    with (
        witnessing(tmp_path, [LOG], code=STALLED + MAIN) as slow,
        witnessing(tmp_path, [LOG]) as fast,
        ThreadPoolExecutor(1) as pool,
    ):
        stalled: Future[Answer] = pool.submit(slow.submit, first.request(0, 1))
        time.sleep(0.4)
        assert not stalled.done()
        assert fast.submit(second.request(0, 1))[:2] == (409, "1\n")
        assert stalled.result()[0] == 200


def cut(served: Served, body: bytes) -> None:
    """A request in whose midst the witness is killed."""
    with pytest.raises((OSError, HTTPException)):
        served.submit(body)
    assert served.process.wait(10) == -9


def test_killed_after_it_persisted(tmp_path: Path) -> None:
    """R-62.12: what it would have signed stands, though nobody has the signature."""
    with witnessing(tmp_path, [LOG], code=KILLED_BEFORE_SIGNING + MAIN) as served:
        assert served.submit(LOG.request(0, 5))[0] == 200
        cut(served, LOG.request(5, 8))
    with witnessing(tmp_path, [LOG]) as served:
        assert served.submit(FORK.request(8, 8))[0] == 422
        assert served.submit(LOG.request(5, 8)) == (409, "8\n", "text/x.tlog.size")
        assert served.submit(LOG.request(5, 7)) == (409, "8\n", "text/x.tlog.size")
        status, lines, _ = served.submit(LOG.request(8, 8))
        assert status == 200
        verified(served, LOG, 8, lines)


def test_killed_before_it_persisted(tmp_path: Path) -> None:
    """Then nothing was signed either, and another checkpoint may follow the one before."""
    with witnessing(tmp_path, [LOG], code=KILLED_BEFORE_COMMIT + MAIN) as served:
        assert served.submit(LOG.request(0, 5))[0] == 200
        cut(served, LOG.request(5, 8))
    with witnessing(tmp_path, [LOG]) as served:
        assert served.submit(LOG.request(8, 8)) == (409, "5\n", "text/x.tlog.size")
        (rival, _) = rivals(LOG, 6)
        assert served.submit(rival.request(5, 8))[0] == 200
        assert served.submit(LOG.request(8, 8))[0] == 422


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """R-62.12, over restarts: one root a size, and never less than what was seen signed."""
    random, signed = Random(7), dict[int, str]()
    for _ in range(4):
        with witnessing(tmp_path, [LOG], code=MAIN) as served, ThreadPoolExecutor(2) as pool:
            pressing = [pool.submit(press, served, log, signed) for log in rivals(LOG, 1)]
            time.sleep(0.2 + random.random() * 0.3)
            served.process.kill()
            for one in pressing:
                one.result()
    assert len(signed) > 10
    with witnessing(tmp_path, [LOG]) as served:
        status, body, _ = served.submit(LOG.request(0, 1))
        assert status == 409
        assert int(body) >= max(signed)


def press(served: Served, log: Submitting, signed: dict[int, str]) -> None:
    """Submits one checkpoint after the other until nobody answers; notes what was signed."""
    size = 0
    with suppress(OSError, HTTPException):
        while size < 100:
            status, body, kind = served.submit(log.request(size, min(size + 1, 100)))
            if status == 200:
                size += 1
                assert signed.setdefault(size, log.text(size)) == log.text(size)
            elif kind == "text/x.tlog.size":
                size = int(body)


def test_a_request_under_way_is_answered_when_it_stops(tmp_path: Path) -> None:
    with (
        witnessing(tmp_path, [LOG], code=STALLED + MAIN) as served,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(served.submit, LOG.request(0, 5))
        time.sleep(0.4)
        assert served.stop()[0] == 0
        assert asked.result()[0] == 200


def connected(served: Served) -> socket.socket:
    place = urlsplit(served.url)
    assert place.hostname
    assert place.port
    return socket.create_connection((place.hostname, place.port), timeout=10)


def head(length: int | str, more: str = "") -> bytes:
    first = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"
    return f"{first}Content-Length: {length}\r\n{more}\r\n".encode()


def test_too_much(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG]) as served:
        connection = HTTPConnection(urlsplit(served.url).netloc, timeout=10)
        connection.request("POST", "/add-checkpoint", b"x" * (MAX_REQUEST + 1))
        assert connection.getresponse().status == 400
        connection.close()
        chunks = (b"x" * 65_536 for _ in range(100))
        status = 400
        try:
            connection.request("POST", "/add-checkpoint", chunks, encode_chunked=True)
            status = connection.getresponse().status
        except OSError:
            pass  # it hung up before all was sent
        assert status == 400
        assert served.submit(LOG.request(0, 8))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /add-checkpoint HTTP/1.1\r\n\r\n",
        b"x" * 20_000,
        head("-1"),
        head("1e3"),
        head(3, "Content-Encoding: gzip\r\n") + b"abc",
        head(0),
        b"GET /" + b"A" * 64 + b"/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n",
        b"GET /" + b"0" * 64 + b"/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: w\r\n\r\n",
    ],
)
def test_hostile_bytes(sent: bytes, hostile: Served) -> None:
    with connected(hostile) as peer:
        peer.sendall(sent)
        first = peer.recv(4096).split(b"\r\n")[0]
    assert first.startswith((b"HTTP/1.1 40", b"HTTP/1.0 40")), first
    assert hostile.submit(b"old 0\n\nnote")[0] == 400


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with witnessing(tmp_path_factory.mktemp("hostile"), [LOG]) as served:
        yield served


def test_slow_peers_keep_nobody_waiting(tmp_path: Path) -> None:
    with (
        witnessing(tmp_path, [LOG], code=IMPATIENT + MAIN) as served,
        connected(served) as silent,
        connected(served) as dripping,
        connected(served) as withholding,
    ):
        dripping.sendall(head(10)[:20])
        withholding.sendall(head(10) + b"old 0")
        assert served.submit(LOG.request(0, 8))[0] == 200
        assert silent.recv(1) == b""
        assert dripping.recv(1) == b""
        assert b" 408 " in withholding.recv(100)
        assert served.submit(LOG.request(8, 9))[0] == 200


def test_too_many_connections_are_turned_away(tmp_path: Path) -> None:
    crowded = IMPATIENT.replace("PATIENCE = 0.5", "MAX_CONNECTIONS = 2")
    with witnessing(tmp_path, [LOG], code=crowded + MAIN) as served:
        with connected(served) as one, connected(served) as two:
            for number, peer in enumerate((one, two)):
                body = LOG.request(number, number + 1)
                peer.sendall(head(len(body)) + body)
                assert peer.recv(4096).startswith(b"HTTP/1.1 200")
            with connected(served) as third:
                assert third.recv(1) == b""
        for _ in range(50):
            try:
                assert served.submit(LOG.request(2, 9))[0] == 200
                break
            except (OSError, HTTPException):  # it has yet to see that they are gone
                time.sleep(0.1)
        assert served.shown(LOG.origin)[1].startswith(LOG.text(9))


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG], code=IMPATIENT + MAIN) as served, connected(served) as peer:
        for size in range(3):
            body = LOG.request(size, size + 1)
            peer.sendall(head(len(body)) + body)
            assert peer.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)  # longer than its patience, all together


def test_many_at_once(tmp_path: Path) -> None:
    """Others' connections, and requests in any order, never make it sign twice for a size."""
    with witnessing(tmp_path, [LOG]) as served:
        signed: dict[int, set[str]] = {}

        def press(seed: int) -> None:
            log = [LOG, FORK][seed % 2]
            size = 0
            for _ in range(15):
                status, body, kind = served.submit(log.request(size, size + 1 + seed % 3))
                if status == 200:
                    size += 1 + seed % 3
                    signed.setdefault(size, set()).add(log.text(size))
                elif kind == "text/x.tlog.size":
                    size = int(body)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(press, range(6)))
        assert signed
        assert all(len(texts) == 1 for texts in signed.values())


def fails(options: list[str]) -> str:
    """The sentence that it ends with."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "witness", *options, "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_never_begins_again_by_itself(tmp_path: Path) -> None:
    options = begin(tmp_path, [LOG])
    assert "there is no state" in fails(options)
    assert not (tmp_path / "witness.sqlite").exists()
    with witnessing(tmp_path, [LOG]):
        assert "leave --new away" in fails([*options, "--new"])
    (tmp_path / "witness.sqlite").write_bytes(b"")
    assert "state" in fails(options)


def test_a_state_belongs_to_one_key(tmp_path: Path) -> None:
    with witnessing(tmp_path, [LOG]):
        pass
    (tmp_path / "witness.key").unlink()
    Cosigner("witness.example/1", SigningKey(b"x" * 32)).save(tmp_path / "witness.key")
    assert "another witness" in fails(begin(tmp_path, [LOG]))


def test_a_key_that_is_unfit(tmp_path: Path) -> None:
    options = [*begin(tmp_path, [LOG]), "--new"]
    (tmp_path / "witness.key").chmod(0o640)
    assert "chmod 600" in fails(options)
    (tmp_path / "witness.key").unlink()
    Cosigner("witness.example/1", LOG.key).save(tmp_path / "witness.key")
    assert "key of one of the logs" in fails(options)


def test_a_place_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        options = [*begin(tmp_path, [LOG]), "--new", "--listen", place]
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "witness", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 2
    assert "cannot be listened on" in done.stderr
