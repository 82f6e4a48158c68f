"""Phrases of stories: items and settings of all kinds, in order and out of it."""

from __future__ import annotations

from typing import Any

import msgspec
from script import pcm
from story_answers import Answers
from story_teller import settings_of

from duologue.protocol.session import PcmaFormat, PcmuFormat
from duologue.server.formats import PCM, encoded


class Items(Answers):
    """What a client writes into the conversation and into the session."""

    def _create(self, item: dict[str, Any], **fields: Any) -> list[str]:
        return self.send("conversation.item.create", item=item, **fields)

    def _say(self, *content: dict[str, Any], **fields: Any) -> list[str]:
        return self._create({"type": "message", "role": "user", "content": list(content), **fields})

    def _type(self, choice: int) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        self._create(item, previous_item_id=(None, "root", self.item(choice))[choice % 3])

    def _type_it_twice(self, choice: int) -> None:
        for _ in range(2):
            self._say(id=f"mine_{choice % 3}")

    def _send_clips(self, choice: int) -> None:
        """Some clips in one message, sometimes in the place of another message."""
        clip = {"type": "input_audio", "audio": encoded(pcm(100 + choice), self.format)}
        words = {"type": "input_text", "text": "and"}
        content = [clip, words, clip] if choice % 2 else [clip]
        out = self._say(*content, id=f"clips_{choice % 3}")
        assert out.count("<OpenUtterance>") == len(content) - choice % 2
        if "<AbortUtterance>" in out:
            self.reached["clips replaced while they were heard"] += 1

    def _show_a_picture(self, choice: int) -> None:
        self._say({"type": "input_image", "image_url": "data:image/png;base64,AAAA"})

    def _put_in_a_line(self, choice: int) -> None:
        role, kind = (("system", "input_text"), ("assistant", "output_text"))[choice % 2]
        self._create({"type": "message", "role": role, "content": [{"type": kind, "text": "so it is. " * choice}]})

    def _call_by_hand(self, choice: int) -> None:
        call = {"type": "function_call", "name": "look", "arguments": "{}", "call_id": f"call_mine_{choice % 3}"}
        self._create(call)
        output = {"type": "function_call_output", "call_id": f"call_mine_{choice % 4}", "output": "x" * choice}
        self._create(output)

    def _answer_the_tool(self, choice: int) -> None:
        added = [event["item"] for event in self.events("conversation.item.added")]
        calls = [item["call_id"] for item in added if item["type"] == "function_call"]
        call_id = calls[choice % len(calls)] if calls else "nobody"
        self._create({"type": "function_call_output", "call_id": call_id, "output": "{}"})

    def _delete(self, choice: int) -> None:
        self.send("conversation.item.delete", item_id=self.item(choice))

    def _retrieve(self, choice: int) -> None:
        self.send("conversation.item.retrieve", item_id=self.item(choice))

    def _nonsense(self, choice: int) -> None:
        self.send("conversation.item.truncate", item_id="nobody", content_index=0, audio_end_ms=choice - 50)

    def _babble(self, choice: int) -> None:
        frames = ("{", "[]", '{"type":"sing"}', '{"type":"session.update"}', '{"event_id":"e"}', "null", '"x"')
        assert self.script.frame(frames[choice % len(frames)]) == ["error"]

    # --- settings ------------------------------------------------------------------------------------------------

    def _switch_the_format(self, choice: int) -> None:
        self.format = (PCM, PcmuFormat(), PcmaFormat())[choice % 3]
        both = {"format": settings_of(self.format)}
        self.update(audio={"input": both} if self.kind == "transcription" else {"input": both, "output": both})

    def _switch_settings(self, choice: int) -> None:
        look = {"type": "function", "name": "look"}
        wishes: tuple[dict[str, Any], ...] = (
            {"instructions": "be brief " * choice},
            {"output_modalities": ["text"]},
            {"output_modalities": ["audio"]},
            {"tools": [look], "tool_choice": "required"},
            {"tools": [look], "tool_choice": {"type": "function", "name": "look"}},
            {"tools": []},
            {"truncation": "disabled"},
            {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}},
            {"tracing": ("auto", None)[choice % 2]},
            {"audio": {"output": {"speed": 1 + choice / 400, "voice": ("ash", "verse")[choice % 2]}}},
            {"audio": {"input": {"transcription": None}}},
            {"audio": {"input": {"transcription": {"model": "x", "language": "en"}}}},
            {"max_output_tokens": 1 + choice},
        )
        self.update(**wishes[choice % len(wishes)])

    def _fill_the_context(self, choice: int) -> None:
        for _ in range(4):
            self._put_in_a_line(70 + choice % 30)
        self.update(truncation=("auto", "disabled", {"type": "retention_ratio", "retention_ratio": 0.5})[choice % 3])
        self._be_answered(choice)

    def _change_the_voice_after_speaking(self, choice: int) -> None:
        self._be_answered(choice)
        self.update(audio={"output": {"voice": ("ash", "verse", "sage")[choice % 3]}})

    def _settings_out_of_range(self, choice: int) -> None:
        before = self.script.machine.settings
        wish = {"type": "server_vad", "threshold": 2 + choice}
        self.update(instructions="never", audio={"input": {"turn_detection": wish}})
        assert self.script.machine.settings == before, "a refused update changed something"

    def _change_the_temperature(self, choice: int) -> None:
        """In the beta it is taken or refused, in GA nobody knows it."""
        wish = 0.5 + choice / 100
        frame = {"type": "session.update", "session": {"temperature": wish}}
        out = self.script.frame(msgspec.json.encode(frame))
        taken = self.dialect == "beta" and self.kind == "realtime" and 0.6 <= wish <= 1.2
        assert out == (["session.updated"] if taken else ["error"])
        if taken:
            assert self.script.told[-1]["session"]["temperature"] == wish
            self.reached["temperature chosen"] += 1
