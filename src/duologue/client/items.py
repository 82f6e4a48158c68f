"""One item of the conversation, growing as its events come in. Pure."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from duologue.audio.g711 import alaw_decode, ulaw_decode
from duologue.audio.wav import pack_wav
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)
from duologue.protocol.session import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat

_PCM = PcmFormat()


class ToolCall(Struct, frozen=True, kw_only=True):
    """A tool call as far as it is known; `arguments` is JSON text, whole once the item is completed."""

    name: str
    call_id: str
    arguments: str
    type: Literal["function"] = "function"


class Part:
    """One content part: pieces of text, transcript and sound, or a picture."""

    __slots__ = ("_audio", "audio_bytes", "image", "said_bytes", "text", "transcript")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.transcript: list[str] = []
        self.image: InputImage | None = None
        self._audio: list[bytes] = []
        self.audio_bytes = 0
        self.said_bytes = 0

    def cut(self, keep_bytes: int) -> None:
        """Forget the sound after so many bytes."""
        if keep_bytes <= 0:
            self.said_bytes = max(self.said_bytes, 1)  # nothing was heard, however long it was: no word is left
        if self.audio_bytes > keep_bytes:
            self.said_bytes = max(self.said_bytes, self.audio_bytes)
            kept = self.audio[: max(0, keep_bytes)]
            self._audio, self.audio_bytes = [kept], max(0, keep_bytes)

    @property
    def sounded(self) -> bool:
        """Whether any of its sound was ever here: then its words are cut with it."""
        return bool(self.audio_bytes or self.said_bytes)

    @property
    def kept_bytes(self) -> int:
        """Of the sound that is still here."""
        return sum(map(len, self._audio))

    def forget_audio(self) -> None:
        """Let go of the sound; its length and words stay known."""
        self._audio = []

    @property
    def heard(self) -> str:
        """The words of the sound that is left: where it was cut, in proportion, up to the last whole word."""
        words = "".join(self.transcript)
        if self.audio_bytes >= self.said_bytes:
            return words
        head = words[: len(words) * self.audio_bytes // self.said_bytes]
        return head.rpartition(" ")[0]

    def add_audio(self, piece: bytes) -> None:
        self._audio.append(piece)
        self.audio_bytes += len(piece)

    def set_audio(self, audio: bytes) -> None:
        self._audio = [audio]
        self.audio_bytes = len(audio)

    @property
    def audio(self) -> bytes:
        if len(self._audio) > 1:
            self._audio = [b"".join(self._audio)]
        return self._audio[0] if self._audio else b""


class Formatted:
    """What an item says, ready to show or play; joined from its pieces when it is looked at."""

    __slots__ = ("_item",)

    def __init__(self, item: ConversationItem) -> None:
        self._item = item

    @property
    def text(self) -> str:
        """Typed or written text of all parts."""
        return "".join("".join(part.text) for part in self._item.parts())

    @property
    def transcript(self) -> str:
        """What was spoken, in words."""
        return "".join("".join(part.transcript) for part in self._item.parts())

    @property
    def audio(self) -> bytes:
        """Sound of all parts in the session's format (by default PCM16, 24 kHz, mono); cut where it was truncated."""
        parts = self._item.parts()
        return parts[0].audio if len(parts) == 1 else b"".join(part.audio for part in parts)

    @property
    def tool(self) -> ToolCall | None:
        """The tool that is called, for an item that calls one."""
        item = self._item
        if item.type not in ("function_call", "mcp_call"):
            return None
        return ToolCall(name=item.name, call_id=item.call_id, arguments=item.arguments)

    @property
    def output(self) -> str:
        """What a tool answered."""
        return self._item.output

    @property
    def file(self) -> bytes | None:
        """The sound as a WAV file: PCM16 at 24 kHz, or at 8 kHz where the session speaks G.711; None where there is none."""
        audio = self.audio
        if not audio:
            return None
        match self._item.sound:
            case PcmuFormat():
                return pack_wav(ulaw_decode(audio), rate_hz=8000)
            case PcmaFormat():
                return pack_wav(alaw_decode(audio), rate_hz=8000)
            case PcmFormat(rate=rate_hz):
                return pack_wav(audio[: len(audio) // 2 * 2], rate_hz=rate_hz)


class ConversationItem:
    """`type`, `role`, `status`, `name`, `call_id` as on the wire; `formatted` for people; `wire` is the last version seen.

    `sound`: the format of its sound. `cut_ms`: the speech was truncated after so many ms. `completed`: the server said that
    the item is final. `transcribed`: the words of the user's speech are whole, and no words were heard where there are none.
    """

    __slots__ = (
        "_arguments", "_parts", "call_id", "completed", "cut_ms", "formatted", "id", "name", "next", "output", "placed",
        "previous", "response_id", "role", "sound", "spoken", "status", "transcribed", "transcription_code",
        "transcription_error", "type", "wire",
    )  # fmt: skip

    def __init__(self, item_id: str, sound: AudioFormat = _PCM) -> None:
        self.id = item_id
        self.sound = sound
        self.type = "message"
        self.role: str | None = None
        self.status: str | None = None
        self.name = ""
        self.call_id = ""
        self.output = ""
        self.wire: Item | None = None
        self.response_id: str | None = None
        self.completed = False
        self.placed = False
        self.spoken = False
        self.cut_ms: int | None = None
        self.transcribed = False
        self.transcription_code = ""
        self.transcription_error: str | None = None
        self.previous: ConversationItem | None = None
        self.next: ConversationItem | None = None
        self._arguments: list[str] = []
        self._parts: dict[int, Part] = {}
        self.formatted = Formatted(self)

    def __repr__(self) -> str:
        said = self.formatted.transcript or self.formatted.text or self.name or self.output
        return f"<ConversationItem {self.id} {self.role or self.type} {self.status}: {said[:60]!r}>"

    @property
    def arguments(self) -> str:
        """JSON text of a tool call's arguments."""
        return "".join(self._arguments)

    def add_arguments(self, piece: str) -> None:
        self._arguments.append(piece)

    def set_arguments(self, whole: str) -> None:
        self._arguments = [whole]

    def part(self, index: int) -> Part:
        """The content part, made when it is first spoken of."""
        part = self._parts.get(index)
        if part is None:
            part = self._parts[index] = Part()
        return part

    def parts(self) -> list[Part]:
        return [self._parts[index] for index in sorted(self._parts)]

    def take(self, wire: Item) -> None:
        """Take over a newer version; what it leaves empty does not wipe what came before."""
        self.wire = wire
        self.type = str(wire.__struct_config__.tag)
        status: Any = getattr(wire, "status", None)
        if isinstance(status, str):
            self.status = status
        match wire:
            case Message():
                self.role = wire.role
                self._take_content(wire)
            case FunctionCall() | McpCall():
                self.name = wire.name
                call_id = getattr(wire, "call_id", "")
                self.call_id = call_id if isinstance(call_id, str) else self.call_id
                if wire.arguments:
                    self._arguments = [wire.arguments]
                if isinstance(wire, McpCall) and isinstance(wire.output, str):
                    self.output = wire.output
            case FunctionCallOutput():
                self.call_id = wire.call_id
                self.output = wire.output
            case _:
                pass

    def _take_content(self, wire: Message) -> None:
        for index, content in enumerate(wire.content):
            match content:
                case InputText(text=text) | OutputText(text=text):
                    if text:
                        self.part(index).text = [text]
                case InputAudio(transcript=words, audio=audio) | OutputAudio(transcript=words, audio=audio):
                    self.spoken = self.spoken or isinstance(content, InputAudio)
                    part = self.part(index)
                    if words:
                        part.transcript = [words]
                    if isinstance(audio, bytes) and audio:
                        part.set_audio(audio)
                case InputImage(image_url=url) if url:
                    self.part(index).image = content
                case _:
                    pass

    def truncate(self, index: int, end_ms: int, bytes_per_ms: int) -> None:
        """The server forgot everything after `end_ms` of this part; the words stay, `cut_ms` tells what was heard."""
        self.cut_ms = end_ms
        self.part(index).cut(end_ms * bytes_per_ms)
