"""The recovery service by itself: its settings, its manners over HTTP."""

from __future__ import annotations

import doctest
import json
import stat
from pathlib import Path

import aiohttp
import pytest

from ledger import localfile
from ledger.errors import UsageError
from ledger.format import recovery as wire
from ledger.recovery import attempts, halves, records
from ledger.recovery import config as configs
from ledger.recovery.config import Config, MailConfig, ServerConfig, parse
from ledger.recovery.runtime import config_of, make, serving

CONFIG = Config(ServerConfig(port=0, rate="20/minute"))
CBOR = {"Content-Type": "application/cbor"}


def test_its_directory(tmp_path: Path) -> None:
    make(tmp_path / "service")
    assert config_of(tmp_path / "service") == Config()
    assert stat.S_IMODE((tmp_path / "service" / "service.key").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="there already"):
        make(tmp_path / "service")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server]\nport = 65536", "port"),
        ("[server]\ndelay = -1", "delay"),
        ("[server]\ndelay = 2592001", "delay"),
        ('[server]\nrate = "often"', "rate"),
        ('[server]\nport = "80"', "type"),
        ("[server]\nports = 80", "no setting ports"),
        ("[servers]\nport = 80", "no section"),
        ('[server]\nname = "a\\nBcc: b"', "name"),
        ('[mail]\ntls = "maybe"', "tls"),
        ('[mail]\nuser = "me"', "password_file"),
        ('[logging]\nlevel = "loud"', "level"),
        ("[server", "TOML"),
    ],
)
def test_settings(text: str, sentence: str) -> None:
    good = '[server]\ndelay = 2592000\n[mail]\ntls = "starttls"\nport = 587\ntimeout = 5'
    assert parse(good, "x").mail == MailConfig(tls="starttls", port=587, timeout=5)
    with pytest.raises(UsageError, match=sentence):
        parse(text, "config.toml")


async def test_manners(tmp_path: Path) -> None:
    """Problems are documents of RFC 9457; a peer asks so often and no more."""
    make(tmp_path / "service")
    async with (
        serving(tmp_path / "service", CONFIG) as url,
        aiohttp.ClientSession(url, headers=CBOR) as http,
    ):

        async def post(path: str, body: bytes, **more: str) -> tuple[int, str]:
            async with http.post(path, data=body, headers=more or None) as response:
                document = json.loads(await response.read())
                assert response.content_type == "application/problem+json"
                assert document["status"] == response.status
                return response.status, document["type"].removeprefix("urn:keyroll:problem:")

        code = wire.CodeRequest(b"a" * 32, "01234567").encode()
        claim = wire.SecretRequest(b"a" * 32).encode()
        assert await post(wire.CODES_PATH, code) == (403, "wrong-code")
        assert await post(wire.CLAIMS_PATH, claim) == (404, "not-found")
        assert await post(wire.CODES_PATH, code + b"\0") == (400, "malformed")
        assert await post(wire.CODES_PATH, bytes(40_000)) == (413, "too-large")
        assert await post("/v1/recovery/other", code) == (404, "not-found")
        plain = {"Content-Type": "text/plain"}
        assert await post(wire.CODES_PATH, code, **plain) == (415, "media-type")
        async with http.get(wire.CODES_PATH) as response:
            assert response.status == 405
        async with http.get("/health") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
        seen = {await post(wire.CODES_PATH, code) for _ in range(20)}
        assert seen == {(403, "wrong-code"), (429, "too-many")}


async def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localfile, "_WAIT", 0.1)
    make(tmp_path / "service")
    async with serving(tmp_path / "service", CONFIG):
        with pytest.raises(UsageError, match="another process"):
            attempts.Attempts.open(tmp_path / "service" / "records.db", bytes(32))


def test_the_examples() -> None:
    for module in (attempts, records, halves):
        assert doctest.testmod(module).failed == 0
    assert doctest.testmod(configs).failed == 0
