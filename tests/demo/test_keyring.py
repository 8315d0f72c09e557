"""The keyring's history as acts of users."""

from __future__ import annotations

from collections import Counter

import pytest

from ledger.demo.keyring import MAX_DEVICES, Act, Event, Person, acts_of, read_events, releases


def event(name: str, key: str = "A", *, new_key: str = "", role: str = "", count: int = 0) -> Event:
    return Event("2020-01-01T00:00:00Z", name, key, new_key, role, count)


def person(devices: int, *, left: bool = False) -> dict[str, Person]:
    names = [f"A/{n}" for n in range(1, devices + 1)]
    return {"A": Person("A", names, devices, left)}


def test_the_file_is_whole() -> None:
    events = read_events()
    assert len(events) == 1_323
    assert Counter(e.event for e in events) == {
        "subkeys": 1_032,
        "add": 208,
        "emeritus": 37,
        "replace": 31,
        "removed": 15,
    }
    assert sum(len(release) for release in releases(events)) == len(events)
    assert sum(e.count for e in events) == 3_109


@pytest.mark.parametrize("name", ["add", "subkeys", "replace", "emeritus"])
def test_whoever_is_seen_first_is_enrolled_first(name: str) -> None:
    acts = acts_of(event(name, new_key="B"), {})
    assert acts[0] == Act("enrol", "A", ("A/1",))


def test_subkeys_are_devices_counted_literally() -> None:
    people = person(1)
    assert acts_of(event("subkeys", count=3), people) == [
        Act("add", "A", (f"A/{n}",)) for n in (2, 3, 4)
    ]


def test_beyond_eight_devices_the_oldest_goes_first() -> None:
    people = person(MAX_DEVICES)
    acts = acts_of(event("subkeys", count=1), people)
    assert acts == [Act("revoke", "A", ("A/1",)), Act("add", "A", ("A/9",))]
    assert len(people["A"].devices) == MAX_DEVICES


def test_a_replacement_is_an_add_and_a_revoke_of_all_that_was() -> None:
    people = person(2)
    acts = acts_of(event("replace", new_key="B"), people)
    assert acts == [Act("add", "A", ("A/3",)), Act("revoke", "A", ("A/1", "A/2"))]
    assert people["B"] is people["A"]


def test_retiring_closes_once() -> None:
    people = person(2)
    assert acts_of(event("emeritus"), people) == [Act("close", "A")]
    assert acts_of(event("removed"), people) == []


def test_whoever_comes_back_is_reset_and_a_change_of_role_is_nothing() -> None:
    people = person(0, left=True)
    assert acts_of(event("add"), people) == [Act("return", "A", ("A/1",))]
    assert acts_of(event("add"), people) == []


@pytest.mark.parametrize(
    ("first", "role"),
    [
        (event("add", role="DM"), "DM"),
        (event("subkeys", count=1), "DD"),
        (event("replace", new_key="B"), "DD"),
        (event("emeritus"), ""),
    ],
)
def test_whoever_joined_before_the_file_begins_is_a_developer(first: Event, role: str) -> None:
    people: dict[str, Person] = {}
    acts_of(first, people)
    assert people["A"].role == role


def test_a_role_lasts_until_another_or_none() -> None:
    people: dict[str, Person] = {}
    roles = []
    for one in (
        event("add", role="DM"),
        event("subkeys", count=1),
        event("replace", new_key="B"),
        event("add", "B", role="DD"),
        event("removed", "B"),
        event("add", "B", role="DN"),
    ):
        acts_of(one, people)
        roles.append(people["A"].role)
    assert roles == ["DM", "DM", "DM", "DD", "", "DN"]


def test_nobody_ever_has_more_than_eight_devices() -> None:
    people: dict[str, Person] = {}
    kinds: Counter[str] = Counter()
    for one in read_events():
        kinds.update(act.kind for act in acts_of(one, people))
        assert all(len(someone.devices) <= MAX_DEVICES for someone in people.values())
    assert kinds == {"add": 3_140, "revoke": 2_407, "enrol": 406, "close": 52, "return": 1}
