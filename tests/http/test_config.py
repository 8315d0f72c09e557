"""config.toml, read strictly; key files, for their owner's eyes only."""

from __future__ import annotations

import tomllib
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from ledger import keyfile
from ledger.errors import UsageError
from ledger.server.config import TEMPLATE, Config, parse, read

SEED = bytes(range(32))


def test_the_template_is_the_defaults() -> None:
    assert parse(TEMPLATE, "config.toml") == Config() == parse("", "config.toml")


def test_each_line_of_the_template_shows_its_default() -> None:
    """Uncommented, it says the same; and it names every setting there is."""
    lines = [line.removeprefix("# ") if " = " in line else line for line in TEMPLATE.splitlines()]
    settings = "\n".join(lines)
    assert parse(settings, "config.toml") == Config()
    told = {(section, key) for section, keys in tomllib.loads(settings).items() for key in keys}
    there = {
        (section, key)
        for section in Config.__slots__
        for key in type(getattr(Config(), section)).__slots__
    }
    assert told == there


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[server]\nport = 9000\nidle_timeout = 5\n[rates]\nlabels = '5/second'\n")
    config = read(path)
    assert (config.server.port, config.server.idle_timeout) == (9000, 5)
    assert config.rates.labels == "5/second"
    assert config.server.host == Config().server.host


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 1", "no section"),
        ("[sever]\nport = 1", "no section"),
        ("[server]\nports = 1", "no setting ports"),
        ("[server]\n__class__ = 1", "no setting __class__"),
        ("[server]\nport = '1'", "not of type int"),
        ("[server]\nport = 1.5", "not of type int"),
        ("[server]\nport = true", "not of type int"),
        ("[server]\nforwarded = 1", "not of type bool"),
        ("[server]\nport = 65536", "not within"),
        ("[server]\nworkers = -1", "not within"),
        ("[server]\nidle_timeout = nan", "not within"),
        ("[sequencer]\nmax_batch = 4097", "not within"),
        ("[sequencer]\nmax_queue = 63", "not within"),
        ("[rates]\nboxes = 'often'", "60/minute"),
        ("[witnesses]\npatience = 0", r"patience in \[witnesses\] is 0, not within"),
        ("[witnesses]\nwait = -1", "not within"),
        ("[witnesses]\nwithout = 1", "not of type bool"),
        ("[witnesses]\npolicy = ['a']", "not of type str"),
        ("[auditors]\npatience = 0.5", r"patience in \[auditors\] is 0.5, not within"),
        ("[logging]\nlevel = 'loud'", "debug, info"),
        ("[logging]\nformat = 'xml'", "console or json"),
        ("[server", "not TOML"),
    ],
)
def test_what_is_no_configuration(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        parse(text, "my/config.toml")
    assert "my/config.toml" in str(caught.value)


def test_a_configuration_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "latin.toml")


def test_a_key_file(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "keys"
    keyfile.make_directory(directory)
    path = directory / "log.key"
    keyfile.create(path, SEED)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "keyroll-key-1." + urlsafe_b64encode(SEED).decode() + "\n"
    assert keyfile.read(path) == SEED


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    keyfile.create(path, SEED)
    with pytest.raises(UsageError, match="never written over"):
        keyfile.create(path, bytes(32))
    assert keyfile.read(path) == SEED
    (tmp_path / "link.key").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="never written over"):
        keyfile.create(tmp_path / "link.key", SEED)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610, 0o644])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.key"
    keyfile.create(path, SEED)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"chmod 600 {path}") as caught:
        keyfile.read(path)
    assert urlsafe_b64encode(SEED).decode() not in str(caught.value)
    path.chmod(0o400)
    assert keyfile.read(path) == SEED


GOOD = keyfile.PREFIX + urlsafe_b64encode(SEED).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        GOOD.removeprefix(keyfile.PREFIX),
        GOOD.replace("-1.", "-2."),
        GOOD[:-1],
        GOOD[:-2] + "9=",  # stray bits
        GOOD + " ",
        " " + GOOD,
        GOOD + "\n" + GOOD,
        GOOD.replace("-1.", "-1.!"),
        keyfile.PREFIX + urlsafe_b64encode(SEED + b"!").decode(),
        keyfile.PREFIX + urlsafe_b64encode(SEED[:-1]).decode(),
        "é" + GOOD,
        "x" * 500,
    ],
    ids=lambda text: f"{len(text)} characters",
)
def test_what_is_no_key_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.key"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="not a key file") as caught:
        keyfile.read(path)
    assert "AAEC" not in str(caught.value)


def test_keys_that_can_not_be_had(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no key file"):
        keyfile.read(tmp_path / "log.key")
    with pytest.raises(UsageError, match="cannot be read"):
        keyfile.read(tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        keyfile.create(tmp_path / "no" / "log.key", SEED)
    with pytest.raises(UsageError, match="32 bytes"):
        keyfile.create(tmp_path / "log.key", SEED[:-1])
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        keyfile.make_directory(tmp_path / "file")
