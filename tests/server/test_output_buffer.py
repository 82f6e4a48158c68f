"""duologue.server.output_buffer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.dialogue.playback import Truncation
from duologue.ids import CountingIds
from duologue.server.commands import Hush, Play, Send
from duologue.server.outbox import Outbox
from duologue.server.output_buffer import OutputBuffer

MS = 24
"""Samples."""


class Story:
    """An output buffer, and what it did so far in short words."""

    def __init__(self) -> None:
        self.out = Outbox(CountingIds(), 0)
        self.buffer = OutputBuffer(self.out)

    def write(self, response_id: str, ms: int, item_id: str = "") -> None:
        self.buffer.write(response_id, item_id or f"item of {response_id}", bytes(2 * MS * ms))

    def did(self) -> list[str]:
        told = []
        for command in self.out.commands:
            match command:
                case Play(audio=audio):
                    told.append(f"play {len(audio) // 48}")
                case Hush():
                    told.append("hush")
                case Send(event=event):
                    kind = str(event.__struct_config__.tag).removeprefix("output_audio_buffer.")
                    told.append(f"{kind} {getattr(event, 'response_id', '')}")
        self.out.begin(0)
        return told


def cut(item_id: str, ms: int) -> Truncation:
    return Truncation(item_id=item_id, content_index=0, audio_end_ms=ms)


def test_a_response_starts_with_its_first_sample_and_stops_with_its_last() -> None:
    story = Story()
    story.write("a", 100)
    assert story.did() == ["play 100"]
    story.buffer.played(0, 20 * MS)
    assert story.did() == ["started a"]
    story.buffer.played(0, 100 * MS)
    assert story.did() == []  # an underrun, perhaps: more may come
    story.write("a", 50)
    story.buffer.ended("a")
    assert story.did() == ["play 50"]
    story.buffer.played(0, 150 * MS)
    assert story.did() == ["stopped a"]


def test_one_that_was_played_before_it_ended_stops_then() -> None:
    story = Story()
    story.write("a", 20)
    story.buffer.played(0, 20 * MS)
    story.did()
    story.buffer.ended("a")
    assert story.did() == ["stopped a"]


def test_two_responses_play_one_after_the_other() -> None:
    story = Story()
    story.write("a", 20)
    story.buffer.ended("a")
    story.write("b", 20)
    story.did()
    story.buffer.played(0, 20 * MS)
    assert story.did() == ["started a", "stopped a"]
    story.buffer.played(0, 40 * MS)
    assert story.did() == ["started b"]


def test_clearing_tells_what_was_heard_and_late_sound_is_not_played() -> None:
    story = Story()
    story.write("a", 100, "one")
    story.write("a", 100, "two")
    story.buffer.played(0, 40 * MS)
    story.did()
    assert story.buffer.clear() == [cut("one", 40), cut("two", 0)]
    assert story.did() == ["hush", "cleared a"]
    story.write("a", 100, "two")
    story.buffer.played(0, 60 * MS)  # sent on its way before the clearing was known
    story.buffer.ended("a")
    assert story.did() == []
    assert story.buffer.clear() == []
    story.write("b", 20)
    story.buffer.ended("b")
    story.buffer.played(1, 20 * MS)
    assert story.did() == ["play 20", "started b", "stopped b"]


def test_nothing_plays_where_nothing_was_written() -> None:
    story = Story()
    story.write("a", 0)
    story.buffer.ended("a")
    assert story.buffer.clear() == []
    assert story.did() == []


@given(st.lists(st.tuples(st.sampled_from(["write", "play", "end", "clear"]), st.integers(0, 400)), max_size=60))
def test_started_and_stopped_or_cleared_come_in_pairs(steps: list[tuple[str, int]]) -> None:
    story, response, written, at, clears = Story(), 0, 0, 0, 0
    told: list[str] = []
    for step, ms in steps:
        if step == "write":
            story.write(str(response), ms)
            written += ms
        elif step == "play":
            at = min(written, at + ms)
            story.buffer.played(clears, at * MS)
        elif step == "end":
            story.buffer.ended(str(response))
            response += 1
        else:
            cuts = story.buffer.clear()
            assert all(0 <= c.audio_end_ms <= 400 * 60 for c in cuts)
            if "hush" in (did := story.did()):
                clears, written, at = clears + 1, 0, 0
                response += 1
            told += did
        told += story.did()
    for number in range(response + 1):
        mine = [word.split()[0] for word in told if word.endswith(f" {number}") and not word.startswith("play")]
        assert mine in ([], ["started"], ["started", "stopped"], ["started", "cleared"], ["cleared"])
