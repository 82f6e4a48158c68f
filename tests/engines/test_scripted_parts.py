from __future__ import annotations

from typing import Any

import pytest

from duologue.engines.scripted import values
from duologue.engines.scripted.arithmetic import calculate
from duologue.engines.scripted.orders import Orders, read_orders
from duologue.engines.scripted.results import speak
from duologue.engines.scripted.schema import fits, minimal, read_tool, resolve
from duologue.engines.scripted.words import (
    count_word,
    join_words,
    korean_number,
    numbers,
    related,
    say_number,
    split_name,
    stem,
    stems,
)
from duologue.protocol.session import FunctionTool


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12.5 and -3 and 1,000", [12.5, -3, 1000]),
        ("one hundred and five and twenty one", [105, 21]),
        ("two thousand twenty-six", [2026]),
        ("a hundred people", [100]),
        ("a dozen", [12]),
        ("two dozen", [24]),
        ("minus five degrees", [-5]),
        ("three point one four", [3.14]),
        ("this one or that one", []),
        ("ten and twenty", [10, 20]),
        ("at 5:30", []),
        ("1" * 400, [int("1" * 300)]),
    ],
)
def test_numbers(text: str, found: list[float]) -> None:
    assert [number.value for number in numbers(text)] == found


def test_numbers_know_their_place() -> None:
    text = "for twenty two people and 7"
    assert [text[number.start : number.end] for number in numbers(text)] == ["twenty two", "7"]


def test_words() -> None:
    assert split_name("turn_onLight-now HTTPServer2") == ["turn", "on", "light", "now", "http", "server2"]
    assert {stem(word) for word in ("light", "lights", "Lighting", "lighted")} == {"light"}
    assert {stem(word) for word in ("city", "cities")} == {"city"}
    assert {stem(word) for word in ("save", "saves", "saved", "saving")} == {"sav"}
    assert stem("remember") in related(stem("memory"))
    assert stems("불 켜 줘") == ["light", "turn", "on"]
    assert join_words(["a", "b", "c"]) == "a, b and c"
    assert join_words([]) == ""
    assert [count_word(value) for value in (0, 13, 40, 99, 100, 101)] == [
        "zero", "thirteen", "forty", "ninety nine", "one hundred", "101",
    ]  # fmt: skip
    assert [say_number(value) for value in (3, 2.0, 0.33333333, float("inf"))] == ["3", "2", "0.3333", "not a number"]
    assert [korean_number(word) for word in ("이십오", "백", "삼천이백일", "사과", "")] == [25, 100, 3201, None, None]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("what is seven times eight", "7 times 8 is 56."),
        ("2+2", "2 plus 2 is 4."),
        ("What's 10 - 4?", "10 minus 4 is 6."),
        ("how much is 6 x 7", "6 times 7 is 42."),
        ("9 divided by 2 please", "9 divided by 2 is 4.5."),
        ("the sum of two and three", "2 plus 3 is 5."),
        ("multiply 4 by 5", "4 times 5 is 20."),
        ("what is minus three times two", "-3 times 2 is -6."),
        ("2 + 3 * 4 - 1", "2 plus 3 times 4 minus 1 is 13."),
        ("5 / 0", "Nothing can be divided by zero."),
        ("what is the weather", None),
        ("seven", None),
        ("plus", None),
        ("one plus banana", None),
        ("2026-11-21 is a date", None),
    ],
)
def test_arithmetic(text: str, answer: str | None) -> None:
    assert calculate(text) == answer


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("remember that my name is anna", ("name", "Anna", True)),
        ("my favourite colour is blue, please.", ("favourite colour", "blue", False)),
        ("set my home town to Oslo", ("home town", "Oslo", True)),
        ("save 42 as the answer", ("answer", "42", True)),
        ("remember that the code is 1234", ("code", "1234", True)),
        ("I am 30 years old", ("age", "30", False)),
        ("call me Ishmael", ("name", "Ishmael", False)),
        ("제 이름은 민수입니다", ("name", "민수", False)),
        ("what is my name?", None),
        ("the code is 1234", None),
        ("hello", None),
    ],
)
def test_pairs(text: str, pair: tuple[str, str, bool] | None) -> None:
    found = values.pair(text)
    assert (found and tuple(found)) == pair


def test_choices_are_found_as_spoken() -> None:
    def found(text: str, *choices: Any) -> list[Any]:
        return [spot.value for spot in values.choices(text, choices)]

    assert found("the living room, then the kitchens", "kitchen", "living_room", "room") == ["living_room", "kitchen"]
    assert found("ten dollars in euros", "EUR", "USD") == ["USD", "EUR"]
    assert found("from EUR", "EUR", "USD") == ["EUR"]
    assert found("in the house", "in", "ft") == []
    assert found("size three", 1, 3) == [3]
    assert found("거실 불", "거실") == ["거실"]


def test_dates() -> None:
    def found(text: str) -> list[str]:
        return [spot.value for spot in values.dates(text)]

    assert found("tomorrow at five pm") == ["tomorrow at five pm"]
    assert found("on friday and on 2026-11-21") == ["friday", "2026-11-21"]
    assert found("at noon") == ["noon"]
    assert found("nothing of the kind") == []


@pytest.mark.parametrize(
    ("output", "arguments", "spoken"),
    [
        (
            '{"temperature":{"value":21.34,"units":"°C"},"wind_speed":{"value":12.0,"units":"km/h"}}',
            '{"location":"Paris"}',
            "In Paris, the temperature is 21.3 degrees Celsius and the wind speed is 12 kilometers per hour.",
        ),
        (
            '{"current":{"time":"now","temperature_2m":-3,"wind_speed_10m":4},'
            '"current_units":{"temperature_2m":"°C","wind_speed_10m":"m/s"}}',
            "{}",
            "The temperature is -3 degrees Celsius and the wind speed is 4 meters per second.",
        ),
        (
            '{"temperature_c":20,"humidity_percent":40}',
            "{}",
            "The temperature is 20 degrees Celsius and the humidity is 40 percent.",
        ),
        ('{"ok":true}', '{"key":"favorite_color","value":"blue"}', "Done. I noted that favorite color is blue."),
        ('{"ok":true}', '{"room":"living_room","level":3}', "Done: do it, room living room and level 3."),
        ("", "not json", "Done: do it."),
        ('{"error":{"message":"no network"}}', "{}", "Sorry, do it failed: no network."),
        ('{"ok":false,"message":"door is open."}', "{}", "Sorry, do it failed: door is open."),
        ('{"error":"is there a network?"}', "{}", "Sorry, do it failed: is there a network?"),
        ('{"error":"bad: worse."}', "{}", "Sorry, do it failed. Bad: worse."),
        ("It is 5°", "{}", "It is 5 degrees."),
        ("[1, 2, 3]", "{}", "1, 2 and 3."),
        ("false", "{}", "No."),
        ('{"booked":true}', "{}", "The booked is yes."),
    ],
)
def test_results_are_spoken(output: str, arguments: str, spoken: str) -> None:
    assert speak(output, tool="do_it", arguments=arguments) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "You are a helpful assistant.",
        "Always respond in a friendly tone. Answer only questions about the weather. Respond with short sentences.",
        "Use tools liberally. Remember: this is just for fun and testing! Be upbeat and genuine.",
        "Say only what you know.",
        "",
    ],
)
def test_common_instructions_fix_no_words(text: str) -> None:
    assert read_orders(text) == Orders()


def test_schemas_are_resolved() -> None:
    root = {"$defs": {"a": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}}}
    assert resolve({"$ref": "#/$defs/a", "description": "x"}, root) == {"type": "string", "description": "x"}
    assert resolve({"$ref": "#/$defs/loop"}, root) == {}
    assert resolve({"type": ["null", "integer"]}, root) == {"type": "integer"}
    assert resolve({"anyOf": [{"type": "null"}, {"type": "number"}]}, root) == {"type": "number"}
    assert resolve("nonsense", root) == {}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "unknown"),
        ({"type": "string", "minLength": 9, "maxLength": 9}, "unknown  "),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": "boolean"}, False),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "integer", "default": 7}, 7),
        ({"type": "array", "minItems": 1, "items": {"type": "boolean"}}, [False]),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "null"}}}, {"a": None}),
    ],
)
def test_minimal_values_fit(schema: dict[str, Any], value: Any) -> None:
    assert minimal(schema) == value
    assert fits(value, schema)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1.5, {"type": "integer"}),
        (True, {"type": "integer"}),
        (1, {"type": "boolean"}),
        (11, {"type": "integer", "maximum": 10}),
        ("c", {"enum": ["a", "b"]}),
        ("", {"type": "string", "minLength": 1}),
        ([1], {"type": "array", "items": {"type": "string"}}),
        (None, {"type": "string"}),
    ],
)
def test_what_does_not_fit(value: Any, schema: dict[str, Any]) -> None:
    assert not fits(value, schema)


def test_a_schema_that_refers_to_itself_is_cut_off() -> None:
    node = {"type": "object", "properties": {f"n{index}": {"$ref": "#/$defs/node"} for index in range(10)}}
    tool = FunctionTool(
        name="grow", parameters={"properties": {"root": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    )
    assert [slot.name for slot in read_tool(tool).slots] == ["root"]


def test_a_failure_that_has_a_code_is_told_in_korean() -> None:
    output = '{"error":{"code":"service_unreachable","message":"no network"}}'
    assert "연결할 수 없습니다" in speak(output, tool="get_weather", arguments="{}", language="ko")
    assert "no network" not in speak(output, tool="get_weather", arguments="{}", language="ko")
