"""`keyroll lookup` and `keyroll contacts`, as processes, against the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.client.light import verify
from ledger.client.pins import Held, LogView, Policy
from ledger.format.lookup import Saved
from ledger.log.clock import wall_ms
from tests.client.conftest import Live
from tests.client.light_world import AUDITORS
from tests.client.test_cli import enrol, keyroll, succeed, where

__all__ = ["where"]  # a fixture


@pytest.fixture
async def ada(live: Live, where: tuple[str, ...], tmp_path: Path) -> Path:
    """The directory of Ada, who registered."""
    home = tmp_path / "ada"
    token = await enrol(live, "ada@example.org")
    await succeed("register", "-", *where, home=home, given=token)
    return home


async def test_bob_closes(live: Live, where: tuple[str, ...], ada: Path, tmp_path: Path) -> None:
    bob = tmp_path / "bob"
    nobody = await succeed("lookup", "bob@example.org", "--json", home=ada)
    assert [(one["found"], one["known"]) for one in nobody.facts] == [(False, False)]
    token = await enrol(live, "bob@example.org")
    registered = await succeed("register", "-", *where, "--json", home=bob, given=token)
    both = await succeed("lookup", "bob@example.org", "no@example.org", "--json", home=ada)
    one, other = both.facts
    assert (one["label"], one["known"]) == (registered.facts["label"], False)
    assert (one["standing"], one["events"], len(one["devices"])) == ("signed", [], 1)
    assert other["found"] is False
    shown = await succeed("lookup", "bob@example.org", home=ada)
    assert one["devices"][0]["signing"][:16] in shown.out
    assert "first time" not in shown.out
    await succeed("close", "--yes", home=bob)
    closed = await succeed("lookup", "bob@example.org", home=ada)
    assert "since it was accepted: closed" in closed.out
    listed = await succeed("contacts", "--json", home=ada)
    (contact,) = listed.facts["contacts"]
    assert (contact["identifiers"], contact["quiet"]) == (["bob@example.org"], False)
    assert contact["user_key"] is None
    await succeed("lookup", "bob@example.org", "--accept", home=ada)
    assert "closed: no devices" in (await succeed("contacts", home=ada)).out
    (contact,) = (await succeed("contacts", "--json", home=ada)).facts["contacts"]
    assert contact["quiet"]


async def test_a_lookup_is_saved(live: Live, ada: Path, tmp_path: Path) -> None:
    path = tmp_path / "ada.lookup"
    done = await succeed("lookup", "ada@example.org", "--json", "--save", str(path), home=ada)
    saved = Saved.decode(path.read_bytes())
    held = Held(LogView(live.log_id))
    asked = held.ask(bytes(32), Policy(), [saved.identifier])
    (found,) = verify(saved.bundle, asked, held, Policy(), wall_ms()).found
    assert found.label.hex() == done.facts[0]["label"]
    two = ("lookup", "ada@example.org", "bob@example.org", "--save", str(path))
    assert (await keyroll(*two, home=ada)).code == 2


async def test_auditors(ada: Path) -> None:
    vkey = AUDITORS[0].verifier.vkey
    done = await succeed("lookup", "ada@example.org", "--auditor", vkey, home=ada)
    assert "auditors have yet to cover it" in done.out
    assert "have yet to cover: 1" in (await succeed("contacts", home=ada)).out
    audited = ("lookup", "ada@example.org", "--audited")
    assert (await keyroll(*audited, home=ada)).code == 2
    done = await keyroll(*audited, "--auditor", vkey, home=ada)
    assert (done.code, "R-65.9" in done.err) == (3, True)
    done = await keyroll(*audited, "--auditor", vkey[:-2], home=ada)
    assert done.code == 1


async def test_who_is_no_user(where: tuple[str, ...], tmp_path: Path) -> None:
    done = await keyroll("lookup", "ada@example.org", *where, home=tmp_path / "eve")
    assert (done.code, "register" in done.err) == (2, True)
    done = await succeed("contacts", *where, home=tmp_path / "eve")
    assert done.out == ""
    done = await keyroll("lookup", *where, home=tmp_path / "eve")
    assert done.code == 2
