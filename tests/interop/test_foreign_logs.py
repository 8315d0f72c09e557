"""Our witness cosigns a log that is not ours: Tessera's, which asks by its own client."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ledger.format.checkpoint import Checkpoint, open_checkpoint
from ledger.format.keys import SigningKey
from ledger.format.note import ED25519, Verifier, encode_base64, open_note
from tests.interop.peers import Done, run
from tests.support.actors import signing_key
from tests.support.witnesses import Witness, policy_of, witnesses

KEY = signing_key("a foreign log")
LOG = Verifier("tessera.example/log", ED25519, KEY.public)


def private_key(name: str, key: SigningKey) -> str:
    """The key of a log as Go's libraries read it."""
    data = encode_base64(bytes([ED25519]) + key.seed)
    return f"PRIVATE+KEY+{name}+{LOG.key_id.hex()}+{data}"


@dataclass(frozen=True)
class Tessera:
    """A log on disk, to which a program of Tessera's own adds files."""

    go: Path
    path: Path

    @property
    def newest(self) -> bytes:
        """The checkpoint that it published last."""
        return (self.path / "checkpoint").read_bytes()

    @property
    def head(self) -> Checkpoint:
        return open_checkpoint(self.newest, LOG)

    async def add(self, *entries: str, patience: int = 30) -> Done:
        """Add entries, and wait so many seconds until they are published."""
        place = self.path.with_name(f"{self.path.name}-entries")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for number, entry in enumerate(entries):
            (place / f"{number:03}").write_text(entry)
        files = self.path.parent
        flags = {
            "storage_dir": self.path,
            "entries": place / "*",
            "private_key": files / "log.key",
            "witness_policy_file": files / "policy",
            "witness_timeout": f"{patience // 2}s",
        }
        told = [f"--{name}={value}" for name, value in flags.items()]
        # It waits for ever for what its witnesses do not cosign.
        return await run("timeout", str(patience), self.go / "posix-oneshot", *told)


def tessera(go: Path, files: Path, everyone: list[Witness]) -> Tessera:
    (files / "log.key").write_text(private_key(LOG.name, KEY))
    (files / "policy").write_text(policy_of(everyone))
    return Tessera(go, files / "log")


async def test_our_witnesses_cosign_it_as_it_grows(go: Path, tmp_path: Path) -> None:
    async with witnesses(tmp_path / "witnesses", LOG.vkey, 2) as everyone:
        log, size = tessera(go, tmp_path, everyone), 0
        for number in (1, 3, 300):
            (await log.add(*(f"{size} {n}" for n in range(number)))).check()
            size += number
            _, verified = open_note(log.newest, [LOG, *(one.verifier for one in everyone)])
            assert len(verified) == 3
            assert log.head.size == size
            for one in everyone:
                assert open_checkpoint(await one.cosigned(LOG.name), LOG) == log.head


async def test_they_do_not_cosign_its_fork(go: Path, tmp_path: Path) -> None:
    async with witnesses(tmp_path / "witnesses", LOG.vkey, 1) as everyone:
        log = tessera(go, tmp_path, everyone)
        (await log.add("one", "two")).check()
        fork = Tessera(go, shutil.copytree(log.path, tmp_path / "fork"))
        (await log.add("three")).check()
        before = fork.newest
        assert (await fork.add("another three", "four", patience=4)).code != 0
        assert fork.newest == before
        assert 422 in {status for _, status in everyone[0].door.said}
        assert open_checkpoint(await everyone[0].cosigned(LOG.name), LOG) == log.head


async def test_they_do_not_cosign_a_stranger(go: Path, tmp_path: Path) -> None:
    other = Verifier(LOG.name, ED25519, signing_key("a stranger").public)
    async with witnesses(tmp_path / "witnesses", other.vkey, 1) as everyone:
        log = tessera(go, tmp_path, everyone)
        assert (await log.add("one")).code != 0
        assert {status for _, status in everyone[0].door.said} == {403}
        assert await everyone[0].cosigned(LOG.name) == b""
