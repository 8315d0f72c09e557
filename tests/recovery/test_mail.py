"""The service's mails, over TLS, to a real mail server: to the right one, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from ledger.errors import UsageError
from ledger.recovery.attempts import Purpose
from ledger.recovery.config import MailConfig, parse
from ledger.recovery.mail import Mails
from tests.support.mailbox import AUTHORITY, PASSWORD, USER, Mailbox, code_in, mail_server

ADA, CODE = "ada@example.org", "01234567"
TLS = pytest.mark.parametrize("tls", ["starttls", "tls"])


@pytest.fixture(autouse=True)
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.recovery.mail._PAUSES", (0.0,))


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's machine trusts the tests' authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))


async def send(box: Mailbox, tls: str, password: bytes = b"", host: str = "127.0.0.1") -> None:
    """Have a code sent to Ada, if it can be."""
    user = USER.decode() if password else ""
    config = MailConfig(host=host, port=box.port, tls=tls, user=user, timeout=5)
    mails = Mails(config, "Recovery service", password.decode())
    mails.post(ADA, Purpose.KEEP, CODE)
    await asyncio.gather(*mails._sending)
    await mails.close()


@TLS
async def test_over_tls(tls: str, trusted: None, capfd: pytest.CaptureFixture[str]) -> None:
    async with mail_server(tls=tls, login=True) as box:
        await send(box, tls, PASSWORD)
    (mail,) = box.of(ADA)
    assert code_in(mail) == CODE
    said = "".join(capfd.readouterr())
    assert "mail sent" in said
    assert all(secret not in said for secret in (PASSWORD.decode(), CODE, ADA))


@TLS
@pytest.mark.parametrize("shows", ["elsewhere", "expired"])
async def test_a_certificate_that_is_not_the_servers(tls: str, shows: str, trusted: None) -> None:
    """Nothing is said to it: neither a password nor an address."""
    async with mail_server(tls=tls, login=True, shows=shows) as box:
        await send(box, tls, PASSWORD)
    assert (box.told, box.mails) == ([], [])


@TLS
async def test_a_certificate_that_nobody_trusts(
    tls: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with mail_server(tls=tls, login=True) as box:
        await send(box, tls, PASSWORD)
    assert (box.told, box.mails) == ([], [])
    said = "".join(capfd.readouterr())
    assert "mail given up" in said
    assert all(secret not in said for secret in (PASSWORD.decode(), CODE, ADA))


@TLS
async def test_a_server_without_tls(tls: str, trusted: None) -> None:
    """Whoever sits between takes STARTTLS out of what a server offers: nothing goes in clear."""
    async with mail_server(login=True) as box:
        await send(box, tls, PASSWORD)
    assert (box.told, box.mails) == ([], [])


async def test_a_wrong_password(trusted: None, capfd: pytest.CaptureFixture[str]) -> None:
    async with mail_server(tls="starttls", login=True) as box:
        await send(box, "starttls", b"hush-hush")
    assert box.told
    assert box.mails == []
    said = "".join(capfd.readouterr())
    assert "SMTPAuthenticationError" in said
    assert all(secret not in said for secret in ("hush-hush", CODE, ADA))


@pytest.mark.parametrize(
    ("tls", "host", "good"),
    [
        ("none", "127.0.0.1", True),
        ("none", "::1", True),
        ("none", "localhost", True),
        ("none", "mail.example.net", False),
        ("none", "127.0.0.1.example.net", False),
        ("none", "10.0.0.1", False),
        ("starttls", "mail.example.net", True),
        ("tls", "mail.example.net", True),
    ],
)
def test_no_password_in_clear(tls: str, host: str, good: bool) -> None:
    mail = f'[mail]\ntls = "{tls}"\nhost = "{host}"\n'
    assert parse(mail, "x").mail.host == host
    login = 'user = "me"\npassword_file = "password"'
    if good:
        assert parse(mail + login, "x").mail.user == "me"
    else:
        with pytest.raises(UsageError, match="tls"):
            parse(mail + login, "x")
