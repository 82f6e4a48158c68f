from __future__ import annotations

import pytest

from duologue.dialogue.cost import Totals, cost_of, default_prices, parse_prices, transcription_cost
from duologue.errors import ConfigError
from duologue.protocol.responses import CachedTokens, DurationUsage, InputTokens, OutputTokens, Usage

USAGE = Usage(
    total_tokens=3_000_000,
    input_tokens=2_000_000,
    output_tokens=1_000_000,
    input_token_details=InputTokens(
        text_tokens=1_000_000,
        audio_tokens=1_000_000,
        cached_tokens=600_000,
        cached_tokens_details=CachedTokens(text_tokens=500_000, audio_tokens=100_000),
    ),
    output_token_details=OutputTokens(text_tokens=250_000, audio_tokens=750_000),
)


def test_cached_tokens_are_priced_apart_and_not_twice() -> None:
    cost = cost_of(USAGE, "gpt-realtime-2025-08-28", default_prices())
    assert cost is not None
    assert cost.input_usd == pytest.approx(0.5 * 4 + 0.9 * 32)
    assert cost.cached_usd == pytest.approx(0.6 * 0.40)
    assert cost.output_usd == pytest.approx(0.25 * 16 + 0.75 * 64)


def test_local_is_free_and_unknown_is_unknown() -> None:
    local = cost_of(USAGE, "scripted", default_prices())
    assert local is not None
    assert local.usd == 0
    assert cost_of(USAGE, "somebody-elses", default_prices()) is None
    totals = Totals().plus(USAGE, local).plus(USAGE, None).plus(None, None)
    assert (totals.responses, totals.unpriced, totals.cached_tokens) == (2, 1, 1_200_000)


def test_own_tables_override_and_bad_ones_say_so() -> None:
    table = parse_prices('as_of = "today"\n[models.mine]\ntext_in = 1\n[minutes]\nears = 0.6')
    assert transcription_cost(DurationUsage(seconds=30), "ears", table) == pytest.approx(0.3)
    assert transcription_cost(DurationUsage(seconds=30), "gpt-realtime", table) is None
    with pytest.raises(ConfigError, match="text_inn"):
        parse_prices('as_of = "today"\n[models.mine]\ntext_inn = 1')
