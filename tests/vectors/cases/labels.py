"""Identifiers: VRF proofs (R-36.1 to R-36.4), commitments (R-36.5, R-36.6), identity tokens."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import cbor2

from ledger.format.bodies import Purpose
from ledger.format.identity import TOKEN_PREFIX, IdentityToken, Opening
from ledger.tree import vrf
from tests.support.actors import LogActor, seed, signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.cases.keys import NOT_POINTS
from tests.vectors.crooked import IDENTITY, ORDER_2, ORDER_4, ORDER_8, L, crooked_proof

# RFC 9381 Appendix B.3, Examples 16, 17 and 18.
RFC_9381 = [
    {
        "public": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "alpha": "",
        "proof": "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
        "26f8a57ccaed74ee1b190bed1f479d97"
        "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
        "beta": "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
        "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    },
    {
        "public": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "alpha": "72",
        "proof": "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
        "3bf0864a62558b3ed7f2fea45c92a465"
        "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
        "beta": "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
        "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    },
    {
        "public": "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "alpha": "af82",
        "proof": "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
        "96bb474e53895c362d8628ee9f9ea3c0"
        "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
        "beta": "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
        "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    },
]


def cases() -> Iterator[Case]:
    yield from proofs()
    yield from openings()
    yield from tokens()


def proofs() -> Iterator[Case]:
    for number, example in enumerate(RFC_9381, 16):
        output = {"beta": example["beta"], "label": example["beta"][:64]}
        shows = f"RFC 9381 Appendix B.3, Example {number}."
        given = {name: example[name] for name in ("public", "alpha", "proof")}
        yield ok("vrf", f"rfc9381-{number}", shows, given, output=output)
    yield from own_proofs()


def spelt(public: bytes, alpha: bytes, proof: bytes) -> dict[str, str]:
    """The input of a case."""
    return {"public": public.hex(), "alpha": alpha.hex(), "proof": proof.hex()}


def own_proofs() -> Iterator[Case]:
    secret, alpha = seed("vrf vector"), b"ada@example.org"
    public, right = vrf.public_key(secret), vrf.prove(secret, alpha)
    gamma, c, s = right[:32], right[32:48], right[48:]
    yield ok("vrf", "ada", "The proof for ada@example.org.", spelt(public, alpha, right))
    yield _wrong("other-alpha", "R-36.3", "Another identifier.", spelt(public, b"bob", right))
    other = vrf.public_key(seed("another"))
    yield _wrong("other-key", "R-36.3", "Another key.", spelt(other, alpha, right))
    for name, point in NOT_POINTS.items():
        shows = f"No key: {name.replace('-', ' ')}."
        yield _wrong(f"key-{name}", "R-36.1", shows, spelt(point, alpha, right))
        shows = f"No Gamma: {name.replace('-', ' ')}."
        yield _wrong(f"gamma-{name}", "R-36.2", shows, spelt(public, alpha, point + c + s))
    for name, twist in (("2", ORDER_2), ("4", ORDER_4), ("8", ORDER_8)):
        shows = f"A key with a part of order {name}; the RFC's equations hold."
        crooked = spelt(*crooked_proof(secret, alpha, twist, IDENTITY))
        yield _wrong(f"key-mixed-order-{name}", "R-36.1", shows, crooked)
        shows = f"Gamma with a part of order {name}; the RFC's equations hold, for the same beta."
        crooked = spelt(*crooked_proof(secret, alpha, IDENTITY, twist))
        yield _wrong(f"gamma-mixed-order-{name}", "R-36.2", shows, crooked)
    bigger = (int.from_bytes(s, "little") + L).to_bytes(32, "little")
    changes = [
        ("short", "R-36.2", "79 bytes.", right[:-1]),
        ("long", "R-36.2", "81 bytes.", right + b"\x00"),
        ("s-plus-l", "R-36.2", "s + L, for which the equations hold.", gamma + c + bigger),
        ("other-c", "R-36.3", "Another c.", gamma + bytes([c[0] ^ 1]) + c[1:] + s),
        ("other-s", "R-36.3", "Another s.", gamma + c + bytes([s[0] ^ 1]) + s[1:]),
        ("other-gamma", "R-36.3", "Another Gamma.", vrf.prove(secret, b"bob")[:32] + c + s),
    ]
    for name, rule, shows, proof in changes:
        yield _wrong(name, rule, shows, spelt(public, alpha, proof))


def _wrong(name: str, rule: str, shows: str, given: dict[str, str]) -> Case:
    covers = ("R-15.1",) if rule == "R-36.1" else ()
    return bad("vrf", name, rule, "ada", shows, given, covers=covers)


def openings() -> Iterator[Case]:
    nonce = seed("opening").hex()
    for name, identifier, shows in (
        ("address", "ada@example.org", "An address."),
        ("one-byte", "a", "The shortest identifier."),
        ("longest", "i" * 254, "The longest identifier: 254 bytes."),
        ("longest-wide", "\u6c34" * 84 + "ab", "254 bytes of fewer characters."),
        ("space", "Ada Lovelace", "A space is no control character."),
        ("u-00a0", "Ada\u00a0L", "U+00A0 is the first character behind the controls."),
    ):
        covers = ("R-36.6",)
        given = {"nonce": nonce, "identifier": identifier}
        yield ok("opening", name, shows, given, covers=covers)
    for name, identifier, nearest, shows in (
        ("empty", "", "one-byte", "No identifier."),
        ("too-long", "i" * 255, "longest", "255 bytes."),
        ("too-long-wide", "\u6c34" * 85, "longest-wide", "85 characters, and 255 bytes."),
        ("newline", "ada\n", "address", "A newline."),
        ("nul", "ada\0", "address", "NUL."),
        ("delete", "ada\x7f", "address", "U+007F."),
        ("u-0080", "ada\u0080", "u-00a0", "U+0080."),
        ("u-009f", "ada\u009f", "u-00a0", "U+009F."),
    ):
        given = {"nonce": nonce, "identifier": identifier}
        yield bad("opening", name, "R-36.5", nearest, shows, given)


def tokens() -> Iterator[Case]:
    log = LogActor.make().after
    opening = Opening(seed("opening"), "ada@example.org")
    ephemeral = signing_key("token")
    delegation = log.delegate(Purpose.CREATE, opening.commitment, ephemeral.public)
    text = IdentityToken(log.log_id, opening, delegation, ephemeral, seed("token secret")).export()
    yield ok("token", "enrol", "A token to enrol Ada with.", token=text)
    value = cbor2.loads(urlsafe_b64decode(text.removeprefix(TOKEN_PREFIX)))

    def changed(place: int, to: Any) -> str:
        return spelled(cbor2.dumps([*value[:place], to, *value[place + 1 :]]))

    def spelled(data: bytes) -> str:
        return TOKEN_PREFIX + urlsafe_b64encode(data).decode()

    foreign = LogActor.make("example.com/other").after
    other_log = foreign.delegate(Purpose.CREATE, opening.commitment, ephemeral.public).raw
    for name, rule, shows, token in (
        ("version-2", "R-41.2", "Version 2.", changed(0, 2)),
        ("other-log", "R-52.2", "The delegation is for another log.", changed(4, other_log)),
        ("other-nonce", "R-36.6", "The nonce is another.", changed(3, bytes(32))),
        ("other-name", "R-36.6", "The identifier is another.", changed(2, "bob@example.org")),
        ("control", "R-36.5", "A newline in the identifier.", changed(2, "ada\n")),
        ("other-key", "R-52.1", "The key was not delegated to.", changed(5, bytes(32))),
        ("short-seed", "R-10.4", "A seed of 31 bytes.", changed(5, bytes(31))),
        ("short-secret", "R-10.4", "A token secret of 31 bytes.", changed(6, bytes(31))),
        ("no-secret", "R-10.4", "No token secret.", spelled(cbor2.dumps(value[:6]))),
        ("trailing", "R-10.2", "A byte follows.", spelled(cbor2.dumps(value) + b"\x00")),
        ("no-prefix", "R-10.1", "The prefix is missing.", text.removeprefix(TOKEN_PREFIX)),
        ("no-base64", "R-10.2", "A character that is not base64.", text + "~"),
    ):
        # A token is bytes from one's own application: whatever does not fit is malformed.
        yield bad("token", name, rule, "enrol", shows, verdict="malformed", token=token)
