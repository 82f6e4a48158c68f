"""Generated stories: whatever is said, in whatever order, the laws of a session hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from story_laws import check_laws, note
from story_remote import Teller
from strict import check_events

from duologue.protocol.codec import CLIENT_EVENT_TYPES, SERVER_EVENT_TYPES
from duologue.server.commands import JudgeTurn

Story = list[tuple[str, int]]

ALONE = tuple(
    name[1:].replace("_", " ")
    for part in Teller.__mro__
    for name in vars(part)
    if name.startswith("_") and not name.startswith("__") and name not in ("_create", "_say", "_aside", "_servers")
)
"""Every phrase there is, so that none can be forgotten here."""
OFTEN = (
    # whole scenes, so that a story gets somewhere; those that matter most come more often
    *("take a turn",) * 3, *("be answered",) * 3, *("start answering",) * 3, *("interrupt",) * 2,
    *("take a remote turn", "answer remotely") * 2, "write", "speak", "speak in thoughts", "judge",
)  # fmt: skip
PHRASES = (*dict.fromkeys(("wait", *ALONE)), *OFTEN)
"""The first is what a shrunken story is filled with."""

NEVER_SENT = {
    "conversation.created", "conversation.item.created",  # of the beta, whose names the dialect gives
    "input_audio_buffer.dtmf_event_received",  # of telephones
    "conversation.item.input_audio_transcription.segment",  # of recognizers that tell speakers apart
}  # fmt: skip
SCENES = (
    "response completed", "response cancelled: turn_detected", "response cancelled: client_cancelled",
    "response incomplete: max_output_tokens", "response incomplete: content_filter", "response failed: server_error",
    "response failed: rate_limit_exceeded", "response failed: engine_crashed", "out of band", "responses side by side",
    "late output dropped", "late transcript dropped", "late crash of the recognizer", "late listing dropped",
    "late answer of a remote tool dropped", "truncated while speaking", "words while spoken", "G.711 spoken",
    "context dropped", "own sound", "settings changed in mid-speech", "eagerness set in mid-speech", "judged",
    "judged too late", "judge failed", "judged after the speech went on", "turn ended by its judge",
    "remote tool answered", "remote tool failed", "approved", "not approved", "temperature chosen",
    "clips replaced while they were heard", "loudspeaker cleared", "late news of the loudspeaker",
    "realtime call in ga", "realtime call in beta", "realtime session in ga", "realtime session in beta",
    "transcription session in ga", "transcription session in beta", "error: invalid_value", "error: invalid_json",
    "error: unknown_parameter", "error: response_cancel_not_active", "error: input_audio_buffer_commit_empty",
    "error: conversation_already_has_active_response", "error: cannot_update_voice",
    "error: item_delete_invalid_item_id", "error: item_retrieve_invalid_item_id",
    "error: item_truncate_invalid_item_id", "error: decimal_above_max_value",
)  # fmt: skip
ONCE = {
    *SCENES,
    *(f"phrase: {phrase}" for phrase in PHRASES),
    *(f"sent in {dialect}: {kind}" for dialect in ("ga", "beta") for kind in CLIENT_EVENT_TYPES),
    *(kind for kind in SERVER_EVENT_TYPES if kind not in NEVER_SENT),
}
"""What the stories of one run must reach, each at least once in a hundred stories."""

STORIES = 500
stories = st.lists(st.tuples(st.sampled_from(PHRASES), st.integers(0, 99)), min_size=15, max_size=45)
tellers = st.sampled_from(
    [{}] * 4 + [{"beta": True}] * 3 + [{"call": True}] * 3
    + [{"scribe": True}, {"scribe": True, "beta": True}, {"call": True, "beta": True}]
)  # fmt: skip
"""Who is told about: see `Storyteller`."""


def perform(story: Story, **who: bool) -> Teller:
    """Tell a story and check the laws; where one is broken, the failure shows the story as a script."""
    teller = Teller(**who)
    try:
        for phrase, choice in story:
            teller.tell(phrase, choice)
        teller.end()
        check_laws(teller)
    except Exception as broken:
        title = f"the story (a {teller.kind} {'call' if teller.call else 'session'} in {teller.dialect}):"
        broken.add_note("\n".join([title, *teller.log]))
        raise
    return teller


def hold_laws(examples: int) -> Counter[str]:
    reached: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(stories, tellers)
    def tell(story: Story, who: dict[str, bool]) -> None:
        reached.update(note(perform(story, **who)))

    tell()
    return reached


def report(reached: Counter[str], stories_told: int) -> None:
    print("\nreached by the stories:")
    for name, count in sorted(reached.items()):
        print(f"  {count:7d}  {name}")
    rare = {name: reached[name] for name in sorted(ONCE) if reached[name] < stories_told // 100}
    assert not rare, f"the generator hardly reaches these any more: {rare}"


def test_the_laws_hold_in_generated_stories() -> None:
    report(hold_laws(STORIES), STORIES)


def test_a_broken_law_shows_the_story_as_a_script() -> None:
    story = [("take a turn", 3), ("no such phrase", 7)]
    with pytest.raises(AttributeError) as broken:
        perform(story)
    (script,) = broken.value.__notes__
    told = script.splitlines()
    assert told[0] == "the story (a realtime session in ga):"
    assert told[1] == ">> take a turn (3)"
    assert "<< input_audio_buffer.speech_started" in told


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(stories, st.sampled_from([{}, {"scribe": True}, {"call": True}]))
def test_what_a_session_says_is_what_the_openai_models_expect(story: Story, who: dict[str, bool]) -> None:
    check_events(perform(story, **who).script.events())


@pytest.mark.deep
def test_the_laws_hold_in_very_many_stories() -> None:
    report(hold_laws(20_000), 20_000)


HEARD = ("talk", "pause", "breathe", "by hand", "by voice", "by meaning", "commit", "switch the format")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(HEARD), st.integers(0, 99))),
    st.sampled_from([1, 7, 33, 500]),
)
def test_chunking_is_invisible(story: Story, chunk_ms: int) -> None:
    def told(size: int) -> list[dict[str, Any]]:
        teller = Teller(size)
        teller.script.judge = judge
        for phrase, choice in story:
            teller.tell(phrase, choice)
        shown = [{k: v for k, v in e.items() if k != "event_id"} for e in teller.script.events()]
        # An error carries the number of the append it answers, which is what differs.
        return [e for e in shown if e["type"] not in ("error", "session.updated")]

    assert told(20) == told(chunk_ms)


def judge(asked: JudgeTurn) -> float | None:
    """By nothing but the sound it is shown."""
    return (None, 0.0, 0.5, 0.9)[len(asked.audio) // 48 % 4]
