"""`verify-proof`: exit 0 if the file shows that the entry is in the log, 1 if not, else 2."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import click
import pytest
from nacl.signing import SigningKey

from tests.verifier.builder import BuiltLog, User, leaf_hash, mth
from verifier.commands import commands
from verifier.note import COSIGNATURE, ED25519, NoteKey

INDEX = 5
WITNESS = SigningKey(b"w" * 32)
WITNESS_KEY = NoteKey("witness.example/w1", bytes(WITNESS.verify_key), COSIGNATURE)
NOW = int(time.time())


def vkey(key: NoteKey) -> str:
    data = base64.b64encode(bytes([key.type]) + key.key).decode()
    return f"{key.name}+{key.id().hex()}+{data}"


def line(key: NoteKey, blob: bytes) -> bytes:
    return f"\u2014 {key.name} {base64.b64encode(key.id() + blob).decode()}\n".encode()


def path_of(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962 §2.1.1, as it is written there."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path_of(leaves[:split], index), mth(leaves[split:])]
    return [*path_of(leaves[split:], index - split), mth(leaves[:split])]


class Files:
    """Proofs of an entry of a log, spelt by hand."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = BuiltLog("proofs")
        for _ in range(3):
            self.log.batch(*(User(self.log).create() for _ in range(3)))
        leaves = [leaf_hash(entry) for entry in self.log.entries]
        self.size, self.root, self.path = len(leaves), mth(leaves), path_of(leaves, INDEX)
        self.key = NoteKey(self.log.origin, bytes(self.log.log_key.verify_key), ED25519)
        for number, entry in enumerate(self.log.entries[:7]):
            (place / f"{number}.entry").write_bytes(entry)

    def note(self, cosigned_at: int | None = None) -> bytes:
        root = base64.b64encode(self.root).decode()
        text = f"{self.log.origin}\n{self.size}\n{root}\n".encode()
        note = text + b"\n" + line(self.key, self.log.log_key.sign(text).signature)
        if cosigned_at is None:
            return note
        message = b"cosignature/v1\ntime %d\n%b" % (cosigned_at, text)
        blob = cosigned_at.to_bytes(8, "big") + WITNESS.sign(message).signature
        return note + line(WITNESS_KEY, blob)

    def tlog_proof(self, cosigned_at: int | None = None) -> bytes:
        hashes = b"".join(base64.b64encode(one) + b"\n" for one in self.path)
        head = b"c2sp.org/tlog-proof@v1\nindex %d\n%b\n" % (INDEX, hashes)
        return head + self.note(cosigned_at)

    def receipt(self) -> bytes:
        protected = b"\xa3\x01\x27\x04\x58\x20" + self.key.key + b"\x19\x01\x8b\x01"
        structure = b"\x84\x6aSignature1\x58\x2a" + protected + b"\x40\x58\x20" + self.root
        hashes = b"".join(b"\x58\x20" + one for one in self.path)
        proof = b"\x83%c%c%c%b" % (self.size, INDEX, 0x80 + len(self.path), hashes)
        wrapped = b"\x58%c%b" % (len(proof), proof)
        head = b"\xd2\x84\x58\x2a" + protected + b"\xa1\x19\x01\x8c\xa1\x20\x81" + wrapped
        return head + b"\xf6\x58\x40" + self.log.log_key.sign(structure).signature

    def judge(self, data: bytes, *options: object) -> int:
        """The exit code for a file of these bytes; by the vkey unless told otherwise."""
        file = self.place / "proof"
        file.write_bytes(data)
        chosen = options if "--first" in options else ("--vkey", vkey(self.key), *options)
        if "--entry" not in chosen:
            chosen = ("--entry", self.place / f"{INDEX}.entry", *chosen)
        arguments = ["verify-proof", str(file), *map(str, chosen)]
        code: int = commands.main(arguments, standalone_mode=False)
        return code

    def policy(self, text: str) -> Path:
        file = self.place / "policy"
        file.write_text(text, "utf-8")
        return file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("proofs"))


@pytest.mark.parametrize("kind", ["tlog_proof", "receipt"])
class TestBothKinds:
    def test_it_proves_its_entry(
        self, files: Files, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert files.judge(getattr(files, kind)(), "--json") == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        place = (INDEX, files.size) if kind == "tlog_proof" else (None, None)
        assert (told["outcome"], told["index"], told["size"]) == ("proven", *place)
        assert (told["origin"], told["root"]) == (files.log.origin, files.root.hex())

    def test_by_log_id_and_first_entry(self, files: Files, kind: str) -> None:
        first = ("--first", files.place / "0.entry", "--log-id")
        assert files.judge(getattr(files, kind)(), *first, files.log.log_id.hex()) == 0
        assert files.judge(getattr(files, kind)(), *first, "00" * 32) == 2

    def test_it_proves_no_other_entry(
        self, files: Files, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = ("--entry", files.place / "6.entry")
        assert files.judge(getattr(files, kind)(), *other) == 1
        assert capsys.readouterr().out.startswith("not proven: ")

    def test_no_flipped_byte_passes(self, files: Files, kind: str) -> None:
        data = getattr(files, kind)()
        for at in range(0, len(data), 7):
            if at == data.find(b"\x83%c%c\x84" % (files.size, INDEX)) + 1:
                continue  # a receipt's size, which nobody signed
            bent = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            assert files.judge(bent) != 0, at

    def test_it_is_no_proof_of_another_log(self, files: Files, kind: str) -> None:
        other = NoteKey(files.log.origin, bytes(WITNESS.verify_key), ED25519)
        assert files.judge(getattr(files, kind)(), "--vkey", vkey(other)) == 1


WITNESSED = f"witness w {vkey(WITNESS_KEY)}\nquorum w\n"


def test_a_policy_asks_for_cosignatures(files: Files) -> None:
    policy = files.policy(WITNESSED)
    assert files.judge(files.tlog_proof(NOW), "--witnesses", policy) == 0
    assert files.judge(files.tlog_proof(), "--witnesses", policy) == 1
    assert files.judge(files.tlog_proof(NOW + 3_600), "--witnesses", policy) == 1
    assert files.judge(files.receipt(), "--witnesses", policy) == 1
    assert files.judge(files.receipt(), "--witnesses", files.policy("quorum none\n")) == 0


def test_a_policy_knows_its_logs(files: Files) -> None:
    other = NoteKey("other.example", files.key.key, ED25519)
    for key, code in ((files.key, 0), (other, 1)):
        policy = files.policy(f"log {vkey(key)}\nquorum none\n")
        assert files.judge(files.tlog_proof(), "--witnesses", policy) == code


def test_a_log_is_not_its_own_witness(files: Files) -> None:
    """R-62.5."""
    own = NoteKey("witness.example/own", files.key.key, COSIGNATURE)
    policy = files.policy(f"witness w {vkey(own)}\nquorum none\n")
    assert files.judge(files.tlog_proof(), "--witnesses", policy) != 0


def test_a_cosignature_that_fails_refuses(files: Files) -> None:
    moved = files.note(NOW).replace(b"\n%d\n" % files.size, b"\n%d\n" % (files.size + 1))
    assert moved != files.note(NOW)
    head = files.tlog_proof().partition(b"\n\n")[0]
    assert files.judge(head + b"\n\n" + moved, "--witnesses", files.policy(WITNESSED)) == 1
    forged = files.note() + line(WITNESS_KEY, NOW.to_bytes(8, "big") + bytes(64))
    assert files.judge(head + b"\n\n" + forged) == 0  # nobody asked about that key
    assert files.judge(head + b"\n\n" + forged, "--witnesses", files.policy(WITNESSED)) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--entry", "nowhere"),
        ("--vkey", "no key"),
        ("--vkey", vkey(WITNESS_KEY)),
    ],
)
def test_what_came_with_it_is_not_the_proofs_fault(
    files: Files, options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert files.judge(files.receipt(), *options) == 2
    assert capsys.readouterr().out.startswith("undecided: ")


def test_witnesses_that_cannot_be_read(files: Files) -> None:
    for policy in ("nowhere", files.policy("quorum w\n")):
        with pytest.raises(click.UsageError):
            files.judge(files.receipt(), "--witnesses", policy)


@pytest.mark.parametrize("data", [b"", b"c2sp.org/tlog-proof@v2\n", b"\xd8\x62\x84", b"hello"])
def test_other_files_are_not_judged(files: Files, data: bytes) -> None:
    assert files.judge(data) == 2


def test_a_first_entry_that_is_none(files: Files) -> None:
    first = ("--log-id", files.log.log_id.hex(), "--first", files.place / "1.entry")
    assert files.judge(files.receipt(), *first) == 2
