"""Deltas: what was proven once is proven for all that looks the same."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from told import Call, policy, secret_policy

from duologue.relay.deltas import Deltas
from duologue.relay.policy import Hooks, Policy

SOUND = "response.output_audio.delta"
WORDS = ("response.output_audio_transcript.delta", "response.output_text.delta")
KEYS = ["type", "event_id", "response_id", "item_id", "output_index", "content_index", "delta"]


def delta(text: str = "AAAA", *, kind: str = SOUND, event: str = "event_Ab12", **changes: Any) -> bytes:
    """A delta as the hosted API writes it."""
    made = {"type": kind, "event_id": event, "response_id": "resp_1", "item_id": "item_1", "output_index": 0,
            "content_index": 0, "delta": text, **changes}  # fmt: skip
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False).encode()


def known() -> Deltas:
    """What has seen a delta already."""
    deltas = Deltas(SOUND)
    assert deltas.proves_sound(delta())
    return deltas


@pytest.mark.parametrize(
    "frame",
    [
        delta(),
        delta(event="event_Zz99"),
        delta(event="other-1"),
        delta(event="x"),
        delta(event="event_"),
        delta(event="event_of_another_length"),
        delta(item_id="item_2"),
        delta(output_index=9999),
        delta().replace(b",", b", ").replace(b'":', b'": '),
    ],
)
def test_deltas_of_sound(frame: bytes) -> None:
    for deltas in (Deltas(SOUND), known()):
        for _ in range(2):
            assert deltas.proves_sound(frame)
            assert deltas.item_id == json.loads(frame)["item_id"]
            assert deltas.response_id == "resp_1"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        delta().replace(b'"event_id":"event_Ab12",', b""),
        delta(event='ev"nt_Ab12'),
        delta(event="event_A\\12"),
        delta(event='event_","x'),
        delta(event="event_Ab 2"),
        delta(event="event_Äb1"),
        delta(event="x" * 65),
        delta(output_index="01").replace(b'"01"', b"01"),
        delta(output_index=-1),
        delta(output_index=10_000),
        delta(content_index=None),
        delta(item_id="item 1"),
        delta(response_id='resp_1","x":"'),
        delta(instructions="x").replace(b'"delta":"AAAA",', b"") + b'"delta":"AAAA"}',
        delta(kind=WORDS[0]),
        delta(kind="response.output_audioxdelta"),
        b" " + delta(),
        b"\xef\xbb\xbf" + delta(),
        delta("some words"),
        delta("AAA"),
        delta("AA\\u0041"),
        delta('AAAA","delta":"AAAA'),
        delta() + b" ",
        delta()[:-1],
        delta()[:-2] + b'=="}',
    ],
)
def test_other_frames_are_none(frame: bytes) -> None:
    for deltas in (Deltas(SOUND), known()):
        assert not deltas.proves_sound(frame)


def test_what_was_known_before_is_forgotten() -> None:
    deltas = known()
    assert deltas.proves_sound(delta(item_id="item_2"))
    assert deltas.item_id == "item_2"
    assert deltas.proves_sound(delta())
    assert deltas.item_id == "item_1"


@given(st.lists(st.tuples(st.integers(0, 250), st.binary(min_size=1, max_size=3)), min_size=1, max_size=3))
def test_what_is_remembered_lets_nothing_pass_that_the_pattern_would_stop(changes: list[tuple[int, bytes]]) -> None:
    frame = bytearray(delta(event="event_AbCdEfGh"))
    for place, piece in changes:
        frame[place : place + len(piece)] = piece
    changed = bytes(frame)
    deltas = Deltas(SOUND)
    assert deltas.proves_sound(delta(event="event_12345678"))
    assert deltas.proves_sound(changed) == Deltas(SOUND).proves_sound(changed)


def judged(frame: bytes) -> dict[str, Any] | None:
    """What a reader makes of a delta, if it passes as it is; a key twice would show."""
    call = Call(policy()).opened()
    call << delta(event="event_12345678")
    call << delta("a word", kind=WORDS[0], event="event_12345678")
    if not call.judge.upstream_passes(frame, 0):
        return None
    pairs = json.loads(frame, object_pairs_hook=list)
    assert [key for key, _ in pairs][:7] == KEYS
    assert [key for key, _ in pairs][7:] in ([], ["obfuscation"])
    return dict(pairs)


def test_mutants_of_deltas_pass_only_as_deltas() -> None:
    random, passed = Random(5), 0
    for _ in range(20_000):
        kind = random.choice((SOUND, *WORDS))
        frame = bytearray(delta("AAAA" if kind == SOUND else "schön, gut", kind=kind, event="event_AbCdEfGh"))
        for _ in range(random.randrange(3)):
            place = random.randrange(len(frame))
            change = random.choice((b'"', b"\\", b"}", b",", b"\x00", b"\xff", b"\n", b"A", b'","type":"x', b'"}', b""))
            frame[place : place + random.randrange(3)] = change
        event = judged(bytes(frame))
        if event is not None:
            passed += 1
            assert event["type"] in (SOUND, *WORDS)
            assert isinstance(event["delta"], str)
            assert isinstance(event["output_index"], int)
    assert passed > 5_000


@pytest.mark.parametrize(
    ("words", "quick"),
    [
        ("a few words ", True),
        ("", True),
        ("schön, 你好 😀", True),
        ('say "x"', False),
        ("back\\slash", False),
        ("line\nbreak", False),
        ("\u007f", False),
        ("\u2028", False),
    ],
)
def test_words_pass_as_they_are_where_they_have_one_spelling(words: str, quick: bool) -> None:
    for kind in WORDS:
        frame = delta(words, kind=kind)
        assert (judged(frame) is not None) is quick
        ((_, *_),) = Call(policy()) << frame


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82"])
def test_words_in_no_encoding_do_not_pass(bad: bytes) -> None:
    assert judged(delta("xxxx", kind=WORDS[0]).replace(b"xxxx", bad)) is None


def test_padding_may_stand_behind_words() -> None:
    frame = delta("hi", kind=WORDS[0], obfuscation="Zx81kL")
    assert judged(frame) is not None
    for other in (b"Zx 1kL", b"Zx\\1kL", b'Zx","x":"', b'Zx"}{"'):
        assert judged(frame.replace(b"Zx81kL", other)) is None
    assert judged(frame + b" ") is None


def test_a_key_in_words_is_taken_out() -> None:
    frame = delta("the key is sk-live-0123456789.", kind=WORDS[0])
    call = Call(secret_policy()).opened()
    assert not call.judge.upstream_passes(frame, 0)
    ((way, shown),) = call << frame
    assert (way, shown["delta"]) == ("down", "")


@pytest.mark.parametrize("kind", [SOUND, *WORDS])
def test_deltas_that_are_not_for_the_caller_do_not_pass(kind: str) -> None:
    assert Call(policy(upstream_events_denied=(kind,))) << delta(kind=kind) == []
    seen: list[str] = []

    def watch(event: dict[str, Any], _: object) -> dict[str, Any]:
        seen.append(event["type"])
        return event

    hooked = Call(Policy(hooks=Hooks(upstream_event=watch, audio=True)))
    assert (hooked << delta(kind=kind))[0][0] == "down"
    assert seen == [kind]
