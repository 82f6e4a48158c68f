"""What a response cost in tokens: the engine's own count where it counts, else an estimate by the protocol's rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    Item,
    McpApprovalRequest,
    McpCall,
    Message,
    OutputAudio,
    text_of,
)
from duologue.protocol.responses import CachedTokens, InputTokens, OutputTokens, Usage
from duologue.server.commands import ReportEstimate
from duologue.server.inputs import ModelDone

USER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = {"low": 85}
IMAGE_TOKENS_DEFAULT = 765


def tokens_of(text: str) -> int:
    """Tokens of a text, estimated."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def add(one: InputTokens, other: InputTokens) -> InputTokens:
    """The sum of two counts; caches are not added up."""
    return InputTokens(
        text_tokens=one.text_tokens + other.text_tokens,
        audio_tokens=one.audio_tokens + other.audio_tokens,
        image_tokens=one.image_tokens + other.image_tokens,
    )


def item_tokens(item: Item, spoken_ms: Callable[[Item], int]) -> InputTokens:
    """Tokens of one item as the model reads it. `spoken_ms` gives the length of its sound, 0 where it has none."""
    match item:
        case Message():
            length_ms = spoken_ms(item)
            rate = ASSISTANT_MS_PER_TOKEN if item.role == "assistant" else USER_MS_PER_TOKEN
            images = [part.detail for part in item.content if isinstance(part, InputImage)]
            return InputTokens(
                text_tokens=tokens_of(text_of(_written(item) if length_ms else item)),
                audio_tokens=-(-length_ms // rate),
                image_tokens=sum(IMAGE_TOKENS.get(str(detail), IMAGE_TOKENS_DEFAULT) for detail in images),
            )
        case FunctionCall(arguments=words) | FunctionCallOutput(output=words):
            return InputTokens(text_tokens=tokens_of(words))
        case _:
            return InputTokens()


def _written(item: Message) -> Message:
    spoken = InputAudio | OutputAudio
    return replace(item, content=tuple(part for part in item.content if not isinstance(part, spoken)))


def count_output(items: Iterable[Item], spoken_ms: Callable[[Item], int]) -> OutputTokens:
    """Tokens that the model produced."""
    text, audio = 0, 0
    for item in items:
        match item:
            case Message():
                text += tokens_of(text_of(item))
                if any(isinstance(part, OutputAudio) for part in item.content):
                    audio += -(-spoken_ms(item) // ASSISTANT_MS_PER_TOKEN)
            case FunctionCall(arguments=words) | McpCall(arguments=words) | McpApprovalRequest(arguments=words):
                text += tokens_of(words)
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
    input_tokens = read.text_tokens + read.audio_tokens + read.image_tokens
    output_tokens = said.text_tokens + said.audio_tokens
    return Usage(
        total_tokens=input_tokens + output_tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_token_details=read,
        output_token_details=said,
    )


def estimate_in(usage: Usage, done: ModelDone | None) -> ReportEstimate:
    """The part of a settled usage that no engine counted."""
    return ReportEstimate(
        input_tokens=usage.input_tokens if done is None or done.input_tokens is None else 0,
        output_tokens=usage.output_tokens if done is None or done.output_tokens is None else 0,
    )
