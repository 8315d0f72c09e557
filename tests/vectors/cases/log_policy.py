"""The log's own chain: what its first block may say, and what a policy may change (R-51)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ledger.format import cose
from ledger.format.bodies import Limits
from tests.support.actors import LogActor, signing_key
from tests.vectors.case import Case, bad
from tests.vectors.cases.log_batch import founded
from tests.vectors.draft import Draft, Keyring
from tests.vectors.world import World

APP_ROOT, ENROLMENT, LOG_KEY, VRF_KEY, AUTHORITY = range(2, 7)
"""Where the five keys stand in the body of log.create."""


def cases() -> Iterator[Case]:
    yield from origins()
    yield from founders()
    yield from changes()
    yield from returns()
    yield from signers()


def origins() -> Iterator[Case]:
    founding = LogActor.make()
    draft = Draft.of(founding.raw, Keyring(founding.after))
    longest = LogActor.make("l" * 128)
    shows = "An origin of 128 characters."
    yield Case("log", "origin-longest", shows, World(longest).given([]))
    edges = LogActor.make("!~")
    shows = "An origin of the first and the last character that are allowed."
    yield Case("log", "origin-edges", shows, World(edges).given([]))
    wrong = {
        "empty": ("", "The origin is empty."),
        "too-long": ("l" * 129, "An origin of 129 characters."),
        "space": ("example.com/a log", "A space in the origin: no note could be signed."),
        "plus": ("example.com/log+1", "A plus in the origin: no vkey could be written."),
        "delete": ("example.com/log\x7f", "A control character in the origin."),
        "newline": ("example.com/log\n", "A newline in the origin: it would forge a line."),
        "umlaut": ("example.com/lög", "A character beyond ASCII in the origin."),
    }
    for name, (origin, shows) in wrong.items():
        nearest = "origin-longest" if name == "too-long" else "origin-edges"
        given = founded(draft.at(6, 0, to=origin).raw)
        yield bad("log", f"origin-{name}", "R-51.1", nearest, shows, given)


def founders() -> Iterator[Case]:
    founding = LogActor.make()
    actor = founding.after
    draft = Draft.of(founding.raw, Keyring(actor))

    def wrong(name: str, rule: str, shows: str, changed: Draft) -> Case:
        return bad("log", f"first-{name}", rule, "first", shows, founded(changed.raw))

    authority = actor.authority.public
    shows = "The enrolment key is the recovery authority too: a key serves one role."
    yield wrong("keys-twice", "R-51.1", shows, draft.at(6, ENROLMENT, to=authority))
    shows = "The VRF key is the log key too."
    log_key = actor.log_key.public
    yield wrong("vrf-is-log-key", "R-51.1", shows, draft.at(6, VRF_KEY, to=log_key))
    day = draft.at(6, 8, to=86_400_000)
    slow = day.at(6, 9, 2, to=86_400_000).raw
    shows = "The heartbeat is as long as max_age."
    yield Case("log", "first-heartbeat-longest", shows, founded(slow))
    shows = "The heartbeat is 1 ms longer than max_age."
    given = founded(day.at(6, 9, 2, to=86_399_999).raw)
    nearest = "first-heartbeat-longest"
    yield bad("log", "first-heartbeat-longer", "R-51.1", nearest, shows, given)
    shows = "The log key did not sign."
    yield wrong("no-log-key", "R-50.2", shows, draft.by(actor.app_root))
    shows = "The application root did not sign."
    yield wrong("no-app-root", "R-50.2", shows, draft.by(actor.log_key))
    shows = "The application root signs first."
    yield wrong("swapped", "R-50.2", shows, draft.by(actor.log_key, actor.app_root))
    three = draft.by(actor.app_root, actor.log_key, actor.enrolment)
    yield wrong("three-signers", "R-50.2", "The enrolment key has no say here.", three)


def changes() -> Iterator[Case]:
    world = World()
    world.create()
    actor, anchor = world.actor, world.anchor
    root, enrolment = signing_key("new app root"), signing_key("new enrolment")
    limits = replace(actor.limits, max_devices=2)
    rotated = {
        "app-root": actor.policy(anchor, app_root=root),
        "enrolment": actor.policy(anchor, enrolment=enrolment),
        "limits": actor.policy(anchor, limits=limits),
        "all": actor.policy(anchor, app_root=root, enrolment=enrolment, limits=limits),
    }
    for name, written in rotated.items():
        shows = f"A policy that replaces: {name.replace('-', ' ')}."
        yield world.ok(f"policy-{name}", shows, written.raw)
    shows = "A policy that repeats everything."
    nothing = actor.policy(anchor)
    yield world.bad("policy-nothing", "R-51.2", "policy-limits", shows, nothing.raw)

    draft = world.draft(rotated["enrolment"])
    shows = "The new enrolment key is one that the log already has."
    for role, key in {
        "authority": actor.authority,
        "log-key": actor.log_key,
        "app-root": actor.app_root,
    }.items():
        incoming = () if key in (actor.app_root, actor.log_key) else (key,)
        changed = draft.at(6, 1, to=key.public).by(actor.app_root, actor.log_key, *incoming)
        # The two that sign anyway can't sign twice, so has its say first.
        rule = "R-51.3" if incoming else "R-50.2"
        name = f"policy-enrolment-is-{role}"
        yield world.bad(name, rule, "policy-enrolment", shows, changed.raw, covers=("R-15.4",))
    both = world.draft(rotated["all"]).at(6, 1, to=root.public)
    three = both.by(actor.app_root, actor.log_key, root)
    shows = "One new key for two roles."
    yield world.bad("policy-one-key-twice", "R-50.2", "policy-all", shows, three.raw)


def returns() -> Iterator[Case]:
    world = World()
    old = world.actor
    root, enrolment = signing_key("new app root"), signing_key("new enrolment")
    world.admit_policy(old.policy(world.anchor, app_root=root, enrolment=enrolment))
    fresh = world.actor.policy(world.anchor, enrolment=signing_key("newer enrolment"))
    yield world.ok("policy-rotated-again", "A second rotation.", fresh.raw)
    for name, written in {
        "enrolment": world.actor.policy(world.anchor, enrolment=old.enrolment),
        "app-root": world.actor.policy(world.anchor, app_root=old.app_root),
        "other-role": world.actor.policy(world.anchor, enrolment=old.app_root),
    }.items():
        shows = "A key that was replaced comes back."
        nearest, name = "policy-rotated-again", f"policy-retired-{name}"
        yield world.bad(name, "R-51.3", nearest, shows, written.raw, covers=("R-15.4",))
    retired = world.draft(fresh).by(old.app_root, old.log_key, signing_key("newer enrolment"))
    shows = "The application root that was replaced signs."
    nearest = "policy-rotated-again"
    yield world.bad("policy-old-app-root", "R-50.2", nearest, shows, retired.raw)


def signers() -> Iterator[Case]:
    world = World()
    world.create()
    actor = world.actor
    old, log = actor.app_root, actor.log_key
    new, enrolment = signing_key("new app root"), signing_key("new enrolment")
    both = world.draft(actor.policy(world.anchor, app_root=new, enrolment=enrolment))
    limits = world.draft(actor.policy(world.anchor, limits=Limits(max_devices=3)))

    def bad(name: str, draft: Draft, shows: str, *keys: cose.Signer) -> Case:
        nearest = "policy-all" if draft is both else "policy-limits"
        return world.bad(f"policy-{name}", "R-50.2", nearest, shows, draft.by(*keys).raw)

    shows = "The new application root did not sign."
    yield bad("no-new-app-root", both, shows, old, log, enrolment)
    shows = "The new enrolment key did not sign."
    yield bad("no-new-enrolment", both, shows, old, log, new)
    shows = "Of the new keys the application root signs first."
    yield bad("new-keys-swapped", both, shows, old, log, enrolment, new)
    shows = "The application root that is replaced did not sign."
    yield bad("no-old-app-root", both, shows, log, new, enrolment)
    shows = "The log key did not sign: an application alone changes nothing."
    yield bad("no-log-key", limits, shows, old)
    shows = "The log key signs alone: the operator changes the limits."
    yield bad("by-operator-alone", limits, shows, log)
    shows = "The enrolment key stands in for the application root."
    yield bad("by-enrolment", limits, shows, actor.enrolment, log)
    shows = "A key signs that neither signs here nor comes in."
    yield bad("one-more", limits, shows, old, log, actor.enrolment)
