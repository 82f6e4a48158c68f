"""Generators shared by the tests of this folder: JSON of any shape, and valid events of either kind."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from duologue.protocol.client_events import ClientEvent
from duologue.protocol.server_events import ServerEvent

CLIENT_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(ClientEvent)
SERVER_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(ServerEvent)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.text("abcdef0123456789_", min_size=1, max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def _field(info: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of one declared type."""
    match info:
        case inspect.StructType():
            return structs(info.cls)
        case inspect.UnionType():
            kinds = [_field(t) for t in info.types]
            return st.one_of(kinds)
        case inspect.VarTupleType():
            return st.lists(_field(info.item_type), max_size=2).map(tuple)
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.DictType():
            return st.dictionaries(words, _field(info.value_type), max_size=2)
        case inspect.StrType():
            return words
        case inspect.BytesType():
            return st.binary(max_size=12)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**70), 2**70)
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return anything
        case _:
            raise AssertionError(f"no generator for {info}")


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Instances of a struct, every field set or unset as its type allows."""

    def build() -> st.SearchStrategy[Any]:
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        required, optional = {}, {}
        for declared, name in zip(info.fields, kind.__struct_fields__, strict=True):
            target = required if declared.required else optional
            target[name] = _field(declared.type)
        return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))

    return st.deferred(build)


client_events = st.one_of([structs(kind) for kind in CLIENT_EVENTS])
server_events = st.one_of([structs(kind) for kind in SERVER_EVENTS])


@st.composite
def mutated(draw: st.DrawFn, events: st.SearchStrategy[Any]) -> bytes:
    """A valid event with one to three of its values replaced, removed or joined by strangers."""
    raw = msgspec.json.decode(msgspec.json.encode(draw(events)))
    for _ in range(draw(st.integers(1, 3))):
        level = raw
        while True:
            keys: list[Any] = list(level) if isinstance(level, dict) else list(range(len(level)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(level[key], dict | list) and level[key] and draw(st.booleans()):
                level = level[key]
                continue
            break
        act = draw(st.sampled_from(["replace", "remove", "add"]))
        if act == "add" or not keys:
            if isinstance(level, dict):
                level[draw(words)] = draw(anything)
            else:
                level.append(draw(anything))
        elif act == "replace":
            level[key] = draw(anything)
        else:
            del level[key]
    return msgspec.json.encode(raw)
