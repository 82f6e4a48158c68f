"""Phrases of stories: responses are asked for, models write and speak, clients cut them short."""

from __future__ import annotations

from typing import Any

from script import pcm
from story_talk import Talk

from duologue.server import inputs
from duologue.server.formats import encoded


class Answers(Talk):
    """What a model says, and what becomes of it."""

    def _start_answering(self, choice: int) -> None:
        if not self.running():
            self._ask(choice)
        for response_id in self.running()[-1:]:
            for _ in range(1 + choice % 3):
                self.script.give(inputs.ModelText(response_id=response_id, text="some more words. "))
                self.script.give(inputs.VoiceAudio(response_id=response_id, audio=pcm(300 + choice)))
                self.script.give(inputs.VoiceMark(response_id=response_id, characters=17))

    def _be_answered(self, choice: int) -> None:
        self._start_answering(choice)
        for response_id in self.running()[-1:]:
            self.script.give(inputs.ModelDone(response_id=response_id, reason="stop"))

    def _be_answered_in_writing(self, choice: int) -> None:
        self.update(output_modalities=["text"])
        if not self.running():
            self._ask(choice)
        for response_id in self.running()[-1:]:
            for piece in ("some ", "words"):
                self.script.give(inputs.ModelText(response_id=response_id, text=piece))
            reason = ("stop", "length", "content_filter")[choice % 3]
            self.script.give(inputs.ModelDone(response_id=response_id, reason=reason))

    def _be_answered_at_length(self, choice: int) -> None:
        """Until the minute's tokens are spent."""
        for _ in range(10):
            if not self.running():
                self._ask(choice)
            for response_id in self.running()[-1:]:
                self.script.give(inputs.ModelText(response_id=response_id, text="and so on " * 100))
                self.script.give(inputs.ModelDone(response_id=response_id, reason="stop"))

    def _interrupt(self, choice: int) -> None:
        self._by_voice(choice)
        self._start_answering(choice)
        self._talk(choice)

    def _talk_over_it_and_cut(self, choice: int) -> None:
        self._start_answering(choice)
        self._truncate(choice)
        if choice % 2:
            self._talk(choice)

    # what a model does

    def _write(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelText(response_id=r, text=f"word{choice} "))

    def _speak(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.VoiceAudio(response_id=r, audio=pcm(10 + choice * 9)))
        self.model(choice, lambda r: inputs.VoiceMark(response_id=r, characters=5))

    def _call_a_tool(self, choice: int) -> None:
        for name, arguments in (("look", ""), (None, '{"a":'), (None, "1}")):
            self.model(
                choice, lambda r, n=name, a=arguments: inputs.ModelToolCall(response_id=r, index=0, name=n, arguments=a)
            )

    def _finish(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelDone(response_id=r, reason="stop"))

    def _run_out(self, choice: int) -> None:
        reason = "content_filter" if choice % 4 == 3 else "length"
        self.model(choice, lambda r: inputs.ModelDone(response_id=r, reason=reason))

    def _break_down(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelFailed(response_id=r, code="server_error", message="gone"))

    # what a client asks for

    def _ask(self, choice: int) -> None:
        self.send("response.create")

    def _ask_aside(self, choice: int) -> None:
        self._aside({"metadata": {"topic": f"t{choice}"}})

    def _aside(self, wishes: dict[str, Any]) -> list[str]:
        out = self.send("response.create", response={"conversation": "none", **wishes})
        if "response.created" in out:
            self.reached["out of band"] += 1
            if len(self.unfinished()) > 1:
                self.reached["responses side by side"] += 1
        return out

    def _ask_with_own_sound(self, choice: int) -> None:
        part = {"type": "input_audio", "audio": encoded(pcm(100 + choice), self.format)}
        item = {"type": "message", "role": "user", "content": [part] * (1 + choice % 2)}
        if "<OpenUtterance>" in self._aside({"input": [item]}):
            self.reached["own sound"] += 1

    def _ask_with_a_reference(self, choice: int) -> None:
        chosen = [{"type": "item_reference", "id": self.item(choice)}]
        if choice % 2:
            self.send("response.create", response={"conversation": "auto", "input": chosen})
        else:
            self._aside({"input": chosen})

    def _ask_in_a_voice_of_its_own(self, choice: int) -> None:
        voice = "ash" if self.dialect == "beta" else {"id": "voice_1"}
        output = {"format": {"type": "audio/pcma"}, "voice": voice}
        self._aside({"audio": {"output": output}, "instructions": "sing"})

    def _ask_for_one_tool(self, choice: int) -> None:
        name = ("look", "nobody")[choice % 2]
        wishes = {"tools": [{"type": "function", "name": "look"}], "tool_choice": {"type": "function", "name": name}}
        out = self._aside(wishes)
        assert (name == "look") == ("response.created" in out) or self.kind == "transcription"

    # what a client stops

    def _cancel(self, choice: int) -> None:
        self.send("response.cancel")

    def _cancel_one(self, choice: int) -> None:
        running = self.running()
        self.send("response.cancel", response_id=running[choice % len(running)] if running else "nobody")

    def _clear_the_loudspeaker(self, choice: int) -> None:
        playing = self.on_the_loudspeaker()[1] > 0
        out = self.send("output_audio_buffer.clear")
        assert self.call or out == ["error"]
        if playing and "output_audio_buffer.cleared" in out:
            self.reached["loudspeaker cleared"] += 1

    def _play_on(self, choice: int) -> None:
        """The loudspeaker gets on, to its end or not; news of what was hushed meanwhile come too late."""
        clears, samples = self.on_the_loudspeaker()
        if clears:
            self.too_late(inputs.Played(clears=clears - 1, samples=choice), "late news of the loudspeaker")
        self.heard_samples = max(self.heard_samples if clears == self.clears else 0, samples * min(choice, 60) // 60)
        self.clears = clears
        if self.call:
            self.script.give(inputs.Played(clears=clears, samples=self.heard_samples))

    def _listen_to_the_end(self, choice: int) -> None:
        self._be_answered(choice)
        self._play_on(99)

    clears = heard_samples = 0

    def _truncate(self, choice: int) -> None:
        added = [event["item"] for event in self.events("conversation.item.added")]
        spoken = [item["id"] for item in added if item.get("role") == "assistant"]
        item_id = spoken[-1 - choice % min(2, len(spoken))] if spoken else "nobody"
        live = self.script.machine.active_response_id
        out = self.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=choice)
        if live and out == ["conversation.item.truncated"] and live in self.running():
            self.reached["truncated while speaking"] += 1
