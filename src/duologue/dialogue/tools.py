"""From a Python function to a tool: its JSON schema out of signature and docstring, its call out of JSON arguments. Pure."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool

_SECTION = re.compile(r"^\s*(?:Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_ARGUMENTS = re.compile(r"^\s*(?:Args|Arguments|Parameters):\s*$")
_ENTRY = re.compile(r"^(?P<indent>\s+)\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)$")


class ToolArguments(ValueError):
    """The model's arguments do not fit the tool; the text is for the model to read."""


def function_tool(
    function: Callable[..., Any], *, name: str | None = None, description: str | None = None, skip: int = 0
) -> FunctionTool:
    """The definition of a tool that calls `function`; its first `skip` parameters are not the model's to give.

    Types may be str, int, float, bool, Literal, Enum, Optional, list, dict, TypedDict, dataclasses and structs; a parameter
    without a default is required. Descriptions come from the docstring's `Args:`. Raises ConfigError on a type that has no
    JSON schema.
    """
    summary, notes = _docstring(inspect.getdoc(function) or "")
    hints = _hints(function)
    properties: dict[str, Any] = {}
    required: list[str] = []
    definitions: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        schema = _schema(hints.get(parameter.name, Any), function, parameter.name, definitions)
        if parameter.name in notes:
            schema = {**schema, "description": notes[parameter.name]}
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif isinstance(parameter.default, str | int | float | bool):
            schema = {**schema, "default": parameter.default}
        properties[parameter.name] = schema
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    parameters["additionalProperties"] = False
    if definitions:
        parameters["$defs"] = definitions
    return FunctionTool(
        name=name or function.__name__,
        description=description if description is not None else summary,
        parameters=parameters,
    )


def arguments_for(
    function: Callable[..., Any], definition: FunctionTool, arguments: str, *, skip: int = 0
) -> dict[str, Any]:
    """Keyword arguments for `function` out of the model's JSON, converted to its annotations; all but its first `skip`.

    A function with a single parameter that is not one of the tool's gets them all as a dict. Raises ToolArguments.
    """
    try:
        given = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError as problem:
        raise ToolArguments(f"the arguments are not valid JSON: {problem}") from None
    if not isinstance(given, dict):
        raise ToolArguments("the arguments are not a JSON object")
    parameters = dict(list(inspect.signature(function).parameters.items())[skip:])
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return given
    known = _properties(definition)
    if len(parameters) == 1 and (only := next(iter(parameters))) not in known and only not in given:
        return {only: given}
    missing = [name for name, one in parameters.items() if one.default is one.empty and name not in given]
    if missing:
        raise ToolArguments(f"missing: {', '.join(missing)}")
    hints = _hints(function)
    ready = {}
    for name, value in given.items():
        if name not in parameters:
            raise ToolArguments(f"there is no parameter named {name}")
        try:
            ready[name] = msgspec.convert(value, hints.get(name, Any), strict=False)
        except msgspec.ValidationError as problem:
            raise ToolArguments(f"{name}: {problem}") from None
    return ready


def reader_of(kind: Any) -> tuple[dict[str, Any], Callable[[str], Any]]:
    """The parameters of a tool whose arguments are one value of a type (dataclass, struct, TypedDict or pydantic model), and
    what reads it out of the model's JSON, raising ToolArguments. Raises ConfigError for a type that is no JSON object."""
    wrong: type[Exception]
    if hasattr(kind, "model_validate_json"):
        schema, decode, wrong = kind.model_json_schema(), kind.model_validate_json, ValueError
    else:
        schema, decode, wrong = _object(kind), msgspec.json.Decoder(kind, strict=False).decode, msgspec.DecodeError

    def read(text: str) -> Any:
        try:
            return decode(text or "{}")
        except wrong as problem:
            raise ToolArguments(f"the arguments do not fit: {problem}") from None

    return schema, read


def _object(kind: Any) -> dict[str, Any]:
    try:
        (schema,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"{kind!r} has no JSON schema: {problem}") from None
    whole = definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
    if whole.get("type") != "object":
        raise ConfigError(f"{kind!r} is no JSON object: write a dataclass, a struct or a TypedDict")
    return {**whole, "$defs": definitions} if len(definitions) > 1 else whole


def output_text(result: Any) -> str:
    """What goes back to the model: text as it is, anything else as JSON. Raises TypeError where it is neither."""
    return result if isinstance(result, str) else msgspec.json.encode(result).decode()


def error_text(message: str) -> str:
    """A failure, as the model gets it."""
    return msgspec.json.encode({"error": message}).decode()


def _properties(definition: FunctionTool) -> Mapping[str, Any]:
    schema = definition.parameters
    found = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return found if isinstance(found, Mapping) else {}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def _schema(kind: Any, function: Callable[..., Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    try:
        (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except (TypeError, ValueError) as problem:
        where = getattr(function, "__name__", str(function))
        raise ConfigError(f"parameter {name!r} of tool {where!r} has no JSON schema: {problem}") from None
    definitions.update(components)
    return schema


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Everything before the first section, and the entries of `Args:`."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    summary = "\n".join(lines[:first]).strip()
    notes: dict[str, str] = {}
    inside, last, depth = False, "", 0
    for line in lines[first:]:
        if _SECTION.match(line):
            inside = bool(_ARGUMENTS.match(line))
            last = ""
            continue
        if not inside or not line.strip():
            continue
        entry = _ENTRY.match(line)
        if entry and (not last or len(entry["indent"]) <= depth):
            last, depth = entry["name"], len(entry["indent"])
            notes[last] = entry["text"].strip()
        elif last:
            notes[last] = f"{notes[last]} {line.strip()}".strip()
    return summary, notes
