"""A function tool as slots to fill: what each parameter is called, what kind of value it takes, and what fits.

Schemas come from clients and may be anything; whatever makes no sense is treated as "any value".
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct

from duologue.engines.scripted.words import content_stems, split_name, stem, tokens, word_set
from duologue.protocol.session import FunctionTool

Kind = Literal["enum", "number", "integer", "boolean", "string", "place", "lat", "lng", "date", "array", "other"]

_LAT = word_set("lat latitude")
_LNG = word_set("lng lon long longitude")
_PLACE_NAMES = word_set("place city location town destination origin where")
_PLACE_DESCRIPTIONS = word_set("city cities town location")
_DATES = word_set("date day when time datetime")
_ORIGIN = word_set("from origin start departure source pickup base")
_TARGET = word_set("to destination end arrival target dropoff into")
_KEYS = word_set("key field property attribute variable setting name")
_VALUES = word_set("value val content")
_MAX_DEPTH = 12


class Slot(Struct, frozen=True, kw_only=True):
    """One parameter. `words` are those of its name, `stems` also those of its description; `role` tells where a thing
    goes from or to; `group` is the same for the latitude, longitude and name of one place."""

    name: str
    words: tuple[str, ...]
    stems: frozenset[str]
    description: str
    kind: Kind
    schema: dict[str, Any]
    values: tuple[Any, ...] = ()
    required: bool = False
    role: Literal["origin", "target", ""] = ""
    group: str = ""

    @property
    def spoken(self) -> str:
        """The name as words."""
        return " ".join(self.words) or "value"


class Tool(Struct, frozen=True, kw_only=True):
    """A function tool, read. `name_stems` leaves generic words out; `key` and `value` are set for tools that store."""

    name: str
    words: tuple[str, ...]
    name_stems: tuple[str, ...]
    description_stems: frozenset[str]
    slots: tuple[Slot, ...]
    key: Slot | None = None
    value: Slot | None = None


def read_tool(tool: FunctionTool) -> Tool:
    """What the tool wants. Never raises, whatever the schema holds."""
    root = tool.parameters if isinstance(tool.parameters, dict) else {}
    schema = resolve(root, root)
    properties = schema.get("properties")
    wanted = schema.get("required")
    required = {name for name in wanted if isinstance(name, str)} if isinstance(wanted, list | tuple) else set()
    properties = {str(name): each for name, each in properties.items()} if isinstance(properties, dict) else {}
    properties |= {name: {} for name in sorted(required) if name not in properties}
    slots = tuple(_read_slot(name, resolve(each, root), name in required) for name, each in properties.items())
    has_lat = any(slot.kind == "lat" for slot in slots)
    slots = tuple(_plain(slot) if slot.kind == "lng" and not has_lat else slot for slot in slots)
    description = tool.description if isinstance(tool.description, str) else ""
    words = tuple(split_name(tool.name))
    name_stems = tuple(content_stems(words)) or tuple(map(stem, words))
    key = next((slot for slot in slots if slot.kind == "string" and slot.words and slot.words[-1] in _KEYS), None)
    value = next((slot for slot in slots if slot.words and slot.words[-1] in _VALUES), None)
    return Tool(
        name=tool.name,
        words=words,
        name_stems=name_stems,
        description_stems=frozenset(content_stems(token.low for token in tokens(description))),
        slots=slots,
        key=key if value is not None else None,
        value=value if key is not None else None,
    )


def _plain(slot: Slot) -> Slot:
    kind: Kind = "integer" if slot.schema.get("type") == "integer" else "number"
    return Slot(
        name=slot.name, words=slot.words, stems=slot.stems, description=slot.description, kind=kind,
        schema=slot.schema, required=slot.required, role=slot.role,
    )  # fmt: skip


def _read_slot(name: str, schema: dict[str, Any], required: bool) -> Slot:
    words = split_name(name)
    description = schema.get("description")
    description = description if isinstance(description, str) else ""
    described = [token.low for token in tokens(description)]
    kind = _kind(set(words), set(described), schema)
    group = ""
    if kind in ("lat", "lng", "place"):
        group = " ".join(word for word in words if word not in _LAT | _LNG | _PLACE_NAMES | {"name"})
    role: Literal["origin", "target", ""] = ""
    if not _ORIGIN.isdisjoint(words):
        role = "origin"
    elif not _TARGET.isdisjoint(words):
        role = "target"
    return Slot(
        name=name,
        words=tuple(words),
        stems=frozenset(content_stems((*words, *described))),
        description=description,
        kind=kind,
        schema=schema,
        values=_enum(schema),
        required=required,
        role=role,
        group=group or role if kind == "place" else group,
    )


def _enum(schema: dict[str, Any]) -> tuple[Any, ...]:
    if "const" in schema:
        return (schema["const"],)
    values = schema.get("enum")
    return tuple(values) if isinstance(values, list | tuple) else ()


def _kind(words: set[str], described: set[str], schema: dict[str, Any]) -> Kind:
    type_ = schema.get("type")
    if _enum(schema):
        return "enum"
    if type_ in ("number", "integer", None) and not _LAT.isdisjoint(words):
        return "lat"
    if type_ in ("number", "integer", None) and not _LNG.isdisjoint(words) and len(words) <= 2:
        return "lng"
    if type_ in ("number", "integer", "boolean", "array"):
        return type_  # type: ignore[no-any-return]
    if type_ not in ("string", None):
        return "other"
    if not _PLACE_NAMES.isdisjoint(words) or not _PLACE_DESCRIPTIONS.isdisjoint(described):
        return "place"
    if not _DATES.isdisjoint(words) or schema.get("format") in ("date", "time", "date-time"):
        return "date"
    return "string"


def resolve(schema: Any, root: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """`schema` with a local `$ref`, `allOf`, the first of `anyOf`/`oneOf` that is not null, and the first type of
    several put in its place; {} for what is no schema."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return {}
    merged = dict(schema)
    reference = merged.pop("$ref", None)
    parts = [_look_up(reference, root)] if isinstance(reference, str) else []
    every = merged.pop("allOf", None)
    parts += every if isinstance(every, list | tuple) else []
    for choice in ("anyOf", "oneOf"):
        options = merged.pop(choice, None)
        if isinstance(options, list | tuple):
            parts += [each for each in options if isinstance(each, dict) and each.get("type") != "null"][:1]
    for part in parts:
        merged = {**resolve(part, root, depth + 1), **merged}
    type_ = merged.get("type")
    if isinstance(type_, list | tuple):
        merged["type"] = next((each for each in type_ if each != "null"), "null")
    if not isinstance(merged.get("type"), str | None):
        merged.pop("type")
    # Each level costs more depth: a schema that refers to itself in many places must not unfold without end.
    if isinstance(merged.get("items"), dict):
        merged["items"] = resolve(merged["items"], root, depth + 3)
    if isinstance(merged.get("properties"), dict):
        merged["properties"] = {name: resolve(each, root, depth + 3) for name, each in merged["properties"].items()}
    return merged


def _look_up(reference: str, root: dict[str, Any]) -> Any:
    node: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if not isinstance(node, dict) or not step:
            return {}
        node = node.get(step.replace("~1", "/").replace("~0", "~"))
    return node


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` meets the schema's type, choices and bounds."""
    values = _enum(schema)
    if values:
        return any(value == each and type(value) is type(each) for each in values)
    match schema.get("type"):
        case "string":
            return isinstance(value, str) and _within(len(value), schema, "minLength", "maxLength")
        case "integer":
            return _is_number(value) and float(value).is_integer() and _bounded(value, schema)
        case "number":
            return _is_number(value) and _bounded(value, schema)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            items = schema.get("items")
            inner = items if isinstance(items, dict) else {}
            return (
                isinstance(value, list)
                and _within(len(value), schema, "minItems", "maxItems")
                and all(fits(each, inner) for each in value)
            )
        case "object":
            return isinstance(value, dict)
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limit(schema: dict[str, Any], name: str) -> float | None:
    limit = schema.get(name)
    return limit if _is_number(limit) and limit == limit else None


def _within(size: float, schema: dict[str, Any], least: str, most: str) -> bool:
    low, high = _limit(schema, least), _limit(schema, most)
    return (low is None or size >= low) and (high is None or size <= high)


def _bounded(value: float, schema: dict[str, Any]) -> bool:
    above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
    return (
        _within(value, schema, "minimum", "maximum")
        and (above is None or value > above)
        and (below is None or value < below)
    )


def minimal(schema: dict[str, Any], depth: int = 0) -> Any:
    """A plain value that fits: the default, the first choice, or as good as nothing."""
    if "default" in schema and fits(schema["default"], schema):
        return schema["default"]
    if values := _enum(schema):
        return values[0]
    match schema.get("type"):
        case "string":
            return "unknown".ljust(int(min(_limit(schema, "minLength") or 0, 1000)))[: _most(schema, "maxLength")]
        case "integer" | "number":
            return _smallest(schema)
        case "boolean":
            return False
        case "null":
            return None
        case "array":
            items = schema.get("items")
            size = int(min(_limit(schema, "minItems") or 0, 20))
            inner = items if isinstance(items, dict) else {}
            return [minimal(inner, depth + 1) for _ in range(size)] if depth < _MAX_DEPTH else []
        case "object":
            return _minimal_object(schema, depth)
    return _minimal_object(schema, depth) if isinstance(schema.get("properties"), dict) else "unknown"


def _most(schema: dict[str, Any], name: str) -> int | None:
    limit = _limit(schema, name)
    return None if limit is None else max(0, int(min(limit, 1000)))


def _smallest(schema: dict[str, Any]) -> int | float:
    for candidate in (0, 1):
        if _bounded(candidate, schema):
            return candidate
    low = next((limit for name in ("minimum", "exclusiveMinimum") if (limit := _limit(schema, name)) is not None), None)
    high = next((limit for name in ("maximum", "exclusiveMaximum") if (limit := _limit(schema, name)) is not None), 0)
    candidates: list[float] = [high, high - 1] if low is None else [low, low + 1, (low + high) / 2]
    for value in candidates:
        if abs(value) < 1e300:
            if schema.get("type") == "integer":
                value = -int(-value // 1)
            if _bounded(value, schema):
                return value
    return 0


def _minimal_object(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    properties, required = schema.get("properties"), schema.get("required")
    if depth >= _MAX_DEPTH or not isinstance(required, list | tuple):
        return {}
    properties = properties if isinstance(properties, dict) else {}
    inner = {name: properties.get(name) for name in required if isinstance(name, str)}
    return {name: minimal(each if isinstance(each, dict) else {}, depth + 1) for name, each in inner.items()}


def default_of(slot: Slot) -> Any:
    """The slot's own default, or UNSET."""
    schema = slot.schema
    if "default" in schema and fits(schema["default"], schema):
        return schema["default"]
    return schema.get("const", UNSET)
