"""The network of the Silero VAD (its 16 kHz half), evaluated with numpy. Pure: state in, state out.

All streams of a process share one set of weights; a stream of its own has 4 KiB of state. One frame is a spectrum, four
convolutions, one step of an LSTM and a weighted sum: 0.35 million multiplications, 65 µs.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

FRAME_SAMPLES = 512
RATE_HZ = 16_000
_CONTEXT = 64
"""The samples before a frame that the model sees again."""
_WINDOW, _HOP, _BINS = 256, 128, 129
_SPECTRA = 4
_CELLS = 128
_SLICES = 16
"""The LSTM's product is taken in slices so small that no BLAS spreads them over threads, which would only wait here."""


class SileroWeights:
    """What all streams share; read-only. Raises ImportError without numpy."""

    def __init__(self) -> None:
        import numpy

        with numpy.load(Path(__file__).with_name("silero_weights.npz")) as file:
            raw = {name: file[name] for name in file.files}
        kernels = [raw[f"encoder.{layer}.reparam_conv.weight"] for layer in range(4)]
        self.biases = [raw[f"encoder.{layer}.reparam_conv.bias"] for layer in range(4)]
        self.hann = (0.5 - 0.5 * numpy.cos(2 * numpy.pi * numpy.arange(_WINDOW) / _WINDOW)).astype(numpy.float32)
        # Rows of three neighbours at a time; the third and the fourth layer see one column only, so that of their
        # three taps the outer ones meet nothing but padding.
        self.kernels = [
            numpy.ascontiguousarray(taps.transpose(2, 1, 0).reshape(-1, taps.shape[0]))
            for taps in (kernels[0], kernels[1], kernels[2][:, :, 1:], kernels[3][:, :, 1:2])
        ]
        # sigmoid(x) = (1 + tanh(x / 2)) / 2: with the half in the weights one tanh serves all four gates.
        halves = numpy.full(4 * _CELLS, 0.5, dtype=numpy.float32)
        halves[2 * _CELLS : 3 * _CELLS] = 1
        gates = numpy.concatenate([raw["decoder.rnn.weight_ih"], raw["decoder.rnn.weight_hh"]], axis=1)
        self.gates = numpy.ascontiguousarray((gates * halves[:, None]).reshape(_SLICES, -1, 2 * _CELLS))
        self.gates_bias = (raw["decoder.rnn.bias_ih"] + raw["decoder.rnn.bias_hh"]) * halves
        self.out = raw["decoder.decoder.2.weight"].reshape(_CELLS)
        self.out_bias = float(raw["decoder.decoder.2.bias"][0])


@cache
def shared_weights() -> SileroWeights:
    """The weights, read once per process. Raises ImportError without numpy."""
    return SileroWeights()


class SileroModel:
    """One stream through the network."""

    def __init__(self, weights: SileroWeights) -> None:
        import numpy

        self._weights = weights
        self._sound = numpy.zeros(_CONTEXT + FRAME_SAMPLES + _CONTEXT, dtype=numpy.float32)
        """What came before the frame, the frame, and its end mirrored."""
        self._windows = numpy.lib.stride_tricks.sliding_window_view(self._sound, _WINDOW)[::_HOP]
        self._seen = numpy.zeros((2 * _CELLS, 1), dtype=numpy.float32)
        """What the LSTM steps from: this frame's features, then its own last output."""
        self._cells = numpy.zeros(_CELLS, dtype=numpy.float32)

    def process(self, samples: Any) -> float:
        """The probability of speech in a frame: 512 samples at 16 kHz, float32 from -1 to 1."""
        sound = self._sound
        sound[:_CONTEXT] = sound[FRAME_SAMPLES : FRAME_SAMPLES + _CONTEXT]
        sound[_CONTEXT:-_CONTEXT] = samples
        sound[-_CONTEXT:] = sound[-_CONTEXT - 2 : -2 * _CONTEXT - 2 : -1]
        self._seen[:_CELLS, 0] = self._features()
        return self._step()

    def _features(self) -> Any:
        import numpy

        weights = self._weights
        spectra = numpy.zeros((_SPECTRA + 2, _BINS), dtype=numpy.float32)
        spectra[1:-1] = numpy.abs(numpy.fft.rfft(self._windows * weights.hann))
        rows = numpy.concatenate([spectra[:-2], spectra[1:-1], spectra[2:]], axis=1)
        first = numpy.zeros((_SPECTRA + 2, _CELLS), dtype=numpy.float32)
        first[1:-1] = _rectified(rows @ weights.kernels[0] + weights.biases[0])
        rows = numpy.concatenate([first[:3].reshape(1, -1), first[2:5].reshape(1, -1)])
        second = _rectified(rows @ weights.kernels[1] + weights.biases[1])
        third = _rectified(second.reshape(-1) @ weights.kernels[2] + weights.biases[2])
        return _rectified(third @ weights.kernels[3] + weights.biases[3])

    def _step(self) -> float:
        import numpy

        weights = self._weights
        gates = numpy.tanh((weights.gates @ self._seen).reshape(-1) + weights.gates_bias)
        enter, keep, news, show = gates.reshape(4, _CELLS)
        self._cells = ((keep + 1) * self._cells + (enter + 1) * news) * numpy.float32(0.5)
        output = (show + 1) * numpy.tanh(self._cells) * numpy.float32(0.5)
        self._seen[_CELLS:, 0] = output
        return 1 / (1 + math.exp(-(float(_rectified(output) @ weights.out) + weights.out_bias)))


def _rectified(values: Any) -> Any:
    import numpy

    return numpy.maximum(values, 0)
