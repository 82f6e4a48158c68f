"""Decoders at hand before they are needed (duologue.engines.pocketsphinx_worker), looked at from inside its process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from duologue.audio.resample import Resampler
from duologue.engines.base import SpeechHints
from duologue.engines.framing import ABORT, DATA, END, EXPECT, OPEN, Frame
from duologue.engines.pocketsphinx import _wanted
from duologue.engines.pocketsphinx_worker import _Models, _Recognizer, _Utterance
from duologue.engines.speech_grammar import Grammar

pytest.importorskip("pocketsphinx")

HINTS = SpeechHints(phrases=("stop", "hello", "tell me the time"))


class Quiet:
    """The pipe's side that the recognizer sees, with nobody at the other end."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def guard(self, call: int, work: Callable[[], None]) -> None:
        work()

    def aborted(self, call: int) -> bool:
        return False

    def send(self, call: int, kind: int, body: bytes = b"") -> None:
        if kind == END:
            self.ended.append(call)


def test_decoders_of_one_grammar_share_its_network_and_hear_the_same(clip: Callable[[str], bytes]) -> None:
    models, key = _Models(), _wanted(HINTS)
    sound = Resampler(24_000, 16_000).feed(clip("tell_me_the_time"))
    both = [_Utterance(call, key, models) for call in (1, 2)]
    for utterance in both:
        utterance.sound += sound
        while utterance.hear(8):
            pass
    texts = [transcript.text for utterance in both if (transcript := utterance.finish())]
    assert texts == ["tell me the time"] * 2
    assert len(models._networks) == 1


def test_no_decoder_leaves_a_file_behind_even_while_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    key = _wanted(HINTS)
    living = [_Utterance(1, key, _Models()) for _ in range(2)]
    assert (len(living), list(tmp_path.iterdir())) == (2, [])


def test_one_more_utterance_than_ever_finds_its_decoders_made() -> None:
    recognizer, key = _Recognizer(Quiet()), _wanted(HINTS)  # type: ignore[arg-type]
    models = recognizer._models
    assert not recognizer.work()  # nothing is known of any grammar yet
    for call in (1, 2):
        recognizer.handle(Frame(call=call, kind=OPEN, body=key))
    assert not recognizer.work()  # somebody speaks: no time for it
    for call in (1, 2):
        recognizer.handle(Frame(call=call, kind=ABORT, body=b""))
    while recognizer.work():
        pass
    kinds = [idle for idle, _ in models._idle.values()]
    assert (kinds.count(key), kinds.count(b"phones")) == (3, 3)
    assert not models.stock(3, key, msgspec.msgpack.decode(key, type=Grammar))


def test_what_is_expected_finds_its_decoders_made() -> None:
    recognizer, key = _Recognizer(Quiet()), _wanted(HINTS)  # type: ignore[arg-type]
    recognizer.handle(Frame(call=0, kind=EXPECT, body=key))
    while recognizer.work():
        pass
    assert sorted(idle for idle, _ in recognizer._models._idle.values()) == sorted([key, b"phones"])


def test_a_long_clip_keeps_no_other_utterance_waiting(clip: Callable[[str], bytes]) -> None:
    quiet = Quiet()
    recognizer, key = _Recognizer(quiet), _wanted(HINTS)  # type: ignore[arg-type]
    sound = Resampler(24_000, 16_000).feed(clip("tell_me_the_time"))
    for call, times in ((1, 10), (2, 1)):
        recognizer.handle(Frame(call=call, kind=OPEN, body=key))
        recognizer.handle(Frame(call=call, kind=DATA, body=sound * times))
        recognizer.handle(Frame(call=call, kind=END))
    while recognizer.work():
        pass
    assert quiet.ended == [2, 1]
