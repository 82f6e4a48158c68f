from __future__ import annotations

import json

from duologue.relay.dialects import Beta, Ga, speaks_beta


def test_a_beta_end_is_translated_and_a_ga_end_is_not() -> None:
    update = b'{"type":"session.update","session":{"voice":"ash"}}'
    assert json.loads(Beta().from_caller(update))["session"]["audio"]["output"]["voice"] == "ash"
    assert Ga().from_caller(update) is update
    delta = (
        b'{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,'
        b'"content_index":0,"delta":"AAAA"}'
    )
    (shown,) = Beta().to_caller(delta)
    assert json.loads(shown)["type"] == "response.audio.delta"
    assert [json.loads(each)["type"] for each in Beta().from_upstream(shown)] == ["response.output_audio.delta"]


def test_the_value_decides_about_the_beta() -> None:
    assert speaks_beta("realtime=v1", ())
    assert not speaks_beta("assistants=v2", ())
    assert speaks_beta("", ("realtime", "openai-beta.realtime-v1"))
