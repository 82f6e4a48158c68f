"""Buckets and budgets in given time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.dialogue.cost import Price, PriceTable
from duologue.relay.budget import Budget
from duologue.relay.commands import Allowance
from duologue.relay.limits import Bucket, Rates
from duologue.relay.settings import Limits

PRICES = PriceTable(as_of="2026-11-01", models={"m": Price(text_in=1_000_000)}, minutes={"t": 6.0})
USAGE = {"total_tokens": 3, "input_tokens": 3, "output_tokens": 0}


def test_a_bucket_is_full_at_first_and_fills_evenly() -> None:
    bucket = Bucket(rate_per_ms=0.01, burst=2)
    assert [bucket.take(1, 0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(1, 99)
    assert bucket.take(1, 100)
    assert not bucket.take(3, 1_000_000)


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0.1, 5)), max_size=50))
def test_a_bucket_never_gives_more_than_its_rate(steps: list[tuple[float, float]]) -> None:
    bucket, now, taken = Bucket(rate_per_ms=0.02, burst=10), 0.0, 0.0
    for wait_ms, amount in steps:
        now += wait_ms
        taken += amount if bucket.take(amount, now) else 0
        assert taken <= 10 + now * 0.02 + 1e-6


def test_what_one_limit_refuses_costs_nothing_of_the_other() -> None:
    rates = Rates(Limits(events_per_s=1, events_burst=1, audio_s_per_minute=1))
    assert not rates.sound(2000, 1, 0)
    assert rates.sound(600, 1, 0)
    assert not rates.sound(400, 1, 0)
    assert rates.audio(400, 0)


def test_what_was_taken_ahead_is_given_back() -> None:
    rates = Rates(Limits(events_per_s=1, events_burst=12, audio_s_per_minute=60))
    assert rates.sound(6000, 2, 0, ahead=True)
    assert (rates.paid, rates.paid_bytes) == (9, 6000)
    rates.paid -= 2
    assert not rates.audio(51_001, 0)
    assert rates.audio(51_000, 0)
    assert rates.paid == 0
    assert [rates.event(0, 0) for _ in range(10)] == [True] * 9 + [False]


def test_nothing_is_taken_ahead_that_is_not_there() -> None:
    rates = Rates(Limits(events_burst=9))
    assert rates.sound(0, 1, 0, ahead=True)
    assert rates.paid == 0


def test_money_and_tokens_add_up() -> None:
    budget = Budget(Limits(tokens_per_session=7), Allowance(usd=100), PRICES)
    for _ in range(2):
        spent = budget.response(USAGE, "m")
        assert spent is not None
        assert spent.usd == pytest.approx(3)
        assert budget.used_up is None
    budget.response(USAGE, "m")
    assert (budget.tokens, budget.usd, budget.used_up) == (9, pytest.approx(9), "the tokens of this session")


def test_the_days_budget_is_counted_down_and_may_be_set_anew() -> None:
    budget = Budget(Limits(), Allowance(usd=5), PRICES)
    budget.response(USAGE, "m")
    assert budget.used_up is None
    budget.response(USAGE, "m")
    assert budget.used_up == "the user's budget of today"
    budget.allow(Allowance(usd=1))
    assert budget.used_up is None


def test_minutes_of_transcription_cost_too() -> None:
    budget = Budget(Limits(usd_per_session=5), Allowance(), PRICES)
    assert budget.transcript({"type": "duration", "seconds": 30}, "t") is not None
    assert budget.usd == pytest.approx(3)
    budget.transcript({"type": "tokens", "total_tokens": 9, "input_tokens": 9, "output_tokens": 0}, "other")
    assert (budget.tokens, budget.used_up) == (9, None)


@pytest.mark.parametrize("usage", [None, 5, "x", {"total_tokens": "many"}, []])
def test_what_is_no_usage_counts_nothing(usage: object) -> None:
    budget = Budget(Limits(), Allowance(), PRICES)
    assert budget.response(usage, "m") is None
    assert budget.transcript(usage, "m") is None


def test_negative_usage_gives_nothing_back() -> None:
    budget = Budget(Limits(), Allowance(tokens=5), PRICES)
    budget.response({"total_tokens": -100}, "m")
    assert budget.tokens == 0


def test_a_dollar_bound_cannot_be_kept_without_a_price() -> None:
    budget = Budget(Limits(usd_per_session=1), Allowance(), PRICES)
    budget.response({"total_tokens": 0}, "unknown")
    assert budget.used_up is None
    budget.response(USAGE, "unknown")
    assert budget.used_up is not None
    assert "no price" in budget.used_up
