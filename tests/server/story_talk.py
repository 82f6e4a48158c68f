"""Phrases of stories: the user speaks, pauses are judged, speech becomes words."""

from __future__ import annotations

from script import SILENCE, SPEECH, pcm
from story_teller import VAD, Storyteller

from duologue.server import inputs


class Talk(Storyteller):
    """The user's voice and what is made of it."""

    def _talk(self, choice: int) -> None:
        self.sound(100 + choice * 7, SPEECH)

    def _talk_into_the_telephone(self, choice: int) -> None:
        """Sound that comes beside the events, in whatever format those are."""
        for sound in (SPEECH, SILENCE):
            self.script.give(inputs.Heard(audio=pcm(200 + choice, sound)))

    def _pause(self, choice: int) -> None:
        self.sound(250 + choice * 3, SILENCE)

    def _breathe(self, choice: int) -> None:
        self.sound(5 + choice % 50, SPEECH if choice % 2 else SILENCE)

    def _take_a_turn(self, choice: int) -> None:
        self._by_voice(choice)
        self._talk(choice)
        self._pause(choice)
        self.script.give(inputs.TranscriptReady(item_id=self.untranscribed()[-1], text="hello"))

    def _stay_silent(self, choice: int) -> None:
        self.turns({**VAD, "idle_timeout_ms": 5000})
        self._be_answered(choice)
        self.script.now_ms += 30_000
        self.script.give(inputs.Tick())

    def _wait(self, choice: int) -> None:
        self.script.now_ms += choice * 20
        self.script.give(inputs.Tick())

    def _be_answered(self, choice: int) -> None:
        raise NotImplementedError

    # how turns are found

    def _by_hand(self, choice: int) -> None:
        self.turns(None)

    def _by_voice(self, choice: int) -> None:
        self.turns(VAD)

    def _by_voice_alone(self, choice: int) -> None:
        self.turns({**VAD, "create_response": False, "interrupt_response": bool(choice % 2)})

    def _by_meaning(self, choice: int) -> None:
        eagerness = ("low", "medium", "high", "auto")[choice % 4]
        if self.script.machine.speaking:
            self.reached["eagerness set in mid-speech"] += 1
        self.turns({"type": "semantic_vad", "eagerness": eagerness, "create_response": choice % 5 > 0})

    def _politely(self, choice: int) -> None:
        self.turns({**VAD, "interrupt_response": False})

    def _commit(self, choice: int) -> None:
        self.send("input_audio_buffer.commit")

    def _clear(self, choice: int) -> None:
        self.send("input_audio_buffer.clear")

    # pauses are judged

    def _judge(self, choice: int) -> None:
        for asked in self.judgements()[-1:]:
            score = None if choice % 4 == 0 else choice / 99
            before = len(self.script.commands)
            self.script.give(inputs.TurnJudged(item_id=asked.item_id, score=score))
            assert self.script.commands[before:] == [], "only more sound ends a turn"
            stopped = {event["item_id"] for event in self.events("input_audio_buffer.speech_stopped")}
            self.reached["judged too late" if asked.item_id in stopped else "judged"] += 1
            if score is None:
                self.reached["judge failed"] += 1

    def _speak_in_thoughts(self, choice: int) -> None:
        """A pause for thought, judged early, late, or after the speech went on; then the real end."""
        self._by_meaning(choice)
        self._talk(choice)
        self.sound(224, SILENCE)
        if choice % 3 == 1:
            self._talk(choice)
            self.reached["judged after the speech went on"] += 1
        self._judge(1 if choice % 2 else 0)
        self._talk(choice)
        before = len(self.events("input_audio_buffer.speech_stopped"))
        self.sound(256, SILENCE)
        self._judge(99)
        self.sound(200, SILENCE)
        if len(self.events("input_audio_buffer.speech_stopped")) > before:
            self.reached["turn ended by its judge"] += 1

    # speech becomes words

    def _understand(self, choice: int) -> None:
        waiting = self.untranscribed()
        text = "" if choice % 7 == 0 else "hello"
        self.script.give(inputs.TranscriptReady(item_id=waiting[-1 - choice % len(waiting)], text=text))

    def _misunderstand(self, choice: int) -> None:
        waiting = self.untranscribed()
        lost = inputs.TranscriptFailed(item_id=waiting[-1 - choice % len(waiting)], code="x", message="lost")
        self.script.give(lost)

    def _understand_too_late(self, choice: int) -> None:
        told = self.untranscribed()[0]
        self.script.give(inputs.TranscriptReady(item_id=told, text="first"))
        self.too_late(inputs.TranscriptReady(item_id=told, text="again"), "late transcript dropped")
        self.too_late(inputs.TranscriptFailed(item_id=told, code="x", message="late"), "late crash of the recognizer")

    def _guess(self, choice: int) -> None:
        if choice % 3 == 0:
            delay = ("minimal", "low", "xhigh")[choice % 9 // 3]
            self.update(audio={"input": {"transcription": {"model": "x", "delay": delay}}})
        newest = self.opened()[-1]
        words = ["one", "two", "three", "four", "five", "six"]
        for count in range(2, 3 + choice % 4):
            guess = inputs.TranscriptGuess(item_id=newest, text=" ".join(words[:count]))
            if self.script.give(guess) and self.untranscribed()[-1] != newest:
                self.reached["words while spoken"] += 1

    def _see_words_while_speaking(self, choice: int) -> None:
        self._by_voice(choice)
        self.update(audio={"input": {"transcription": {"model": "x", "delay": "low"}}})
        self._talk(choice)
        self._guess(choice)

    def _give_up_early(self, choice: int) -> None:
        lost = inputs.TranscriptFailed(item_id=self.opened()[-1], code="engine_crashed", message="gone")
        self.script.give(lost)
