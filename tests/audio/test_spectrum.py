from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tones import sine

from duologue.audio.spectrum import frequencies_of


@given(st.floats(60, 11_000), st.sampled_from(["frequency", "music", "voice"]))
def test_every_value_is_a_share(hz: float, kind: str) -> None:
    found = frequencies_of(sine(hz, 50), kind)  # type: ignore[arg-type]
    assert len(found.values) == len(found.frequencies) == len(found.labels)
    assert all(0 <= value <= 1 for value in found.values)


@pytest.mark.parametrize("label", ["C2", "A3", "A4", "C#5", "B6"])
@pytest.mark.parametrize("kind", ["music", "voice"])
def test_a_note_lights_up_its_own_band(label: str, kind: str) -> None:
    notes = frequencies_of(b"", kind)  # type: ignore[arg-type]
    hz = notes.frequencies[notes.labels.index(label)]
    found = frequencies_of(sine(hz, 400), kind, -60, 0)  # type: ignore[arg-type]
    assert found.values[found.labels.index(label)] == max(found.values)


def test_bands() -> None:
    music, voice, bins = (frequencies_of(b"", kind) for kind in ("music", "voice", "frequency"))  # type: ignore[arg-type]
    assert (len(music.values), music.labels[0], music.labels[-1]) == (96, "C1", "B8")
    assert (len(voice.values), voice.labels[0], voice.labels[-1]) == (72, "C1", "B6")
    assert (len(bins.values), bins.labels[1]) == (4_096, "2.93 Hz")
    assert max(music.values) == 0
    loud = frequencies_of(sine(1_000, 400, 1.0), "frequency", -100, 0)
    assert max(loud.values) * 100 - 100 == pytest.approx(-13.5, abs=1.5)


def test_limits() -> None:
    with pytest.raises(ValueError, match="even number"):
        frequencies_of(b"\0")
    with pytest.raises(ValueError, match="must lie below"):
        frequencies_of(b"", "voice", -30, -30)
    with pytest.raises(ValueError, match="not 'noise'"):
        frequencies_of(b"", "noise")  # type: ignore[arg-type]
