"""What a client received, checked against the typed models of the `openai` package, with no field unknown to them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pydantic
from their_models import NOT_IN_THEIR_MODELS, THEIR_SERVER_EVENTS, strangers


def check_frames(frames: Iterable[bytes | str]) -> None:
    """Every frame is an event that their models take as it stands. Raises AssertionError that shows the frame."""
    problems = [f"{problem}\n  {str(frame)[:600]}" for frame in frames if (problem := _problem(frame))]
    assert not problems, "\n".join(problems)


def check_events(events: Iterable[dict[str, Any]]) -> None:
    """The same for events that were decoded already."""
    check_frames(json.dumps(event) for event in events)


def _problem(frame: bytes | str) -> str | None:
    event = json.loads(frame)
    model = THEIR_SERVER_EVENTS.get(event.get("type"))
    if model is None:
        return f"{event.get('type')}: no event of theirs"
    try:
        understood = model.model_validate_json(frame, strict=True)
    except pydantic.ValidationError as error:
        return f"{event['type']}: {error}"
    unknown = set(strangers(understood)) - set(NOT_IN_THEIR_MODELS)
    return f"{event['type']}: unknown fields {sorted(unknown)}" if unknown else None
