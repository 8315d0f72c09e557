"""`keyroll lookup` and `keyroll contacts`, as processes, against the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Held, LogView
from ledger.client.lookups.trust import Trust
from ledger.client.policy import Policy
from ledger.format.lookup import Saved
from ledger.log.clock import wall_ms
from tests.client.conftest import Live
from tests.client.light_world import AUDITORS
from tests.client.provers import verify_lookup
from tests.client.test_cli import enrol, keyroll, succeed, where
from tests.support.policies import policy_text

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
    about = ("--log-id", live.log_id.hex(), "--identifier", saved.identifier)
    code, told = await verify_lookup(path, *about)
    assert (code, told["outcome"], told["label"]) == (0, "verified", found.label.hex())
    devices = [one["signing"] for one in done.facts[0]["devices"]]
    assert [one["signing"] for one in told["devices"]] == devices
    assert (await verify_lookup(path, *about[:3], "bob@example.org"))[0] == 1
    two = ("lookup", "ada@example.org", "bob@example.org", "--save", str(path))
    assert (await keyroll(*two, home=ada)).code == 2


async def test_auditors(ada: Path, tmp_path: Path) -> None:
    path = tmp_path / "auditors"
    path.write_text(policy_text(1, AUDITORS[0]))
    asking = ("lookup", "ada@example.org", "--auditors", str(path))
    done = await succeed(*asking, home=ada)
    assert "auditors have yet to cover it" in done.out
    assert "have yet to cover: 1" in (await succeed("contacts", home=ada)).out
    done = await keyroll(*asking, "--audited", home=ada)
    assert (done.code, "R-6" in done.err, "ask again later" in done.err) == (3, True, True)
    done = await keyroll("lookup", "ada@example.org", "--audited", home=ada)
    assert (done.code, "R-65.9" in done.err) == (2, True)
    path.write_text(policy_text(1, AUDITORS[0])[:-2])
    done = await keyroll(*asking, home=ada)
    assert (done.code, "no policy: R-62." in done.err) == (2, True)
    done = await keyroll("lookup", "ada@example.org", "--auditors", str(tmp_path / "x"), home=ada)
    assert (done.code, "there is no file" in done.err) == (2, True)


async def test_witnesses(ada: Path) -> None:
    """R-62.8: what is kept in the directory holds for every command that follows the log."""
    path = ada / "witnesses.policy"
    path.write_text(policy_text(2, *AUDITORS))
    for command in (("sync",), ("lookup", "ada@example.org"), ("devices", "list")):
        done = await keyroll(*command, home=ada)
        assert (done.code, "first, second, third" in done.err) == (3, True), done.err
    path.write_text(policy_text(0, *AUDITORS))
    await succeed("sync", home=ada)


async def test_what_answers_are_worth(ada: Path) -> None:
    """The table of 60-checkpoints, and the alarm of R-63.5."""
    done = await succeed("status", "--json", home=ada)
    assert done.facts == {"size": 0}
    await succeed("lookup", "ada@example.org", home=ada)
    (worth,) = (await succeed("status", "--json", home=ada)).facts["worth"]
    assert worth.startswith("a log signature alone")
    (ada / "auditors.policy").write_text(policy_text(1, AUDITORS[0]))
    await succeed("lookup", "ada@example.org", home=ada)
    facts = (await succeed("status", "--json", home=ada)).facts
    assert (facts["auditors"], facts["covered"], facts["overdue"]) == (["first"], 0, [])
    assert len(facts["unsettled"]) == 1
    assert len(facts["worth"]) == 2
    with Trust.open(ada / "trust.db", bytes.fromhex(facts["log_id"])) as trust:
        trust._db.execute("UPDATE unsettled SET time = time - 86400000")
    for command in ("status", "contacts"):
        assert "alarm: 1 answers wait" in (await succeed(command, home=ada)).out
        assert len((await succeed(command, "--json", home=ada)).facts["overdue"]) == 1
    assert "alarm: 1" in (await succeed("lookup", "ada@example.org", home=ada)).err
    (ada / "witnesses.policy").write_text(policy_text(1, AUDITORS[0]))
    done = await keyroll("status", home=ada)
    assert (done.code, "R-62.5" in done.err) == (2, True)
    (ada / "witnesses.policy").write_text(policy_text(1, AUDITORS[1]))
    done = await succeed("status", home=ada)
    assert "there is one tree" in " ".join(done.out.split())


async def test_who_is_no_user(where: tuple[str, ...], tmp_path: Path) -> None:
    done = await keyroll("lookup", "ada@example.org", *where, home=tmp_path / "eve")
    assert (done.code, "register" in done.err) == (2, True)
    done = await succeed("contacts", *where, home=tmp_path / "eve")
    assert done.out == ""
    done = await keyroll("lookup", *where, home=tmp_path / "eve")
    assert done.code == 2
