"""What is counted of a session."""

from __future__ import annotations

from duologue.protocol import client_events as said
from duologue.protocol import server_events as wire
from duologue.protocol.items import InputText, Message
from duologue.protocol.responses import Response, Usage
from duologue.protocol.session import RealtimeSession
from duologue.server.tally import Meter, SessionReport, Spoken, Tally

PLACE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}


class Notes(Meter):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def responded(self, status: str) -> None:
        self.heard.append(status)

    def errored(self, code: str) -> None:
        self.heard.append(code)

    def failed(self, part: str) -> None:
        self.heard.append(part)

    def first_audio(self, seconds: float) -> None:
        self.heard.append(seconds)

    def spoke(self, spoken: Spoken) -> None:
        self.heard.append(spoken)

    def ended(self, report: SessionReport) -> None:
        self.heard.append(report)


def test_a_session_in_numbers() -> None:
    notes = Notes()
    tally = Tally("sess_1", "beta", notes, 1000)
    tally.sent(wire.SessionCreated(session=RealtimeSession(model="m")), 1000)
    tally.received(said.ConversationItemCreate(item=Message(role="user", content=(InputText(text="hi"),))), 1100)
    tally.received(said.ResponseCreate(), 2000)
    tally.sent(wire.ResponseOutputAudioDelta(**PLACE, delta=b"\0\0"), 2250)
    tally.sent(wire.ResponseOutputAudioDelta(**PLACE, delta=b"\0\0"), 2300)
    tally.sent(wire.ResponseOutputAudioTranscriptDone(**PLACE, transcript="hello"), 2300)
    usage = Usage(total_tokens=7, input_tokens=5, output_tokens=2)
    tally.sent(wire.ResponseDone(response=Response(id="resp_1", status="completed", usage=usage)), 2400)
    tally.estimated(5, 0)
    tally.sent(wire.InputAudioBufferSpeechStopped(audio_end_ms=5, item_id="item_2"), 3000)
    tally.sent(wire.InputAudioBufferCommitted(item_id="item_2"), 3000)
    tally.sent(wire.ResponseDone(response=Response(id="resp_2", status="failed")), 3100)
    tally.sent(wire.ResponseOutputAudioDelta(**PLACE, delta=b"\0\0"), 3500)
    tally.sent(wire.Error(error=wire.ErrorDetails(type="server_error", message="?")), 3600)
    report = tally.end("peer: 1000", 4000)
    assert report == SessionReport(
        session="sess_1",
        model="m",
        dialect="beta",
        seconds=3.0,
        turns=2,
        responses=2,
        input_tokens=5,
        output_tokens=2,
        estimated_input_tokens=5,
        estimated_output_tokens=0,
        errors=1,
        ended="peer: 1000",
    )
    hello = Spoken(session="sess_1", who="assistant", text="hello")
    assert notes.heard == [0.25, hello, "completed", "failed", "responder", 0.5, "server_error", report]
