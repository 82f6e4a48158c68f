"""What a response cost in tokens: the engine's own count where it counts, else an estimate by the protocol's rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from duologue.protocol.items import FunctionCall, FunctionCallOutput, Item, Message, OutputAudio, text_of
from duologue.protocol.responses import CachedTokens, InputTokens, OutputTokens, Usage
from duologue.server.inputs import ModelDone

USER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
CHARACTERS_PER_TOKEN = 4


def text_tokens(text: str) -> int:
    """Tokens of a text, estimated."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def count_input(items: Iterable[Item], instructions: str, spoken_ms: Callable[[Item], int]) -> InputTokens:
    """Tokens that the model read. `spoken_ms` gives the length of an item's sound, 0 where it has none."""
    text, audio = text_tokens(instructions), 0
    for item in items:
        match item:
            case Message():
                length_ms = spoken_ms(item)
                rate = ASSISTANT_MS_PER_TOKEN if item.role == "assistant" else USER_MS_PER_TOKEN
                audio += -(-length_ms // rate)
                text += 0 if length_ms else text_tokens(text_of(item))
            case FunctionCall(arguments=words) | FunctionCallOutput(output=words):
                text += text_tokens(words)
    return InputTokens(text_tokens=text, audio_tokens=audio, cached_tokens_details=CachedTokens())


def count_output(items: Iterable[Item], spoken_ms: Callable[[Item], int]) -> OutputTokens:
    """Tokens that the model produced."""
    text, audio = 0, 0
    for item in items:
        match item:
            case Message():
                text += text_tokens(text_of(item))
                if any(isinstance(part, OutputAudio) for part in item.content):
                    audio += -(-spoken_ms(item) // ASSISTANT_MS_PER_TOKEN)
            case FunctionCall(arguments=words):
                text += text_tokens(words)
    return OutputTokens(text_tokens=text, audio_tokens=audio)


def settle(read: InputTokens, said: OutputTokens, done: ModelDone | None) -> Usage:
    """The usage of a response: estimates, overruled by what the engine counted."""
    if done is not None and done.input_tokens is not None:
        # A text model reads transcripts: its count replaces both estimates, or the user's speech would count twice.
        cached = done.cached_tokens or 0
        details = CachedTokens(text_tokens=cached)
        read = InputTokens(text_tokens=done.input_tokens, cached_tokens=cached, cached_tokens_details=details)
    if done is not None and done.output_tokens is not None:
        said = OutputTokens(text_tokens=done.output_tokens, audio_tokens=said.audio_tokens)
    input_tokens = read.text_tokens + read.audio_tokens
    output_tokens = said.text_tokens + said.audio_tokens
    return Usage(
        total_tokens=input_tokens + output_tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_token_details=read,
        output_token_details=said,
    )
