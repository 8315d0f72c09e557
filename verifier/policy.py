"""Policies: whose cosignatures count, and how many are enough (C2SP tlog-policy; specs/62).

    policy = parse_policy(data)
    check_log(policy, log_key)
    times = cosigned(policy, signers, now)          # of `open_note`, with the policy's keys
    policy.quorum_time(times, demanded)             # seconds since 1970, or None: nothing is asked

Pure. A file that breaks a rule is `Malformed`; what it is used for, `BrokenRule`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from verifier.errors import BrokenRule, Invalid, Malformed
from verifier.note import COSIGNATURE, ED25519, NoteKey, Signer, parse_vkey

MAX_POLICY = 65_536
MAX_LOGS, MAX_WITNESSES, MAX_GROUPS = 32, 64, 64
MAX_AHEAD = 5 * 60 * 1_000  # ms that a cosigner's clock may be before this one
NONE = b"none"
FOREIGN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
BLANKS = re.compile(rb"[\t ]+")
NUMBER = re.compile(rb"0|[1-9][0-9]*")


class KnownLog(NamedTuple):
    """A `log` line. The key's name is the log's origin."""

    key: NoteKey
    url: bytes | None


class Cosigner(NamedTuple):
    """A `witness` line: a witness, or an auditor in the policy of auditors."""

    name: bytes
    key: NoteKey
    url: bytes | None


class Group(NamedTuple):
    """A `group` line: met if at least `threshold` of its members are."""

    name: bytes
    threshold: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Groups stand after what they name. `quorum` is None for `none`."""

    logs: tuple[KnownLog, ...]
    witnesses: tuple[Cosigner, ...]
    groups: tuple[Group, ...]
    quorum: bytes | None

    @property
    def keys(self) -> list[NoteKey]:
        """The cosigners'."""
        return [witness.key for witness in self.witnesses]

    def met(self, keys: AbstractSet[bytes]) -> bool:
        """R-62.4: whether cosignatures by these public keys are a quorum."""
        if self.quorum is None:
            return True
        met = {witness.name for witness in self.witnesses if witness.key.key in keys}
        for group in self.groups:
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(group.name)
        return self.quorum in met

    def quorum_time(self, times: Mapping[bytes, int], demanded: int) -> int | None:
        """R-62.8, in seconds: up to when enough keys had cosigned at `times`, newest first.

        Times are by public key; other keys than the policy's are not looked at. None if neither
        the policy nor `demanded` asks for anything.
        """
        if self.quorum is None and not demanded:
            return None
        own = {key.key: times[key.key] for key in self.keys if key.key in times}
        for time in sorted(set(own.values()), reverse=True):
            keys = {key for key, cosigned_at in own.items() if cosigned_at >= time}
            if len(keys) >= demanded and self.met(keys):
                return time
        raise BrokenRule("R-62.8", f"cosigned by {len(own)} known keys, which are no quorum")


def cosigned(policy: Policy, signers: Iterable[Signer], now: int) -> dict[bytes, int]:
    """R-62.7: when each of the policy's keys cosigned, of those that count. `now` is in ms.

    `signers` are of signatures that verified; a time is in seconds.
    """
    keys = set(policy.keys)
    return {
        signer.key.key: signer.time
        for signer in signers
        if signer.key in keys and signer.time and signer.time * 1_000 <= now + MAX_AHEAD
    }


def check_log(policy: Policy, log: NoteKey) -> None:
    """R-62.3: a policy that names logs names this one."""
    if policy.logs and all(known.key != log for known in policy.logs):
        raise BrokenRule("R-62.3", f"the policy knows other logs, but not {log.name} by its key")


def check_apart(policy: Policy, others: Iterable[bytes], log_key: bytes) -> None:
    """R-62.5: none of its cosigners is the log or in one's other policy, with the keys `others`."""
    taken = {log_key, *others}
    for witness in policy.witnesses:
        if witness.key.key in taken:
            name = witness.key.name
            raise BrokenRule("R-62.5", f"the key of {name} is the log's or in the other policy")


def check_enough(policy: Policy, demanded: int) -> None:
    """R-62.6: a policy of fewer keys than the log demands can never be satisfied."""
    known = len(policy.witnesses)
    if known < demanded:
        raise BrokenRule("R-62.6", f"{known} keys, and the log demands {demanded} cosignatures")


def parse_policy(data: bytes) -> Policy:
    """R-62.1, R-62.2."""
    if len(data) > MAX_POLICY:
        raise Malformed("R-62.1", f"a policy of {len(data)} bytes")
    if FOREIGN.search(data) or (data and not data.endswith(b"\n")):
        raise Malformed("R-62.1", "an octet that no policy holds, or no newline at the end")
    draft = _Draft()
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        items = [item for item in BLANKS.split(line) if item]
        if items and not items[0].startswith(b"#"):
            try:
                draft.take(items[0], items[1:])
            except Invalid as error:
                raise Malformed(error.rule, f"line {number}: {error.why}") from error
    return draft.policy()


@dataclass(slots=True)
class _Draft:
    """What the lines so far have said."""

    logs: list[KnownLog] = field(default_factory=list)
    witnesses: list[Cosigner] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    quorums: list[bytes] = field(default_factory=list)
    free: dict[bytes, bool] = field(default_factory=dict)  # each name: is it in no group yet?

    def take(self, word: bytes, items: list[bytes]) -> None:
        """One line: its first word, and the others."""
        match (word, items):
            case (b"log", [vkey, *url]) if len(url) < 2:
                self._log(vkey, *url)
            case (b"witness", [name, vkey, *url]) if len(url) < 2:
                self._witness(name, vkey, *url)
            case (b"group", [name, threshold, *members]):
                self._group(name, threshold, tuple(members))
            case (b"quorum", [name]):
                self._quorum(name)
            case _:
                raise Malformed("R-62.1", "a line of no known form")

    def policy(self) -> Policy:
        if len(self.quorums) != 1:
            raise Malformed("R-62.1", f"{len(self.quorums)} quorum lines")
        quorum = None if self.quorums[0] == NONE else self.quorums[0]
        return Policy(tuple(self.logs), tuple(self.witnesses), tuple(self.groups), quorum)

    def _log(self, vkey: bytes, url: bytes | None = None) -> None:
        key = _key(vkey, ED25519)
        _require_new(key, [known.key for known in self.logs], MAX_LOGS)
        self.logs.append(KnownLog(key, url))

    def _witness(self, name: bytes, vkey: bytes, url: bytes | None = None) -> None:
        key = _key(vkey, COSIGNATURE)
        _require_new(key, [known.key for known in self.witnesses], MAX_WITNESSES)
        self._define(name)
        self.witnesses.append(Cosigner(name, key, url))

    def _group(self, name: bytes, threshold: bytes, members: tuple[bytes, ...]) -> None:
        if len(self.groups) == MAX_GROUPS:
            raise Malformed("R-62.1", f"more than {MAX_GROUPS} groups")
        count = _threshold(threshold, len(members))
        for member in members:
            if not self.free.get(member):
                raise Malformed("R-62.2", "a member that is not defined above, or a member twice")
            self.free[member] = False
        self._define(name)
        self.groups.append(Group(name, count, members))

    def _quorum(self, name: bytes) -> None:
        if name != NONE and name not in self.free:
            raise Malformed("R-62.2", "a quorum that is not defined above")
        self.quorums.append(name)

    def _define(self, name: bytes) -> None:
        if name == NONE or name in self.free:
            raise Malformed("R-62.2", "a name that is taken")
        self.free[name] = True


def _key(vkey: bytes, kind: int) -> NoteKey:
    try:
        key = parse_vkey(vkey.decode("utf-8"))
    except (Malformed, UnicodeDecodeError) as error:
        raise Malformed("R-62.1", f"not a verifier key: {error}") from error
    if key.type != kind:
        raise Malformed("R-62.1", f"a key of type {key.type:02}, not {kind:02}")
    return key


def _require_new(key: NoteKey, known: list[NoteKey], most: int) -> None:
    if len(known) == most:
        raise Malformed("R-62.1", f"more than {most} lines of this kind")
    if any(key.key == other.key for other in known):
        raise Malformed("R-62.2", "the same public key as on a line above")


def _threshold(text: bytes, members: int) -> int:
    """How many of so many members; the least that `any`, the most that `all` says."""
    words = {b"all": members, b"any": 1}
    if text not in words and not NUMBER.fullmatch(text):
        raise Malformed("R-62.1", "neither all nor any nor a number in its one spelling")
    # No group has a thousand members: four digits tell, and Python limits how many it reads.
    count = words[text] if text in words else int(text[:4])
    if not 1 <= count <= members:
        raise Malformed("R-62.2", f"{text.decode()[:20]} of {members} members")
    return count
