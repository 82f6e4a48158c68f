"""Make the sound clips that tests listen to; run once, the clips are committed.

Needs Debian's `flite` (its voices are built from recordings of people, which recognizers hear far better than formant
speech). Every clip is 16-bit mono at 16 kHz, the voice's own rate, with 300 ms of silence before and after it.

    PYTHONPATH=src python tests/clips/make.py
"""

from __future__ import annotations

import math
import random
import subprocess
import tempfile
from pathlib import Path

from duologue.audio import pcm16
from duologue.audio.wav import pack_wav, parse_wav

RATE_HZ = 16_000
HERE = Path(__file__).parent

SENTENCES = {
    "hello": ("slt", "hello"),
    "stop": ("slt", "stop"),
    "tell_me_the_time": ("slt", "tell me the time"),
    "weather_in_paris": ("slt", "what is the weather in paris"),
    "weather_in_seoul": ("slt", "what is the weather in seoul"),
    "weather_in_tokyo": ("slt", "what is the weather in tokyo"),
    "weather_in_paris_kal16": ("kal16", "what is the weather in paris"),
    "remember_my_name_is_anna": ("slt", "remember that my name is anna"),
    "turn_on_the_kitchen_light": ("slt", "turn on the kitchen light"),
    "count_to_twenty": ("slt", "count to twenty"),
    "seven_times_eight": ("slt", "what is seven times eight"),
    "out_of_grammar_ship": ("slt", "the old ship left the harbor slowly"),
    "out_of_grammar_apples": ("kal16", "she bought three apples yesterday"),
}


def spoken(voice: str, text: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file.name], check=True)
        wav = parse_wav(Path(file.name).read_bytes())
    assert wav.spec.rate_hz == RATE_HZ, wav.spec
    return wav.mono()


def noise() -> bytes:
    """Steady pink-like noise of a room, at -40 dB."""
    chance, level, values = random.Random(1), 0.0, []
    for _ in range(RATE_HZ):
        level = 0.9 * level + chance.gauss(0, 140)
        values.append(round(level))
    return pcm16.pack(values)


def breath() -> bytes:
    """A breath: 600 ms of filtered noise that swells and fades."""
    chance, level, values = random.Random(2), 0.0, []
    length = RATE_HZ * 600 // 1000
    for n in range(length):
        level = 0.6 * level + chance.gauss(0, 900)
        values.append(round(level * math.sin(math.pi * n / length) ** 2))
    return pcm16.pack(values)


def click() -> bytes:
    """A click of the mouse: 4 ms, loud, decaying."""
    chance = random.Random(3)
    return pcm16.pack(round(chance.gauss(0, 14_000) * math.exp(-n / 20)) for n in range(RATE_HZ * 4 // 1000))


def main() -> None:
    pause = pcm16.silence(300, RATE_HZ)
    clips = {name: spoken(*sentence) for name, sentence in SENTENCES.items()}
    clips |= {"noise": noise(), "breath": breath(), "click": click()}
    for name, sound in clips.items():
        file = HERE / f"{name}.wav"
        file.write_bytes(pack_wav(pause + sound + pause, rate_hz=RATE_HZ))
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
