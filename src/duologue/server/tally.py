"""What one session came to: counted from the events that pass, told to a meter as they pass and in a report at the end."""

from __future__ import annotations

from msgspec import UNSET, Struct

from duologue.protocol import client_events as said
from duologue.protocol import server_events as wire
from duologue.protocol.client_events import ClientEvent
from duologue.protocol.server_events import ServerEvent

SPEECH_ENDS = (said.InputAudioBufferCommit, said.ResponseCreate, wire.InputAudioBufferSpeechStopped)
"""What a listener waits from until the answer is heard."""


class SessionReport(Struct, frozen=True, kw_only=True):
    """A session in one line of a log: no keys, no speech."""

    session: str
    model: str
    dialect: str
    seconds: float
    turns: int
    """Items that the user spoke or wrote."""
    responses: int
    input_tokens: int
    output_tokens: int
    estimated_input_tokens: int
    """Those of the above that no engine counted."""
    estimated_output_tokens: int
    errors: int
    ended: str


class Spoken(Struct, frozen=True, kw_only=True):
    """What was said in a session, `who` being `user` or `assistant`. Only told to meters, which may keep it or not."""

    session: str
    who: str
    text: str


class Meter:
    """Hears what sessions come to. This one forgets it all."""

    def received(self, kind: str) -> None:
        """A client sent a well-formed event."""

    def sent(self, kind: str) -> None:
        """An event was sent to a client."""

    def errored(self, code: str) -> None:
        """A client was sent an `error`."""

    def refused(self, code: str) -> None:
        """A connection was refused a session."""

    def responded(self, status: str) -> None:
        """A response ended."""

    def failed(self, part: str) -> None:
        """An engine failed: `recognizer`, or `responder` for the model and its voice."""

    def first_audio(self, seconds: float) -> None:
        """From the end of the user's turn to the first sound of the answer."""

    def spoke(self, spoken: Spoken) -> None:
        """The user or the model said something."""

    def ended(self, report: SessionReport) -> None:
        """A session is over."""


class Tally:
    """Counts one session. Times are monotonic, in ms."""

    def __init__(self, session_id: str, dialect: str, meter: Meter, now_ms: int) -> None:
        self._session_id = session_id
        self._dialect = dialect
        self._meter = meter
        self._began_ms = now_ms
        self._model = ""
        self._turns = 0
        self._responses = 0
        self._input_tokens = 0
        self._output_tokens = 0
        self._estimated_input_tokens = 0
        self._estimated_output_tokens = 0
        self._errors = 0
        self._turn_ended_ms: int | None = None

    def received(self, event: ClientEvent, now_ms: int) -> None:
        """A client's event."""
        self._meter.received(str(event.__struct_config__.tag))
        if isinstance(event, SPEECH_ENDS):
            self._turn_ended_ms = now_ms
        if isinstance(event, said.ConversationItemCreate):
            self._turns += getattr(event.item, "role", None) == "user"

    def sent(self, event: ServerEvent, now_ms: int) -> None:
        """An event on its way to the client."""
        self._meter.sent(str(event.__struct_config__.tag))
        match event:
            case wire.ResponseOutputAudioDelta() | wire.OutputAudioBufferStarted():
                if self._turn_ended_ms is not None:
                    self._meter.first_audio((now_ms - self._turn_ended_ms) / 1000)
                    self._turn_ended_ms = None
            case wire.SessionCreated(session=session) | wire.SessionUpdated(session=session):
                self._model = given if (given := getattr(session, "model", UNSET)) is not UNSET else ""
            case wire.InputAudioBufferSpeechStopped():
                self._turn_ended_ms = now_ms
            case wire.InputAudioBufferCommitted():
                self._turns += 1
            case wire.InputAudioTranscriptionCompleted(transcript=text):
                self._meter.spoke(Spoken(session=self._session_id, who="user", text=text))
            case wire.ResponseOutputTextDone(text=text) | wire.ResponseOutputAudioTranscriptDone(transcript=text):
                self._meter.spoke(Spoken(session=self._session_id, who="assistant", text=text))
            case wire.InputAudioTranscriptionFailed():
                self._meter.failed("recognizer")
            case wire.ResponseDone():
                self._done(event)
            case wire.Error(error=error):
                self._errors += 1
                self._meter.errored(error.code or error.type)

    def _done(self, event: wire.ResponseDone) -> None:
        response = event.response
        self._responses += 1
        self._meter.responded(response.status)
        if response.status == "failed":
            self._meter.failed("responder")
        if response.usage is not None:
            self._input_tokens += response.usage.input_tokens
            self._output_tokens += response.usage.output_tokens

    def estimated(self, input_tokens: int, output_tokens: int) -> None:
        """So many tokens of a response are estimates."""
        self._estimated_input_tokens += input_tokens
        self._estimated_output_tokens += output_tokens

    def end(self, why: str, now_ms: int) -> SessionReport:
        """Close the books."""
        report = SessionReport(
            session=self._session_id,
            model=self._model,
            dialect=self._dialect,
            seconds=(now_ms - self._began_ms) / 1000,
            turns=self._turns,
            responses=self._responses,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            estimated_input_tokens=self._estimated_input_tokens,
            estimated_output_tokens=self._estimated_output_tokens,
            errors=self._errors,
            ended=why,
        )
        self._meter.ended(report)
        return report
