"""The worker process of `espeak`: espeak-ng through ctypes, one text after the other, sound as soon as it is there."""

from __future__ import annotations

import ctypes
from typing import Any

import msgspec
from msgspec import Struct

from duologue.engines.framing import DATA, END, FAILED, OPEN, READY, Inbox

SPOKEN_RATE_HZ = 22_050

# Values of espeak-ng/speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_RATE, _PITCH = 1, 3
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_BUFFER_MS = 60
_SLOWEST_WPM = 80

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Speech(Struct, frozen=True, kw_only=True):
    """One text to speak. `pitch` 0-99; below 80 words a minute espeak-ng speaks no slower."""

    text: str
    language: str
    variant: str
    pitch: int
    words_per_minute: int


class _Espeak:
    def __init__(self, inbox: Inbox) -> None:
        import espeakng_loader

        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data, _INITIALIZE_DONT_EXIT)
        if rate != SPOKEN_RATE_HZ:
            raise RuntimeError(f"espeak-ng answered {rate} instead of its sample rate")
        self._inbox = inbox
        self._call = 0
        self._callback = _Callback(self._spoken)  # Kept: the library holds only the address.
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, call: int, speech: Speech) -> None:
        """Send the sound of `speech`. An unknown language is spoken as American English."""
        for language in (speech.language, "en-us"):
            if self._library.espeak_SetVoiceByName(f"{language}+{speech.variant}".encode()) == 0:
                break
        self._library.espeak_SetParameter(_RATE, max(speech.words_per_minute, _SLOWEST_WPM), 0)
        self._library.espeak_SetParameter(_PITCH, speech.pitch, 0)
        text = speech.text.encode()
        self._call = call
        self._library.espeak_Synth(text, len(text) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None)

    def _spoken(self, samples: int | None, count: int, events: int | None) -> int:
        if self._inbox.aborted(self._call):
            return 1
        if samples and count > 0:
            self._inbox.send(self._call, DATA, ctypes.string_at(samples, count * 2))
        return 0


def main() -> None:
    inbox = Inbox()
    try:
        espeak = _Espeak(inbox)
    except Exception as error:
        inbox.send(0, FAILED, str(error).encode())
        return
    inbox.send(0, READY)
    while frame := inbox.next():
        if frame.kind == OPEN and not inbox.aborted(frame.call):
            call, body = frame.call, frame.body

            def work(call: int = call, body: bytes = body) -> None:
                espeak.speak(call, msgspec.msgpack.decode(body, type=Speech))
                inbox.send(call, END)

            inbox.guard(frame.call, work)


if __name__ == "__main__":
    main()
