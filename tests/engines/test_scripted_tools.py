"""Tools that the responder has never seen: it knows them by their schemas only."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_talk import ALL, CONVERT, FLIGHT, LIGHT, MEMORY, SEND, SONG, TABLE, WEATHER, Talk, tool

from duologue.protocol.session import FunctionTool

PARIS: dict[str, Any] = {"lat": 48.853, "lng": 2.349, "location": "Paris"}
LONDON: dict[str, Any] = {"lat": 51.509, "lng": -0.126, "location": "London"}
DOOR = tool(
    "lockDoor", "Locks or unlocks a door", door={"enum": ["front", "back", "garage"]}, locked={"type": "boolean"}
)
TAXI = tool("call_taxi", "Calls a taxi", city={"type": "string"}, shared={"type": "boolean"})
VOLUME = tool("set_volume", "Sets the loudness of the speaker", level={"type": "integer", "minimum": 0, "maximum": 11})
PIZZA = tool(
    "order_pizza",
    "Orders a pizza",
    size={"type": "string", "enum": ["small", "medium", "large"]},
    toppings={"type": "array", "items": {"type": "string", "enum": ["ham", "mushrooms", "extra_cheese"]}},
)
SEARCH = tool("search_web", "Searches the internet", query={"type": "string", "description": "What to search for"})
ROUTE = tool(
    "route",
    "Finds the way by car",
    **{f"{end}_{axis}": {"type": "number"} for end in ("start", "end") for axis in ("lat", "lng")},
)
UNITS = tool(
    "convert_length",
    "Converts a length",
    value={"type": "number"},
    from_unit={"type": "string", "enum": ["km", "mi", "ft"]},
    to_unit={"type": "string", "enum": ["km", "mi", "ft"]},
)
REMIND = tool("create_reminder", "Reminds the user", task={"type": "string"}, time={"type": "string"})
DICE = tool("roll_dice", "Rolls dice", [], sides={"type": "integer", "default": 6})
GATE = tool(
    "pod_bay",
    "Opens the pod bay doors",
    state={"anyOf": [{"$ref": "#/$defs/state"}, {"type": "null"}]},
)
assert isinstance(GATE.parameters, dict)
GATE.parameters["$defs"] = {"state": {"type": "string", "enum": ["open", "closed"]}}


@pytest.mark.parametrize(
    ("tools", "said", "calls"),
    [
        (ALL, "what is the weather in Paris", [("get_weather", PARIS)]),
        (ALL, "Hello, how's the weather in paris?", [("get_weather", PARIS)]),
        (ALL, "is it cold in paris today", [("get_weather", PARIS)]),
        (ALL, "weather in Paris and London", [("get_weather", PARIS), ("get_weather", LONDON)]),
        (ALL, "remember that my name is anna", [("set_memory", {"key": "name", "value": "Anna"})]),
        (ALL, "My favourite colour is blue.", [("set_memory", {"key": "favourite_colour", "value": "blue"})]),
        (ALL, "set favourite color to blue", [("set_memory", {"key": "favourite_color", "value": "blue"})]),
        (ALL, "save 12 as my lucky number", [("set_memory", {"key": "lucky_number", "value": "12"})]),
        (ALL, "please remember that I live in Oslo", [("set_memory", {"key": "home", "value": "Oslo"})]),
        (ALL, "remember to buy milk", [("set_memory", {"key": "note", "value": "buy milk"})]),
        (ALL, "내 이름은 안나야", [("set_memory", {"key": "name", "value": "안나"})]),
        (ALL, "내 이름은 안나라고 기억해", [("set_memory", {"key": "name", "value": "안나"})]),
        (ALL, "제 이름은 민준이라고 기억해 줘", [("set_memory", {"key": "name", "value": "민준"})]),
        (ALL, "turn on the kitchen light", [("turn_on_light", {"room": "kitchen"})]),
        (
            ALL,
            "turn on the light in the living room at fifty percent",
            [("turn_on_light", {"room": "living_room", "brightness": 50})],
        ),
        (
            ALL,
            "turn on the kitchen and bedroom lights",
            [("turn_on_light", {"room": "kitchen"}), ("turn_on_light", {"room": "bedroom"})],
        ),
        (ALL, "book a table for four in Rome", [("book_table", {"people": 4, "city": "Rome"})]),
        (ALL, "book a table for two people in Atlantis", [("book_table", {"people": 2, "city": "Atlantis"})]),
        (ALL, "convert 10 euros to dollars", [("convert", {"amount": 10, "from": "EUR", "to": "USD"})]),
        (ALL, "convert to pounds ten dollars", [("convert", {"amount": 10, "from": "USD", "to": "GBP"})]),
        (ALL, "play Bohemian Rhapsody", [("play_song", {"title": "Bohemian Rhapsody"})]),
        (ALL, "could you play the song rock and roll, please?", [("play_song", {"title": "rock and roll"})]),
        (
            ALL,
            "send a message to Anna saying I am late",
            [("sendMessage", {"recipient": "Anna", "message": "I am late"})],
        ),
        (
            ALL,
            "find a flight to London from Paris tomorrow",
            [("find_flight", {"origin_city": "Paris", "destination_city": "London", "date": "tomorrow"})],
        ),
        ((TAXI,), "call a taxi in Seoul, not shared", [("call_taxi", {"city": "Seoul", "shared": False})]),
        ((DOOR,), "lock the front door", [("lockDoor", {"door": "front", "locked": True})]),
        ((VOLUME,), "set the volume to seven", [("set_volume", {"level": 7})]),
        (
            (PIZZA, SONG),
            "order a large pizza with ham and extra cheese",
            [("order_pizza", {"size": "large", "toppings": ["ham", "extra_cheese"]})],
        ),
        ((SEARCH, SONG), "search the web for cats and dogs", [("search_web", {"query": "cats and dogs"})]),
        (
            (UNITS,),
            "how many miles are 12.5 kilometers, convert the length",
            [("convert_length", {"value": 12.5, "from_unit": "mi", "to_unit": "km"})],
        ),
        (
            (UNITS,),
            "convert 3 miles to feet",
            [("convert_length", {"value": 3, "from_unit": "mi", "to_unit": "ft"})],
        ),
        (
            (ROUTE,),
            "find the route from Berlin to Munich",
            [("route", {"start_lat": 52.524, "start_lng": 13.411, "end_lat": 48.137, "end_lng": 11.575})],
        ),
        ((DICE,), "roll the dice", [("roll_dice", {})]),
        ((DICE,), "roll a twenty sided dice", [("roll_dice", {"sides": 20})]),
        ((GATE,), "open the pod bay", [("pod_bay", {"state": "open"})]),
    ],
)
def test_calls(tools: tuple[FunctionTool, ...], said: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    assert Talk(*tools).calls(said) == calls


@pytest.mark.parametrize(
    ("tools", "said", "question"),
    [
        ((WEATHER,), "what is the weather", "Which city?"),
        ((WEATHER,), "what is the weather in Xyzzyville", "Which city?"),
        ((LIGHT,), "turn on the light", "Which room: kitchen, living room or bedroom?"),
        ((TABLE,), "book a table in Rome", "How many people?"),
        ((SONG,), "play a song", "What is the title?"),
        ((SEND,), "send a message", "What is the recipient?"),
        ((FLIGHT,), "find a flight from Paris tomorrow", "To which city?"),
        ((VOLUME,), "set the volume to fifty", "What level?"),
        ((MEMORY,), "save this to memory", "What should I remember?"),
        ((TAXI,), "call a taxi in Seoul", "Shared: yes or no?"),
    ],
)
def test_questions(tools: tuple[FunctionTool, ...], said: str, question: str) -> None:
    talk = Talk(*tools)
    assert talk.calls(said) == []
    assert talk.spoken() == question


@pytest.mark.parametrize(
    ("tool_", "turns", "arguments"),
    [
        (LIGHT, ("turn on the light", "the living room"), {"room": "living_room"}),
        (SONG, ("play a song", "Yesterday"), {"title": "Yesterday"}),
        (SEND, ("send a message", "Anna", "I am late"), {"recipient": "Anna", "message": "I am late"}),
        (TAXI, ("call a taxi", "Seoul", "yes please"), {"city": "Seoul", "shared": True}),
        (TAXI, ("call a taxi in Seoul", "no"), {"city": "Seoul", "shared": False}),
        (VOLUME, ("set the volume to fifty", "eleven"), {"level": 11}),
        (MEMORY, ("save something to memory", "my name is Anna"), {"key": "name", "value": "Anna"}),
        (
            CONVERT,
            ("convert money", "twelve", "dollars", "to euros"),
            {"amount": 12, "from": "USD", "to": "EUR"},
        ),
        (
            FLIGHT,
            ("find a flight", "Paris", "to London", "tomorrow morning"),
            {"origin_city": "Paris", "destination_city": "London", "date": "tomorrow morning"},
        ),
        (
            REMIND,
            ("create a reminder", "water the plants", "at five pm"),
            {"task": "water the plants", "time": "five pm"},
        ),
    ],
)
def test_slots_are_filled_turn_by_turn(tool_: FunctionTool, turns: tuple[str, ...], arguments: dict[str, Any]) -> None:
    talk = Talk(tool_)
    for said in turns[:-1]:
        assert talk.calls(said) == [], said
        assert talk.spoken()
    assert talk.calls(turns[-1]) == [(tool_.name, arguments)]


@pytest.mark.parametrize(
    "said",
    [
        "I said nothing of the kind",
        "the kitchen is dirty",
        "what do you think of Paris",
        "do you remember my name?",
        "what is my favorite color",
        "that is a nice song",
        "it is my turn",
    ],
)
def test_small_talk_calls_nothing(said: str) -> None:
    assert Talk(*ALL).calls(said) == []


@pytest.mark.parametrize(
    ("schema", "said", "arguments"),
    [
        ({"properties": {"mode": {"const": "fast"}}, "required": ["mode"]}, "start the reactor", {"mode": "fast"}),
        ({"properties": {"n": {"type": "integer", "default": 3}}, "required": ["n"]}, "start the reactor", {"n": 3}),
        ({"required": ["x"]}, "start the reactor", None),
        ({"properties": {"mode": {"enum": []}}}, "start the reactor", {}),
        ({"properties": 7, "required": "x"}, "start the reactor", {}),
        (
            {"properties": {"on": {"type": ["boolean", "null"]}}, "required": ["on"]},
            "start the reactor: on",
            {"on": True},
        ),
        (None, "start the reactor", {}),
    ],
)
def test_odd_schemas(schema: Any, said: str, arguments: dict[str, Any] | None) -> None:
    reactor = FunctionTool(name="start_reactor", description="Starts the reactor", parameters=schema)
    assert Talk(reactor).calls(said) == ([] if arguments is None else [("start_reactor", arguments)])
