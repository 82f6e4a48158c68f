"""A telephone call's sound in simulated time: what leaves, what is heard, and what the line believes was heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phone_ear import RATE, START, World, media

from duologue.transports.carriers.base import CallEnded, CallStarted, Dialled, Heard
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.phone_line import FRAME_MS, LEAD_MS, PhoneLine

NOW = 1_000
MS = RATE // 1000
WITHIN_MS = 60
"""How near the line's belief must come to the truth."""


def started() -> PhoneLine:
    line = PhoneLine(Twilio())
    assert isinstance(line.receive(json.dumps(START), NOW), CallStarted)
    return line


def tone(duration_ms: int, value: int = 0x55) -> bytes:
    return bytes([value]) * (duration_ms * MS)


def events(frames: list[Any]) -> list[str]:
    return [json.loads(frame)["event"] for frame in frames]


def test_the_voice_leaves_in_frames_of_20_ms_a_little_ahead_and_all_of_it_arrives() -> None:
    world = World(started(), [30], [30])
    world.line.write(tone(1_000, 1), "item_1")
    world.line.write(tone(510, 2), "item_2")
    world.send(world.line.due(world.now_ms))
    assert events(world.sent) == ["media"] * 5 + ["mark"] + ["media"] * 5 + ["mark"] + ["media"] * 2
    world.run(2_000)
    assert bytes(world.ear.heard) == tone(1_000, 1) + tone(510, 2)
    assert world.line.played_ms("item_1", world.now_ms) == 1_000
    assert world.line.played_ms("item_2", world.now_ms) == 510
    assert world.line.pending_ms(world.now_ms) == 0
    assert world.line.confirmed
    world.line.forget("item_1")
    assert world.line.played_ms("item_1", world.now_ms) == 0


@settings(max_examples=60)
@given(
    there=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    back=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=6),
    pauses=st.lists(st.integers(0, 400), min_size=6, max_size=6),
    stop_ms=st.integers(1, 3_000),
)
def test_an_interruption_silences_and_what_was_heard_is_known(
    there: list[int], back: list[int], pieces: list[int], pauses: list[int], stop_ms: int
) -> None:
    """Over a network that delays at will, with pieces that come late, whenever the caller interrupts."""
    world = World(started(), there, back)
    began = world.now_ms
    for number, (piece_ms, pause_ms) in enumerate(zip(pieces, pauses, strict=False)):
        world.line.write(tone(piece_ms, number + 1), f"item_{number}")
        world.send(world.line.due(world.now_ms))
        world.run(min(pause_ms, max(0, began + stop_ms - world.now_ms)))
    world.run(max(0, began + stop_ms - world.now_ms))

    truth = len(world.ear.heard) / MS
    world.send(world.line.clear(world.now_ms))
    believed = sum(world.line.played_ms(f"item_{number}", world.now_ms) for number in range(len(pieces)))
    assert abs(believed - truth) <= WITHIN_MS
    world.run(max(there) + 1)
    silent_from = len(world.ear.heard)
    world.run(1_000)
    assert len(world.ear.heard) == silent_from, "nothing is said after an interruption"
    assert world.line.pending_ms(world.now_ms) == 0

    world.line.write(tone(300, 99), "next")
    world.send(world.line.due(world.now_ms))
    world.run(1_000)
    assert bytes(world.ear.heard[silent_from:]) == tone(300, 99)
    assert world.line.played_ms("next", world.now_ms) == 300


def test_marks_that_clearing_sends_back_are_not_what_was_heard() -> None:
    world = World(started(), [20], [20])
    world.line.write(tone(5_000), "item_1")
    world.send(world.line.due(world.now_ms))
    world.run(100)
    world.send(world.line.clear(world.now_ms))
    before = world.line.played_ms("item_1", world.now_ms)
    world.run(500)
    assert world.line.played_ms("item_1", world.now_ms) == before <= 100


def test_little_is_under_way_at_any_time() -> None:
    world = World(started(), [40], [40])
    world.line.write(tone(20_000), "item_1")
    world.send(world.line.due(world.now_ms))
    for _ in range(100):
        world.run(100)
        sent_ms = events(world.sent).count("media") * FRAME_MS
        assert sent_ms - len(world.ear.heard) / MS <= LEAD_MS + 40 + FRAME_MS
    world.run(11_000)
    assert len(world.ear.heard) == 20_000 * MS


def test_clearing_a_silent_line_says_nothing() -> None:
    line = started()
    assert line.clear(NOW) == []
    line.write(tone(20), "item_1")
    assert events(line.clear(NOW)) == ["clear"]


@pytest.mark.parametrize(("gap_ms", "filled_ms"), [(40, 0), (60, 60), (3_000, 3_000), (60_000, 10_000), (-500, 0)])
def test_a_hole_in_the_callers_sound_is_silence(gap_ms: int, filled_ms: int) -> None:
    line = started()
    line.receive(media(1_000 - 20, tone(20)), NOW)
    heard = line.receive(media(1_000 + gap_ms, tone(20)), NOW + 20)
    assert isinstance(heard, Heard)
    assert heard.sound == b"\xff" * (filled_ms * MS) + tone(20)


def test_a_line_that_goes_quiet_is_taken_for_silence_until_it_speaks_again() -> None:
    line = started()
    line.receive(media(0, tone(20)), NOW)
    assert line.wake_at_ms == NOW + 750
    assert line.silence(NOW + 749) == b""
    assert line.silence(NOW + 760) == b"\xff" * (760 * MS)
    assert line.wake_at_ms == NOW + 960
    assert line.silence(NOW + 960) == b"\xff" * (200 * MS)
    heard = line.receive(media(20 + 1_100, tone(20)), NOW + 1_120)
    assert isinstance(heard, Heard)
    assert heard.sound == b"\xff" * (140 * MS) + tone(20), "what was filled while it lasted is not filled again"


def test_a_line_that_stays_quiet_costs_ten_seconds_of_silence_and_no_more() -> None:
    line = started()
    filled = sum(len(line.silence(NOW + at_ms)) for at_ms in range(0, 60_000, 50))
    assert filled == 10_000 * MS
    assert line.wake_at_ms is None


def test_keys_and_the_end_come_through_and_what_is_odd_does_not() -> None:
    line = PhoneLine(Twilio())
    assert line.receive(media(0, tone(20)), NOW) is None, "before the start there is no call"
    assert line.due(NOW) == line.clear(NOW) == []
    line.receive(json.dumps(START), NOW)
    assert line.receive(json.dumps(START), NOW) is None
    assert line.receive("{", NOW) is line.receive("[]", NOW) is line.receive('{"event":"new"}', NOW) is None
    for mark in ("0:x", "7:80", "", "0:999999999"):
        line.receive(json.dumps({"event": "mark", "mark": {"name": mark}}), NOW)
    assert line.pending_ms(NOW) == 0
    assert line.receive('{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"#"}}', NOW) == Dialled(digit="#")
    assert isinstance(line.receive('{"event":"stop","stop":{"callSid":"CA1"}}', NOW), CallEnded)
    assert line.over
    assert line.receive(media(0, tone(20)), NOW) is None
    assert line.wake_at_ms is None


def test_what_nobody_can_hear_in_ten_minutes_is_not_kept() -> None:
    line = started()
    minute = tone(60_000)
    assert [line.write(minute, "item_1") for _ in range(11)] == [len(minute)] * 10 + [0]
