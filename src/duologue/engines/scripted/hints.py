"""What users are likely to say, for recognizers that listen with a grammar."""

from __future__ import annotations

from collections.abc import Sequence

from duologue.engines.base import SpeechHints
from duologue.protocol.session import FunctionTool


def speech_hints(tools: Sequence[FunctionTool], prompt: str | None, *, places_limit: int) -> SpeechHints:
    """Phrases and slots for the built-in answers, for `tools`, and from the transcription prompt."""
    return SpeechHints(phrases=("hello", "stop"))
