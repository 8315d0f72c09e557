"""A real SMTP server (aiosmtpd), and the mailboxes behind it.

certificates/ holds those that it may show over TLS, and the authority that signed them, made once
with openssl. The authority's key was thrown away; `server.key` is the key of all the others.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = b"recovery", b"hush"
CERTIFICATES = Path(__file__).with_name("certificates")
AUTHORITY = CERTIFICATES / "authority.pem"

_CODE = re.compile(r"^([0-9]{8})\r?$", re.MULTILINE)


@dataclass
class Mailbox:
    """What came in, by recipient; the newest last. `told`: who would send something, or log in."""

    port: int = 0
    login: bool = False
    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd asks for this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.told.append(address)
        envelope.mail_from = address
        envelope.mail_options += options
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        self.told.append(mechanism)
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
        return AuthResult(success=right, handled=False)

    async def handle_DATA(  # noqa: N802 - aiosmtpd asks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        self.mails += [(recipient, message) for recipient in envelope.rcpt_tos]
        return "250 OK"

    def of(self, address: str) -> list[EmailMessage]:
        return [message for recipient, message in self.mails if recipient == address]

    async def wait(self, address: str, count: int = 1) -> list[EmailMessage]:
        """The mails to an address, once there are so many."""
        for _ in range(1_000):
            if len(self.of(address)) >= count:
                return self.of(address)
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.of(address))} mails came, and not {count}")

    async def code(self, address: str, count: int = 1) -> str:
        """The code in the newest of so many mails."""
        return code_in((await self.wait(address, count))[-1])


def code_in(message: EmailMessage) -> str:
    found = _CODE.search(message.get_content())
    assert found
    return found[1]


@asynccontextmanager
async def mail_server(
    *, port: int = 0, login: bool = False, tls: str = "none", shows: str = "here"
) -> AsyncIterator[Mailbox]:
    """A mail server in this event loop; with `login`, for USER with PASSWORD only.

    `tls` is none, starttls or tls, and `shows` the certificate: here (good), elsewhere, expired.
    """
    mailbox, context = Mailbox(login=login), None
    if tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / f"{shows}.pem", CERTIFICATES / "server.key")

    def session() -> SMTP:
        return SMTP(
            mailbox,
            hostname="mail.test",
            authenticator=mailbox.authenticate if login else None,
            auth_require_tls=tls == "starttls",
            tls_context=context if tls == "starttls" else None,
        )

    at_once = context if tls == "tls" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", port, ssl=at_once)
    try:
        mailbox.port = server.sockets[0].getsockname()[1]
        yield mailbox
    finally:
        server.close()
