"""What `import ledger` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ledger
from ledger import FileVault, IdentityToken, Log, User
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


async def test_the_example(live: Live, tmp_path: Path) -> None:
    """What the package's docstring shows."""
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
