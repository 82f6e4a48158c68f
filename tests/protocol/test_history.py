from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from duologue.protocol.history import History, Unplaceable

IDS = st.sampled_from("abcdefgh")


class AgainstAList(RuleBasedStateMachine):
    """Whatever is done to a history, it looks like a list of pairs to which the same was done."""

    def __init__(self) -> None:
        super().__init__()
        self.history: History[int] = History()
        self.model: list[tuple[str, int]] = []

    def place(self, item_id: str) -> int | None:
        return next((place for place, (known, _) in enumerate(self.model) if known == item_id), None)

    @rule(item_id=IDS, value=st.integers(), after=st.none() | IDS)
    def insert(self, item_id: str, value: int, after: str | None) -> None:
        known = self.place(item_id)
        before = None if after is None else self.place(after)
        if known is not None:
            self.model[known] = (item_id, value)
        elif after is not None and before is None:
            with pytest.raises(Unplaceable):
                self.history.insert(item_id, value, after)
            return
        else:
            self.model.insert(0 if before is None else before + 1, (item_id, value))
        self.history.insert(item_id, value, after)

    @rule(item_id=IDS, value=st.integers())
    def append(self, item_id: str, value: int) -> None:
        known = self.place(item_id)
        if known is None:
            self.model.append((item_id, value))
        else:
            self.model[known] = (item_id, value)
        self.history.append(item_id, value)

    @rule(item_id=IDS, value=st.integers())
    def replace(self, item_id: str, value: int) -> None:
        known = self.place(item_id)
        if known is None:
            with pytest.raises(Unplaceable):
                self.history.replace(item_id, value)
        else:
            self.model[known] = (item_id, value)
            self.history.replace(item_id, value)

    @rule(item_id=IDS)
    def delete(self, item_id: str) -> None:
        known = self.place(item_id)
        expected = None if known is None else self.model.pop(known)[1]
        assert self.history.delete(item_id) == expected

    @invariant()
    def looks_like_the_list(self) -> None:
        ids = [item_id for item_id, _ in self.model]
        assert list(self.history) == ids
        assert list(self.history.values()) == [value for _, value in self.model]
        assert len(self.history) == len(ids)
        assert self.history.last_id == (ids[-1] if ids else None)
        for before, item_id in zip([None, *ids], ids, strict=False):
            assert self.history.previous_id(item_id) == before
        for item_id in "abcdefgh":
            assert (item_id in self.history) == (item_id in ids)
            assert self.history.get(item_id) == dict(self.model).get(item_id)


TestAgainstAList = AgainstAList.TestCase


def test_deleting_the_tail_leaves_a_live_item_to_follow() -> None:
    history: History[str] = History()
    for item_id in "abc":
        history.append(item_id, item_id)
    history.delete("c")
    history.append("d", "d")
    assert list(history) == ["a", "b", "d"]
    assert history.previous_id("d") == "b"


def test_long_conversations_stay_quick() -> None:
    history: History[int] = History()
    for number in range(20_000):
        history.insert(str(number), number, after=None)
    for number in range(0, 20_000, 2):
        history.delete(str(number))
    assert len(list(history)) == 10_000
    assert history.last_id == "1"
