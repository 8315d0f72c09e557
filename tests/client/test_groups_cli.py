"""`keyroll groups`, as processes, against the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.conftest import Live
from tests.client.test_cli import Done, enrol, keyroll, succeed


class Machine:
    """One person's directory."""

    def __init__(self, home: Path, label: str) -> None:
        self.home = home
        self.label = label

    @classmethod
    async def register(cls, live: Live, path: Path, name: str) -> Machine:
        token = await enrol(live, f"{name}@example.org")
        where = ("--url", live.url, "--log-id", live.log_id.hex(), "--json")
        done = await succeed("register", "-", *where, home=path / name, given=token)
        return cls(path / name, done.facts["label"])

    async def groups(self, *arguments: str, given: str = "") -> Done:
        return await succeed("groups", *arguments, home=self.home, given=given)

    async def fails(self, code: int, words: str, *arguments: str) -> Done:
        done = await keyroll("groups", *arguments, home=self.home)
        assert done.code == code, done.err
        assert words in done.err.replace("\n", " ")
        assert "Traceback" not in done.err
        return done


@pytest.fixture
async def three(live: Live, tmp_path: Path) -> list[Machine]:
    return [await Machine.register(live, tmp_path, name) for name in ("ada", "bob", "eve")]


async def test_a_group(three: list[Machine]) -> None:
    ada, bob, eve = three
    made = await ada.groups("create", bob.label[:12], "--json")
    assert "seen for the first time" in made.err
    label = made.facts["group"]
    assert (made.facts["kind"], made.facts["generation"], made.facts["stale"]) == ("flat", 0, [])
    await ada.groups("add", label[:10], eve.label, "--admin")
    shown = await bob.groups("show", label, "--json")
    roles = {entry["label"]: entry["role"] for entry in shown.facts["entries"]}
    assert roles == {ada.label: "admin", bob.label: "member", eve.label: "admin"}
    told = await eve.groups("why", label, "eve@example.org", "--json")
    (way,) = told.facts["ways"]
    assert [(deed["seq"], deed["author"]) for deed in way["deeds"]] == [(1, ada.label)]
    lowered = await ada.groups("role", label, eve.label[:12], "member")
    assert "is member now" in lowered.out
    asked = await bob.groups("leave", label)
    assert "the next act of an admin" in asked.out
    stale = await eve.groups("show", label)
    assert f"stale: {bob.label[:16]} asked to leave" in stale.out.replace("\n", " ")
    assert "keyroll groups rotate" in stale.out
    rotated = await ada.groups("rotate", label)
    assert f"out since the last act: {bob.label[:16]}" in rotated.out
    assert "stale" not in rotated.out
    gone = await ada.groups("why", label, bob.label)
    assert "is not in the group" in gone.out
    assert "removed, by ada@example.org" in gone.out.replace("\n", " ")
    removed = await ada.groups("remove", label, eve.label, "--json")
    assert removed.facts["newest"]["removed"] == [eve.label]
    assert removed.facts["generation"] == 3
    assert label in (await ada.groups("show")).out
    assert "no group was made here" in (await bob.groups("show")).out
    closed = await ada.groups("close", label, given="y\n")
    assert "end the group" in closed.err
    assert (await ada.groups("show", label, "--json")).facts["closed"] is True


async def test_groups_in_groups(three: list[Machine]) -> None:
    ada, bob, eve = three
    team = (await ada.groups("create", bob.label, "--json")).facts["group"]
    house = (await eve.groups("create", "--compound", team, "--json")).facts["group"]
    shown = await bob.groups("show", house)
    assert "compound" in shown.out
    assert team[:16] in shown.out
    told = (await bob.groups("why", house, "bob@example.org")).out.splitlines()
    assert f"{team[:16]} as group, by {eve.label[:16]}" in told[0]
    assert told[1].startswith("  ")
    assert f"bob@example.org as member, by {ada.label[:16]}" in told[1]


async def test_what_makes_no_sense(three: list[Machine]) -> None:
    ada, bob, eve = three
    label = (await ada.groups("create", bob.label, "--json")).facts["group"]
    await bob.fails(2, "no admin", "add", label, eve.label)
    await bob.fails(2, "nobody removes themselves", "remove", label, "bob@example.org")
    await ada.fails(2, "0 labels begin", "add", label, "ff" * 16)
    await ada.fails(2, "keyroll lookup eve@example.org", "add", label, "eve@example.org")
    await ada.fails(2, "0 groups have", "show", bob.label[:8])
    await ada.fails(2, "no group", "show", bob.label)
    await ada.fails(2, "labels begin ''", "add", label, "")
    await ada.fails(2, "is not in the group", "remove", label, eve.label)
    await eve.fails(2, "none of them now", "show", label)
    help_ = await succeed("groups", "add", "--help", home=ada.home)
    assert "keyroll groups add 90ab 11d4" in help_.out


async def test_who_was_reset_needs_a_word(live: Live, three: list[Machine]) -> None:
    """What is loud stops encryption until it is accepted."""
    ada, bob, _ = three
    label = (await ada.groups("create", bob.label, "--json")).facts["group"]
    token = await enrol(live, "bob@example.org", "--reset")
    authority = str(live.app / "authority.key")
    await succeed("reset", "-", "--authority", authority, home=bob.home, given=token)
    await ada.fails(2, "reset; ask them, then use --accept", "add", label, bob.label)
    added = await ada.groups("add", label, bob.label, "--accept", "--json")
    assert [entry["epoch"] for entry in added.facts["newest"]["put"]] == [1]
    assert (await bob.groups("show", label, "--json")).facts["stale"] == []


async def test_a_group_without_its_log(three: list[Machine], live: Live) -> None:
    """`keyroll lookup --group`: a member sees who is in it; others see that it is there."""
    ada, bob, eve = three
    label = (await ada.groups("create", bob.label, "--json")).facts["group"]

    async def looked(who: Machine, *more: str) -> Done:
        return await succeed("lookup", "--group", *more, home=who.home)

    (seen,) = (await looked(bob, label, "--json")).facts
    assert (seen["found"], seen["known"], seen["readable"]) == (True, False, True)
    assert {one["label"]: one["role"] for one in seen["members"]} == {
        ada.label: "admin",
        bob.label: "member",
    }
    assert (seen["stale"], seen["encryptable"], seen["generation"]) == ([], True, 0)
    hidden, nothing = (await looked(eve, label, "--group", bob.label, "--json")).facts
    assert nothing["found"] is False
    assert (hidden["readable"], hidden["members"], hidden["stale"]) == (False, None, None)
    assert (hidden["encryptable"], hidden["encryption_key"]) == (False, seen["encryption_key"])
    assert "for its members to see" in (await looked(eve, label[:9])).out
    await bob.groups("leave", label)
    (stale,) = (await looked(ada, label, "--json")).facts
    assert ([one["label"] for one in stale["stale"]], stale["encryptable"]) == ([bob.label], False)
    told = await looked(bob, label[:9])
    assert "bob@example.org" in told.out
    assert "encrypt nothing to it" in told.out
    for wrong in (("--group", "zz"), ("--group", label, "bob@example.org")):
        assert (await keyroll("lookup", *wrong, home=eve.home)).code == 2
