"""A conversation item as the page shows it: who, what, how much of it was heard. Pure."""

from __future__ import annotations

from duologue.audio.spec import BYTES_PER_MS
from duologue.client.items import ConversationItem
from duologue.console.views import ItemView, ToolCallView

PROBLEMS = {"engine_crashed": "recognizer-crashed", "unsupported_language": "recognizer-language"}
"""What the page has own words for, by the code of a failed transcription."""


def view(item: ConversationItem, *, heard_ms: int, received_ms: int, transcribed: bool) -> ItemView:
    """The item with its ledger (`received_ms` of sound came in, `heard_ms` of it were heard).

    `transcribed`: the session transcribes the user's speech, so that words that are missing may still come.
    """
    formatted = item.formatted
    words = formatted.transcript or formatted.text
    heard, unheard = (words, "") if item.cut_ms is None else divide(words, item.cut_ms, received_ms)
    tool = formatted.tool
    of_user = item.role == "user"
    silent = of_user and item.spoken and not words
    over = item.transcribed or item.transcription_error is not None
    return ItemView(
        id=item.id,
        kind=item.type,
        role=item.role or "",
        status=item.status or ("completed" if item.completed else "in_progress"),
        text=heard.strip(),
        unheard=unheard.strip(),
        awaiting_transcript=silent and not over and transcribed,
        no_words=silent and item.transcribed,
        tool=None if tool is None else ToolCallView(name=tool.name, call_id=tool.call_id, arguments=tool.arguments),
        output=formatted.output,
        audio_ms=sum(part.audio_bytes for part in item.parts()) // BYTES_PER_MS if of_user else received_ms,
        heard_ms=0 if of_user else heard_ms,
        cut_ms=item.cut_ms,
        problem=item.transcription_error or "",
        problem_code=problem_code(item.transcription_code) if item.transcription_error else "",
    )


def problem_code(code: str) -> str:
    """The page's name of what failed a transcription."""
    return PROBLEMS.get(code, "transcription")


def divide(words: str, cut_ms: int, whole_ms: int) -> tuple[str, str]:
    """What was heard and what was not, split at the word nearest to the time: an estimate, speech has no exact map here."""
    if whole_ms <= 0 or cut_ms >= whole_ms:
        return words, ""
    target = len(words) * cut_ms / whole_ms
    borders = [0, *(at for at, sign in enumerate(words) if sign == " "), len(words)]
    end = min(borders, key=lambda at: abs(at - target))
    return words[:end], words[end:]
