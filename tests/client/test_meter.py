from __future__ import annotations

from typing import Any

import pytest

from duologue.client.meter import Meter
from duologue.dialogue.cost import parse_prices
from duologue.errors import ConfigError
from duologue.protocol import server_events as ev
from duologue.protocol.responses import DurationUsage, InputTokens, OutputTokens, Response, Usage
from duologue.protocol.session import Audio, AudioInput, RealtimeSession, Transcription

PRICES = parse_prices(
    'as_of = "today"\n[models.m]\ntext_in = 1\ntext_cached = 0.1\naudio_out = 10\n[minutes]\nears = 0.6'
)
SESSION = RealtimeSession(model="m", audio=Audio(input=AudioInput(transcription=Transcription(model="ears"))))


def done(response_id: str = "r") -> ev.ResponseDone:
    usage = Usage(
        total_tokens=1_100_000,
        input_tokens=1_000_000,
        output_tokens=100_000,
        input_token_details=InputTokens(text_tokens=1_000_000, cached_tokens=500_000),
        output_token_details=OutputTokens(audio_tokens=100_000),
    )
    return ev.ResponseDone(event_id="e", response=Response(id=response_id, status="completed", usage=usage))


def test_responses_and_transcripts_add_up_cached_apart() -> None:
    meter = Meter(prices=PRICES)
    meter.in_force(SESSION)
    update = meter.apply(done())
    assert update is not None
    assert update.response_id == "r"
    assert update.cost is not None
    assert update.cost.usd == pytest.approx(0.5 + 0.05 + 1.0)
    transcript = ev.InputAudioTranscriptionCompleted(
        event_id="e", item_id="u", content_index=0, transcript="hi", usage=DurationUsage(seconds=30)
    )
    update = meter.apply(transcript)
    assert update is not None
    assert update.item_id == "u"
    totals = meter.totals
    assert totals.usd == pytest.approx(1.85)
    assert [totals.input_usd, totals.cached_usd] == pytest.approx([0.5, 0.05])
    assert [totals.output_usd, totals.transcription_usd] == pytest.approx([1.0, 0.3])
    assert (totals.input_tokens, totals.cached_tokens, totals.output_tokens) == (1_000_000, 500_000, 100_000)
    assert meter.apply(ev.ResponseDone(event_id="e", response=Response(id="r", status="failed"))) is None


def test_a_budget_is_spent_at_its_figure_and_needs_a_price() -> None:
    meter = Meter(2.0, PRICES)
    meter.in_force(SESSION)
    assert meter.unpriced_model is None
    meter.apply(done())
    assert not meter.spent
    meter.apply(done("r2"))
    assert meter.spent
    strange = Meter(2.0, PRICES)
    strange.in_force(RealtimeSession(model="unheard-of"))
    assert strange.unpriced_model == "unheard-of"
    strange.apply(done())
    assert strange.totals.unpriced == 1
    assert not strange.spent


@pytest.mark.parametrize("budget", [-1, 0, "1", float("nan")])
def test_a_budget_is_an_amount_of_money(budget: Any) -> None:
    with pytest.raises(ConfigError, match="a budget is more than 0 dollars"):
        Meter(budget)
