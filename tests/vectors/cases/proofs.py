"""tlog-proofs and COSE Receipts (R-68.1 to R-68.5, and R-20.3 inside them)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence

import cbor2

from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.keys import SigningKey
from ledger.format.note import Signer
from ledger.tree.merkle import Frontier, inclusion_proof, leaf_hash
from tests.support.actors import seed, signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.cases.notes import COSIGNED, UNKNOWN

NAME = "example.com/log"
KEY = signing_key(NAME, "proofs")
VKEY = Signer(NAME, KEY).verifier.vkey
ENTRIES = [b"entry %d" % number for number in range(13)]
INDEX, SIZE = 7, 13
ENTRY = ENTRIES[INDEX]
TREE = Frontier().extend([leaf_hash(entry) for entry in ENTRIES])
ROOT = TREE.after.root()
PATH = inclusion_proof(INDEX, SIZE, TREE.read)
NOTE = sign_checkpoint(Checkpoint(NAME, SIZE, ROOT), KEY)
HEADER = b"c2sp.org/tlog-proof@v1\n"
LONGEST = 196_608


def cases() -> Iterator[Case]:
    yield from tlog_proofs()
    yield from lines()
    yield from spellings()
    yield from receipts()
    yield from receipt_forms()
    yield from inclusion_proofs()
    yield from receipt_keys()


def b64(data: bytes) -> bytes:
    return b64encode(data)


def written(
    index: bytes | int = INDEX,
    path: Sequence[bytes] = PATH,
    note: bytes = NOTE,
    *,
    extra: bytes = b"",
    header: bytes = HEADER,
) -> bytes:
    """A tlog-proof as somebody writes it who looks at nothing."""
    number = b"%d" % index if isinstance(index, int) else index
    hashes = b"".join(b64(one) + b"\n" for one in path)
    return header + extra + b"index " + number + b"\n" + hashes + b"\n" + note


def right(name: str, shows: str, proof: bytes, entry: bytes = ENTRY) -> Case:
    return ok("tlog-proof", name, shows, proof=proof.hex(), entry=entry.hex(), vkey=VKEY)


def wrong(
    name: str, rule: str, nearest: str, shows: str, proof: bytes, entry: bytes = ENTRY
) -> Case:
    given = {"proof": proof.hex(), "entry": entry.hex(), "vkey": VKEY}
    return bad("tlog-proof", name, rule, nearest, shows, given)


def tlog_proofs() -> Iterator[Case]:
    yield right("seventh", "The seventh of thirteen leaves.", written())
    shows = "Signatures of others stand around the log's."
    crowded = NOTE[: NOTE.rindex(b"\n\n") + 2] + UNKNOWN.sign(NOTE).line.encode()
    crowded += Signer(NAME, KEY).sign(NOTE[: NOTE.rindex(b"\n\n") + 1]).line.encode() + COSIGNED
    yield right("others-sign", shows, written(note=crowded))
    one = sign_checkpoint(Checkpoint(NAME, 1, leaf_hash(ENTRY)), KEY)
    yield right("one-leaf", "The tree has one leaf, so the path no hash.", written(0, (), one))
    shows = "Extra data, which nothing authenticates."
    yield right("extra", shows, written(extra=b"extra " + b64(b"whatever") + b"\n"))
    shows = "Another entry than the one at this place."
    yield wrong("other-entry", "R-20.3", "seventh", shows, written(), ENTRIES[8])
    yield wrong("next-index", "R-20.3", "seventh", "The next leaf's index.", written(8))
    yield wrong("beyond", "R-20.3", "seventh", "An index beyond the tree.", written(SIZE))
    for name, shows, path in (
        ("short", "The path lacks its last hash.", PATH[:-1]),
        ("long", "The path has a hash too many.", [*PATH, ROOT]),
        ("turned", "The path from the root down.", PATH[::-1]),
    ):
        yield wrong(f"path-{name}", "R-20.3", "seventh", shows, written(path=path))
    for name, rule, shows, note in (
        ("unsigned", "R-60.4", "The checkpoint is another's.", _note(SIZE, UNKNOWN.key)),
        ("flipped", "R-60.3", "The log's signature was for another size.", _resized()),
        ("other-origin", "R-60.9", "The checkpoint is of another origin.", _elsewhere()),
        ("other-size", "R-20.3", "The root is signed for a larger tree.", _note(17)),
    ):
        yield wrong(name, rule, "seventh", shows, written(note=note))


def _note(size: int, key: SigningKey = KEY) -> bytes:
    return sign_checkpoint(Checkpoint(NAME, size, ROOT), key)


def _resized() -> bytes:
    return NOTE.replace(b"\n13\n", b"\n14\n")


def _elsewhere() -> bytes:
    text = Checkpoint("example.com/other", SIZE, ROOT).encode()
    return text + b"\n" + Signer(NAME, KEY).sign(text).line.encode()


def lines() -> Iterator[Case]:
    usual, first = written(), b64(PATH[0])
    extra = b"extra " + b64(b"whatever") + b"\n"
    for name, shows, proof in (
        ("version", "Another version.", written(header=b"c2sp.org/tlog-proof@v2\n")),
        ("no-header", "No first line.", written(header=b"")),
        ("carriage-returns", "Lines that end as on Windows.", usual.replace(b"\n", b"\r\n", 2)),
        ("byte-order-mark", "A byte order mark.", b"\xef\xbb\xbf" + usual),
        ("no-index", "No index line.", usual.replace(b"index 7\n", b"")),
        ("index-twice", "Two index lines.", usual.replace(b"index 7\n", b"index 7\n" * 2)),
        ("extra-last", "Extra data behind the index.", written(b"7\n" + extra[:-1])),
        ("extra-twice", "Two lines of extra data.", written(extra=extra + extra)),
        ("no-note", "No empty line, and no checkpoint.", usual[: usual.index(b"\n\n") + 1]),
        ("no-empty-line", "No empty line.", usual.replace(b"\n\n", b"\n", 1)),
        ("empty-line-first", "An empty line before the index.", written(extra=b"\n")),
    ):
        nearest = "extra" if name.startswith("extra") else "seventh"
        # What stands where hashes stand is read as hashes, and is none.
        rule = "R-68.2" if name in ("index-twice", "extra-last", "no-empty-line") else "R-68.1"
        yield wrong(f"lines-{name}", rule, nearest, shows, proof)
    shows = "An empty line between the hashes: the rest would be the note."
    split = usual.replace(first + b"\n", first + b"\n\n", 1)
    yield wrong("lines-empty-between", "R-60.3", "seventh", shows, split)
    shows = "63 hashes are read, and are too many for this tree."
    yield wrong("63-hashes", "R-20.3", "seventh", shows, written(path=[ROOT] * 63))
    yield wrong("64-hashes", "R-68.1", "seventh", "64 hashes.", written(path=[ROOT] * 64))
    size = (LONGEST - len(written(extra=b"extra \n"))) // 4 * 3
    longest = written(extra=b"extra " + b64(bytes(size)) + b"\n")
    yield right("longest", f"Nearly {LONGEST:,} bytes.", longest)
    shows = f"More than {LONGEST:,} bytes."
    longer = written(extra=b"extra " + b64(bytes(size + 3)) + b"\n")
    assert len(longest) <= LONGEST < len(longer)
    yield wrong("too-long", "R-68.1", "longest", shows, longer)


def spellings() -> Iterator[Case]:
    for name, shows, index in (
        ("padded", "An index with a leading zero.", b"07"),
        ("plus", "A plus sign.", b"+7"),
        ("minus", "A negative index.", b"-7"),
        ("underscore", "An underscore in the index.", b"0_7"),
        ("space", "A space behind the index.", b"7 "),
        ("empty", "No index.", b""),
        ("2-63", "2^63.", b"%d" % 2**63),
        ("long", "An index of forty digits.", b"1" * 40),
    ):
        yield wrong(f"index-{name}", "R-68.2", "seventh", shows, written(index))
    usual, first = written(), b64(PATH[0])
    for name, shows, line in (
        ("31", "A hash of 31 bytes.", b64(PATH[0][:31])),
        ("33", "A hash of 33 bytes.", b64(PATH[0] + b"\0")),
        ("no-padding", "A hash without padding.", first.rstrip(b"=")),
        ("hex", "A hash in hexadecimal.", PATH[0].hex().encode()),
        ("space", "A space behind a hash.", first + b" "),
        ("stray-bits", "Bits in a hash that belong to no byte.", _stray(first)),
        ("carriage-return", "Two hashes with a return between.", first + b"\r" + b64(PATH[1])),
        ("return-behind", "A return behind a hash.", first + b"\r"),
        ("not-ascii", "A letter that is not ASCII.", "é".encode() + first[2:]),
    ):
        proof = usual.replace(first, line, 1)
        yield wrong(f"hash-{name}", "R-68.2", "seventh", shows, proof)
    for name, shows, extra in (
        ("empty", "A line for extra data that holds none.", b"extra \n"),
        ("no-base64", "Extra data that is not base64.", b"extra !\n"),
        ("stray-bits", "Bits that belong to no byte.", b"extra AB==\n"),
        ("no-padding", "Extra data without padding.", b"extra AA\n"),
    ):
        yield wrong(f"extra-{name}", "R-68.2", "extra", shows, written(extra=extra))


def _stray(line: bytes) -> bytes:
    """Base64 of 32 bytes whose last character says more than it should."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return line[:-2] + alphabet[alphabet.index(line[-2]) + 1 :][:1] + b"="


def protected(kid: bytes = KEY.public, vds: bytes = b"\x19\x01\x8b\x01") -> bytes:
    return b"\xa3\x01\x27\x04\x58\x20" + kid + vds


def signed(
    root: bytes = ROOT, key: SigningKey = KEY, headers: bytes = b"", aad: bytes = b""
) -> bytes:
    """A COSE_Sign1's signature over a root."""
    return key.sign(cbor2.dumps(["Signature1", headers or protected(key.public), aad, root]))


def receipt(
    proof: object = None,
    signature: bytes = b"",
    *,
    headers: bytes = b"",
    payload: bytes = b"\xf6",
    vdp: bytes = b"",
) -> bytes:
    """A receipt as somebody writes it who looks at nothing."""
    written = proof if isinstance(proof, bytes) else cbor2.dumps(proof or [SIZE, INDEX, PATH])
    middle = vdp or b"\xa1\x19\x01\x8c\xa1\x20\x81" + cbor2.dumps(written)
    head = b"\xd2\x84" + cbor2.dumps(headers or protected()) + middle
    return head + payload + b"\x58\x40" + (signature or signed())


def fits(name: str, shows: str, data: bytes, entry: bytes = ENTRY) -> Case:
    return ok("receipt", name, shows, receipt=data.hex(), entry=entry.hex(), vkey=VKEY)


def unfit(
    name: str, rule: str, nearest: str, shows: str, data: bytes, entry: bytes = ENTRY
) -> Case:
    given = {"receipt": data.hex(), "entry": entry.hex(), "vkey": VKEY}
    return bad("receipt", name, rule, nearest, shows, given)


def receipts() -> Iterator[Case]:
    yield fits("seventh", "The seventh of thirteen leaves.", receipt())
    two = Frontier().extend([leaf_hash(entry) for entry in ENTRIES[:2]])
    small = receipt([2, 1, [leaf_hash(ENTRIES[0])]], signed(two.after.root()))
    yield fits("two-leaves", "The smallest tree that a log publishes.", small, ENTRIES[1])
    shows = "A larger tree in which the path has the same shape: only the root is signed."
    yield fits("same-shape", shows, receipt([SIZE + 1, INDEX, PATH]))
    shows = "Another entry than the one at this place."
    yield unfit("other-entry", "R-68.5", "seventh", shows, receipt(), ENTRIES[8])
    shows = "The next leaf's index."
    yield unfit("next-index", "R-68.5", "seventh", shows, receipt([SIZE, INDEX + 1, PATH]))
    for name, shows, size, index, path in (
        ("beyond", "An index beyond the tree.", SIZE, SIZE, PATH),
        ("empty-tree", "A tree of size 0.", 0, 0, PATH),
        ("short", "The path lacks its last hash.", SIZE, INDEX, PATH[:-1]),
        ("long", "The path has a hash too many.", SIZE, INDEX, [*PATH, ROOT]),
        ("larger-size", "A size whose paths are longer.", 17, INDEX, PATH),
        ("huge-size", "The largest size.", 2**63 - 1, INDEX, PATH),
    ):
        data = receipt([size, index, path])
        yield unfit(f"path-{name}", "R-20.3", "seventh", shows, data)


def receipt_forms() -> Iterator[Case]:
    usual, proof = receipt(), cbor2.dumps([SIZE, INDEX, PATH])
    vdp = b"\xa1\x19\x01\x8c\xa1"
    for name, shows, data in (
        ("untagged", "No tag.", usual[1:]),
        ("other-tag", "The tag of COSE_Sign.", b"\xd8\x62" + usual[1:]),
        ("trailing", "A byte follows.", usual + b"\0"),
        ("cut", "The last byte is missing.", usual[:-1]),
        ("attached", "The root is attached.", receipt(payload=cbor2.dumps(ROOT))),
        ("empty-payload", "An empty payload.", receipt(payload=b"\x40")),
        ("long-head", "A length in more bytes than it takes.", _longer(usual, proof)),
        ("consistency", "The proof under the key of consistency proofs.",
         receipt(vdp=vdp + b"\x21\x81" + cbor2.dumps(proof))),
        ("no-proof", "No proof.", receipt(vdp=vdp + b"\x20\x80")),
        ("two-proofs", "Two proofs.", receipt(vdp=vdp + b"\x20\x82" + cbor2.dumps(proof) * 2)),
        ("not-wrapped", "The proof is not in a byte string.",
         receipt(vdp=vdp + b"\x20\x81" + proof)),
        ("indefinite", "An array of indefinite length.",
         receipt(vdp=vdp + b"\x20\x9f" + cbor2.dumps(proof) + b"\xff")),
    ):  # fmt: skip
        yield unfit(name, "R-68.3", "seventh", shows, data)
    for name, shows, headers in (
        ("other-vds", "Another verifiable data structure.", protected(vds=b"\x19\x01\x8b\x02")),
        ("no-vds", "No verifiable data structure.", b"\xa2" + protected(vds=b"")[1:]),
        ("other-alg", "ES256.", protected().replace(b"\x01\x27", b"\x01\x26", 1)),
        ("unsorted", "Header parameters in another order.",
         b"\xa3\x04\x58\x20" + KEY.public + b"\x01\x27\x19\x01\x8b\x01"),
        ("text-kid", "A kid that is text.", b"\xa3\x01\x27\x04\x63kid\x19\x01\x8b\x01"),
        ("more", "A further header parameter.",
         b"\xa4" + protected()[1:] + b"\x19\x01\x8d\x00"),
    ):  # fmt: skip
        data = receipt(None, signed(headers=headers), headers=headers)
        yield unfit(f"header-{name}", "R-68.3", "seventh", shows, data)
    huge = receipt([SIZE, INDEX, [ROOT] * 140])
    assert len(huge) > 4_096
    yield unfit("too-long", "R-68.3", "seventh", "More than 4,096 bytes.", huge)


def _longer(usual: bytes, proof: bytes) -> bytes:
    """The proof's length in four bytes."""
    return usual.replace(cbor2.dumps(proof), b"\x5a" + len(proof).to_bytes(4) + proof)


def inclusion_proofs() -> Iterator[Case]:
    rest = cbor2.dumps([INDEX, PATH])[1:]
    for name, rule, shows, proof in (
        ("two-fields", "R-10.4", "No path.", cbor2.dumps([SIZE, INDEX])),
        ("four-fields", "R-10.4", "A field too many.", cbor2.dumps([SIZE, INDEX, PATH, None])),
        ("no-array", "R-10.4", "A path that is one byte string.",
         cbor2.dumps([SIZE, INDEX, b"".join(PATH)])),
        ("no-hashes", "R-10.4", "An empty path.", cbor2.dumps([1, 0, []])),
        ("64-hashes", "R-10.4", "64 hashes.", cbor2.dumps([SIZE, INDEX, [ROOT] * 64])),
        ("hash-31", "R-10.4", "A hash of 31 bytes.",
         cbor2.dumps([SIZE, INDEX, [PATH[0][:31], *PATH[1:]]])),
        ("true", "R-10.4", "true for 1.", cbor2.dumps([SIZE, True, PATH])),
        ("2-63", "R-10.4", "A size of 2^63.", cbor2.dumps([2**63, INDEX, PATH])),
        ("negative", "R-10.3", "A negative index.", cbor2.dumps([SIZE, -8, PATH])),
        ("float", "R-10.3", "A size of 13.0.", b"\x83\xf9\x4a\x80" + rest),
        ("long-int", "R-10.2", "13 in two bytes.", b"\x83\x18\x0d" + rest),
        ("trailing", "R-10.2", "A byte follows the proof.",
         cbor2.dumps([SIZE, INDEX, PATH]) + b"\0"),
    ):  # fmt: skip
        yield unfit(f"proof-{name}", rule, "seventh", shows, receipt(proof))


def receipt_keys() -> Iterator[Case]:
    other = signing_key("another log")
    theirs = protected(other.public)
    for name, rule, shows, data in (
        ("other-key", "R-68.4", "Another log's receipt, right in itself.",
         receipt(None, signed(key=other), headers=theirs)),
        ("our-signature", "R-68.4", "The log's signature, under another kid.",
         receipt(None, signed(headers=theirs), headers=theirs)),
        ("impostor", "R-68.5", "Signed by another key than its kid.",
         receipt(None, signed(key=other, headers=protected()))),
        ("other-root", "R-68.5", "The signature of another root.",
         receipt(None, signed(seed("x")))),
        ("aad", "R-68.5", "Signed with external_aad.", receipt(None, signed(aad=bytes(32)))),
        ("note", "R-68.5", "The log's signature under its checkpoint.",
         receipt(None, KEY.sign(NOTE[: NOTE.rindex(b"\n\n") + 1]))),
    ):  # fmt: skip
        yield unfit(name, rule, "seventh", shows, data)
