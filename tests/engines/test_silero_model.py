from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.engines.silero_model import FRAME_SAMPLES, RATE_HZ, SileroModel, shared_weights

CLIPS = Path(__file__).parent.parent / "clips"
REFERENCE: dict[str, list[float]] = json.loads(Path(__file__).with_name("silero_reference.json").read_text())
"""What ONNX Runtime made of the same frames with the model's own file, to five decimals."""


@pytest.mark.parametrize("name", REFERENCE)
def test_same_probabilities_as_the_original(name: str) -> None:
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    sound = numpy.frombuffer(resample(wav.mono(), wav.spec.rate_hz, RATE_HZ), "<i2") / numpy.float32(32_768)
    frames = [sound[at : at + FRAME_SAMPLES] for at in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]
    model = SileroModel(shared_weights())
    assert [model.process(frame) for frame in frames] == pytest.approx(REFERENCE[name], abs=1e-4)


def test_streams_share_the_weights_and_nothing_else() -> None:
    """Two streams in turn hear what each alone would hear."""
    chance = numpy.random.default_rng(3)
    first, second = chance.normal(0, 0.1, (2, 20, FRAME_SAMPLES)).astype(numpy.float32)
    alone = [[model.process(frame) for frame in sound] for sound in (first, second) for model in (_model(),)]
    one, other = _model(), _model()
    together = [(one.process(left), other.process(right)) for left, right in zip(first, second, strict=True)]
    assert [list(heard) for heard in zip(*together, strict=True)] == alone


def test_a_stream_costs_little_memory() -> None:
    shared_weights()
    own = sum(
        value.nbytes for value in vars(_model()).values() if isinstance(value, numpy.ndarray) and value.base is None
    )
    assert own < 8_192


def _model() -> SileroModel:
    return SileroModel(shared_weights())
