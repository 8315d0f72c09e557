"""A mail provider, with a mailbox for everybody: `python -m examples.clinic.post DIRECTORY`.

A real SMTP server (aiosmtpd). It prints its port, and appends what comes in to a file for each
address, DIRECTORY/ADDRESS.mails. Whoever runs it can read all of that.

>>> await next_code(Path("post"), "ada@patients.example", 0)     # doctest: +SKIP
'01234567'
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, Envelope, Session

_CODE = re.compile(rb"^([0-9]{8})\r?$", re.MULTILINE)
_PATIENCE = 30


def mailbox(directory: Path, address: str) -> Path:
    """The file with the mails to an address; no address leads out of `directory`."""
    return directory / f"{quote(address, safe='@')}.mails"


async def next_code(directory: Path, address: str, seen: int) -> str:
    """The code that comes after the first `seen`: what a person does in their mail program."""
    path = mailbox(directory, address)
    async with asyncio.timeout(_PATIENCE):
        while True:
            codes = _CODE.findall(path.read_bytes()) if path.exists() else []
            if len(codes) > seen:
                return str(codes[seen], "ascii")
            await asyncio.sleep(0.01)


class Post:
    """What the server does with a mail."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_DATA(  # noqa: N802 - aiosmtpd asks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep it, for each of its recipients."""
        content = envelope.original_content or b""
        for address in envelope.rcpt_tos:
            with mailbox(self._directory, address).open("ab") as mails:
                mails.write(content + b"\r\n")
        return "250 kept"


async def serve(directory: Path) -> None:
    """Take mails in until the process is told to stop."""
    stopping, post = asyncio.Event(), Post(directory)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = await loop.create_server(
        lambda: SMTP(post, hostname="post.example", loop=loop), "127.0.0.1", 0
    )
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
