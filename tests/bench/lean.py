"""A client that does no more than HTTP asks of it, in a process of its own.

    python -m tests.bench.lean HOST PORT CONNECTIONS

A round on standard input: how many requests (4 bytes), then each with its length (4 bytes). Each
connection sends the next request when its last one was answered. On standard output: the seconds,
as 8 bytes of a double, then each answer's body with its length, in the order of the requests.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Iterator
from time import perf_counter

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def main(host: str, port: int, connections: int) -> None:
    """Serve rounds until the input ends."""
    links = [await asyncio.open_connection(host, port) for _ in range(connections)]
    while requests := read_round():
        answers = [b""] * len(requests)
        start = perf_counter()
        turns = iter(enumerate(requests))
        await asyncio.gather(*(work(link, turns, answers) for link in links))
        write_round(perf_counter() - start, answers)


async def work(link: Link, turns: Iterator[tuple[int, bytes]], answers: list[bytes]) -> None:
    """Send requests over one connection as long as there are some."""
    reader, writer = link
    for number, request in turns:
        writer.write(request)
        answers[number] = await answer(reader)


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The body of a 200, or an error that ends the benchmark."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError(head.decode())
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return await reader.readexactly(length)


def read_round() -> list[bytes]:
    """The requests of a round; none at the end."""
    count = sys.stdin.buffer.read(4)
    return [_read_item() for _ in range(int.from_bytes(count))]


def write_round(seconds: float, answers: list[bytes]) -> None:
    out = sys.stdout.buffer
    out.write(struct.pack(">d", seconds))
    for body in answers:
        out.write(len(body).to_bytes(4) + body)
    out.flush()


def _read_item() -> bytes:
    return sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
