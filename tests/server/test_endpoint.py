"""Score to silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.server.endpoint import LONGEST_MS, SHORTEST_MS, next_judgement_ms, wait_ms

EAGERNESS = ("low", "medium", "auto", "high")


@pytest.mark.parametrize("eagerness", EAGERNESS)
def test_sure_is_shortest_and_open_is_longest(eagerness: str) -> None:
    assert wait_ms(1.0, eagerness) == SHORTEST_MS[eagerness]
    assert wait_ms(0.0, eagerness) == LONGEST_MS[eagerness]


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(EAGERNESS))
def test_who_sounds_more_finished_never_waits_longer(one: float, other: float, eagerness: str) -> None:
    low, high = sorted((one, other))
    assert wait_ms(high, eagerness) <= wait_ms(low, eagerness)


@given(st.floats(0, 1))
def test_the_eager_wait_least(score: float) -> None:
    assert wait_ms(score, "high") <= wait_ms(score, "medium") <= wait_ms(score, "low")
    assert wait_ms(score, "auto") == wait_ms(score, "medium")


def test_not_knowing_is_the_middle() -> None:
    assert wait_ms(None, "medium") == wait_ms(0.5, "medium") == 992


@given(st.integers(200, 8000))
def test_judgements_become_rarer(pause_ms: int) -> None:
    assert next_judgement_ms(pause_ms) - pause_ms >= pause_ms // 2
