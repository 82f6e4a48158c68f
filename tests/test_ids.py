"""Ids as the protocol spells them."""

from __future__ import annotations

import re

import pytest

from duologue.ids import CountingIds, random_id


@pytest.mark.parametrize(("prefix", "length"), [("event", 21), ("item", 21), ("call", 16), ("ek", 32), ("rtc", 32)])
def test_a_random_id_has_its_prefix_and_length(prefix: str, length: int) -> None:
    assert re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{{length}}}", random_id(prefix))


def test_random_ids_differ() -> None:
    assert len({random_id("item") for _ in range(1000)}) == 1000


def test_counting_ids_count_each_prefix_by_itself() -> None:
    ids = CountingIds()
    assert [ids("item"), ids("resp"), ids("item")] == ["item_1", "resp_1", "item_2"]
