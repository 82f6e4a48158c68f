"""The rate limit, in whole minutes and tokens."""

from __future__ import annotations

from script import Script

from duologue.protocol.responses import RateLimit
from duologue.server import inputs
from duologue.server.bucket import TokenBucket
from duologue.server.rules import Rules


def test_tokens_come_back_evenly() -> None:
    bucket = TokenBucket(600, 0)
    bucket.spend(300, 0)
    assert bucket.report(0) == RateLimit(name="tokens", limit=600, remaining=300, reset_seconds=30.0)
    assert bucket.report(10_000).remaining == 400
    assert bucket.report(60_000) == RateLimit(name="tokens", limit=600, remaining=600, reset_seconds=0.0)


def test_a_debt_is_paid_before_there_is_a_token_again() -> None:
    bucket = TokenBucket(60, 0)
    bucket.spend(70, 0)
    assert bucket.report(0).remaining == 0
    assert bucket.empty_for_s(0) == 11.0
    assert bucket.empty_for_s(11_000) == 0.0


def test_a_response_beyond_the_limit_fails_and_says_when_to_come_back() -> None:
    s = Script(rules=Rules(frame_ms=32, tokens_per_minute=60))
    s.client("response.create")
    s.give(inputs.ModelText(response_id="resp_1", text="a" * 400))
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    limits = s.events()[-1]["rate_limits"]
    assert (limits[0]["name"], limits[0]["limit"], limits[0]["remaining"]) == ("tokens", 60, 0)
    assert s.client("response.create") == ["response.created", "response.done", "rate_limits.updated"]
    error = s.events()[-2]["response"]["status_details"]["error"]
    assert error["code"] == "rate_limit_exceeded"
    s.now_ms = 300_000
    assert s.client("response.create") == ["response.created", "<StartModel>"]
