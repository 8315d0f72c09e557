r"""Policies: whose cosignatures are demanded of a checkpoint (C2SP tlog-policy, 62-witnesses).

    log <vkey> [url]
    witness <name> <vkey> [url]
    group <name> all|any|<k> <name>…
    quorum <name>|none

A policy of auditors has the same form (63-auditors). Names and URLs are octets, of no encoding.

>>> from ledger.format.keys import SigningKey
>>> a, b = (Verifier(n, COSIGNATURE, SigningKey(n.encode() * 32).public) for n in "ab")
>>> lines = f"witness a {a.vkey}", f"witness b {b.vkey}", "group both all a b", "quorum both", ""
>>> policy = parse_policy("\n".join(lines).encode())
>>> policy.quorum_met({a.public}), policy.quorum_met({a.public, b.public})
(False, True)
>>> policy.quorum_time({a.public: 1_000, b.public: 1_007}, demanded=0)
1000

All of it is pure: a policy knows no clock, and believes what it is told of who cosigned. `counting`
says who did.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as short

from ledger.errors import MalformedInput, UnusablePolicy
from ledger.format.note import COSIGNATURE, ED25519, Verified, Verifier, parse_vkey

MAX_POLICY_BYTES = 65_536
MAX_LOGS = 32
MAX_WITNESSES = 64
MAX_GROUPS = 64

MAX_AHEAD_MS = 300_000
"""How far a cosignature's time may be after the reader's clock (R-62.7)."""

NONE = b"none"
"""The quorum that is always met."""

_OTHER_OCTETS = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_DECIMAL = re.compile(rb"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log that the policy is for: its key, under its origin as name, and where it is, if told."""

    verifier: Verifier
    url: bytes | None = None


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness, or an auditor: its name within the policy, its key, and where it is, if told."""

    name: bytes
    verifier: Verifier
    url: bytes | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Met if at least `k` of `members` (names of cosigners and of groups above it) are."""

    name: bytes
    k: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A policy that passed R-62.1 and R-62.2. `quorum` is a name, or `NONE`."""

    logs: tuple[KnownLog, ...]
    witnesses: tuple[Cosigner, ...]
    groups: tuple[Group, ...]
    quorum: bytes

    @property
    def verifiers(self) -> list[Verifier]:
        """The cosigners' keys, for `open_note`."""
        return [witness.verifier for witness in self.witnesses]

    @property
    def keys(self) -> set[bytes]:
        """The cosigners' public keys."""
        return {witness.verifier.public for witness in self.witnesses}

    def demands(self, demanded: int) -> bool:
        """Whether a checkpoint needs a quorum time at all, `demanded` by the log (R-62.8)."""
        return self.quorum != NONE or demanded > 0

    def quorum_met(self, keys: Collection[bytes]) -> bool:
        """Whether cosignatures by these public keys are a quorum (R-62.4)."""
        met = {one.name for one in self.witnesses if one.verifier.public in keys}
        for group in self.groups:  # each names only what stands above it
            if len(met.intersection(group.members)) >= group.k:
                met.add(group.name)
        return self.quorum == NONE or self.quorum in met

    def suffices(self, keys: Collection[bytes], demanded: int) -> bool:
        """Whether they are a quorum, and as many of the policy's as the log demands (R-62.6)."""
        return len(self.keys.intersection(keys)) >= demanded and self.quorum_met(keys)

    def quorum_time(self, cosigned: Mapping[bytes, int], demanded: int) -> int | None:
        """The latest time (s) that a sufficient set of keys has cosigned at, or after (R-62.8).

        `cosigned` has the time of each public key's cosignature, as `counting` gives them. None if
        they don't suffice, and where nothing is demanded: see `demands`.
        """
        if not self.demands(demanded):
            return None
        for time in sorted(set(cosigned.values()), reverse=True):
            if self.suffices({key for key, at in cosigned.items() if at >= time}, demanded):
                return time
        return None


def counting(verified: Iterable[Verified], now: int) -> dict[bytes, int]:
    """The cosignatures that count at `now` (ms): public key to time in seconds (R-62.7).

    `verified` is what `open_note` found; signatures of other types among them say nothing here.
    """
    return {
        one.verifier.public: one.time
        for one in verified
        if one.time and one.time * 1000 <= now + MAX_AHEAD_MS
    }


def check_usable(
    policy: TrustPolicy, log: Verifier, *, others: Collection[bytes] = (), demanded: int = 0
) -> None:
    """Refuse a policy that is of no use for this log: `UnusablePolicy` (R-62.3, R-62.5, R-62.6).

    `others` are the public keys in the other policy of whoever holds this one (witnesses, or
    auditors); `demanded` is how many of this kind the log demands.
    """
    if policy.logs and log not in [known.verifier for known in policy.logs]:
        raise UnusablePolicy("R-62.3", f"the policy is for other logs than {log.name}")
    if not policy.keys.isdisjoint({log.public, *others}):
        raise UnusablePolicy("R-62.5", "a key in it is the log's own, or one of the other policy")
    if len(policy.witnesses) < demanded:
        raise UnusablePolicy(
            "R-62.6", f"the log demands {demanded} cosigners, the policy names fewer: name more"
        )


def parse_policy(data: bytes) -> TrustPolicy:
    """The policy that `data` spells.

    Raises `MalformedInput` (R-62.1, which a key that breaks R-60.5 breaks too; R-62.2).
    """
    if len(data) > MAX_POLICY_BYTES:
        raise MalformedInput("R-62.1", f"{len(data)} bytes, at most {MAX_POLICY_BYTES} allowed")
    if _OTHER_OCTETS.search(data):
        raise MalformedInput("R-62.1", "a control character other than tab and newline")
    *lines, rest = data.split(b"\n")
    if rest:
        raise MalformedInput("R-62.1", "the last line does not end in newline")
    draft = _Draft()
    for line in lines:
        items = line.replace(b"\t", b" ").split(b" ")
        draft.take([item for item in items if item])
    return draft.policy()


@dataclass(slots=True)
class _Draft:
    """What the lines so far have defined."""

    logs: list[KnownLog] = field(default_factory=list)
    witnesses: list[Cosigner] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    quorum: bytes | None = None
    names: set[bytes] = field(default_factory=set)
    members: set[bytes] = field(default_factory=set)
    """All names that are a member of some group."""

    def take(self, items: list[bytes]) -> None:
        """One line, by its items."""
        match items:
            case []:
                pass
            case [word, *_] if word.startswith(b"#"):
                pass
            case [b"log", vkey, *url] if len(url) <= 1:
                self._log(vkey, *url)
            case [b"witness", name, vkey, *url] if len(url) <= 1:
                self._witness(name, vkey, *url)
            case [b"group", name, k, *members]:
                self._group(name, k, members)
            case [b"quorum", name]:
                self._quorum(name)
            case _:
                raise MalformedInput("R-62.1", f"{short(b' '.join(items))} is not such a line")

    def policy(self) -> TrustPolicy:
        """All of them, at the end."""
        if self.quorum is None:
            raise MalformedInput("R-62.1", "a policy names its quorum")
        parts = tuple(self.logs), tuple(self.witnesses), tuple(self.groups)
        return TrustPolicy(*parts, self.quorum)

    def _log(self, vkey: bytes, url: bytes | None = None) -> None:
        verifier = _verifier(vkey, ED25519)
        _check_new_key(verifier, [log.verifier for log in self.logs])
        self.logs.append(KnownLog(verifier, url))
        _check_count(self.logs, MAX_LOGS)

    def _witness(self, name: bytes, vkey: bytes, url: bytes | None = None) -> None:
        verifier = _verifier(vkey, COSIGNATURE)
        _check_new_key(verifier, [witness.verifier for witness in self.witnesses])
        self._define(name)
        self.witnesses.append(Cosigner(name, verifier, url))
        _check_count(self.witnesses, MAX_WITNESSES)

    def _group(self, name: bytes, spelling: bytes, members: list[bytes]) -> None:
        for member in members:
            self._check_known(member)
            if member in self.members:
                raise MalformedInput("R-62.2", f"{short(member)} is a member twice")
            self.members.add(member)
        k = _threshold(spelling, len(members))
        self._define(name)
        self.groups.append(Group(name, k, tuple(members)))
        _check_count(self.groups, MAX_GROUPS)

    def _quorum(self, name: bytes) -> None:
        if self.quorum is not None:
            raise MalformedInput("R-62.1", "a policy names one quorum")
        if name != NONE:
            self._check_known(name)
        self.quorum = name

    def _define(self, name: bytes) -> None:
        if name == NONE or name in self.names:
            raise MalformedInput("R-62.2", f"{short(name)} is taken as a name")
        self.names.add(name)

    def _check_known(self, name: bytes) -> None:
        if name not in self.names:
            raise MalformedInput("R-62.2", f"{short(name)} does not stand on a line above")


def _verifier(vkey: bytes, kind: int) -> Verifier:
    """The key that an item spells, if it is of this type."""
    try:
        verifier = parse_vkey(vkey.decode())
    except (UnicodeDecodeError, MalformedInput) as error:
        raise MalformedInput("R-62.1", f"{short(vkey)} is not a key: {error}") from error
    if verifier.kind != kind:
        raise MalformedInput("R-62.1", f"{verifier.name}'s key is of type {verifier.kind:#04x}")
    return verifier


def _threshold(spelling: bytes, members: int) -> int:
    """How many of so many members a group asks for."""
    words = {b"all": members, b"any": 1}
    if spelling not in words and not _DECIMAL.fullmatch(spelling):
        raise MalformedInput("R-62.1", f"{short(spelling)} is neither all, any nor a number")
    # Five digits are more than any group has members; a longer number is not worth converting.
    k = words[spelling] if spelling in words else int(spelling[:5])
    if not 1 <= k <= members:
        raise MalformedInput("R-62.2", f"{short(spelling)} of {members} members")
    return k


def _check_new_key(verifier: Verifier, known: list[Verifier]) -> None:
    if verifier.public in {one.public for one in known}:
        raise MalformedInput("R-62.2", f"the key of {verifier.name} stands on two lines")


def _check_count(defined: list[KnownLog] | list[Cosigner] | list[Group], most: int) -> None:
    if len(defined) > most:
        raise MalformedInput("R-62.1", f"more than {most} lines of one kind")
