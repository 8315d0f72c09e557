"""What `import ledger` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from inspect import isawaitable
from pathlib import Path
from textwrap import dedent

import pytest

import ledger
from ledger import FileVault, IdentityToken, Keyroll, Log, User
from ledger.client.documents import Document
from ledger.rules.state import UserState
from tests.client.conftest import Live


def test_every_name_is_there() -> None:
    for name in ledger.__all__:
        assert getattr(ledger, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        _ = ledger.nothing


def test_importing_it_loads_no_client() -> None:
    code = "import sys, ledger; print('aiohttp' in sys.modules, 'ledger.client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False False\n"


async def test_what_the_readme_shows(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines under "In a program", as they stand there, for Ada; Bob and Eve are there before.

    Run again, they go on with what is there: nobody registers twice.
    """
    monkeypatch.chdir(tmp_path)
    ada, bob, eve = (f"{name}@example.org" for name in ("ada", "bob", "eve"))
    async with (
        Keyroll.open("bob", live.url, live.log_id) as his,
        Keyroll.open("eve", live.url, live.log_id) as hers,
    ):
        await his.register(live.token(bob))
        await hers.register(live.token(eve))
        text = live.token(ada).export()
        for _ in range(2):
            shown = await run(
                program(), url=live.url, log_id=live.log_id, words="open sesame", text=text
            )
            found, sealed = shown["found"], shown["sealed"]
            assert isinstance(found, Document)
            assert isinstance(sealed, bytes)
            assert found.data == b"hello"
            for reader in (his, hers):
                assert (await reader.decrypt(sealed, author=ada)).data == b"hello"
            (seen,) = await his.lookup(ada)
            assert isinstance(seen.state, UserState)
            assert [device.kind for device in seen.state.devices] == [0, 1]


def program() -> str:
    """The README's lines."""
    readme = Path(ledger.__file__).parent.parent / "README.md"
    section = readme.read_text("utf-8").partition("## In a program\n")[2]
    lines = section.splitlines()
    end = next(at for at, line in enumerate(lines) if line and not line.startswith("    "))
    return dedent("\n".join(lines[:end]))


async def run(source: str, **names: object) -> dict[str, object]:
    """The names that there are after it."""
    done = eval(compile(source, "README.md", "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert isawaitable(done)
    await done
    return names


async def test_the_example(live: Live, tmp_path: Path) -> None:
    """What the package's docstring shows of the parts."""
    text = live.token("ada@example.org").export()
    async with Log.connect(live.url, live.log_id, tmp_path / "replica.db") as log:
        await log.sync()
        token = IdentityToken.parse(text)
        ada = await User.register(log, token, FileVault(tmp_path / "account"))
        phone = await ada.add_device()
        await ada.revoke_devices(phone.signing.public)
        seen = log.replica.user(ada.label)
        assert seen
        assert [device.signing for device in seen.devices] == [ada.devices[0].signing.public]
        assert seen.user_key == (await ada.user_key()).public
