"""A server that lies about one identifier, with the log's own keys where it needs them (R-65)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from hashlib import sha256
from itertools import chain
from typing import Any

import pytest

from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Held, LogView
from ledger.client.policy import Policy
from ledger.errors import KeyrollError, LogMisbehaved, MalformedInput
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL, NO_LOG_ID, Anchor
from ledger.format.bodies import ZERO_HASH, BlockType, Limits
from ledger.format.lookup import Answer, Bundle, ChainPart, Link
from ledger.tree.directory_proof import Proof
from tests.client import lies_of_chains, lies_of_trees
from tests.client.lies import SCENES, Case, broken, world
from tests.client.lies_of_trees import begun
from tests.client.light_world import ADA, AUDITED, LATER, REPLAY
from tests.support.actors import NOW, LogActor, User

CASES = list(chain(*lies_of_trees.LIES, *lies_of_chains.LIES))


@pytest.mark.parametrize("name", SCENES)
def test_the_truth_is_believed(name: str) -> None:
    scene = SCENES[name]()
    outcome = scene.judge(scene.teller.answer(scene.asked))
    assert len(outcome.found) == len(scene.asked.queries)
    assert all((found.pin is None) == ("nobody" in name) for found in outcome.found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_lie_is_refused(case: Case) -> None:
    scene = SCENES[case.scene]()
    data = case.answer(scene)
    with pytest.raises(KeyrollError) as caught:
        scene.judge(data)
    error = caught.value
    assert (type(error), getattr(error, "rule", "")) == (case.error, case.rule), error
    if isinstance(error, LogMisbehaved):
        assert error.evidence["checkpoint"] == Bundle.decode(data).checkpoint
        if case.rule == "R-61.2":
            assert error.evidence["accepted"] == scene.held.view.note
        if case.rule.startswith("R-65"):
            assert error.evidence["bundle"] == data
            assert error.evidence["asked"] == scene.asked.encode()


def bad_first_blocks() -> dict[str, bytes]:
    """First blocks that no log may have, whatever its log id says."""
    honest = LogActor.make().block
    actor = LogActor.make().after
    signers = [actor.app_root, actor.log_key]
    fields = (BlockType.LOG_CREATE, LOG_LABEL, 0, ZERO_HASH)
    anchored = blocks.write(
        *fields, Anchor(1, bytes(32)), honest.body, signers=signers, log_id=NO_LOG_ID
    )
    crossed = blocks.write(
        *fields, honest.anchor, honest.body, signers=signers[::-1], log_id=NO_LOG_ID
    )
    policy = actor.policy(Anchor(2, bytes(32)), limits=Limits(max_devices=3)).raw
    user = User.create(actor, ADA, Anchor(2, bytes(32)), label=b"a" * 32).raw
    return {
        "signature": broken(honest.raw),
        "anchor": anchored,
        "signers": crossed,
        "policy": policy,
        "user": user,
    }


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
@pytest.mark.parametrize("name", bad_first_blocks())
def test_a_log_id_that_names_no_log(name: str, policy: Policy) -> None:
    raw = bad_first_blocks()[name]
    held = Held(LogView(sha256(raw).digest()))
    asked = held.ask(bytes(32), policy, [ADA])
    bundle = begun(world().teller.bundle(asked), entry.block(NOW, raw))
    with pytest.raises(MalformedInput, match=r"R-65\.2"):
        verify(bundle.encode(), asked, held, policy, LATER)


WITHIN: dict[str, Any] = {"log": ChainPart, "chain": ChainPart, "links": Link, "proof": Proof}


def paths(kind: Any, prefix: str = "") -> Iterator[str]:
    """Every field of a dataclass by name, and those of what is in it."""
    for field in fields(kind):
        name = prefix + field.name
        if field.name in WITHIN:
            yield from paths(WITHIN[field.name], name + ".")
        else:
            yield name


def test_every_field_has_a_case() -> None:
    """The log's chain is checked as any other is: for its links and proof, one case is enough."""
    named = {"version", *paths(Bundle), *paths(Answer)}
    inner = {name for name in named if name.startswith(("log.proof.", "log.links."))}
    about = {case.field for case in CASES}
    assert named - inner - about == set()
    assert {"log.proof", "log.links"} <= about


def test_every_rule_has_a_case() -> None:
    assert {f"R-65.{number}" for number in range(1, 10)} <= {case.rule for case in CASES}
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
