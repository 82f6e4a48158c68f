from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypedDict

import pytest

from duologue.dialogue.tools import ToolArguments, arguments_for, error_text, function_tool, output_text, reader_of
from duologue.errors import ConfigError


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


def weather(
    place: str,
    days: int = 1,
    unit: Unit = Unit.CELSIUS,
    detail: Literal["low", "high"] | None = None,
    tags: list[str] = [],  # noqa: B006
) -> str:
    """Tell the weather.

    Of any place on earth.

    Args:
        place: City or village,
            in English.
        days (int): How many days ahead.

    Returns:
        place: not an argument
    """
    return place


def test_schema_of_signature_and_docstring() -> None:
    tool = function_tool(weather)
    assert tool.name == "weather"
    assert tool.description == "Tell the weather.\n\nOf any place on earth."
    schema: dict[str, Any] = tool.parameters  # type: ignore[assignment]
    assert schema["required"] == ["place"]
    assert schema["properties"]["place"] == {"type": "string", "description": "City or village, in English."}
    assert schema["properties"]["days"] == {"type": "integer", "description": "How many days ahead.", "default": 1}
    assert {"type": "array", "items": {"type": "string"}}.items() <= schema["properties"]["tags"].items()
    assert sorted(schema["$defs"]["Unit"]["enum"]) == ["celsius", "kelvin"]


def test_arguments_become_what_the_annotations_say() -> None:
    tool = function_tool(weather)
    assert arguments_for(weather, tool, '{"place":"Paris","days":"3","unit":"kelvin"}') == {
        "place": "Paris", "days": 3, "unit": Unit.KELVIN,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "place"),
        ('{"place":"x","days":"soon"}', "days"),
        ('{"place":"x","y":1}', "y"),
    ],
)
def test_arguments_that_do_not_fit_say_why(arguments: str, word: str) -> None:
    with pytest.raises(ToolArguments, match=word):
        arguments_for(weather, function_tool(weather), arguments)


def test_a_single_catch_all_parameter_gets_everything() -> None:
    def handler(args):  # type: ignore[no-untyped-def]
        return args

    tool = function_tool(weather)
    assert arguments_for(handler, tool, '{"place":"Paris"}') == {"args": {"place": "Paris"}}


def test_outputs() -> None:
    assert output_text("as it is") == "as it is"
    assert output_text({"ok": True}) == '{"ok":true}'
    assert error_text('a "quote"') == '{"error":"a \\"quote\\""}'


def test_first_parameters_that_are_not_the_models_are_left_out() -> None:
    def book(context: object, room: str) -> None: ...

    tool = function_tool(book, skip=1)
    assert isinstance(tool.parameters, dict)
    assert list(tool.parameters["properties"]) == ["room"]
    assert arguments_for(book, tool, '{"room":"red"}', skip=1) == {"room": "red"}
    with pytest.raises(ToolArguments, match="context"):
        arguments_for(book, tool, '{"room":"red","context":1}', skip=1)


class Street(TypedDict):
    name: str


@dataclass
class Address:
    street: Street
    number: int = 1


def test_one_value_may_be_all_that_a_tool_takes() -> None:
    parameters, read = reader_of(Address)
    assert parameters["type"] == "object"
    assert parameters["required"] == ["street"]
    assert parameters["$defs"].keys() == {"Address", "Street"}
    assert read('{"street":{"name":"Main"},"number":"7"}') == Address(street={"name": "Main"}, number=7)
    for wrong in ("", "{", '{"street":1}'):
        with pytest.raises(ToolArguments, match="do not fit"):
            read(wrong)
    with pytest.raises(ConfigError, match="no JSON object"):
        reader_of(str)
    with pytest.raises(ConfigError, match="no JSON schema"):
        reader_of(type("Strange", (), {}))


def test_a_pydantic_model_reads_by_itself() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Reason", reason=(str, ...))
    parameters, read = reader_of(model)
    assert parameters["required"] == ["reason"]
    assert read('{"reason":"rain"}').reason == "rain"
    with pytest.raises(ToolArguments):
        read("{}")
