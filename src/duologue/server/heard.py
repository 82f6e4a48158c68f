"""From milliseconds heard to words heard: what the model may remember of a speech that was cut."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Mark(Struct, frozen=True, kw_only=True):
    """After `audio_ms` of sound the first `characters` of the transcript have been spoken."""

    audio_ms: float
    characters: int


def words_heard(transcript: str, marks: Sequence[Mark], audio_ms: int) -> str:
    """The part of `transcript` that fits into `audio_ms`: even pace between two marks, cut back to a whole word."""
    before = Mark(audio_ms=0, characters=0)
    for mark in marks:
        if mark.audio_ms > audio_ms:
            share = (audio_ms - before.audio_ms) / (mark.audio_ms - before.audio_ms)
            reached = before.characters + int(share * (mark.characters - before.characters))
            return _whole_words(transcript, reached)
        before = mark
    return _whole_words(transcript, before.characters)


def _whole_words(text: str, end: int) -> str:
    if end >= len(text):
        return text
    while end > 0 and not text[end].isspace() and not text[end - 1].isspace():
        end -= 1
    return text[:end].rstrip()
