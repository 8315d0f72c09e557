"""The mails that the service sends: a code, what it is for, how to stop it, and no link (R-96.9).

>>> mails = Mails(MailConfig(), "Recovery service", password="")         # doctest: +SKIP
>>> mails.post("ada@example.org", Purpose.RELEASE, "01234567")           # doctest: +SKIP
>>> await mails.close()                                                  # doctest: +SKIP

A mail goes out beside the request that asked for it, so that the answer takes as long with one as
without (R-96.10). If it can't be sent, it is tried again, twice, and then given up: its code is of
no use to anybody by then, and whoever wants one asks again.
"""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib
import structlog

from ledger.recovery.attempts import Purpose
from ledger.recovery.config import MailConfig

_PAUSES = (0.0, 2.0, 20.0)
_MOST_AT_ONCE = 256

_logger = structlog.get_logger("keyroll.recovery")

_TEXTS = {
    Purpose.KEEP: """\
{code}

is the code to set up recovery by e-mail for your account. It is good for 15 minutes.

If you did not ask for it, do nothing, and give it to nobody.
""",
    Purpose.RELEASE: """\
{code}

is the code to RECOVER your account on a new device. It is good for 15 minutes.

If you did not ask for it, somebody is trying to get into your account: give this code to nobody.
On any device of yours, keyroll recovery mail stop ends what was begun.
""",
    Purpose.TAKE: """\
{code}

is the code to read what was left for you before you registered. It is good for 15 minutes.

If you did not ask for it, somebody wants to read what is meant for you: give this code to nobody.
""",
}
_SUBJECTS = {
    Purpose.KEEP: "Your code to set up recovery",
    Purpose.RELEASE: "Your recovery code",
    Purpose.TAKE: "Your code to read what was left for you",
}


class Mails:
    """Sends mails, one task each. `name` is what they call the service."""

    def __init__(self, config: MailConfig, name: str, password: str) -> None:
        self._config = config
        self._name = name
        self._password = password
        self._sending: set[asyncio.Task[None]] = set()

    def post(self, address: str, purpose: Purpose, code: str) -> None:
        """Begin to send a code. Too many at once, and it is not sent."""
        if len(self._sending) >= _MOST_AT_ONCE:
            _logger.warning("mail dropped", sending=len(self._sending))
            return
        task = asyncio.create_task(self._send(address, self._written(address, purpose, code)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Give up what has not been sent."""
        tasks = list(self._sending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _written(self, address: str, purpose: Purpose, code: str) -> EmailMessage:
        """The code stands in the body only: subjects are shown on locked screens."""
        message = EmailMessage()
        message["From"], message["To"] = self._config.sender, address
        message["Subject"] = f"{self._name}: {_SUBJECTS[purpose]}"
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._config.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_TEXTS[purpose].format(code=code))
        return message

    async def _send(self, address: str, message: EmailMessage) -> None:
        """Errors of a mail server may quote the address: only their kind is told."""
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._hand_over(address, message)
            except (aiosmtplib.SMTPException, OSError) as error:
                _logger.warning("mail not sent", error=type(error).__name__)
            else:
                _logger.info("mail sent")
                return
        _logger.error("mail given up")

    async def _hand_over(self, address: str, message: EmailMessage) -> None:
        config = self._config
        await aiosmtplib.send(
            message,
            sender=config.sender,
            recipients=[address],
            hostname=config.host,
            port=config.port,
            username=config.user or None,
            password=self._password or None,
            timeout=config.timeout,
            use_tls=config.tls == "tls",
            start_tls=config.tls == "starttls",
        )
