"""The user's turns: from edges of speech to items, transcripts and the answers to them."""

from __future__ import annotations

from collections.abc import Iterable

from duologue.errors import ProtocolError
from duologue.protocol import server_events as wire
from duologue.protocol.items import InputAudio, Message
from duologue.protocol.session import AnySession, RealtimeSession, ServerVad
from duologue.server import config
from duologue.server.cleaning import Cleaning
from duologue.server.commands import AbortUtterance, OpenUtterance
from duologue.server.conversation import Conversation
from duologue.server.formats import Decoder
from duologue.server.inputs import Transcribed, TranscriptFailed, TranscriptGuess, TranscriptReady
from duologue.server.listening import Began, Ended, Listening, Step
from duologue.server.outbox import Outbox
from duologue.server.responses import Responses
from duologue.server.sounds import Sound
from duologue.server.transcripts import Transcripts


class Turns:
    """Listens for one session."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        transcripts: Transcripts,
        responses: Responses,
        listening: Listening,
        cleaning: Cleaning,
    ) -> None:
        self.listening = listening
        self._cleaning = cleaning
        self._out = outbox
        self._conversation = conversation
        self._transcripts = transcripts
        self._responses = responses
        self._settings: AnySession = responses.settings
        self._decoder = Decoder(config.input_format(self._settings))

    def configure(self, session: AnySession) -> None:
        """Take the session's settings; an open speech survives every change, that of the format too."""
        self._settings = session
        if self._decoder.format != config.input_format(session):
            self._decoder = Decoder(config.input_format(session))
        self._heard(self._cleaning.configure(session))
        detection = config.turn_detection(session)
        if not isinstance(detection, ServerVad) or not isinstance(detection.idle_timeout_ms, int):
            self._responses.idle_at_ms = None  # nobody waits for silence any more
        self._steps(self.listening.configure(session))

    # --- sound -----------------------------------------------------------------------------------------------

    def append(self, data: bytes) -> None:
        """More sound, in the session's format."""
        self.hear(self._decoder.feed(data))

    def hear(self, audio: bytes) -> None:
        """More sound, of a call: PCM16, 24 kHz, mono, whatever the session's format."""
        self._heard(self._cleaning.feed(audio))

    def _heard(self, audio: bytes) -> None:
        if audio:
            self._steps(self.listening.append(audio))

    def commit(self) -> None:
        """The client ends the turn by hand. Raises ProtocolError."""
        self._heard(self._cleaning.settle())
        item_id, audio, steps = self.listening.commit()
        self._steps(steps)
        self._add(item_id, audio)

    def clear(self) -> None:
        """The client takes back what it sent."""
        self._decoder.reset()
        self._heard(self._cleaning.settle())
        self._steps(self.listening.clear())
        self._out.emit(wire.InputAudioBufferCleared)

    def frames(self, probabilities: tuple[float, ...]) -> None:
        """The detector's verdict."""
        self._steps(self.listening.frames(probabilities, over_speech=self._responses.audible))

    def idle(self) -> None:
        """The user has been silent for too long: that is a turn, too."""
        self._responses.idle_at_ms = None
        item_id, start_ms, end_ms = self.listening.take_silence()
        self._out.emit(
            wire.InputAudioBufferTimeoutTriggered, audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id
        )
        self._add(item_id, b"", transcript="")
        self._answer()

    def _steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Began():
                    self._began(step)
                case Ended():
                    self._out.emit(
                        wire.InputAudioBufferSpeechStopped, audio_end_ms=step.audio_end_ms, item_id=step.item_id
                    )
                    self._add(step.item_id, step.audio)
                    detection = config.turn_detection(self._settings)
                    if detection is not None and detection.create_response is not False:
                        self._answer()
                case OpenUtterance(item_id=item_id):
                    self._transcripts.opened(item_id)
                    self._out.do(step)
                case AbortUtterance(item_id=item_id):
                    self._transcripts.aborted(item_id)
                    self._out.do(step)
                case _:
                    self._out.do(step)

    def _began(self, speech: Began) -> None:
        self._responses.idle_at_ms = None
        self._out.emit(wire.InputAudioBufferSpeechStarted, audio_start_ms=speech.audio_start_ms, item_id=speech.item_id)
        detection = config.turn_detection(self._settings)
        if detection is not None and detection.interrupt_response is not False:
            self._responses.interrupt()

    def _answer(self) -> None:
        if not isinstance(self._settings, RealtimeSession):
            return
        try:
            self._responses.answer()
        except ProtocolError as error:  # no event of the client's is to blame
            self._out.refuse(error)

    # --- items and transcripts -------------------------------------------------------------------------------

    def _add(self, item_id: str, audio: bytes, transcript: str | None = None) -> None:
        history = self._conversation.history
        previous = history.last_id
        self._out.emit(wire.InputAudioBufferCommitted, previous_item_id=previous, item_id=item_id)
        item = Message(id=item_id, status="completed", role="user", content=(InputAudio(transcript=transcript),))
        history.append(item_id, item)
        self._conversation.set_sound(item_id, Sound(audio=audio))
        self._out.emit(wire.ConversationItemAdded, previous_item_id=previous, item=item)
        self._out.emit(wire.ConversationItemDone, previous_item_id=previous, item=item)
        if transcript is None:
            early = self._transcripts.committed(item_id, audio)
            if early:
                self.transcribed(early)

    def transcribed(self, result: Transcribed) -> None:
        """The recognizer has news of an item."""
        match result:
            case TranscriptGuess(item_id=speech_id, text=text):
                self._transcripts.guessed(speech_id, text)
            case TranscriptReady(item_id=speech_id, text=text):
                if item_id := self._transcripts.ready(speech_id, text):
                    self._responses.heard(item_id)
            case TranscriptFailed():
                if failure := self._transcripts.failed(result):
                    self._responses.unheard(failure)
