"""What a beta client alone sees: the temperature that it chose."""

from __future__ import annotations

from typing import Any

import msgspec
from openai.types.realtime import SessionUpdatedEvent

from duologue.protocol import server_events as wire
from duologue.protocol.client_events import InputAudioBufferClear, SessionUpdate
from duologue.protocol.responses import Response
from duologue.server.config import default_session, default_transcription
from duologue.server.dialects import Beta, Ga

SESSION = default_session(session_id="sess_1", model="m", now_s=0)
UPDATED = wire.SessionUpdated(event_id="e", session=SESSION)


def update(beta: Beta, **settings: Any) -> SessionUpdate:
    event = beta.read(msgspec.json.encode({"type": "session.update", "event_id": "mine", "session": settings}))
    assert isinstance(event, SessionUpdate)
    return event


def shown(beta: Beta, event: wire.ServerEvent) -> Any:
    (frame,) = beta.write(event)
    said = msgspec.json.decode(frame)
    return said.get("session") or said.get("response") or said["error"]


def test_the_temperature_is_shown_once_its_update_is_taken() -> None:
    beta = Beta("mark")
    assert shown(beta, wire.SessionCreated(event_id="e", session=SESSION))["temperature"] == 0.8
    update(beta, temperature=0.7)
    response = Response(id="resp_1", status="in_progress")
    assert shown(beta, wire.ResponseCreated(event_id="e", response=response))["temperature"] == 0.8
    assert shown(beta, UPDATED)["temperature"] == 0.7
    assert shown(beta, wire.ResponseCreated(event_id="e", response=response))["temperature"] == 0.7
    update(beta, instructions="other")
    assert shown(beta, UPDATED)["temperature"] == 0.7


def test_an_update_that_is_refused_changes_nothing_and_its_error_bears_the_client_s_id() -> None:
    beta = Beta("mark")
    refused, taken = update(beta, temperature=1.2), update(beta, temperature=0.6)

    def error(event_id: str | None) -> wire.Error:
        details = wire.ErrorDetails(type="invalid_request_error", message="no", event_id=event_id)
        return wire.Error(event_id="e", error=details)

    assert shown(beta, error("mine"))["event_id"] == "mine"  # another event of the same id
    assert shown(beta, error(str(refused.event_id)))["event_id"] == "mine"
    assert refused.event_id != taken.event_id
    assert shown(beta, UPDATED)["temperature"] == 0.6


def test_no_id_of_a_client_s_is_taken_for_the_name_of_an_update() -> None:
    """Whoever calls an event as an earlier server named its updates, or as another connection's are named."""
    one, other = Beta("one"), Beta("other")
    taken, others = update(one, temperature=0.7), update(other, temperature=1.1)
    for stranger in ("update 1", "mine", "1", str(others.event_id)):
        details = wire.ErrorDetails(type="invalid_request_error", message="no", event_id=stranger)
        assert shown(one, wire.Error(event_id="e", error=details))["event_id"] == stranger
    assert taken.event_id != others.event_id
    assert shown(one, UPDATED)["temperature"] == 0.7


def test_somebody_else_s_update_in_a_call_hides_no_id() -> None:
    beta = Beta("mark")
    refused = update(beta, temperature=0.7)
    shown(beta, UPDATED)  # another guest's
    details = wire.ErrorDetails(type="invalid_request_error", message="no", event_id=str(refused.event_id))
    assert shown(beta, wire.Error(event_id="e", error=details))["event_id"] == "mine"


def test_an_update_without_an_id_has_none_in_its_error() -> None:
    beta = Beta("mark")
    refused = beta.read(b'{"type":"session.update","session":{}}')
    details = wire.ErrorDetails(type="invalid_request_error", message="no", event_id=str(refused.event_id))
    assert shown(beta, wire.Error(event_id="e", error=details))["event_id"] is None


def test_what_was_chosen_before_the_session_is_shown_from_its_start() -> None:
    beta = Beta("mark", 1.1)
    assert shown(beta, wire.SessionCreated(event_id="e", session=SESSION))["temperature"] == 1.1
    update(beta, instructions="other")
    assert shown(beta, UPDATED)["temperature"] == 1.1


def test_other_events_are_read_as_they_are() -> None:
    frame = b'{"type":"input_audio_buffer.clear","event_id":"c"}'
    for dialect in (Beta("mark"), Ga()):
        assert dialect.read(frame) == InputAudioBufferClear(event_id="c")


def test_a_transcription_session_has_no_temperature() -> None:
    beta = Beta("mark")
    update(beta, temperature=0.6)
    shown(beta, UPDATED)
    session = default_transcription(session_id="s", model="m", now_s=0)
    assert "temperature" not in shown(beta, wire.SessionUpdated(event_id="e", session=session))


def test_ga_is_written_as_it_is() -> None:
    (frame,) = Ga().write(UPDATED)
    assert SessionUpdatedEvent.model_validate_json(frame).session.type == "realtime"
