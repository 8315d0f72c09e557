"""Every lie about an identifier leaves evidence, or none can be had; the verifier judges (80-)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.client.evidence.of_lookups import Links, proof
from ledger.client.lookups.light import verify
from ledger.client.lookups.session import LightLog
from ledger.client.lookups.trust import Trust
from ledger.client.policy import Policy
from ledger.client.user.account import Account, DeviceSecret, Identity
from ledger.errors import LogMisbehaved, MalformedInput, NotCosigned, Refused
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Anchor
from ledger.format.evidence import Evidence, WrongAnchor, WrongDirectory
from ledger.format.login import Authenticated
from ledger.format.lookup import Bundle, Link, LookupRequest, Mode
from tests.client.lies import SCENES, Case, Scene, world
from tests.client.lies_of_chains import state_after
from tests.client.lies_of_trees import fork
from tests.client.light_world import ADA, AUDITORS, BOB, LATER, REPLAY, LightWorld
from tests.client.provers import Mute, Prover, check_evidence, proven
from tests.client.test_light_lies import CASES
from tests.support.actors import NOW, Device, seed
from tests.support.lookups import Auditor, Teller
from tests.support.policies import cosigned, quorum

SIGNED = [case for case in CASES if case.rule not in ("R-65.1", "R-65.2", "R-10.4")]
"""Those whose bundle the log may have signed."""

CHAINS = {
    "R-65.7": "more than the links,less than the links,a leaf beyond the tree,"
    "leaves that do not ascend",
    "R-65.9": "a state of the log that does not follow,a state that does not follow,"
    "a ghost device in the directory,an anchor in a forked tree",
    "R-40.4": "the policy's signature broken,a signature broken,a block of another log",
    "R-42.3": "time stands still,a time before the block before,a time after the last entry's",
    "R-43.1": "a block of another chain,a block for another label,a block on another head,"
    "a block of another seq",
    "R-43.2": "blocks in another order,no first block",
    "R-44.1": "a leaf before the anchor,an anchor beyond the block",
    "R-44.4": "an anchor before the block before",
    "R-53.3": "a device added by a stranger",
    "R-52.5": "a reset by another authority",
    "R-10.4": "no entry",
    "R-30.7": "a directory root",
}
OTHERS = {
    ("fork", "R-61.2"): "a fork,a fork of the same size",
    ("entry", "R-42.2"): "a block at the end",
    ("entry", "R-10.2"): "no entry at the end",
    ("entry", "R-42.1"): "an unknown kind at the end",
    ("time", "R-42.3"): "time goes back",
    ("directory", "R-42.5"): "the policy forgotten,a block forgotten,another history,born again,"
    "erased who was seen",
}
PROVEN = {name: ("chain", rule) for rule, names in CHAINS.items() for name in names.split(",")} | {
    name: found for found, names in OTHERS.items() for name in names.split(",")
}
"""Kind and rule by the case's name. All other lies were only told: nothing that contradicts them
was signed.
"""


def expected(case: Case) -> tuple[str, str] | None:
    name, _, scene = case.name.rpartition(" (")
    found = PROVEN.get(name)
    replayed = found and found[0] in ("chain", "directory")
    return None if replayed and scene.startswith("audited") else found


def links_of(scene: Scene) -> Links:
    """What a trust file would have kept of what was replayed."""

    def links(label: bytes) -> Sequence[Link]:
        pin, told = scene.held.pins.get(label), scene.teller.told.get(label)
        count = len(scene.held.view.chain) if label == LOG_LABEL else 0
        if pin and pin.replayed:
            count = pin.chain.length
        return told.links[:count] if told else ()

    return links


def prover(data: bytes, scene: Scene, liar: Teller) -> Prover:
    """The server that told it proves the tree that it showed."""
    note = Bundle.decode(data).checkpoint
    tellers = [scene.teller, *scene.world.tellers, *map(fork, (0, 5)), liar]
    return Prover(
        *([*one.entries, one.last] for one in (liar, scene.teller)),
        *([*one.entries, one.last] for one in tellers if one.note() == note),
    )


async def evidence(case: Case, scene: Scene) -> bytes | None:
    data, liar = case.told(scene)
    try:
        server = prover(data, scene, liar)
    except MalformedInput:
        return None
    return await proof(data, scene.held, links_of(scene), scene.policy, server, LATER)


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: case.name)
async def test_what_can_be_proven_is(case: Case) -> None:
    scene = SCENES[case.scene]()
    found = await evidence(case, scene)
    wanted = expected(case)
    assert (proven(found, scene.world.log.log_id) if found else None) == wanted
    # Nobody is named but by label: no identifier, and no opening of a commitment.
    for user in (scene.world.ada, scene.world.bob):
        for secret in (user.opening.identifier.encode(), user.opening.nonce):
            assert secret not in (found or b"")


@pytest.mark.parametrize("name", SCENES)
async def test_the_truth_leaves_no_evidence(name: str) -> None:
    """Not even if somebody looks for some."""
    scene = SCENES[name]()
    data = scene.teller.answer(scene.asked)
    server = prover(data, scene, scene.teller)
    links = links_of(scene)
    assert await proof(data, scene.held, links, scene.policy, server, LATER) is None


async def test_a_server_that_proves_nothing() -> None:
    """What is in the answer itself needs no more; the rest can't be shown to others then."""
    left = set()
    for case in filter(expected, SIGNED):
        s = SCENES[case.scene]()
        data, _ = case.told(s)
        found = await proof(data, s.held, links_of(s), s.policy, Mute(), LATER)
        if found:
            left.add(proven(found, s.world.log.log_id)[0])
    assert left == {"fork", "entry", "chain"}


# --- what no case above shows: anchors, witnesses, admissions


def told_anew(w: LightWorld, raw: bytes) -> Teller:
    """The log admits Ada's block, whatever it says: tree, directory and state follow from it."""
    scene, index, data = SCENES["new"](), w.teller.size, entry.block(NOW, raw)
    links = (*w.teller.told[w.ada.label].links, Link(index, data))
    told = replace(w.teller.told[w.ada.label], links=links, state=state_after(scene, *links))
    return w.teller.lying(
        entries=[*w.teller.entries, w.teller.last, data], told={**w.teller.told, w.ada.label: told}
    )


async def test_an_anchor_in_another_tree() -> None:
    """R-80.8, R-44.2: Ada was shown a fork, and wrote on it."""
    w = world()
    held = w.held()
    asked = held.ask(w.ada.label, REPLAY, [ADA])
    user = replace(w.ada, devices=w.ada.devices[:1])
    raw = user.add(Anchor(w.teller.size, seed("fork")), Device.make("x")).raw
    liar = told_anew(w, raw)
    data = liar.answer(asked)
    with pytest.raises(LogMisbehaved, match=r"R-65\.8"):
        verify(data, asked, held, REPLAY, LATER)
    server = Prover([*liar.entries, liar.last])
    found = await proof(data, held, lambda label: (), REPLAY, server, LATER)
    assert proven(found, w.log.log_id) == ("anchor", "R-44.2")
    assert isinstance(Evidence.decode(found or b"").body, WrongAnchor)
    assert await proof(data, held, lambda label: (), REPLAY, Mute(), LATER) is None


WITNESSES = tuple(map(Auditor.make, ("w1", "w2")))


async def test_ahead_of_the_witnesses(tmp_path: Path) -> None:
    """R-80.9, R-62.9: by the judge's own policy."""
    w = world()
    held, policy = w.held(), Policy(witnesses=quorum(1, *WITNESSES))
    asked = held.ask(w.ada.label, policy, [ADA])
    bundle = w.teller.bundle(asked)
    path, trusted = tmp_path / "file", tmp_path / "witnesses"
    trusted.write_text("\n".join(f"witness {one.name} {one.verifier.vkey}" for one in WITNESSES))
    for early, rule in ((NOW - 301_000, "R-62.9"), (NOW - 300_000, "")):
        note = cosigned(bundle.checkpoint, early, WITNESSES[0])
        data = replace(bundle, checkpoint=note).encode()
        found = await proof(data, held, lambda label: (), policy, Mute(), LATER)
        if not rule:
            verify(data, asked, held, policy, LATER)
            assert found is None
            continue
        with pytest.raises(LogMisbehaved, match=rule):
            verify(data, asked, held, policy, LATER)
        path.write_bytes(found or b"")
        code, said = await check_evidence(path)
        assert (code, said["verdict"]) == (2, "undecided")
        trusted.write_text(trusted.read_text() + "\nquorum w1\n")
        code, said = await check_evidence(path, "--witnesses", str(trusted))
        assert (code, said["verdict"], said["kind"]) == (0, "proven", "time")


async def test_what_was_admitted_is_hidden() -> None:
    """R-80.7, R-71.2: a block of one's own, that was admitted and that no lookup has shown yet."""
    w = world()
    phone = w.teller.told[w.ada.label].links[1]
    forgetful = w.teller.telling(
        w.ada.label,
        links=w.teller.told[w.ada.label].links[:1],
        state=w.tellers[0].told[w.ada.label].state,
    )
    with Trust.open(":memory:", w.log.log_id) as trust:
        trust.admit(w.ada.label, phone)
        assert trust.admitted() == {w.ada.label: [phone]}
        held = trust.held()
        for of in (ADA, w.ada.label):
            asking = held.ask(w.ada.label, REPLAY, [of])
            data = forgetful.answer(asking)
            with pytest.raises(LogMisbehaved, match=r"R-71\.2"):
                verify(data, asking, held, REPLAY, LATER)
            server = Prover([*forgetful.entries, forgetful.last])
            found = await proof(data, held, trust.chain_links, REPLAY, server, LATER)
            assert proven(found, w.log.log_id) == ("directory", "R-42.5")
        # What is shown is asked for no more; before it can be there, it is not missed.
        asked = held.ask(w.ada.label, REPLAY, [ADA])
        early = w.tellers[0].answer(asked)
        verify(early, asked, held, REPLAY, LATER)
        outcome = verify(w.teller.answer(asked), asked, held, REPLAY, LATER)
        assert trust.keep(held, outcome, LATER)
        assert trust.admitted() == {}
        trust.admit(w.ada.label, phone)
        assert trust.admitted() == {}


class Server(Prover):
    """Who tells these, one answer after the other, and proves the newest tree."""

    def __init__(self, *tellers: Teller) -> None:
        super().__init__(*([*one.entries, one.last] for one in tellers))
        self.tellers = list(tellers)

    async def lookup(self, request: bytes) -> bytes:
        asked = LookupRequest.decode(Authenticated.decode(request).request)
        return self.tellers[0].answer(asked)

    async def checkpoint(self) -> bytes:
        return self.tellers[0].note()

    async def covered(self) -> bytes:
        raise Refused(404, "not-found", "none")

    async def statements(self, request: bytes) -> bytes:
        raise Refused(403, "forbidden", "none")


def light_log(w: LightWorld, trust: Trust, server: Server, policy: Policy = REPLAY) -> LightLog:
    identity = Identity(w.ada.label, w.ada.opening, bytes(80))
    device = DeviceSecret(w.ada.devices[0].signing, w.ada.devices[0].encryption)
    account = Account(w.log.log_id, identity, (device,))
    return LightLog(trust, server, account, policy=policy, clock=lambda: LATER)


def hiding(w: LightWorld, label: bytes) -> Teller:
    """All entries are there, but the last one's directory hides the last block of a chain."""
    before = w.tellers[0].told[label]
    return w.teller.telling(label, links=before.links, state=before.state)


def without(w: LightWorld, label: bytes) -> Teller:
    return w.teller.lying(told={one: what for one, what in w.teller.told.items() if one != label})


@pytest.mark.parametrize("hide", [hiding, without])
@pytest.mark.parametrize("of", [ADA, "label"])
async def test_a_block_that_was_hidden_comes_later(
    hide: Callable[[LightWorld, bytes], Teller], of: str
) -> None:
    """R-65.7: the root that hid it was kept, and is what lied (R-80.7)."""
    w = world()
    lying = hide(w, w.ada.label)
    true = w.teller.lying(entries=[*lying.entries, lying.last])
    server = Server(lying, true)
    with Trust.open(":memory:", w.log.log_id) as trust:
        log = light_log(w, trust, server)
        await log.lookup(w.ada.label if of == "label" else of)
        server.tellers.pop(0)
        with pytest.raises(LogMisbehaved, match=r"R-65\.7.*hidden") as caught:
            await log.lookup(w.ada.label if of == "label" else of)
    assert proven(caught.value.proof, w.log.log_id) == ("directory", "R-42.5")
    body = Evidence.decode(caught.value.proof or b"").body
    assert isinstance(body, WrongDirectory)
    assert body.note == lying.note()


async def test_who_holds_no_links_of_another_chain_asks_once_more() -> None:
    """A shorter chain than was seen comes without its blocks."""
    w = world()
    again = next(case for case in CASES if case.name == "born again (again)")
    _, born = again.told(SCENES["again"]())
    liar = w.teller.lying(
        entries=[*w.teller.entries, w.teller.last],
        told={**w.teller.told, w.ada.label: born.told[w.ada.label]},
    )
    server = Server(w.teller, liar)
    with Trust.open(":memory:", w.log.log_id) as trust:
        log = light_log(w, trust, server)
        await log.lookup(ADA)
        server.tellers.pop(0)
        with pytest.raises(LogMisbehaved, match=r"R-65\.7") as caught:
            await log.lookup(w.ada.label)
    assert proven(caught.value.proof, w.log.log_id) == ("directory", "R-42.5")


async def test_who_believed_auditors_is_shown_the_blocks() -> None:
    """An audited state that does not follow is evidence, once its chain is asked for."""
    w = world()
    policy = Policy(Mode.AUDITED, auditors=quorum(2, *AUDITORS))
    liar = w.teller.telling(w.ada.label, state=w.tellers[0].told[w.ada.label].state)
    later = liar.lying(entries=[*w.teller.entries, w.teller.last])
    server = Server(w.teller, later)
    with Trust.open(":memory:", w.log.log_id) as trust:
        log = light_log(w, trust, server, policy)
        await log.lookup(ADA)
        server.tellers.pop(0)
        with pytest.raises(LogMisbehaved) as caught:
            await log.lookup(w.ada.label)
    assert proven(caught.value.proof, w.log.log_id) == ("chain", "R-65.9")


async def test_the_logs_own_links_are_held() -> None:
    """So that a chain can be judged whole, though a bundle brings what is new of it only."""
    w = world()
    with Trust.open(":memory:", w.log.log_id) as trust:
        for at in (0, -1):
            held = trust.held()
            asked = held.ask(w.ada.label, REPLAY, [BOB])
            outcome = verify(w.tellers[at].answer(asked), asked, held, REPLAY, LATER)
            assert trust.keep(held, outcome, LATER)
        assert tuple(trust.chain_links(LOG_LABEL)) == w.teller.told[LOG_LABEL].links


async def test_files_of_each_kind_are_judged_by_the_command(tmp_path: Path) -> None:
    """The real `keyroll-verifier check-evidence`, offline."""
    kinds: dict[str, Case] = {}
    for case in SIGNED:
        wanted = expected(case)
        if wanted and case.scene != "audited":
            kinds.setdefault(wanted[0], case)
    assert set(kinds) == {"fork", "entry", "time", "chain", "directory"}
    for kind, case in kinds.items():
        scene = SCENES[case.scene]()
        path = tmp_path / kind
        path.write_bytes(await evidence(case, scene) or b"")
        code, said = await check_evidence(path, "--log-id", scene.world.log.log_id.hex())
        assert (code, said["verdict"], said["kind"]) == (0, "proven", kind)
        assert said["rule"] == (expected(case) or ("", ""))[1]


def test_missing_cosignatures_are_no_evidence() -> None:
    w = world()
    policy = Policy(witnesses=quorum(1, *WITNESSES))
    asked = w.held().ask(w.ada.label, policy, [ADA])
    with pytest.raises(NotCosigned) as caught:
        verify(w.teller.answer(asked), asked, w.held(), policy, LATER)
    assert not isinstance(caught.value, LogMisbehaved)
