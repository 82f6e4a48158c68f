"""How much sound a session keeps (duologue.server.sounds)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from script import Script, pcm

from duologue.server.heard import Mark
from duologue.server.rules import Rules
from duologue.server.sounds import Sound, Sounds

MS = 48


def test_the_oldest_sound_goes_first_and_leaves_its_length() -> None:
    sounds = Sounds(300)
    for name in "abcd":
        sounds.put(name, 0, Sound(audio=bytes(100), marks=(Mark(audio_ms=1, characters=2),)))
    sounds.trim()
    assert [len(sounds.of(name)[0].audio) for name in sounds] == [0, 100, 100, 100]
    assert [sounds.of(name)[0].length_bytes for name in sounds] == [100] * 4
    assert sounds.of("a")[0].marks == (Mark(audio_ms=1, characters=2),)


def test_the_newest_stays_however_long() -> None:
    sounds = Sounds(10)
    sounds.put("a", 0, Sound(audio=bytes(100)))
    sounds.trim()
    assert len(sounds.of("a")[0].audio) == 100


def test_a_cut_sound_is_cut_whether_it_is_kept_or_not() -> None:
    marks = tuple(Mark(audio_ms=ms, characters=ms) for ms in (1, 2, 3))
    for sound in (Sound(audio=bytes(3 * MS), marks=marks), Sound(audio=b"", marks=marks, gone_bytes=3 * MS)):
        assert sound.cut(2).length_bytes == 2 * MS
        assert [mark.audio_ms for mark in sound.cut(2).marks] == [1, 2]


OPS = st.tuples(
    st.sampled_from(["put", "pop", "trim"]), st.sampled_from("abcde"), st.integers(0, 2), st.integers(0, 40)
)


@given(st.lists(OPS, max_size=60), st.integers(0, 100))
def test_the_count_is_right_and_the_bound_holds(ops: list[tuple[str, str, int, int]], bound: int) -> None:
    sounds = Sounds(bound)
    for op, name, place, size in ops:
        match op:
            case "put":
                sounds.put(name, place, Sound(audio=bytes(size)))
            case "pop":
                sounds.pop(name)
            case "trim":
                sounds.trim()
        sizes = [len(sound.audio) for item in sounds for sound in sounds.of(item).values() if sound.audio]
        assert sounds.held_bytes == sum(sizes)
        if op == "trim":
            assert sounds.held_bytes <= bound or len(sizes) == 1


def test_a_long_session_keeps_what_was_said_and_the_newest_of_its_sound() -> None:
    s = Script(rules=Rules(kept_audio_bytes=500 * MS), audio={"input": {"turn_detection": None}})
    for number in range(4):
        part = {"type": "input_audio", "audio": pcm(200), "transcript": "hello"}
        item = {"type": "message", "id": f"i{number}", "role": "user", "content": [part]}
        s.client("conversation.item.create", item=item)
    for number in range(4):
        assert s.client("conversation.item.retrieve", item_id=f"i{number}") == ["conversation.item.retrieved"]
    items: list[Any] = [event["item"] for event in s.events()[-4:]]
    parts = [item["content"][0] for item in items]
    assert [part["transcript"] for part in parts] == ["hello"] * 4
    assert [bool(part.get("audio")) for part in parts] == [False, False, True, True]
