"""Chains that come in parts, put together before anybody looks at them (R-65.7). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.client.lookups import parts as light_parts
from ledger.client.lookups.parts import Parts
from ledger.errors import LogMisbehaved, MalformedInput
from ledger.format.lookup import Bundle, Link, LookupRequest
from tests.client.lies import SCENES, Scene, chains, flipped
from tests.support.actors import seed

Change = Callable[[Bundle], Bundle]


@pytest.fixture(autouse=True)
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer may be a part."""
    monkeypatch.setattr(light_parts, "MAX_ANSWER_BYTES", 1)


def answered(scene: Scene, asked: LookupRequest, room: int = 1) -> Bundle:
    """The answer, with no more than `room` links, and to the first query alone."""
    first = scene.teller.bundle(replace(asked, queries=asked.queries[:1]))
    part = first.answers[0].chain
    return chains(first, links=part.links[:room])


def whole(scene: Scene, change: Change = lambda bundle: bundle, room: int = 1) -> bytes:
    """What is put together, each part being changed on its way."""
    parts, more = Parts(scene.asked), scene.asked
    while True:
        following = parts.take(change(answered(scene, more, room)).encode())
        if following is None:
            return parts.whole
        assert following.queries[0].held > more.queries[0].held
        assert replace(following, queries=()) == replace(scene.asked, queries=())
        more = following


@pytest.mark.parametrize("name", ["new", "known", "again", "seen", "nobody", "audited"])
def test_parts_are_what_comes_at_once(name: str) -> None:
    scene = SCENES[name]()
    assert whole(scene) == scene.teller.answer(scene.asked)
    assert whole(scene, room=2) == scene.teller.answer(scene.asked)


def test_the_first_of_many() -> None:
    scene = SCENES["pair"]()
    outcome = scene.judge(whole(scene))
    (found,) = outcome.found
    assert (found.label, len(outcome.rest)) == (scene.ada, 1)
    assert outcome.found == scene.judge(scene.teller.answer(scene.asked)).found[:1]


def bent(bundle: Bundle) -> Bundle:
    """The last link, changed."""
    *others, last = bundle.answers[0].chain.links
    return chains(bundle, links=(*others, replace(last, entry=flipped(last.entry, 9))))


def twice(bundle: Bundle) -> Bundle:
    """The first link of the chain again."""
    return chains(bundle, links=SCENES["new"]().links[:1])


@pytest.mark.parametrize("change", [bent, twice])
def test_parts_that_do_not_fit(change: Change) -> None:
    scene = SCENES["new"]()
    data = whole(scene, change)
    assert len(Bundle.decode(data).answers[0].chain.links) == 2
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        scene.judge(data)


def test_a_part_without_a_block_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that are short are refused as any answer is that leaves blocks out."""
    scene = SCENES["new"]()
    monkeypatch.setattr(light_parts, "MAX_ANSWER_BYTES", 1_048_576)
    parts = Parts(scene.asked)
    assert parts.take(answered(scene, scene.asked).encode()) is None
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        scene.judge(parts.whole)


def test_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that counts ever more blocks is asked until it has sent too many bytes."""
    scene = SCENES["new"]()
    monkeypatch.setattr(light_parts, "MAX_WHOLE_BYTES", 20_000)
    link = Link(5, seed("entry"))

    def endless(bundle: Bundle) -> Bundle:
        return chains(bundle, length=2**32, links=(link,) * 99)

    with pytest.raises(MalformedInput, match=r"R-65\.1"):
        whole(scene, endless)
