"""Policies of witnesses or auditors, and the quorum time that they give (R-62.1 to R-62.8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ledger.format.note import COSIGNATURE, ED25519, Verifier
from tests.support.actors import NOW, signing_key
from tests.vectors.case import Case, Given, bad, ok
from tests.vectors.cases.notes import spelled

LOG = Verifier("example.com/log", ED25519, signing_key("example.com/log", "policy").public)
OTHER_LOG = Verifier("example.com/other", ED25519, signing_key("example.com/other").public)
LOG_LINE = f"log {LOG.vkey} https://log.example/\n"
NOW_S = NOW // 1000
LATEST = NOW_S + 300


def witness(name: str) -> Verifier:
    """The cosigner that the policies here call `name`."""
    return Verifier(f"{name}.example", COSIGNATURE, signing_key("cosigner", name).public)


def line(name: str, url: str = "") -> str:
    return " ".join(["witness", name, witness(name).vkey, *([url] if url else [])]) + "\n"


A, B, C, D, E = (line(name) for name in "ABCDE")
TWO_OF_THREE = A + B + C + "group two 2 A B C\nquorum two\n"
AT = {"A": NOW_S - 10, "B": NOW_S - 20, "C": NOW_S - 30}


def given(
    policy: str | bytes,
    times: Mapping[str, int] = AT,
    *,
    log: Verifier = LOG,
    others: str = "",
    demanded: int = 0,
) -> Given:
    """The input. Who cosigned when, and whose keys stand in the other policy, by their names."""
    data = policy.encode() if isinstance(policy, str) else policy
    return {
        "policy": data.hex(),
        "log": log.vkey,
        "others": [witness(name).public.hex() for name in others],
        "cosigned": [[witness(name).public.hex(), time] for name, time in times.items()],
        "demanded": demanded,
        "now": NOW,
    }


def right(
    name: str, shows: str, policy: str | bytes | Given, *, covers: tuple[str, ...] = ()
) -> Case:
    """A policy that is met: by `AT` unless it is told by whom."""
    whole = given(policy) if isinstance(policy, str | bytes) else policy
    return ok("policy", name, shows, whole, covers=covers)


def wrong(
    name: str,
    rule: str,
    nearest: str,
    shows: str,
    policy: str | bytes | Given,
    *,
    covers: tuple[str, ...] = (),
) -> Case:
    """A policy that is refused, or not met."""
    whole = given(policy) if isinstance(policy, str | bytes) else policy
    return bad("policy", name, rule, nearest, shows, whole, covers=covers)


def cases() -> Iterator[Case]:
    yield from forms()
    yield from sizes()
    yield from names()
    yield from quorums()
    yield from uses()
    yield from times()


def forms() -> Iterator[Case]:
    """R-62.1: lines and their octets."""
    yield right("two-of-three", "Two of three witnesses, which all have cosigned.", TWO_OF_THREE)
    yield right("one", "A quorum of one witness.", A + "quorum A\n")
    yield right("none", "Nothing is asked.", "quorum none\n")
    spaced = "\n \t \n# a comment, Grüße\n\t # another\n  " + A.replace(" ", "\t  ", 1)
    shows = "Spaces and tabs around items, empty lines, comments."
    yield right("spaced", shows, spaced + "quorum   A \t\n")
    octets = A.encode().replace(b" A ", b" \xff ", 1) + b"quorum \xff\n"
    yield right("octets", "A name that is no UTF-8.", octets)
    url = line("A", "https://witness.example/") + "quorum A\n"
    yield right("url", "A witness with its URL.", url)
    name, _, vkey = A.split()
    assert name == "witness"
    for title, shows, policy in (
        ("no-newline", "The last newline is missing.", "quorum none"),
        ("empty", "An empty file.", ""),
        ("no-quorum", "No quorum.", A),
        ("two-quorums", "Two quorums.", A + "quorum A\nquorum A\n"),
        ("carriage-return", "Lines that end as on Windows.", A + "quorum A\r\n"),
        ("delete", "An octet 7F in a comment.", "# \x7f\n" + A + "quorum A\n"),
        ("nul", "NUL in a comment.", "# \0\n" + A + "quorum A\n"),
        ("unknown-word", "A line of no known kind.", A + "witnesses A\nquorum A\n"),
        ("upper-case", "A word in upper case.", A + "QUORUM A\n"),
        ("comment-behind", "A comment behind a quorum.", A + "quorum A # all\n"),
        ("no-vkey", "A witness without key.", "witness A\nquorum A\n"),
        ("no-name", "A witness without name.", f"witness {vkey}\nquorum none\n"),
        ("two-urls", "A witness with two URLs.", A.rstrip() + " a b\nquorum A\n"),
        ("log-no-vkey", "A log without key.", "log\n" + A + "quorum A\n"),
        ("log-two-urls", "A log with two URLs.", LOG_LINE.rstrip() + " b\n" + A + "quorum A\n"),
        ("group-no-k", "A group without anything.", A + "group two\nquorum A\n"),
        ("quorum-empty", "A quorum of no name.", A + "quorum\n"),
        ("quorum-two-names", "A quorum of two names.", A + B + "quorum A B\n"),
    ):
        yield wrong(title, "R-62.1", "one", shows, policy)
    yield from keys(vkey)
    for title, k in (
        *(("zero-first", "02"), ("plus", "+2"), ("underscore", "0_2"), ("hex", "0x2")),
        *(("minus", "-2"), ("word", "ALL"), ("digits", "\u0662")),
    ):
        shows = f"{k} for two."
        policy = TWO_OF_THREE.replace(" 2 ", f" {k} ")
        yield wrong(f"k-{title}", "R-62.1", "two-of-three", shows, policy)


def keys(vkey: str) -> Iterator[Case]:
    """R-62.1: keys of R-60.5, of the type of their line."""
    as_log = Verifier(witness("A").name, ED25519, witness("A").public).vkey
    timed_log = Verifier(LOG.name, COSIGNATURE, LOG.public).vkey
    identity = spelled("A.example", COSIGNATURE, b"\1" + bytes(31))
    for title, shows, spelling in (
        ("other-id", "A witness's key with another id.", vkey.replace("+", "+0", 1)),
        ("type-1", "A witness's key of type 01.", as_log),
        ("type-6", "A witness's key of type 06.", spelled("A.example", 6, witness("A").public)),
        ("identity", "The identity for a witness's key.", identity),
    ):
        covers = ("R-60.5", "R-15.1") if title == "identity" else ("R-60.5",)
        policy = f"witness A {spelling}\nquorum A\n"
        yield wrong(f"vkey-{title}", "R-62.1", "one", shows, policy, covers=covers)
    raw = A.encode().replace(b"A.example", b"\xff.example") + b"quorum A\n"
    yield wrong("vkey-octets", "R-62.1", "one", "A key's name is no UTF-8.", raw)
    yield right("log", "The policy names the log.", LOG_LINE + TWO_OF_THREE)
    shows = "A log's key of type 04."
    yield wrong("log-type-4", "R-62.1", "log", shows, f"log {timed_log}\n" + TWO_OF_THREE)


def sizes() -> Iterator[Case]:
    """R-62.1: how much a policy may hold."""
    for name, size in (("longest", 65_536), ("too-long", 65_537)):
        policy = A + "quorum A\n"
        policy = "#" * (size - len(policy) - 1) + "\n" + policy
        assert len(policy) == size
        shows = f"A policy of {size:,} bytes."
        if name == "longest":
            yield right(name, shows, policy)
        else:
            yield wrong(name, "R-62.1", "longest", shows, policy)
    logs = [_log(number) for number in range(32)]
    most = LOG_LINE + "".join(logs[:31]) + TWO_OF_THREE
    yield right("32-logs", "32 logs.", most)
    yield wrong("33-logs", "R-62.1", "32-logs", "33 logs.", logs[31] + most)
    others = [line(f"W{number}") for number in range(62)]
    most = "".join(others[:61]) + TWO_OF_THREE
    yield right("64-witnesses", "64 witnesses.", most)
    yield wrong("65-witnesses", "R-62.1", "64-witnesses", "65 witnesses.", others[61] + most)
    chain = [f"group G{n} all {f'G{n - 1}' if n else 'A'}\n" for n in range(65)]
    for count in (64, 65):
        policy = A + "".join(chain[:count]) + f"quorum G{count - 1}\n"
        shows = f"{count} groups, each the one member of the next."
        if count == 64:
            yield right("64-groups", shows, policy)
        else:
            yield wrong("65-groups", "R-62.1", "64-groups", shows, policy)


def _log(number: int) -> str:
    key = signing_key("log", str(number)).public
    return f"log {Verifier(f'example.com/{number}', ED25519, key).vkey}\n"


def names() -> Iterator[Case]:
    """R-62.2: names and what they refer to."""
    shows = "Witnesses may be called like the words of other lines."
    policy = A.replace(" A ", " all ", 1) + "group any 1 all\nquorum any\n"
    yield right("words", shows, policy)
    same_key = Verifier("Z.example", COSIGNATURE, witness("A").public).vkey
    for title, shows, policy in (
        ("name-twice", "Two witnesses of one name.", A + B.replace(" B ", " A ", 1) + "quorum A\n"),
        ("name-of-group", "A group with a witness's name.", A + B + "group A any B\nquorum A\n"),
        ("named-none", "A witness called none.", A.replace(" A ", " none ", 1) + "quorum none\n"),
        ("group-named-none", "A group called none.", A + "group none any A\nquorum A\n"),
        ("key-twice", "One key for two witnesses.", A + f"witness Z {same_key}\nquorum A\n"),
        ("quorum-unknown", "A quorum that is not defined.", A + "quorum B\n"),
        ("quorum-first", "A quorum before what it names.", "quorum A\n" + A),
        ("quorum-case", "A name in another case.", A + "quorum a\n"),
        ("k-0", "None of one.", A + "group none-of 0 A\nquorum A\n"),
        ("k-2-of-1", "Two of one.", A + "group two 2 A\nquorum A\n"),
        ("k-long", "A number of 5,000 digits.", A + f"group two {'1' * 5000} A\nquorum A\n"),
        ("no-member", "A group of nobody.", A + "group two all\nquorum A\n"),
        ("member-unknown", "A member that is not defined.", A + "group two any A B\nquorum two\n"),
        ("member-below", "A member defined below.", A + "group two any A B\n" + B + "quorum two\n"),
        ("member-none", "A member called none.", A + "group two any A none\nquorum two\n"),
        ("member-itself", "A group in itself.", A + "group two any A two\nquorum two\n"),
        ("member-twice", "A member twice.", A + "group two any A A\nquorum two\n"),
        (
            "member-of-two",
            "A member of two groups.",
            A + "group two any A\ngroup three any A two\nquorum three\n",
        ),
    ):
        yield wrong(title, "R-62.2", "one", shows, policy)
    renamed = Verifier("example.com/renamed", ED25519, LOG.public)
    policy = LOG_LINE + f"log {renamed.vkey}\n" + TWO_OF_THREE
    yield wrong("log-key-twice", "R-62.2", "log", "One key for two logs.", policy)


def quorums() -> Iterator[Case]:
    """R-62.4, by R-62.8: a quorum that is met has a time."""
    five = A + B + C + D + E

    def both(title: str, shows: str, policy: str, met: str, unmet: str) -> Iterator[Case]:
        at = {name: NOW_S - n for n, name in enumerate("ABCDE")}
        yield right(title, shows, given(policy, {name: at[name] for name in met}))
        shows = f"{shows} Only {' and '.join(unmet) or 'nobody'} cosigned."
        few = given(policy, {name: at[name] for name in unmet})
        yield wrong(f"{title}-unmet", "R-62.8", title, shows, few, covers=("R-62.4",))

    yield from both("quorum-one", "One witness.", A + B + "quorum A\n", "A", "B")
    yield from both("quorum-any", "Any of two.", five + "group g any A B\nquorum g\n", "B", "C")
    yield from both("quorum-all", "Both of two.", five + "group g all A B\nquorum g\n", "AB", "AC")
    three = five + "group g 3 A B C D E\nquorum g\n"
    yield from both("quorum-k", "Three of five.", three, "CDE", "DE")
    nested = five + "group x 2 A B C\ngroup y any D E\ngroup g all x y\nquorum g\n"
    yield from both("quorum-nested", "Two of A, B, C and one of D, E.", nested, "ACE", "ABC")
    mixed = five + "group x all A B\ngroup g 2 x C D\nquorum g\n"
    yield from both("quorum-mixed", "Two of C, D and the pair A, B.", mixed, "ABD", "AD")
    member = five + "group g all A B\nquorum A\n"
    yield from both("quorum-member", "A quorum that a group names too.", member, "A", "B")
    yield right("none-cosigned", "Nothing is asked, though some cosigned.", A + "quorum none\n")


def uses() -> Iterator[Case]:
    """R-62.3, R-62.5, R-62.6: what a policy is used for."""
    other = f"log {OTHER_LOG.vkey}\n"
    yield right("log-second", "The log is the second of two.", other + LOG_LINE + TWO_OF_THREE)
    shows = "The policy is for another log."
    yield wrong("other-log", "R-62.3", "log", shows, other + TWO_OF_THREE)
    key = Verifier(LOG.name, ED25519, OTHER_LOG.public)
    shows = "The policy knows another key of this log's name."
    yield wrong("other-key", "R-62.3", "log", shows, f"log {key.vkey}\n" + TWO_OF_THREE)
    renamed = Verifier("example.com/renamed", ED25519, LOG.public)
    shows = "The policy knows the log's key under another name."
    yield wrong("other-name", "R-62.3", "log", shows, f"log {renamed.vkey}\n" + TWO_OF_THREE)
    yield right("apart", "The other policy holds another key.", given(TWO_OF_THREE, others="D"))
    shows = "The other policy holds a key of this one."
    yield wrong("shared", "R-62.5", "apart", shows, given(TWO_OF_THREE, others="DC"))
    itself = Verifier("A.example", COSIGNATURE, LOG.public)
    shows = "The log's key is a witness's."
    policy = f"witness Z {itself.vkey}\n" + TWO_OF_THREE
    yield wrong("log-as-witness", "R-62.5", "two-of-three", shows, policy)
    none = A + B + C + "quorum none\n"
    shows = "The log demands three, the policy nothing: the third newest time."
    yield right("demand-3", shows, given(none, demanded=3))
    shows = "The log demands four of three."
    yield wrong("demand-4", "R-62.6", "demand-3", shows, given(none, demanded=4))
    two = {name: AT[name] for name in "AB"}
    shows = "The log demands three, and two cosigned."
    yield wrong("demand-unmet", "R-62.8", "demand-3", shows, given(none, two, demanded=3))
    policy = A + B + C + "group g any A B\nquorum g\n"
    shows = "The log demands two: one that the quorum does not name is the second."
    second = {name: AT[name] for name in "AC"}
    yield right("demand-other", shows, given(policy, second, demanded=2))
    shows = "As many as the log demands, but not the quorum."
    others = {"C": AT["C"], "D": AT["A"]}
    policy += D
    yield wrong(
        "demand-no-quorum", "R-62.8", "demand-other", shows, given(policy, others, demanded=2)
    )
    shows = "A key that the policy does not know does not count."
    unknown = {"A": AT["A"], "E": AT["A"]}
    yield wrong(
        "demand-unknown", "R-62.8", "demand-other", shows, given(policy, unknown, demanded=2)
    )


def times() -> Iterator[Case]:
    """R-62.7, R-62.8."""
    late = {**AT, "A": LATEST, "B": LATEST}
    yield right("latest", "Two cosigned five minutes ahead.", given(TWO_OF_THREE, late))
    covers = ("R-62.7",)
    shows = "One of two cosigned a second more ahead."
    ahead = {"A": LATEST, "B": LATEST + 1}
    yield wrong("ahead", "R-62.8", "latest", shows, given(TWO_OF_THREE, ahead), covers=covers)
    shows = "One too far ahead is as if it were not there: the other two count."
    yield right(
        "ahead-left-out", shows, given(TWO_OF_THREE, {**AT, "A": LATEST + 1}), covers=covers
    )
    first = {"A": 1, "B": 1}
    yield right("first-second", "Two cosigned at time 1.", given(TWO_OF_THREE, first))
    shows = "One of two cosigned at time 0."
    zero = {"A": 1, "B": 0}
    yield wrong("zero", "R-62.8", "first-second", shows, given(TWO_OF_THREE, zero), covers=covers)
    shows = "The last second that there is."
    end = {"A": LATEST, "B": 2**63 - 1}
    yield wrong("end", "R-62.8", "latest", shows, given(TWO_OF_THREE, end), covers=covers)
    shows = "The newest two of three times: the older of them."
    yield right("middle", shows, given(TWO_OF_THREE, {"A": 100, "B": 300, "C": 200}))
    policy = A + B + C + D + "group x any A B\ngroup g all x C\nquorum g\n"
    shows = "The newer of A and B counts, and the demand takes no more: the time of C."
    at = {"A": 100, "B": 300, "C": 200, "D": 50}
    yield right("newest-that-suffice", shows, given(policy, at, demanded=2))
    shows = "The same, with a demand that the fourth must meet."
    yield right("demand-is-later", shows, given(policy, at, demanded=4))
