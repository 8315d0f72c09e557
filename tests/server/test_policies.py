"""Policies in config.toml: what a server does not start with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import UsageError
from ledger.format.bodies import Demands
from ledger.format.keys import SigningKey
from ledger.format.note import COSIGNATURE, ED25519, Verifier
from ledger.server.config import AuditorsConfig, WitnessesConfig
from ledger.server.home import Home
from ledger.server.policies import read_policies
from ledger.server.service import log_state
from tests.http.world import CONFIG, make_home, served
from tests.server.process import keyroll
from tests.server.witnessing import LOG, VERIFIER

CONFIGURED = replace(
    CONFIG, witnesses=WitnessesConfig("witnesses"), auditors=AuditorsConfig("auditors")
)
W = [Verifier(f"w{n}", COSIGNATURE, SigningKey(bytes([n]) * 32).public) for n in range(70)]
URL = "https://witness.example.org"
OTHER_LOG = Verifier("example.com/other", ED25519, LOG.log_key.public).vkey


def policy(*keys: Verifier, url: str = URL, first: str = "") -> bytes:
    lines = [f"witness {one.name} {one.vkey} {url}" for one in keys]
    return "\n".join([*([first] if first else []), *lines, "quorum none", ""]).encode()


def why(path: Path, witnesses: bytes, auditors: bytes, demands: Demands | None = None) -> str:
    """What is said of these policies; nothing if they serve."""
    home = make_home(path, demands=demands)
    (home.path / "witnesses").write_bytes(witnesses)
    (home.path / "auditors").write_bytes(auditors)
    with home.stores() as (store, _), store.reader() as reader:
        try:
            read_policies(home, CONFIGURED, log_state(reader))
        except UsageError as error:
            return str(error)
    return ""


LOG_AS_WITNESS = Verifier("w", COSIGNATURE, LOG.log_key.public)


@pytest.mark.parametrize(
    ("witnesses", "auditors", "said"),
    [
        (policy(W[0]), policy(W[1]), ""),
        (policy(W[0], url=URL + "/a/b/"), policy(W[1], url=""), ""),
        (policy(W[0], url="http://[::1]:8080"), policy(W[1]), ""),
        (policy(W[0], first=f"log {VERIFIER.vkey}"), policy(W[1]), ""),
        (policy(*W[:40]), policy(*W[40:63]), ""),
        (policy(*W[:40]), policy(*W[40:64]), "64 signatures"),
        (policy(W[0], first=f"log {OTHER_LOG}"), policy(W[1]), "witnesses: R-62.3"),
        (policy(W[0]), policy(W[1], first=f"log {OTHER_LOG}"), "auditors: R-62.3"),
        (policy(W[0]), policy(W[0]), "R-62.5"),
        (policy(LOG_AS_WITNESS), policy(W[0]), "witnesses: R-62.5"),
        (policy(W[0]), policy(LOG_AS_WITNESS), "auditors: R-62.5"),
        (policy(W[0], url=""), policy(W[1]), "needs an address"),
        (policy(W[0], url="ftp://x"), policy(W[1]), "needs an address"),
        (policy(W[0], url="https://"), policy(W[1]), "needs an address"),
        (policy(W[0], url="https://["), policy(W[1]), "needs an address"),
        (policy(W[0], url="https://x?y"), policy(W[1]), "needs an address"),
        (policy(W[0], url="https://x/\xe9"), policy(W[1]), "needs an address"),
        (b"quorum x\n", policy(W[1]), "witnesses: R-62.2"),
        (policy(W[0]), b"", "auditors: R-62.1"),
    ],
)
def test_policies(tmp_path: Path, witnesses: bytes, auditors: bytes, said: str) -> None:
    found = why(tmp_path / "log", witnesses, auditors)
    assert said in found
    assert bool(found) == bool(said)


def test_what_the_log_demands(tmp_path: Path) -> None:
    """R-62.6."""
    demands = Demands(witnesses=2, auditors=1)
    enough, too_few = policy(*W[:2]), policy(W[0])
    assert why(tmp_path / "a", enough, policy(W[2]), demands) == ""
    assert "witnesses: R-62.6" in why(tmp_path / "b", too_few, policy(W[2]), demands)
    assert "auditors: R-62.6" in why(tmp_path / "c", enough, policy(), demands)


async def test_a_log_that_demands_witnesses_needs_a_policy(tmp_path: Path) -> None:
    """R-62.6: its clients would wait for ever."""
    home = make_home(tmp_path / "log", demands=Demands(witnesses=1))
    with pytest.raises(UsageError, match=r"R-62\.6.*\[witnesses\]"):
        async with served(home.path):
            pass
    (home.path / "witnesses").write_bytes(policy(W[0]))
    config = replace(CONFIG, witnesses=WitnessesConfig("witnesses", patience=0.1))
    async with served(home.path, config) as live:
        assert (await live.http.get("/checkpoint")).status == 200


async def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    config = replace(CONFIG, witnesses=WitnessesConfig("none"))
    with pytest.raises(UsageError, match="none cannot be read"):
        async with served(tmp_path / "log", config):
            pass


def test_init_says_what_clients_must_demand(tmp_path: Path) -> None:
    app, home = tmp_path / "app", tmp_path / "log"
    assert keyroll("app", "init", app).returncode == 0
    options = "--origin", "example.com/log", "--app", app, "--witnesses", "2", "--auditors", "1"
    assert keyroll("init", home, *options).returncode == 0
    facts = json.loads(keyroll("status", home, "--json").stdout)
    assert (facts["demands"]["witnesses"], facts["demands"]["auditors"]) == (2, 1)
    done = keyroll("serve", home)
    assert (done.returncode, "R-62.6" in done.stderr) == (2, True)
    assert Home(home).config().witnesses.policy == ""
    too_many = keyroll("init", tmp_path / "b", *options[:4], "--witnesses", "33")
    assert too_many.returncode == 2
