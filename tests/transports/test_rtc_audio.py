"""duologue.transports.rtc_audio."""

from __future__ import annotations

import math

import numpy

from duologue.transports.rtc_audio import FRAME_BYTES, SILENCE, HalfBand, OpusDecoder, OpusEncoder


def sine(hz: int, rate_hz: int, samples: int) -> numpy.ndarray:
    return (10_000 * numpy.sin(2 * math.pi * hz * numpy.arange(samples) / rate_hz)).astype("<i2")


def level(sound: bytes | numpy.ndarray) -> float:
    values = numpy.frombuffer(sound, "<i2") if isinstance(sound, bytes) else sound
    return float(values.astype(float).std())


def test_a_tone_is_the_same_on_the_other_side() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    sound = sine(440, 24_000, 24_000).tobytes()
    packets = [encoder.encode(sound[at : at + FRAME_BYTES]) for at in range(0, len(sound), FRAME_BYTES)]
    assert max(map(len, packets)) < 400
    heard = b"".join(map(decoder.decode, packets))
    assert len(heard) == len(sound)
    assert abs(level(heard[9600:]) - 7071) < 200


def test_silence_is_three_bytes_that_decode_to_a_frame() -> None:
    sound = OpusDecoder().decode(SILENCE)
    assert len(sound) == FRAME_BYTES
    assert level(sound) < 2


def test_a_short_frame_is_filled_up() -> None:
    assert len(OpusDecoder().decode(OpusEncoder().encode(b"\1\0" * 10))) == FRAME_BYTES


def test_what_is_lost_or_broken_fades_out() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for at in range(0, 9600, FRAME_BYTES):
        decoder.decode(encoder.encode(sine(440, 24_000, 4800).tobytes()[at : at + FRAME_BYTES]))
    covered = [decoder.conceal(), decoder.decode(b""), decoder.decode(b"\xff" * 5), decoder.conceal()]
    assert all(len(sound) == FRAME_BYTES for sound in covered)
    levels = [level(sound) for sound in covered]
    assert levels[0] > 3000
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == 0


def test_the_half_band_filter_keeps_speech_and_stops_what_would_fold_back() -> None:
    for hz, least, most in ((300, 0.99, 1.01), (3400, 0.99, 1.01), (8000, 0.98, 1.02), (16_000, 0, 0.01)):
        half = HalfBand().feed(sine(hz, 48_000, 48_000))
        assert len(half) == 24_000
        assert least <= level(half[500:]) / 7071 <= most, hz


def test_cutting_the_sound_changes_nothing() -> None:
    sound, whole, cut = sine(1000, 48_000, 9600), HalfBand(), HalfBand()
    pieces = [cut.feed(sound[at : at + 480]) for at in range(0, 9600, 480)]
    assert numpy.array_equal(numpy.concatenate(pieces), whole.feed(sound))
