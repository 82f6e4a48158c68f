"""Make the clips by which turn detection is tuned and judged; run once, the clips and `labels.json` are committed.

Needs Debian's `flite`. Each sentence is spoken whole and cut afterwards, at the end of the word where `|` stands: so the
voice has the melody of a speaker who goes on. A pause of any length can be put there when the clips are used. Voices and
sentences of the half that results are reported on do not occur in the half that was tuned with.

    PYTHONPATH=src python tests/clips/turns/make.py
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import msgspec

from duologue.audio.wav import pack_wav, parse_wav

HERE = Path(__file__).parent

TUNED = (
    ("slt", "what is the weather in | paris"),
    ("rms", "remember that | my name is anna"),
    ("slt", "turn on the | kitchen light"),
    ("rms", "um | what time is it"),
    ("slt", "tell me about the history of | seoul"),
    ("rms", "i would like to book a table for | four people"),
    ("slt", "yes"),
    ("rms", "no thank you"),
    ("slt", "call my mother and | tell her that i will be late"),
    ("rms", "how far is it from london to | berlin"),
    ("slt", "play some music because | i am bored"),
    ("rms", "set an alarm | for seven in the morning"),
)
REPORTED = (
    ("awb", "what is the weather in | tokyo"),
    ("kal16", "remember that my favorite color is | blue"),
    ("awb", "turn off the | light in the bedroom"),
    ("kal16", "uh | how are you"),
    ("awb", "i want to | count to twenty"),
    ("kal16", "tell me a story about | a dragon"),
    ("awb", "okay"),
    ("kal16", "i don't know"),
    ("awb", "send a message to anna and | say hello"),
    ("kal16", "what is seven times | eight"),
    ("awb", "turn on the light | in the kitchen"),
    ("kal16", "wake me up at six but | only on monday"),
)


def flite(*arguments: str) -> str:
    return subprocess.run(["flite", *arguments], check=True, capture_output=True, text=True).stdout


def phones(voice: str, text: str) -> int:
    """How many phones the voice speaks for the words, silence at both ends not counted."""
    return sum(phone != "pau" for phone in flite("-voice", voice, "-ps", "-t", text, "-o", "none").split())


def ends_ms(voice: str, text: str) -> list[int]:
    """Where each phone ends."""
    timed = flite("-voice", voice, "-psdur", "-t", text, "-o", "none").split()
    pairs = [item.rpartition(":") if ":" in item else item.rpartition("=") for item in timed]
    return [round(float(end) * 1000) for phone, _, end in pairs if phone != "pau"]


def main() -> None:
    labels = []
    for half, sentences in (("tuned", TUNED), ("reported", REPORTED)):
        for voice, marked in sentences:
            before, bar, _ = (part.strip() for part in marked.partition("|"))
            text = marked.replace("| ", "")
            name = text.replace(" ", "_").replace("'", "")
            with tempfile.NamedTemporaryFile(suffix=".wav") as file:
                flite("-voice", voice, "-t", text, "-o", file.name)
                wav = parse_wav(Path(file.name).read_bytes())
            (HERE / f"{name}.wav").write_bytes(pack_wav(wav.mono(), rate_hz=wav.spec.rate_hz))
            pause_at_ms = ends_ms(voice, text)[phones(voice, before) - 1] if bar else None
            labels.append(
                {"clip": f"{name}.wav", "half": half, "text": text, "before": before if bar else None,
                 "pause_at_ms": pause_at_ms}
            )  # fmt: skip
    (HERE / "labels.json").write_bytes(msgspec.json.format(msgspec.json.encode(labels), indent=1) + b"\n")


if __name__ == "__main__":
    main()
