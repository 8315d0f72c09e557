"""The benchmark of a large group, with a small one."""

from __future__ import annotations

import pytest

from tests.bench import thousand


def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thousand, "MEMBERS", 20)
    monkeypatch.setattr(thousand, "ROUNDS", 1)
    created, written, fetched = thousand.thousand_figures()
    assert created.key == "group_1000_ms"
    assert created.value > 0
    assert "/v1/blocks" in written.note
    assert written.value > 20 * 80
    assert 200 < fetched.value < 700
    assert "/v1/statements" in fetched.note.partition("who is in it")[2]
    assert "/v1/boxes" not in fetched.note
