"""`keyroll lock` and `unlock`, as processes, against the real server."""

from __future__ import annotations

from pathlib import Path

from tests.client.conftest import Live
from tests.client.test_cli import enrol, keyroll, succeed


def passphrase(path: Path, words: str) -> tuple[str, str]:
    path.write_text(words + "\n")
    return "--passphrase-file", str(path)


async def test_an_account_is_locked_and_opened(live: Live, tmp_path: Path) -> None:
    home, token = tmp_path / "ada", await enrol(live, "ada@example.org")
    first = passphrase(tmp_path / "first", "correct horse")
    second = passphrase(tmp_path / "second", "battery staple")
    where = ("--url", live.url, "--log-id", live.log_id.hex())
    await succeed("register", "-", *where, home=home, given=token)
    plain = (home / "account").read_bytes()
    assert b"ada@example.org" in plain

    wrong = await keyroll("devices", "list", *first, home=home)
    assert (wrong.code, "R-94.4" in wrong.err) == (2, True)
    await succeed("lock", "--new-passphrase-file", first[1], home=home)
    assert b"ada@example.org" not in (home / "account").read_bytes()
    await succeed("devices", "list", *first, home=home)
    await succeed("devices", "list", home=home, given="correct horse\n")
    for other in (second, ()):
        refused = await keyroll("devices", "list", *other, home=home, given="a guess\n")
        assert (refused.code, "does not open it" in refused.err) == (2, True), refused.err

    await succeed("lock", *first, "--new-passphrase-file", second[1], home=home)
    assert (await keyroll("devices", "list", *first, home=home)).code == 2
    await succeed("unlock", "--yes", *second, home=home)
    assert (home / "account").read_bytes() == plain
    assert (await keyroll("unlock", "--yes", home=home)).code == 2


async def test_an_account_that_is_locked_from_the_first(live: Live, tmp_path: Path) -> None:
    home, token = tmp_path / "ada", await enrol(live, "ada@example.org")
    words = passphrase(tmp_path / "words", "correct horse")
    where = ("--url", live.url, "--log-id", live.log_id.hex())
    await succeed("register", "-", *where, *words, home=home, given=token)
    assert b"ada@example.org" not in (home / "account").read_bytes()
    await succeed("devices", "list", *words, home=home)
