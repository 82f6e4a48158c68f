"""Whatever the words and the schemas: an answer comes, and the arguments of every call are what the schema asks for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted_talk import ALL, NOW, user

from duologue.engines.base import LlmRequest
from duologue.engines.scripted.hints import speech_hints
from duologue.engines.scripted.orders import read_orders
from duologue.engines.scripted.respond import respond
from duologue.engines.scripted.results import speak
from duologue.engines.scripted.words import word_list
from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message
from duologue.protocol.session import FunctionTool

WORDS = word_list(
    "turn on the light kitchen what is weather in Paris and London remember my name Anna seven times 8 not yes no to "
    "from five percent play song book table for tomorrow ? , . 서울 날씨 켜 hello stop convert euros usd set value 1.5 -3"
)
names = st.sampled_from(
    word_list(
        "lat lng location city from to key value name title room amount people date on enabled query message tags x "
        "start_lat"
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
sentences = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=60)


@st.composite
def leaf_schemas(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "enum", "any", "mixed enum"]))
    if kind == "enum":
        values = draw(st.lists(st.sampled_from(["kitchen", "Paris", "EUR", "usd", "on"]), min_size=1, unique=True))
        return {"type": "string", "enum": values}
    if kind == "mixed enum":
        return {"enum": draw(st.lists(st.sampled_from([1, 2.5, "a", True, None]), min_size=1, max_size=4))}
    if kind == "any":
        return {}
    schema: dict[str, Any] = {"type": kind}
    if kind in ("integer", "number") and draw(st.booleans()):
        low = draw(st.integers(-50, 50))
        schema |= {"minimum": low, "maximum": low + draw(st.integers(0, 20))}
    if kind == "string" and draw(st.booleans()):
        schema |= {"minLength": draw(st.integers(0, 12)), "maxLength": draw(st.integers(12, 40))}
    return schema


schemas = st.recursive(
    leaf_schemas(),
    lambda inner: (
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 2))
        | st.dictionaries(names, inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)}
        )
        | inner.map(lambda each: {"anyOf": [{"type": "null"}, each]})
    ),
    max_leaves=4,
)


@st.composite
def sane_tools(draw: st.DrawFn) -> FunctionTool:
    properties = draw(st.dictionaries(names, schemas, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    return FunctionTool(
        name=draw(st.sampled_from(["turn_on_light", "getWeather", "set_memory", "convert", "play", "x1"])),
        description=draw(st.sampled_from(["", "Turns the light on", "Saves things to memory", "The weather"])),
        parameters={"type": "object", "properties": properties, "required": required},
    )


wild_tools = st.builds(
    FunctionTool,
    name=st.text(max_size=12),
    description=st.text(max_size=20) | st.none(),
    parameters=st.dictionaries(
        st.sampled_from(["type", "properties", "required", "$ref", "anyOf", "allOf", "$defs"]), json_values
    )
    | st.dictionaries(st.just("properties"), st.dictionaries(names, json_values))
    | st.none(),
)


def valid(value: Any, schema: dict[str, Any]) -> bool:
    """JSON schema as far as the generator above uses it; written apart from the code under test."""
    if "anyOf" in schema:
        return any(valid(value, each) for each in schema["anyOf"])
    if "enum" in schema:
        return any(value == each and type(value) is type(each) for each in schema["enum"])
    match schema.get("type"):
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
        case "integer" | "number" as kind:
            kinds = (int,) if kind == "integer" else (int, float)
            low, high = schema.get("minimum", -1e300), schema.get("maximum", 1e300)
            return isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
        case "array":
            return (
                isinstance(value, list)
                and len(value) >= schema["minItems"]
                and all(valid(each, schema["items"]) for each in value)
            )
        case "object":
            return (
                isinstance(value, dict)
                and set(schema["required"]) <= set(value)
                and all(valid(value[name], each) for name, each in schema["properties"].items() if name in value)
            )
    return True


@settings(max_examples=400, deadline=None)
@given(
    st.lists(sane_tools(), max_size=3),
    st.lists(sentences, min_size=1, max_size=4),
    st.sampled_from(["auto", "required", "none"]),
    st.booleans(),
)
def test_calls_fit_their_schemas(tools: list[FunctionTool], said: list[str], choice: str, parallel: bool) -> None:
    tools = list({tool.name: tool for tool in tools}.values())
    schemas = {tool.name: tool.parameters for tool in tools}
    items: list[Item] = []
    for sentence in said:
        items.append(user(sentence))
        request = LlmRequest(items=tuple(items), tools=tuple(tools), tool_choice=choice, parallel_tool_calls=parallel)
        plan = respond(request, NOW)
        assert plan.text or plan.calls
        if choice == "none":
            assert not plan.calls
        if choice == "required" and tools:
            assert plan.calls
        if not parallel:
            assert len(plan.calls) <= 1
        for call in plan.calls:
            schema = schemas[call.name]
            assert schema is not None
            assert isinstance(schema, dict)
            assert valid(json.loads(call.arguments), schema)
            items.append(FunctionCall(call_id="c", name=call.name, arguments=call.arguments))
        if plan.calls:
            items.append(FunctionCallOutput(call_id="c", output='{"ok": true}'))
        else:
            items.append(Message(role="assistant", content=(InputText(text=plan.text),)))


@settings(max_examples=300, deadline=None)
@given(st.lists(wild_tools, max_size=3), sentences, st.sampled_from(["auto", "required"]))
def test_wild_schemas_do_no_harm(tools: list[FunctionTool], said: str, choice: str) -> None:
    plan = respond(LlmRequest(items=(user(said),), tools=tuple(tools), tool_choice=choice), NOW)
    assert plan.text or plan.calls
    for call in plan.calls:
        assert isinstance(json.loads(call.arguments), dict)
    speech_hints(tools, said, places_limit=20)


@given(st.text(max_size=80), st.text(max_size=80), sentences)
def test_any_instructions_and_results(instructions: str, output: str, said: str) -> None:
    read_orders(instructions)
    items = (
        user(said),
        FunctionCall(call_id="c", name=instructions[:10], arguments=output),
        FunctionCallOutput(call_id="c", output=output),
    )
    assert respond(LlmRequest(items=items, tools=ALL, instructions=instructions), NOW).calls is not None


@given(json_values, st.sampled_from(["en", "ko"]))
@example(" ", "en")
@example({"": [" "]}, "ko")
def test_any_result_is_spoken(value: Any, language: str) -> None:
    assert speak(json.dumps(value), tool="get_thing", arguments="{}", language=language).strip()


def test_long_input_takes_no_time() -> None:
    said = "what is the weather in Paris and " * 2000
    plan = respond(LlmRequest(items=(user(said),), tools=ALL, instructions=said * 3), NOW)
    assert plan.calls or plan.text
