from __future__ import annotations

from duologue.console.purse import Purse
from duologue.protocol.responses import InputTokens, OutputTokens, Response, Usage


def response(number: int = 1) -> Response:
    usage = Usage(
        total_tokens=3000,
        input_tokens=2000,
        output_tokens=1000,
        input_token_details=InputTokens(text_tokens=1500, audio_tokens=500),
        output_token_details=OutputTokens(text_tokens=200, audio_tokens=800),
    )
    return Response(id=f"resp_{number}", status="completed", usage=usage)


def test_the_embedded_server_costs_nothing_and_that_is_no_estimate() -> None:
    purse = Purse(budget_usd=0)
    purse.add(response(), "duologue")
    seen = purse.view()
    assert (seen.usd, seen.estimated, seen.known, seen.tokens_in, seen.tokens_out) == (0.0, False, True, 2000, 1000)
    assert not purse.exhausted


def test_a_known_model_has_dollars_a_turn_and_altogether() -> None:
    purse = Purse(local=False)
    purse.add(response(1), "gpt-realtime")
    purse.add(response(2), "gpt-realtime")
    seen = purse.view()
    assert [turn.response for turn in seen.turns] == ["resp_1", "resp_2"]
    assert seen.turns[0].usd > 0
    assert abs(seen.usd - 2 * seen.turns[0].usd) < 1e-9
    assert seen.estimated
    assert not purse.exhausted


def test_the_budget_is_exhausted_when_it_is_spent() -> None:
    purse = Purse(budget_usd=1.0, local=False)
    purse.add(response(), "gpt-realtime")
    assert not purse.exhausted
    purse.budget_usd = 0.001
    assert purse.exhausted


def test_an_unknown_model_is_counted_and_said_to_be_unpriced() -> None:
    purse = Purse(local=False)
    purse.add(response(), "somebody-elses")
    seen = purse.view()
    assert (seen.usd, seen.known, seen.tokens_in) == (0.0, False, 2000)


def test_a_response_without_usage_changes_nothing() -> None:
    purse = Purse(local=False)
    purse.add(Response(id="r", status="failed"), "gpt-realtime")
    assert purse.view().turns == ()
